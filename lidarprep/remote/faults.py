"""Faults of stores and of the way there: which pass, and what they mean to a person.

The codes and words of S3 are shared by what boto and what obstore reports. obstore tells the HTTP status and the
answer's body in the text of its errors only, beside the request's URL: what is shown is picked out of it, since the
URL may be signed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lidarprep.errors import StorageError

if TYPE_CHECKING:
    from lidarprep.remote.address import StoreAddress

# Codes of a passing state, or of bytes that were damaged on their way.
PASSING_CODES = frozenset(
    {
        "BadDigest",
        "ConditionalRequestConflict",
        "IncompleteBody",
        "InternalError",
        "NoSuchUpload",  # the answer to the last request of an upload in parts was lost, and that was sent again
        "OperationAborted",
        "PriorRequestNotComplete",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "TooManyRequestsException",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    }
)
PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})

NO_BUCKET_CODES = frozenset({"NoSuchBucket", "ContainerNotFound"})

# Codes that say that credentials were good once.
EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"})

NO_CREDENTIALS = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in and name a profile with --profile."
LOG_IN = "Log in again (aws sso login, or new AWS_* variables); then the same command goes on where this one stopped."
_NO_BUCKET = "There is no such bucket: make it, or check its name, --region and --endpoint-url."
_DENIED = ("403", "AccessDenied", "AllAccessDisabled")
_KMS = "The key of --kms-key cannot be used: check its name, its region and that the credentials may use it."
_REGION = "The bucket is in another region: name it with --region."
_FIXES = {
    "404": _NO_BUCKET,
    "NoSuchKey": "Nothing is stored under that name: check it.",
    "NoSuchBucket": _NO_BUCKET,
    "InvalidAccessKeyId": "The store does not know the credentials: check them and --profile.",
    "SignatureDoesNotMatch": "The secret key is not that of the access key: check the credentials.",
    **dict.fromkeys(sorted(EXPIRED_CODES), f"The credentials have run out. {LOG_IN}"),
    "InvalidToken": f"The session token is not valid. {LOG_IN}",
    "RequestTimeTooSkewed": "This machine's clock is wrong by more than 15 minutes: set it.",
    "AccessControlListNotSupported": "The bucket takes no ACLs: go without --acl, and let its policy say who may read.",
    "InvalidObjectState": "The object is in an archive: restore it first.",
    "InvalidStorageClass": "The store has no such class: check --storage-class.",
    "InvalidRemoteState": "The object is in an archive: restore it first.",
    "KMS.NotFoundException": _KMS,
    "KMS.DisabledException": _KMS,
    "KMS.KMSInvalidStateException": _KMS,
    "KMS.AccessDeniedException": _KMS,
    "NotImplemented": "The store does not know an option that was used: try --checksums when_required --path-style.",
    "301": _REGION,
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "400": "Check --region, --endpoint-url and the credentials.",
}
_CHECKSUMS = "The store does not know the checksums that are sent: go on with --checksums when_required."
GO_ON = "Check the network and the store's health, then run the same command again."

# A header that older stores refuse.
_CHECKSUM_HEADER = re.compile(r"x-amz-(sdk-)?checksum", re.IGNORECASE)

# The permission that each operation needs: what one asks an administrator for.
_PERMISSIONS = {
    "ListObjectsV2": "s3:ListBucket on the bucket",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads on the bucket",
    # Without the second, S3 denies that an object is missing.
    "GetObject": "s3:GetObject, and s3:ListBucket on the bucket",
    "HeadObject": "s3:GetObject, and s3:ListBucket on the bucket",
    "PutObject": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
}


def explain_answer(code: str, status: int | None, message: str, operation: str) -> tuple[str, str]:
    """Return what S3 has answered, and what to do.

    Args:
        code: S3's name of the error; "" where it gave none.
        status: HTTP status.
        message: S3's words.
        operation: As boto calls it: "GetObject".
    """
    found = f"{code or status} {message}".strip()
    if operation == "AssumeRole":
        return found, "The role cannot be assumed: check --role-arn, its trust policy and the credentials."
    if code in PASSING_CODES or status in PASSING_STATUSES:
        return found, GO_ON
    if _CHECKSUM_HEADER.search(found):
        return found, _CHECKSUMS
    if code in _DENIED or (status == 403 and code not in _FIXES):
        permission = _PERMISSIONS.get(operation)
        needs = f" ({permission})" if permission else ""
        return found, f"The credentials may not do that{needs}: check them, the bucket's policy and --profile."
    return found, _FIXES.get(code) or _FIXES.get(str(status)) or "Check the options that it is stored with."


# ---- what obstore reports -------------------------------------------------------------------------------------------

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([^<]{1,80})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,300})")

# Words of the causes that obstore names, in this order, and what they are.
_CONNECTION = (
    ("ConnectionRefused", "the connection is refused"),
    ("dns error", "the host's name is unknown"),
    ("certificate", "its certificate is not valid"),
    ("BadScheme", "it is not reached by HTTPS"),
    ("TimedOut", "it does not answer in time"),
    ("timed out", "it does not answer in time"),
    ("NetworkUnreachable", "there is no network"),
    ("ConnectionReset", "the connection was cut"),
    ("IncompleteMessage", "the connection was cut"),
    ("UnexpectedEof", "the connection was cut"),
    ("reqwest::Error", "the connection failed"),
    ("HttpError", "the connection failed"),
)
_LASTING = ("its certificate is not valid", "it is not reached by HTTPS")

# Where machines in a cloud are given credentials.
_IDENTITY_HOSTS = ("http://169.254.169.254", "http://metadata.google.internal", "http://metadata/")

_OPERATIONS = {"be listed": "ListObjectsV2", "be fetched": "GetObject", "be looked at": "HeadObject"}
_REFUSED_FIX = {
    "gs": "Check the credentials (gcloud auth application-default login, or GOOGLE_APPLICATION_CREDENTIALS): they need "
    "{role} on the bucket.",
    "az": "Check AZURE_STORAGE_ACCOUNT_NAME and its key, SAS or login (az login): they need {role}.",
    "http": "Check user and password of the URL; a signature in it may have expired.",
}

_ROLES = {
    # (scheme, whether something is written)
    ("gs", False): "storage.objects.get and storage.objects.list",
    ("gs", True): "storage.objects.create and storage.objects.delete",
    ("az", False): "Storage Blob Data Reader",
    ("az", True): "Storage Blob Data Contributor",
}
_WRITES = ("be stored", "be deleted")


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of the answer that an error of obstore is about; None where there was no answer."""
    found = _STATUS.search(str(error))
    return int(found[1]) if found else None


def code_of(error: BaseException) -> str:
    """Return what the store calls an error; "" where it does not say."""
    found = _CODE.search(str(error))
    return found[1] if found else ""


def lacks_credentials(error: BaseException) -> bool:
    """Tell whether no credentials were found: then the machine itself is asked for its own, and has none."""
    return any(host in str(error) for host in _IDENTITY_HOSTS)


def connection_fault(error: BaseException) -> str | None:
    """Return how the connection to a store failed; None where it did not."""
    text = str(error)
    if status_of(error) is not None or lacks_credentials(error):
        return None
    return next((words for sign, words in _CONNECTION if sign in text), None)


def is_passing(error: BaseException) -> bool:
    """Tell whether an error of obstore may be gone the next time."""
    if not type(error).__module__.startswith("obstore") or lacks_credentials(error):
        return False
    status, fault = status_of(error), connection_fault(error)
    return (
        status in PASSING_STATUSES or code_of(error) in PASSING_CODES or (fault is not None and fault not in _LASTING)
    )


def is_refused(error: BaseException) -> bool:
    """Tell whether an error is a connection that was refused."""
    return connection_fault(error) == "the connection is refused"


def is_precondition(error: BaseException) -> bool:
    """Tell whether an error says that an object is another version than was asked for."""
    return type(error).__name__ == "PreconditionError" or status_of(error) == 412


def reason_of(error: BaseException) -> str:
    """Return what an error of obstore is, in a few words without a URL."""
    fault = connection_fault(error)
    if fault is not None:
        return fault
    message = _MESSAGE.search(str(error))
    # Azure's goes on with the number and the time of the request.
    said = f"{code_of(error) or status_of(error) or ''} {message[1].splitlines()[0] if message else ''}".strip()
    return said or type(error).__name__


@contextmanager
def reported(place: str, what: str, address: StoreAddress | None = None) -> Iterator[None]:
    """Turn an error of obstore into one StorageError; one that was tried again says for how long.

    The error is not its cause: its text may hold a signature.

    Args:
        place: The URL, without what is secret.
        what: What could not be done with it: "be listed".
        address: The store.
    """
    began = time.monotonic()
    try:
        yield
    except Exception as error:
        if not (type(error).__module__.startswith("obstore") or isinstance(error, FileNotFoundError)):
            raise
        reason, fix = _explain(error, what, address)
        tried = f" (tried for {duration(time.monotonic() - began)})" if is_passing(error) else ""
        raise StorageError(f"{place} cannot {what}: {reason}{tried}", fix=fix) from None


def _explain(error: BaseException, what: str, address: StoreAddress | None) -> tuple[str, str]:
    scheme = "" if address is None else "http" if address.is_web else address.scheme
    if connection_fault(error) is not None:
        on_s3 = "Check --endpoint-url and the network." if scheme == "s3" else "Check the address and the network."
        return reason_of(error), on_s3
    status, code = status_of(error), code_of(error)
    message = _MESSAGE.search(str(error))
    if scheme == "s3" and (status is not None or code):
        return explain_answer(code, status, message[1] if message else "", _OPERATIONS.get(what, ""))
    refused_fix = _REFUSED_FIX.get(scheme, GO_ON).format(role=_ROLES.get((scheme, what in _WRITES), ""))
    if lacks_credentials(error):
        return "there are no credentials: the environment names none, and this machine has none of its own", refused_fix
    if status in PASSING_STATUSES:
        return reason_of(error), GO_ON
    if status in (401, 403):
        return f"{reason_of(error)} (refused)", refused_fix
    if type(error).__name__ == "InvalidPathError":
        return str(error).splitlines()[0], "Give the object a key without empty parts and without '..'."
    if status is None:
        # Of the configuration, or of credentials: obstore's first line has no URL then.
        return str(error).splitlines()[0].partition("http")[0].strip(" :-"), refused_fix
    return reason_of(error), "Check the bucket's name, the address and the credentials."


def duration(seconds: float) -> str:
    """Return a time for people."""
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.1f} seconds"
