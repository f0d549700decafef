"""One object on its way here, in pieces; an answer that is cut is gone on with where it was."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Timer
from typing import Any, NoReturn

from botocore.exceptions import ClientError, FlexibleChecksumError, ResponseStreamingError
from urllib3.exceptions import HTTPError

from lidarprep.storage.s3.bucket import Bucket, code_of
from lidarprep.storage.s3.metadata import SHA256
from lidarprep.storage.s3.retries import DamagedError

# What is read at once, and how long that may take: each packet that comes lets boto wait for another, however small.
_PIECE = 2**20
_LONGEST_PIECE_S = 240.0


class Download:
    """One object's content, decompressed where it is compressed.

    What is missing after an answer that was cut is asked for by its range, on the condition that the object is still
    the same, by its ETag.

    Args:
        bucket: Where it is.
        key: What it is under.
        take: Given each piece of its content.
        drop: Told that all pieces so far are void, and the first comes again.
    """

    def __init__(
        self,
        bucket: Bucket,
        key: str,
        take: Callable[[bytes], object] = lambda piece: None,
        drop: Callable[[], object] = lambda: None,
    ) -> None:
        self._bucket = bucket
        self._key = key
        self._take = take
        self._drop = drop
        self._is_first = True
        self._clear()

    def begin_anew(self) -> None:
        """Whatever has come is void."""
        self._is_first = False
        self._clear()
        self._drop()

    def _clear(self) -> None:
        self.size = 0
        self.was_cut = False
        self._digest = hashlib.sha256()
        self._received = 0
        self._tag = ""
        self._inflate: Any = None
        self._recorded: str | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of the content that has come."""
        return self._digest.hexdigest()

    @property
    def is_as_stored(self) -> bool:
        """Whether the content is what was recorded when it was stored, if anything was."""
        return self._recorded in (None, self.sha256)

    def go_on(self) -> None:
        """Fetches what is missing. One that fails is to be called again: it has kept what has come, where that helps.

        Raises:
            BotoCoreError, ClientError: That failed.
            DamagedError: What has come is not what is there, or is not compressed as it says.
        """
        try:
            for piece in received(self._answer()["Body"]):
                self._received += len(piece)
                if self._is_first and len(piece) == _PIECE:  # what comes a second time is no progress
                    self._bucket.patience.progressed()
                self._add(piece)
        except FlexibleChecksumError:
            self.begin_anew()
            raise
        if self._inflate is not None:
            self._inflated(self._inflate.flush)
            if not self._inflate.eof:
                self._damaged(f"the end of {self._key}, which is compressed, is missing")

    def _answer(self) -> dict[str, Any]:
        bucket = self._bucket
        rest = {}
        if self._received and not self._tag:
            self.begin_anew()
        if self._received:
            self.was_cut = True
            rest = {"Range": f"bytes={self._received}-", "IfMatch": self._tag}
        try:
            answer: dict[str, Any] = bucket.client.get_object(
                Bucket=bucket.name, Key=bucket.full_key(self._key), **rest, **bucket.options.payer
            )
        except ClientError as error:
            # Another object; or nothing is missing of one whose answer had no end.
            if not rest or code_of(error) not in ("PreconditionFailed", "412", "InvalidRange", "416"):
                raise
            self._damaged(f"{self._key} is another than it was a moment ago")
        if rest and not str(answer.get("ContentRange", "")).startswith(f"bytes {self._received}-"):
            self.begin_anew()  # a store that knows no ranges gives all of it
        if not self._received:
            self._tag = answer.get("ETag", "")
            self._recorded = answer.get("Metadata", {}).get(SHA256)
            self._inflate = zlib.decompressobj(wbits=31) if answer.get("ContentEncoding") == "gzip" else None
        return answer

    def _add(self, piece: bytes) -> None:
        if self._inflate is None:
            self._add_content(piece)
            return
        rest = piece
        while rest:  # none larger than a piece, however much there is
            self._inflated(self._inflate.decompress, rest, _PIECE)
            rest = self._inflate.unconsumed_tail

    def _inflated(self, function: Callable[..., bytes], *arguments: Any) -> None:
        try:
            content = function(*arguments)
        except zlib.error as error:
            self._damaged(f"{self._key} says that it is compressed, and is not: {error}")
        self._add_content(content)

    def _add_content(self, content: bytes) -> None:
        self._digest.update(content)
        self.size += len(content)
        self._take(content)

    def _damaged(self, what: str) -> NoReturn:
        self.begin_anew()
        raise DamagedError(what) from None


def received(body: Any, longest_s: float | None = None) -> Iterator[bytes]:
    """What is received, in pieces; one that comes too slowly ends with an error that may be gone the next time.

    Args:
        body: The body of an answer.
        longest_s: Seconds that one piece may take; by its size where it is None.
    """
    while True:
        watch = Timer(longest_s or _LONGEST_PIECE_S, _cut_short, [body])
        watch.daemon = True
        watch.start()
        try:
            piece = body.read(_PIECE)
        except HTTPError as error:  # of TLS, which boto passes on as it is
            raise ResponseStreamingError(error=error) from error
        finally:
            watch.cancel()
        if not piece:
            return
        yield piece


def _cut_short(body: Any) -> None:
    """Lets the read that is under way fail: it waits for one packet after the other, and for none any longer."""
    with suppress(AttributeError):  # it has ended at this very moment
        body.set_socket_timeout(0.001)
