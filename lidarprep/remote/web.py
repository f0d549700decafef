"""Web servers: single objects, and folders by the server's own index pages.

An index page is what `python -m http.server`, nginx (autoindex) and Apache show of a folder: links to what is directly
below it. A server that knows no ranges gives whole objects only: these are kept in temporary files.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from functools import cached_property
from html.parser import HTMLParser
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urljoin, urlsplit

from lidarprep.errors import StorageError
from lidarprep.remote.address import RemoteStat, StoreAddress
from lidarprep.remote.faults import status_of
from lidarprep.remote.store import RETRIES, RemoteStore, client_options, stat_of

Value = TypeVar("Value")

log = logging.getLogger(__name__)

# An index page that is larger is not one.
_MOST_OF_A_PAGE = 2**25


class WebServer(RemoteStore):
    """A web server.

    Args:
        address: Scheme, host and port; user, password and signature of the URL that was named.
    """

    def __init__(self, address: StoreAddress) -> None:
        super().__init__(address, address.url(""))
        user = f"{address.user}@" if address.user else ""
        self._root = f"{address.scheme}://{user}{address.name}"

    def head(self, key: str) -> RemoteStat | None:
        """Ask for the first byte: a signature is often good for GET only, and the answer tells the size, too."""
        with contextlib.suppress(_NoRangesError):
            if self.gives_ranges:
                return self._ask(key, "be looked at", lambda: stat_of(self._get(key, {"range": (0, 1)}).meta))
        return super().head(key)

    def get(
        self, key: str, expected: RemoteStat | None, start: int = 0, stop: int | None = None
    ) -> tuple[bytes, RemoteStat] | None:
        """Fetch an object, or a part of it."""
        try:
            return super().get(key, expected, start, stop)
        except _NoRangesError:
            raise StorageError(
                f"{self.address.url(key)} cannot be fetched: the server gives parts of some objects only",
                fix="Copy the recording to a disk or into a bucket.",
            ) from None

    def list_all(self, key: str) -> None:
        """Return None: an index page is of one folder."""

    def list_folder(self, key: str) -> tuple[list[str], dict[str, RemoteStat | None]]:
        """Read the index page of a folder; what is no index page is no folder."""
        if self.address.only_key:
            return [], {}
        url = f"{self._root}/{quote(key)}/" if key else f"{self._root}/"

        def fetch() -> str:
            answer = self._open(url).get("")
            if not str(answer.attributes.get("Content-Type", "")).startswith("text/html"):
                return ""
            page = bytearray()
            for chunk in answer.stream():
                page += chunk
                if len(page) > _MOST_OF_A_PAGE:
                    return ""
            return page.decode("utf-8", "replace")

        try:
            page = self._ask(key, "be listed", fetch)
        except _RefusedError:
            return [], {}
        links = _Links(urlsplit(url).path)
        links.feed(page or "")
        return sorted(links.folders), dict.fromkeys(sorted(links.objects))

    def _get(self, key: str, options: dict[str, Any] | None) -> Any:
        if key and key == self.address.only_key:
            return self._only.get("", options=options)
        return self._store.get(key, options=options)

    @cached_property
    def _store(self) -> Any:
        return self._open(self._root)

    @cached_property
    def _only(self) -> Any:
        """The object of a URL that is no other's: a store of its own, in which it has the path ""."""
        query = f"?{self.address.query}" if self.address.query else ""
        return self._open(f"{self._root}{self.address.only_path}{query}")

    def _open(self, url: str) -> Any:
        from obstore.store import HTTPStore

        return HTTPStore(url, client_options=client_options(self._root), retry_config=RETRIES)

    def _ask(self, key: str, what: str, request: Callable[[], Value]) -> Value | None:
        def with_refusals() -> Value:
            try:
                return request()
            except Exception as error:
                status = status_of(error)
                if type(error).__name__ == "NotSupportedError" or status == 416:  # an empty object has no first byte
                    self._note_no_ranges(is_known=status != 416)
                    raise _NoRangesError from None
                if what == "be listed" and status in (401, 403, 405):
                    raise _RefusedError from None
                raise

        return super()._ask(key, what, with_refusals)

    def _note_no_ranges(self, *, is_known: bool) -> None:
        if is_known and self.gives_ranges:
            self.gives_ranges = False
            log.warning(
                "%s gives whole files only: each is copied to a temporary file, and read there", self.address.url("")
            )


class _NoRangesError(Exception):
    """The server gives whole objects only, or the object is empty."""


class _RefusedError(Exception):
    """The server shows no index page of a folder."""


class _Links(HTMLParser):
    """Collects the names of what is directly below the folder of an index page.

    Args:
        folder: Path of the folder's URL, with its last slash.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder
        self.folders: set[str] = set()
        self.objects: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the link of an <a>; those to sort the page, and to other places, are passed over."""
        href = dict(attrs).get("href")
        if tag != "a" or not href:
            return
        try:
            path = urlsplit(urljoin(f"http://host{self._folder}", href))
        except ValueError:
            return
        name = unquote(path.path.removeprefix(self._folder))
        if path.netloc != "host" or not path.path.startswith(self._folder) or path.query or not name.strip("/"):
            return
        if "/" not in name.removesuffix("/"):
            (self.folders if name.endswith("/") else self.objects).add(name.removesuffix("/"))
