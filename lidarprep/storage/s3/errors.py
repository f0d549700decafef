"""What boto raises, as one StorageError that says what failed and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import botocore.exceptions
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

from lidarprep.errors import StorageError
from lidarprep.storage.s3.retries import DamagedError, is_passing

# `aws login` is younger than the oldest boto that may be installed.
_LOGIN_ERROR = getattr(botocore.exceptions, "LoginError", SSOError)

_LOG_IN = "Log in again (aws sso login, or new AWS_* variables); then the same command goes on where this one stopped."
_NO_BUCKET = "There is no such bucket: make it, or check its name, --region and --endpoint-url."
_NOT_ALLOWED = "The credentials may not do that: check them, the bucket's policy and --profile."
_KMS = "The key of --kms-key cannot be used: check its name, its region and that the credentials may use it."

_FIXES = {
    "404": _NO_BUCKET,
    "NoSuchKey": "Nothing is stored under that name: check it.",
    "NoSuchBucket": _NO_BUCKET,
    "403": _NOT_ALLOWED,
    "AccessDenied": _NOT_ALLOWED,
    "AllAccessDisabled": _NOT_ALLOWED,
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
_GO_ON = "Check the network and the store's health, then run the same command again."
_CREDENTIALS = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in and name a profile with --profile."


@contextmanager
def reported(place: str, what: str, tried_s: float | None = None) -> Iterator[None]:
    """Turns what boto raises into one StorageError: "`place` cannot `what`: …".

    Args:
        place: s3://bucket.
        what: What it was asked for.
        tried_s: Seconds that passing errors were tried for.
    """
    try:
        yield
    except NoCredentialsError as error:
        raise StorageError(f"{place} cannot {what}: there are no AWS credentials", fix=_CREDENTIALS) from error
    except PartialCredentialsError as error:
        raise StorageError(f"{place} cannot {what}: {error}", fix=_CREDENTIALS) from error
    except ProfileNotFound as error:
        raise StorageError(f"{place} cannot {what}: {error}", fix="Name another with --profile.") from error
    except (CredentialRetrievalError, SSOError, _LOGIN_ERROR, TokenRetrievalError, NoAuthTokenError) as error:
        raise StorageError(f"{place} cannot {what}: {error}", fix=_LOG_IN) from error
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        code = error.response.get("Error", {}).get("Code", "")
        message = error.response.get("Error", {}).get("Message", "")
        found = f"{place} cannot {what}: {code} {message}".rstrip()
        if error.operation_name == "AssumeRole":
            fix = "The role cannot be assumed: check --role-arn, its trust policy and the credentials."
        elif is_passing(error):
            found, fix = found + _tried(tried_s), _GO_ON
        else:
            fix = _FIXES.get(code) or _FIXES.get(str(status)) or "Check the options that it is stored with."
        raise StorageError(found, fix=fix) from error
    except DamagedError as error:
        raise StorageError(
            f"{place} cannot {what}: {error}", fix="`lidarprep verify` says what is damaged; store it again."
        ) from error
    except ResponseParserError as error:
        raise StorageError(
            f"{place} cannot {what}: its answer is not that of a store{_tried(tried_s)}",
            fix="Check --endpoint-url; on a network that asks for a login first, log in there.",
        ) from error
    except (ParamValidationError, NoRegionError) as error:
        raise StorageError(
            f"{place} cannot {what}: {error}",
            fix="Check the bucket's name, --region and the options that it is stored with.",
        ) from error
    except BotoCoreError as error:
        tried = _tried(tried_s) if is_passing(error) else ""
        raise StorageError(
            f"{place} cannot {what}: {error}{tried}", fix="Check --endpoint-url and the network."
        ) from error
    except RuntimeError as error:
        if "expired" not in str(error):
            raise
        # botocore has no class of its own for credentials that tell themselves that they have run out.
        raise StorageError(f"{place} cannot {what}: the credentials have run out", fix=_LOG_IN) from error


def _tried(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f" (tried for {seconds / 60:g} minutes)" if seconds >= 60 else f" (tried for {seconds:g} seconds)"
