"""Signing what is sent by the SHA-256 that it is sent with, so that this is computed once and not twice.

A signature covers the body's SHA-256, unless TLS and another checksum vouch for the body. The header by which the store
verifies the body holds the same digest; botocore does not look there.
"""

from __future__ import annotations

import base64
from typing import Any

from botocore.auth import AUTH_TYPE_MAPS, S3SigV4Auth

_CHECKSUM = "x-amz-checksum-sha256"
_PAYER = "x-amz-request-payer"

# The name that botocore is to know the signer by.
_SIGNER = "lidarprep-s3v4"


class _KnownChecksum(S3SigV4Auth):  # type: ignore[misc]  # boto has no types
    def payload(self, request: Any) -> str:
        checksum = request.headers.get(_CHECKSUM)
        if checksum is None:
            return str(super().payload(request))
        return base64.b64decode(checksum).hex()


AUTH_TYPE_MAPS[_SIGNER] = _KnownChecksum


def settle_signing(session: Any) -> None:
    """Makes the clients of a botocore session do so where a request's checksum is that of its body.

    And that URLs which they sign say by themselves that the requester pays: botocore would have who fetches them send a
    header that says so (https://docs.aws.amazon.com/AmazonS3/latest/userguide/ObjectsinRequesterPaysBuckets.html).
    """
    for operation in ("PutObject", "UploadPart"):
        session.register(f"choose-signer.s3.{operation}", _choose)
    session.register("before-sign.s3.GetObject", _pay_by_url)


def _choose(signature_version: Any, **_: Any) -> str | None:
    return _SIGNER if signature_version == "s3v4" else None


def _pay_by_url(request: Any, **_: Any) -> None:
    if request.context.get("is_presign_request") and _PAYER in request.headers:
        request.params = {**request.params, _PAYER: request.headers[_PAYER]}
        del request.headers[_PAYER]
