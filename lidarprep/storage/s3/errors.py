"""boto's errors as one StorageError that says what failed and what to do about it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import botocore.exceptions
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from lidarprep.errors import StorageError
from lidarprep.storage.s3.retries import cause, is_passing

# `aws login` is younger than the oldest boto that may be installed.
_LOGIN_ERROR = getattr(botocore.exceptions, "LoginError", SSOError)

_LOG_IN = "Log in again (aws sso login, or new AWS_* variables); then the same command goes on where this one stopped."
_NO_BUCKET = "There is no such bucket: make it, or check its name, --region and --endpoint-url."
_DENIED = ("403", "AccessDenied", "AllAccessDisabled")
_KMS = "The key of --kms-key cannot be used: check its name, its region and that the credentials may use it."

_FIXES = {
    "404": _NO_BUCKET,
    "NoSuchKey": "Nothing is stored under that name: check it.",
    "NoSuchBucket": _NO_BUCKET,
    "InvalidAccessKeyId": "The store does not know the credentials: check them and --profile.",
    "SignatureDoesNotMatch": "The secret key is not that of the access key: check the credentials.",
    "ExpiredToken": f"The credentials have run out. {_LOG_IN}",
    "ExpiredTokenException": f"The credentials have run out. {_LOG_IN}",
    "TokenRefreshRequired": f"The credentials have run out. {_LOG_IN}",
    "RequestExpired": f"The credentials have run out. {_LOG_IN}",
    "InvalidToken": f"The session token is not valid. {_LOG_IN}",
    "RequestTimeTooSkewed": "This machine's clock is wrong by more than 15 minutes: set it.",
    "AccessControlListNotSupported": "The bucket takes no ACLs: go without --acl, and let its policy say who may read.",
    "InvalidStorageClass": "The store has no such class: check --storage-class.",
    "KMS.NotFoundException": _KMS,
    "KMS.DisabledException": _KMS,
    "KMS.KMSInvalidStateException": _KMS,
    "KMS.AccessDeniedException": _KMS,
    "NotImplemented": "The store does not know an option that was used: try --checksums when_required --path-style.",
    "301": "The bucket is in another region: name it with --region.",
    "PermanentRedirect": "The bucket is in another region: name it with --region.",
    "400": "Check --region, --endpoint-url and the credentials.",
}
_CHECKSUMS = "The store does not know the checksums that are sent: go on with --checksums when_required."
_GO_ON = "Check the network and the store's health, then run the same command again."
_CREDENTIALS = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in and name a profile with --profile."


# A header that older stores refuse.
_CHECKSUM_HEADER = re.compile(r"x-amz-(sdk-)?checksum", re.IGNORECASE)

# The permission that each operation needs: what one asks an administrator for.
_PERMISSIONS = {
    "ListObjectsV2": "s3:ListBucket on the bucket",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads on the bucket",
    # Without the second, S3 denies that an object is missing.
    "GetObject": "s3:GetObject, and s3:ListBucket on the bucket",
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
}


@contextmanager
def reported(place: str, what: str) -> Iterator[None]:
    """Turn an error of boto into one StorageError; one that was tried again says for how long.

    Args:
        place: s3://bucket, or s3://bucket/key.
        what: What could not be done with it: "be listed".
    """
    began = time.monotonic()
    try:
        yield
    except (
        BotoCoreError,
        ClientError,
        ResponseParserError,
        S3UploadFailedError,
        HTTPError,
        RuntimeError,
    ) as error:
        reason, fix = _explain(cause(error))
        if reason is None:
            raise
        tried = f" (tried for {_duration(time.monotonic() - began)})" if is_passing(error) else ""
        raise StorageError(f"{place} cannot {what}: {reason}{tried}", fix=fix) from error


def code_of(error: BaseException) -> str:
    """Return what the store calls an error; "" for one that is not the store's."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def is_missing(error: ClientError) -> bool:
    """Tell whether an error says that there is no such object; the answer to a HEAD has a status only."""
    return code_of(error) in ("404", "NoSuchKey", "NotFound")


def _explain(error: BaseException) -> tuple[str | None, str | None]:
    """Return what is wrong, and what to do; (None, None) for an error that is not of the store or the way there."""
    match error:
        case ClientError():
            return _explain_answer(error)
        case NoCredentialsError():
            return "there are no AWS credentials", _CREDENTIALS
        case PartialCredentialsError():
            return str(error), _CREDENTIALS
        case ProfileNotFound():
            return str(error), "Name another with --profile."
        case CredentialRetrievalError() | SSOError() | TokenRetrievalError() | NoAuthTokenError():
            return str(error), _LOG_IN
        case ResponseParserError():
            return (
                "its answer is not that of a store",
                "Check --endpoint-url; on a network that asks for a login first, log in there.",
            )
        case ParamValidationError() | NoRegionError():
            return str(error), "Check the bucket's name, --region and the options that it is stored with."
        case RuntimeError():
            # botocore has no class of its own for credentials that tell themselves that they have expired.
            expired = "expired" in str(error)
            return ("the credentials have expired", _LOG_IN) if expired else (None, None)
    return str(error), _LOG_IN if isinstance(error, _LOGIN_ERROR) else "Check --endpoint-url and the network."


def _explain_answer(error: ClientError) -> tuple[str, str]:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = code_of(error)
    found = f"{code} {error.response.get('Error', {}).get('Message', '')}".strip()
    if error.operation_name == "AssumeRole":
        return found, "The role cannot be assumed: check --role-arn, its trust policy and the credentials."
    if is_passing(error):
        return found, _GO_ON
    if _CHECKSUM_HEADER.search(found):
        return found, _CHECKSUMS
    if code in _DENIED or (status == 403 and code not in _FIXES):
        permission = _PERMISSIONS.get(error.operation_name)
        needs = f" ({permission})" if permission else ""
        return found, f"The credentials may not do that{needs}: check them, the bucket's policy and --profile."
    return found, _FIXES.get(code) or _FIXES.get(str(status)) or "Check the options that it is stored with."


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.1f} seconds"
