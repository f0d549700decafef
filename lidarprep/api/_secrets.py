"""Secrets: the API key and URL signatures, kept out of texts, logs and tracebacks."""

from __future__ import annotations

import base64
import logging
import re
import threading
from collections.abc import Generator
from typing import Literal, TypeAlias, TypeVar
from urllib.parse import quote
from weakref import WeakSet

import httpx

from lidarprep.errors import MissingKeyError

HIDDEN = "***"
WHERE_TO_GET_A_KEY = "Set SCALE_API_KEY, or pass api_key, to a key from the API keys page of your Scale dashboard."

# Scale's keys are longer. A sandbox takes any key, "test" or "car" among them.
SHORTEST_KEY = 20

# A logger's filter does not see the records of its children, so each logger of the HTTP library is named.
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

# Hidden in values that messages show: queries, where presigned URLs carry their signatures; the user and password of a
# URL; API keys.
_SECRET_VALUES = (
    (re.compile(r"[?#].*=.*", re.DOTALL), "?…"),
    (re.compile(r"://[^/?#]*@"), "://…@"),
    (re.compile(r"(?<![0-9A-Za-z])(live|test)_[0-9A-Za-z]{16,}"), r"\1_…"),
)

KeyMode: TypeAlias = Literal["test", "live"]
Stopped = TypeVar("Stopped", bound=BaseException)


class ApiKey:
    """An API key that prints as stars; only `reveal` returns its text.

    Exceptions, logs and debuggers show the repr of local variables, which would show a plain string.

    Args:
        text: The key, as the dashboard shows it; surrounding white space is dropped.

    Raises:
        MissingKeyError: There is no key, or it can't be one.
    """

    __slots__ = ("__weakref__", "_text")

    def __init__(self, text: str | None) -> None:
        self._text = (text or "").strip()
        del text  # so that a traceback from here on does not show it
        problem = self._problem()
        if problem:
            raise MissingKeyError(problem, fix=WHERE_TO_GET_A_KEY)

    @classmethod
    def read(cls, text: str | None) -> ApiKey | MissingKeyError:
        """Return the key, or its error as a value: the caller can drop the text before it raises the error."""
        try:
            return cls(text)
        except MissingKeyError as error:
            return error.with_traceback(None)

    def _problem(self) -> str | None:
        text = self._text
        if not text:
            return "no API key is set"
        if ":" in text or not text.isprintable() or not text.isascii() or " " in text:
            # A colon would end the user name of HTTP basic auth; the others are not allowed in a header.
            return "the API key holds a character that no key has (a colon, white space, …)"
        return None

    def reveal(self) -> str:
        """Return the key itself, for the one place that sends it."""
        return self._text

    @property
    def mode(self) -> KeyMode | None:
        """ "live" or "test" by the key's prefix, else None. Tasks of a live key cost money."""
        if self._text.startswith("live"):
            return "live"
        return "test" if self._text.startswith("test") else None

    @property
    def masked(self) -> str:
        """The key for display: only its mode."""
        return f"{self.mode}_{HIDDEN}" if self.mode else HIDDEN

    def redact(self, text: str) -> str:
        """Remove the key from `text`: as it is, in a URL, or in the auth header."""
        for form in self._forms():
            text = text.replace(form, HIDDEN)
        return text

    def redact_bytes(self, content: bytes) -> bytes:
        """Remove the key from data of users. A key shorter than Scale's is left in: it may be any word."""
        if len(self._text) < SHORTEST_KEY:
            return content
        for form in self._forms():
            content = content.replace(form.encode(), HIDDEN.encode())
        return content

    def _forms(self) -> tuple[str, ...]:
        credentials = base64.b64encode(f"{self._text}:".encode()).decode()
        # The last form is that of a repr, which escapes quotes and backslashes.
        return credentials, credentials.rstrip("="), self._text, quote(self._text, safe=""), repr(self._text)[1:-1]

    def __repr__(self) -> str:
        return f"ApiKey({HIDDEN})"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("an ApiKey is not pickled: the pickle would hold the key")


class KeyAuth(httpx.Auth):
    """HTTP basic auth with the key as user name and no password. The header is made when a request is sent."""

    def __init__(self, key: ApiKey) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Set the header of the request."""
        request.headers["Authorization"] = f"Basic {base64.b64encode(f'{self._key.reveal()}:'.encode()).decode()}"
        yield request


class _SecretFilter(logging.Filter):
    """Redacts keys in use and URL signatures in log records.

    The HTTP library logs server answers at debug level, and a careless server echoes the request.
    """

    def __init__(self) -> None:
        super().__init__()
        self.keys: WeakSet[ApiKey] = WeakSet()
        # One thread may create a client while another logs. Reentrant: the garbage collector runs anywhere.
        self.lock = threading.RLock()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        shown = _SIGNATURE.sub(rf"\g<1>{HIDDEN}", message)
        with self.lock:
            keys = tuple(self.keys)
        for key in keys:
            shown = key.redact(shown)
        if shown != message:
            record.msg, record.args = shown, None
        return True


_FILTER = _SecretFilter()


def keep_out_of_logs(key: ApiKey) -> None:
    """Redact the key in the HTTP library's log records for as long as it is in use."""
    with _FILTER.lock:
        _FILTER.keys.add(key)
    for name in HTTP_LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)  # a logger adds the same filter only once


def without_frames(stopped: Stopped) -> Stopped:
    """Drop the frames of an exception that came out of the HTTP library.

    Ctrl-C and cancellation strike within the library, whose local variables hold the request's headers. A traceback
    with local variables would show them.
    """
    stopped.__traceback__ = None
    stopped.__context__ = None
    stopped.__cause__ = None
    return stopped


def without_secrets(text: str) -> str:
    """Remove URL queries, URL passwords and API keys from a text."""
    for secret, instead in _SECRET_VALUES:
        text = secret.sub(instead, text)
    return text
