"""Buckets of Google Cloud Storage and containers of Azure, as their own tools are configured: by the environment."""

from __future__ import annotations

import os
import shutil
from typing import Any

from lidarprep.remote.address import StoreAddress
from lidarprep.remote.store import RETRIES, client_options

_GOOGLE = "https://storage.googleapis.com"

# Variables by which obstore is told of credentials.
_GOOGLE_CREDENTIALS = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_BEARER_TOKEN",
)
_AZURE_CREDENTIALS = {
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_MASTER_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TOKEN",
    "AZURE_STORAGE_CLIENT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_IDENTITY_ENDPOINT",
    "AZURE_MSI_ENDPOINT",
    "AZURE_SKIP_SIGNATURE",
}


def open_gcs(address: StoreAddress) -> tuple[Any, str]:
    """Open a bucket of Google Cloud Storage with the application default credentials.

    STORAGE_EMULATOR_HOST is the address of an emulator, as for Google's own clients; no credentials are looked for then
    but those that the environment names.
    """
    from obstore.store import GCSStore

    given: dict[str, Any] = {}
    endpoint = os.environ.get("STORAGE_EMULATOR_HOST") or _GOOGLE
    if endpoint != _GOOGLE:
        endpoint = endpoint if "://" in endpoint else f"http://{endpoint}"
        given["base_url"] = endpoint
        if not any(os.environ.get(name) for name in _GOOGLE_CREDENTIALS):
            # skip_signature is not enough: obstore would look for credentials to write with.
            given["credential_provider"] = lambda: {"token": "", "expires_at": None}
    # What is stored compressed is sent decompressed to who does not accept it so, whole and of another size
    # (https://cloud.google.com/storage/docs/transcoding).
    options = client_options(endpoint) | {"default_headers": {"Accept-Encoding": "gzip"}}
    return GCSStore(address.name, client_options=options, retry_config=RETRIES, **given), endpoint


def open_azure(address: StoreAddress) -> tuple[Any, str]:
    """Open a container with what the environment says of the account, as the Azure tools and obstore have it.

    These are AZURE_STORAGE_CONNECTION_STRING; AZURE_STORAGE_ACCOUNT_NAME or AZURE_STORAGE_ACCOUNT, and a key, a SAS or
    an identity; else the login of the Azure CLI where that is installed, and the machine's own identity elsewhere.

    Returns:
        The container, and the account's address.
    """
    from obstore.store import AzureStore

    environment = os.environ
    given = _connection_string(environment.get("AZURE_STORAGE_CONNECTION_STRING", ""))
    for name, variable in (("account_name", "AZURE_STORAGE_ACCOUNT"), ("account_key", "AZURE_STORAGE_KEY")):
        if environment.get(variable):
            given.setdefault(name, environment[variable])
    if address.account:
        given["account_name"] = address.account
    if address.query:
        given["sas_key"] = address.query
    endpoint = given.get("endpoint") or environment.get("AZURE_STORAGE_ENDPOINT") or environment.get("AZURE_ENDPOINT")
    is_emulator = environment.get("AZURE_STORAGE_USE_EMULATOR", "").lower() in ("1", "true")
    is_named = is_emulator or {"account_key", "sas_key"} & given.keys() or _AZURE_CREDENTIALS & environment.keys()
    if not is_named and shutil.which("az"):
        given["use_azure_cli"] = "true"
    options = client_options("http://" if is_emulator else endpoint or "")
    store = AzureStore(address.name, client_options=options, retry_config=RETRIES, **given)
    return store, (endpoint or f"https://{store.config.get('account_name')}.blob.core.windows.net").rstrip("/")


def _connection_string(text: str) -> dict[str, Any]:
    """Return what a connection string of Azure says, by obstore's names."""
    fields = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    names = {
        "AccountName": "account_name",
        "AccountKey": "account_key",
        "SharedAccessSignature": "sas_key",
        "BlobEndpoint": "endpoint",
    }
    found = {name: fields[key] for key, name in names.items() if fields.get(key)}
    suffix, account = fields.get("EndpointSuffix"), fields.get("AccountName")
    if suffix and account and "endpoint" not in found:
        found["endpoint"] = f"{fields.get('DefaultEndpointsProtocol', 'https')}://{account}.blob.{suffix}"
    return found
