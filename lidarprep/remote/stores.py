"""Stores that are read from, one a process: buckets by obstore, with what obstore leaves to its caller.

That is: retries for minutes, errors in a person's words, versions that are compared, credentials of the AWS tools.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar
from urllib.parse import urlsplit

from lidarprep.errors import MissingExtraError, SourceChangedError, StorageError
from lidarprep.remote.address import RemoteStat, StoreAddress
from lidarprep.remote.faults import is_passing, is_precondition, is_refused, reason_of, reported
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
            self._store, endpoint = _open_bucket(address)
        minutes = (address.access or AccessOptions()).give_up_after
        self._budget = RetryBudget(minutes, endpoint, is_passing=is_passing, is_refused=is_refused, reason=reason_of)

    gives_ranges = True

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
        with reported(self._address.url(key), what, self._address):
            try:
                return self._budget.call(request)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None
            except Exception as error:
                if is_precondition(error):
                    raise SourceChangedError(self._address.url(key)) from None
                raise


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


def require_obstore() -> None:
    """Check that obstore can be used in this process.

    Raises:
        MissingExtraError: It is not installed.
        StorageError: This process was forked after obstore was used: its threads are not in it, and it would wait for
            them for ever.
    """
    global _runtime_of
    try:
        import obstore  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("recordings in stores and on web servers", "remote") from error
    if _runtime_of not in (None, os.getpid()):
        raise StorageError(
            "this process was forked from one that has read from a store, and cannot read from any",
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

    STORAGE_EMULATOR_HOST is the address of an emulator, as for Google's own clients; it is not signed for.
    """
    from obstore.store import GCSStore

    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    if not emulator:
        store = GCSStore(address.name, client_options=client_options(), retry_config=RETRIES)
        return store, "https://storage.googleapis.com"
    endpoint = emulator if "://" in emulator else f"http://{emulator}"
    store = GCSStore(
        address.name,
        base_url=endpoint,
        skip_signature=True,
        client_options=client_options(endpoint),
        retry_config=RETRIES,
    )
    return store, endpoint


def _open_azure(address: StoreAddress) -> tuple[Any, str]:
    """Open a container with what the environment says of the account: AZURE_STORAGE_*."""
    from obstore.store import AzureStore

    given: dict[str, Any] = _connection_string(os.environ.get("AZURE_STORAGE_CONNECTION_STRING", ""))
    if address.account:
        given |= {"account_name": address.account}
    if address.query:
        given |= {"sas_key": address.query}
    endpoint = given.get("endpoint") or os.environ.get("AZURE_STORAGE_ENDPOINT") or os.environ.get("AZURE_ENDPOINT", "")
    is_emulator = os.environ.get("AZURE_STORAGE_USE_EMULATOR", "").lower() in ("1", "true")
    options = client_options("http://" if is_emulator else endpoint)
    store = AzureStore(address.name, client_options=options, retry_config=RETRIES, **given)
    return store, endpoint or "https://blob.core.windows.net"


def _connection_string(text: str) -> dict[str, Any]:
    """Return what a connection string of Azure says, by obstore's names."""
    fields = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    names = {
        "AccountName": "account_name",
        "AccountKey": "account_key",
        "SharedAccessSignature": "sas_key",
        "BlobEndpoint": "endpoint",
    }
    return {name: fields[key] for key, name in names.items() if fields.get(key)}
