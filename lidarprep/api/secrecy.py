"""Keeps the key out of what the HTTP library logs, and out of the tracebacks that pass through it."""

from __future__ import annotations

import base64
import logging
import re
import threading
from collections.abc import Generator
from typing import TypeVar
from weakref import WeakSet

import httpx

from lidarprep.api.key import HIDDEN, ApiKey

Stopped = TypeVar("Stopped", bound=BaseException)

# A logger's filter sees what is logged there and not what its children log: so each that the library has is named.
HTTP_LOGGERS = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)

# What makes a presigned URL work: whoever reads it in a log can fetch the file.
_SIGNATURE = re.compile(
    r"([?&](?:X-Amz-Signature|X-Amz-Security-Token|X-Goog-Signature|Signature|sig)=)[^&\s'\"]+", re.I
)


class _KeepSecret(logging.Filter):
    """Strikes the keys in use, and the signatures of URLs, out of log records.

    The HTTP library logs at debug level what the server answered; a careless server echoes what it was sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self._keys: WeakSet[ApiKey] = WeakSet()
        # One thread makes a client while another one logs. It may be the same one: the garbage collector runs anywhere.
        self._lock = threading.RLock()

    def keep(self, key: ApiKey) -> None:
        """Strikes this key out, too, for as long as it is in use."""
        with self._lock:
            self._keys.add(key)

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        shown = _SIGNATURE.sub(rf"\g<1>{HIDDEN}", message)
        with self._lock:
            keys = tuple(self._keys)
        for key in keys:
            shown = key.redact(shown)
        if shown != message:
            record.msg, record.args = shown, None
        return True


_FILTER = _KeepSecret()


class KeyAuth(httpx.Auth):
    """HTTP basic auth with the key as user name, and no password; the header is only made as a request is sent."""

    def __init__(self, key: ApiKey) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Puts the header on the request."""
        request.headers["Authorization"] = f"Basic {base64.b64encode(f'{self._key.reveal()}:'.encode()).decode()}"
        yield request


def keep_out_of_logs(key: ApiKey) -> None:
    """Sees that the HTTP library's log records don't show the key, for as long as it is in use."""
    _FILTER.keep(key)
    for name in HTTP_LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)  # once: a logger takes the same filter only once


def without_frames(stopped: Stopped) -> Stopped:
    """The exception without the frames it came through.

    Ctrl-C, or the cancelling of an asynchronous task, strikes within the HTTP library, in frames whose local variables
    hold the request's headers; a traceback that shows locals would show them.
    """
    stopped.__traceback__ = None
    stopped.__context__ = None
    stopped.__cause__ = None
    return stopped
