"""When credentials run out, and with them what they have signed."""

from __future__ import annotations

from typing import Any

from botocore.credentials import RefreshableCredentials


def expiry_of_credentials(client: Any) -> float | None:
    """When the credentials that a client signs with now run out, seconds since the Unix epoch.

    What they have signed ends with them, whatever time it was signed for. None where they last, or don't tell: those
    of a role, a login or a process do, and those of the environment if it has AWS_CREDENTIAL_EXPIRATION.

    Raises:
        BotoCoreError: They are to be fetched anew, and cannot.
    """
    credentials = client._request_signer._credentials
    if not isinstance(credentials, RefreshableCredentials):
        return None
    credentials.get_frozen_credentials()  # fetches new ones, if these are about to run out
    expiry = credentials._expiry_time
    return None if expiry is None else float(expiry.timestamp())
