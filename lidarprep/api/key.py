"""The API key, wrapped so that it can't be shown by accident."""

from __future__ import annotations

import base64
from typing import Literal
from urllib.parse import quote

from lidarprep.errors import UnauthorizedError

HIDDEN = "***"

WHERE_TO_GET_A_KEY = "Set SCALE_API_KEY, or pass api_key, to a key from the API keys page of your Scale dashboard."


class ApiKey:
    """An API key that prints as stars.

    An exception, a log line or a debugger that shows a frame's locals shows the repr of what it finds there; a plain
    string would give the key away. Only `reveal` hands it out.

    Args:
        text: The key, as the dashboard shows it; white space around it is dropped.

    Raises:
        UnauthorizedError: There is no key, or it can't be one.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str | None) -> None:
        text = (text or "").strip()
        if not text:
            raise UnauthorizedError("no API key is set", fix=WHERE_TO_GET_A_KEY)
        if ":" in text or not text.isprintable() or not text.isascii() or " " in text:
            # A colon would end the user name of HTTP basic auth; the rest has no place in a header.
            raise UnauthorizedError(
                "the API key holds a character that no key has (a colon, white space, …)", fix=WHERE_TO_GET_A_KEY
            )
        self._text = text

    def reveal(self) -> str:
        """The key itself, for the one place that sends it."""
        return self._text

    @property
    def mode(self) -> Literal["test", "live"] | None:
        """What the key's prefix tells: tasks of a live key cost money. None where it tells nothing."""
        if self._text.startswith("live"):
            return "live"
        return "test" if self._text.startswith("test") else None

    def redact(self, text: str) -> str:
        """`text` without the key, should something have echoed it: as it is, in a URL, or in the auth header."""
        credentials = base64.b64encode(f"{self._text}:".encode()).decode()
        for form in (credentials, credentials.rstrip("="), self._text, quote(self._text, safe="")):
            text = text.replace(form, HIDDEN)
        return text

    def __repr__(self) -> str:
        return f"ApiKey({HIDDEN})"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("an ApiKey is not pickled: the pickle would hold the key")
