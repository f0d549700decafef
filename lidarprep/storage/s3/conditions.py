"""Conditional requests: an object is put or deleted only in place of what its ETag names.

AWS has them since 2024, and for deletes since 2025
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html). Of stores that speak its language
some say that they know none, and others put whatever the condition is; here both come to the same, so that who needs to
know asks by a condition that nothing meets.
"""

from __future__ import annotations

import hashlib
import math
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from lidarprep.storage.s3.bucket import Bucket, code_of, is_missing
from lidarprep.storage.s3.download import received
from lidarprep.storage.s3.sending import Sending
from lidarprep.storage.store import Tagged

# A lock that comes more slowly has run out meanwhile.
_LONGEST_S = 30.0


class Conditions:
    """What a store does on a condition.

    Args:
        bucket: Where that is.
        sending: How it puts objects otherwise.
    """

    def __init__(self, bucket: Bucket, sending: Sending) -> None:
        self._bucket = bucket
        self._sending = sending

    def get_tagged(self, key: str) -> Tagged | None:
        """A small object's bytes, with their ETag; None if there is none.

        Raises:
            ClientError: It cannot be fetched.
        """
        bucket = self._bucket

        def once() -> Tagged:
            answer = bucket.client.get_object(Bucket=bucket.name, Key=bucket.full_key(key), **bucket.options.payer)
            return Tagged(b"".join(received(answer["Body"], _LONGEST_S)), answer["ETag"], _age(answer))

        try:
            return bucket.patience.call(once)
        except ClientError as error:
            if is_missing(error):
                return None
            raise

    def put_if(self, key: str, data: bytes, tag: str | None, content_type: str) -> str | None:
        """Puts bytes in place of what has the ETag, or of nothing; gives theirs, or None if something else is there.

        Raises:
            ClientError: That failed otherwise.
        """
        arguments = self._bucket.options.headers(key, content_type)
        arguments |= self._sending.checksum(hashlib.sha256(data).hexdigest(), data)
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        put = self._bucket.client.put_object
        answer = self._ask_on(condition, put, Key=self._bucket.full_key(key), Body=data, **arguments)
        return None if answer is None else str(answer["ETag"])

    def delete_if(self, key: str, tag: str) -> None:
        """Deletes the object if it has the ETag.

        Raises:
            ClientError: That failed otherwise.
        """
        self._ask_on({"IfMatch": tag}, self._bucket.client.delete_object, Key=self._bucket.full_key(key))

    def _ask_on(self, condition: dict[str, str], operation: Any, **arguments: Any) -> dict[str, Any] | None:
        """The answer; None if the condition is not met. A store that knows no conditions is asked without."""
        try:
            answer: dict[str, Any] = self._bucket.ask(operation, **arguments, **condition)
        except ClientError as error:
            if is_missing(error) or code_of(error) in ("PreconditionFailed", "412"):
                return None
            if code_of(error) not in ("NotImplemented", "501"):
                raise
            answer = self._bucket.ask(operation, **arguments)
        return answer


def _age(answer: dict[str, Any]) -> float:
    """Seconds since an object was put, by the clock of the store that has answered."""
    try:
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return max(0.0, float((now - answer["LastModified"]).total_seconds()))
    except (KeyError, ValueError, TypeError):
        return math.inf
