"""Stores that are read from, one a process: buckets by obstore, with what obstore leaves to its caller.

That is: retries for minutes, errors in a person's words, versions that are compared, credentials of the AWS tools.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar
from urllib.parse import urlsplit

from lidarprep.errors import MissingExtraError, SourceChangedError, StorageError
from lidarprep.remote.address import RemoteStat, StoreAddress
from lidarprep.remote.faults import (
    NO_BUCKET_CODES,
    code_of,
    is_passing,
    is_precondition,
    is_refused,
    reason_of,
    reported,
)
from lidarprep.remote.options import AccessOptions
from lidarprep.remote.retries import RetryBudget

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

Value = TypeVar("Value")

# A body that brings no byte for so long is asked for again, from where it stopped. The whole of it may take a day.
_TIMES: ClientConfig = {"connect_timeout": "10s", "read_timeout": "30s", "timeout": "24h"}

# A passing fault is tried again at once by obstore, which also goes on where a body was cut, and for minutes by our
# budget.
RETRIES: RetryConfig = {
    "max_retries": 3,
    "retry_timeout": timedelta(minutes=3),
    "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=2), "base": 2},
}

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

# Objects that come with one item of a listing's stream; and the least bytes of one item of a body's.
_LISTED_AT_ONCE = 1000
_STREAMED_AT_ONCE = 2**20


class RemoteStore(Protocol):
    """What a store or a web server can be asked for. All methods may be called from several threads at once.

    Those of single objects return None where there is no such object. They raise a SourceChangedError where the object
    is not of the version that was expected, and a StorageError where the store cannot be reached or refuses.
    """

    @property
    def gives_ranges(self) -> bool:
        """Whether parts of an object can be fetched, as far as is known."""

    def head(self, key: str) -> RemoteStat | None:
        """Return what the store says of an object."""

    def get(
        self, key: str, expected: RemoteStat | None, start: int = 0, stop: int | None = None
    ) -> tuple[bytes, RemoteStat] | None:
        """Fetch an object, or a part of it, and what the answer says of it."""

    def get_file(self, key: str, expected: RemoteStat, file: BinaryIO) -> None:
        """Fetch an object into a file."""

    def list_all(self, key: str) -> Iterator[tuple[str, RemoteStat]] | None:
        """List all objects below a folder, in no order; None where a listing is of one folder only."""

    def list_folder(self, key: str) -> tuple[list[str], dict[str, RemoteStat | None]]:
        """List the names of folders, and the objects, of one folder."""


class ObjectStore:
    """A bucket.

    Args:
        address: The bucket, and how it is reached.

    Raises:
        StorageError: There are no credentials that it could be reached by.
        MissingExtraError: obstore is not installed.
    """

    def __init__(self, address: StoreAddress) -> None:
        self._address = address
        with reported(address.url(""), "be reached", address):
            self._store, self.endpoint = _open_bucket(address)
        minutes = (address.access or AccessOptions()).give_up_after
        self._budget = RetryBudget(
            minutes, self.endpoint, is_passing=is_passing, is_refused=is_refused, reason=reason_of
        )

    gives_ranges = True

    @property
    def bucket(self) -> Any:
        """The bucket as obstore's functions take it; they are called in `ask`."""
        return self._store

    def close(self) -> None:
        """Try nothing again from now on."""
        self._budget.close()

    def ask(self, key: str, what: str, request: Callable[[], Value], *, at_most_s: float | None = None) -> Value:
        """Make a request, again and again while it fails in passing.

        Args:
            key: The object, which an error names.
            what: What is done with it: "be listed".
            request: Makes the request.
            at_most_s: How long it is tried, if that is less than the store's options say.

        Raises:
            StorageError: It fails; also where there is no such object.
        """
        with reported(self._address.url(key), what, self._address):
            return self._budget.call(request, at_most_s=at_most_s)

    def find(self, key: str, what: str, request: Callable[[], Value]) -> Value | None:
        """Make a request as `ask` does; return None if there is no such object."""

        def found() -> Value | None:
            try:
                return request()
            except FileNotFoundError as error:
                if code_of(error) in NO_BUCKET_CODES:
                    raise
                return None

        return self.ask(key, what, found)

    def head(self, key: str) -> RemoteStat | None:
        """Ask for the object's header."""
        return self._ask(key, "be looked at", lambda: stat_of(self._store.head(key)))

    def get(
        self, key: str, expected: RemoteStat | None, start: int = 0, stop: int | None = None
    ) -> tuple[bytes, RemoteStat] | None:
        """Fetch the object on the condition that it is the expected version."""
        options = get_options(expected, start, stop)

        def fetch() -> tuple[bytes, RemoteStat]:
            answer = self._store.get(key, options=options)
            stat = stat_of(answer.meta)
            return answer.bytes().to_bytes(), stat

        got = self._ask(key, "be fetched", fetch)
        if got is not None and expected is not None and not expected.is_same(got[1]):
            raise SourceChangedError(self._address.url(key))
        return got

    def get_file(self, key: str, expected: RemoteStat, file: BinaryIO) -> None:
        """Fetch the object as a stream."""

        def fetch() -> RemoteStat:
            file.seek(0)
            file.truncate()
            answer = self._store.get(key, options=get_options(expected))
            write_body(answer, file)
            return stat_of(answer.meta)

        found = self._ask(key, "be fetched", fetch)
        if found is None or not expected.is_same(found):
            raise SourceChangedError(self._address.url(key))

    def list_all(self, key: str) -> Iterator[tuple[str, RemoteStat]]:
        """List the objects below a folder; after a page that failed, the listing goes on from the last key."""
        stream: Iterator[Any] | None = None
        last: str | None = None

        def next_page() -> Sequence[Any]:
            nonlocal stream
            if stream is None:
                stream = self._store.list(key or None, offset=last, chunk_size=_LISTED_AT_ONCE)
            try:
                return next(stream, ())
            except Exception:
                stream = None  # it has ended
                raise

        while page := self._ask(key, "be listed", next_page):
            for meta in page:
                yield meta["path"], stat_of(meta)
            last = page[-1]["path"]

    def list_folder(self, key: str) -> tuple[list[str], dict[str, RemoteStat | None]]:
        """List one folder, by a delimiter."""
        found = self._ask(key, "be listed", lambda: self._store.list_with_delimiter(key or None))
        if found is None:
            return [], {}
        skip = len(key) + 1 if key else 0
        folders = [prefix[skip:] for prefix in found["common_prefixes"]]
        return folders, {meta["path"][skip:]: stat_of(meta) for meta in found["objects"]}

    def _ask(self, key: str, what: str, request: Callable[[], Value]) -> Value | None:
        """Make a request, again and again while it fails in passing; return None if there is no such object."""

        def unchanged() -> Value:
            try:
                return request()
            except Exception as error:
                if is_precondition(error):
                    raise SourceChangedError(self._address.url(key)) from None
                raise

        return self.find(key, what, unchanged)


# ---- obstore's answers ----------------------------------------------------------------------------------------------


def stat_of(meta: Mapping[str, Any]) -> RemoteStat:
    """Return what obstore's metadata says of an object."""
    modified: datetime = meta["last_modified"]
    return RemoteStat.of(meta["size"], round(modified.timestamp() * 1e6) * 1000, meta["e_tag"])


def get_options(expected: RemoteStat | None, start: int = 0, stop: int | None = None) -> dict[str, Any] | None:
    """Return the options of a GET of a part, on the condition that the object is as expected."""
    options: dict[str, Any] = {}
    if stop is not None:
        options["range"] = (start, stop)
    elif start:
        options["range"] = {"offset": start}
    if expected is not None and expected.if_match is not None:
        options["if_match"] = expected.if_match
    return options or None


def write_body(answer: Any, file: BinaryIO) -> None:
    """Write the body of an answer to a file.

    Raises:
        StorageError: The disk is full, or fails.
    """
    for chunk in answer.stream(min_chunk_size=_STREAMED_AT_ONCE):
        try:
            file.write(chunk)
        except OSError as error:
            raise StorageError(
                f"a temporary file cannot be written ({error.strerror or error})",
                fix="Make room there, or name another folder by the environment variable TMPDIR.",
            ) from error


# ---- opening --------------------------------------------------------------------------------------------------------

_stores: dict[tuple[Any, ...], RemoteStore] = {}
_lock = threading.Lock()
_runtime_of: int | None = None

# What stores are opened by, beside their addresses.
_ENVIRONMENT = re.compile(r"(AWS|GOOGLE|AZURE|STORAGE_EMULATOR)_\w+")


def shared_store(address: StoreAddress) -> RemoteStore:
    """Return this process's store of an address, opened when it is first asked for.

    Raises:
        StorageError: It cannot be reached with the credentials that there are; or this process was forked from one that
            had reached a store.
        MissingExtraError: obstore is not installed.
    """
    require_obstore()
    environment = hash(frozenset((name, value) for name, value in os.environ.items() if _ENVIRONMENT.match(name)))
    key = (address, environment)
    with _lock:
        if key not in _stores:
            if address.is_web:
                from lidarprep.remote.web import WebServer

                _stores[key] = WebServer(address)
            else:
                _stores[key] = ObjectStore(address)
        return _stores[key]


def require_obstore(what: str = "recordings in stores and on web servers") -> None:
    """Check that obstore can be used in this process.

    Args:
        what: What it is used for.

    Raises:
        MissingExtraError: It is not installed.
        StorageError: This process was forked after obstore was used: its threads are not in it, and it would wait for
            them for ever.
    """
    global _runtime_of
    try:
        import obstore  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(what, "remote") from error
    if _runtime_of not in (None, os.getpid()):
        raise StorageError(
            "this process was forked from one that has used a store, and cannot use any",
            fix='Start worker processes by mp_context=multiprocessing.get_context("spawn").',
        )
    _runtime_of = os.getpid()


def client_options(endpoint: str = "") -> ClientConfig:
    """Return obstore's options of a connection; http:// is allowed where the address says so itself."""
    return {**_TIMES, "allow_http": endpoint.startswith("http://")}


def _open_bucket(address: StoreAddress) -> tuple[Any, str]:
    """Open a bucket; return obstore's store, and the endpoint."""
    match address.scheme:
        case "s3":
            return _open_s3(address)
        case "gs":
            return _open_gcs(address)
    return _open_azure(address)


def _open_s3(address: StoreAddress) -> tuple[Any, str]:
    """Open a bucket of S3 with the credentials, region and endpoint that boto finds; unsigned where there are none."""
    from botocore.exceptions import BotoCoreError, ClientError
    from obstore.store import S3Store

    from lidarprep.remote.aws import shared_aws_session

    access = address.access or AccessOptions()
    try:
        aws = shared_aws_session(access)
        signs = aws.has_credentials() or access.role_arn is not None
        if signs:
            aws.credential()  # what is wrong with them is said here
        client = aws.session().client("s3", endpoint_url=access.endpoint_url)
    except (BotoCoreError, ClientError, ValueError) as error:
        raise StorageError(f"{address.url('')} cannot be reached: {error}", fix="Check --profile.") from error
    endpoint = str(client.meta.endpoint_url)
    region = client.meta.region_name
    virtual = _is_aws(endpoint) and not access.path_style and "." not in address.name
    at = endpoint.replace("://", f"://{address.name}.", 1) if virtual else endpoint
    store = S3Store(
        address.name,
        aws_endpoint_url_s3=at,
        region="us-east-1" if region in (None, "aws-global") else region,
        virtual_hosted_style_request=virtual,
        request_payer=access.requester_pays,
        client_options=client_options(at),
        retry_config=RETRIES,
        **({"credential_provider": aws.credential} if signs else {"skip_signature": True}),
    )
    return store, endpoint


def _is_aws(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _open_gcs(address: StoreAddress) -> tuple[Any, str]:
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


def _open_azure(address: StoreAddress) -> tuple[Any, str]:
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
