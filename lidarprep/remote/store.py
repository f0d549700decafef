"""What every store that is read from has: requests by obstore, tried again for minutes, of one version of an object."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from lidarprep.errors import SourceChangedError, StorageError
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

# A body that brings no byte for so long is asked for again. The whole of it may take a day.
_TIMES: ClientConfig = {"connect_timeout": "10s", "read_timeout": "30s", "timeout": "24h"}

# A fault that comes at once is tried again at once by obstore, which also goes on where a body was cut, or sends one
# part of an upload again. What takes longer is tried again by our budget: obstore cannot be stopped, and says nothing.
RETRIES: RetryConfig = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=2), "base": 2},
}

# The least bytes of one item of a body's stream.
_STREAMED_AT_ONCE = 2**20

# A copy is fetched in pieces of so many bytes: what is cut is fetched again from the beginning of its piece.
_PIECE = 2**24


class RemoteStore(ABC):
    """A bucket or a web server. All methods may be called from several threads at once.

    Those of single objects return None where there is no such object. They raise a SourceChangedError where the object
    is not of the version that was expected, and a StorageError where the store cannot be reached or refuses.

    Args:
        address: The store.
        endpoint: Where requests go, for messages.
    """

    # Whether parts of an object can be fetched, as far as is known.
    gives_ranges = True

    def __init__(self, address: StoreAddress, endpoint: str) -> None:
        self.address = address
        self.endpoint = endpoint
        minutes = (address.access or AccessOptions()).give_up_after
        self._budget = RetryBudget(
            minutes, endpoint, is_passing=is_passing, is_refused=is_refused, reason=reason_of, is_native=True
        )

    @abstractmethod
    def list_all(self, key: str) -> Iterator[tuple[str, RemoteStat]] | None:
        """List all objects below a folder, in no order; None where a listing is of one folder only."""

    @abstractmethod
    def list_folder(self, key: str) -> tuple[list[str], dict[str, RemoteStat | None]]:
        """List the names of folders, and the objects, of one folder."""

    @abstractmethod
    def _get(self, key: str, options: dict[str, Any] | None) -> Any:
        """Make one request for an object; return obstore's answer."""

    def head(self, key: str) -> RemoteStat | None:
        """Return what the store says of an object."""
        return self._ask(key, "be looked at", lambda: stat_of(self._get(key, {"head": True}).meta))

    def get(
        self, key: str, expected: RemoteStat | None, start: int = 0, stop: int | None = None
    ) -> tuple[bytes, RemoteStat] | None:
        """Fetch an object, or a part of it, and what the answer says of it."""

        def fetch() -> tuple[bytes, RemoteStat]:
            answer = self._get(key, _get_options(expected, start, stop))
            return answer.bytes().to_bytes(), stat_of(answer.meta)

        got = self._ask(key, "be fetched", fetch)
        # Not every server heeds a condition.
        if got is not None and expected is not None and not expected.is_same(got[1]):
            raise SourceChangedError(self.address.url(key))
        return got

    def get_file(self, key: str, expected: RemoteStat, file: BinaryIO) -> None:
        """Fetch an object into a file: piece by piece, or as a stream where the pieces might be of several versions."""
        if self.gives_ranges and expected.version:
            for start in range(0, expected.st_size, _PIECE):
                got = self.get(key, expected, start, min(start + _PIECE, expected.st_size))
                if got is None:
                    raise SourceChangedError(self.address.url(key))
                _write(file, got[0])
            return

        def fetch() -> RemoteStat:
            file.seek(0)
            file.truncate()
            answer = self._get(key, _get_options(expected))
            for chunk in answer.stream(min_chunk_size=_STREAMED_AT_ONCE):
                _write(file, chunk)
            return stat_of(answer.meta)

        found = self._ask(key, "be fetched", fetch)
        if found is None or not expected.is_same(found):
            raise SourceChangedError(self.address.url(key))

    def _ask(self, key: str, what: str, request: Callable[[], Value]) -> Value | None:
        """Make a request, again and again while it fails in passing; return None if there is no such object.

        Args:
            key: What it is about.
            what: What cannot be done with it if the request fails: "be fetched".
            request: Makes it.
        """
        with reported(self.address.url(key), what, self.address):
            try:
                return self._budget.call(request)
            except FileNotFoundError as error:
                if code_of(error) in NO_BUCKET_CODES:
                    raise
                return None
            except Exception as error:
                if is_precondition(error):
                    raise SourceChangedError(self.address.url(key)) from None
                raise


def client_options(endpoint: str = "") -> ClientConfig:
    """Return obstore's options of a connection; http:// is allowed where the address says so itself."""
    return {**_TIMES, "allow_http": endpoint.startswith("http://")}


def stat_of(meta: Mapping[str, Any]) -> RemoteStat:
    """Return what obstore's metadata says of an object."""
    modified: datetime = meta["last_modified"]  # 1970 where the answer does not say
    return RemoteStat.of(meta["size"], round(modified.timestamp() * 1e6) * 1000, meta["e_tag"])


def _get_options(expected: RemoteStat | None, start: int = 0, stop: int | None = None) -> dict[str, Any] | None:
    """Return the options of a GET of a part, on the condition that the object is as expected."""
    options: dict[str, Any] = {}
    if stop is not None:
        options["range"] = (start, stop)
    elif start:
        options["range"] = {"offset": start}
    if expected is not None and expected.if_match is not None:
        options["if_match"] = expected.if_match
    return options or None


def _write(file: BinaryIO, data: Any) -> None:
    """Write bytes to a temporary file.

    Raises:
        StorageError: The disk is full, or fails.
    """
    try:
        file.write(data)
    except OSError as error:
        raise StorageError(
            f"a temporary file cannot be written ({error.strerror or error})",
            fix="Make room there, or name another folder by the environment variable TMPDIR.",
        ) from error
