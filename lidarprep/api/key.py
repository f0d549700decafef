"""The API key, wrapped so that it can't be shown by accident."""

from __future__ import annotations

import base64
from typing import Literal, TypeAlias
from urllib.parse import quote

from lidarprep.errors import MissingKeyError

HIDDEN = "***"

WHERE_TO_GET_A_KEY = "Set SCALE_API_KEY, or pass api_key, to a key from the API keys page of your Scale dashboard."

# Scale's are longer. A sandbox takes any, "test" or "car" among them.
SHORTEST_KEY = 20

KeyMode: TypeAlias = Literal["test", "live"]


class ApiKey:
    """An API key that prints as stars.

    An exception, a log line or a debugger that shows a frame's locals shows the repr of what it finds there; a plain
    string would give the key away. Only `reveal` hands it out.

    Args:
        text: The key, as the dashboard shows it; white space around it is dropped.

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
        """The key, or what is wrong with it as a value: the caller, who holds the text, can drop it and then raise."""
        try:
            return cls(text)
        except MissingKeyError as error:
            return error.with_traceback(None)

    def _problem(self) -> str | None:
        text = self._text
        if not text:
            return "no API key is set"
        if ":" in text or not text.isprintable() or not text.isascii() or " " in text:
            # A colon would end the user name of HTTP basic auth; the rest has no place in a header.
            return "the API key holds a character that no key has (a colon, white space, …)"
        return None

    def reveal(self) -> str:
        """The key itself, for the one place that sends it."""
        return self._text

    @property
    def mode(self) -> KeyMode | None:
        """What the key's prefix tells: tasks of a live key cost money. None where it tells nothing."""
        if self._text.startswith("live"):
            return "live"
        return "test" if self._text.startswith("test") else None

    @property
    def masked(self) -> str:
        """The key to be shown: its mode and nothing else of it."""
        return f"{self.mode}_{HIDDEN}" if self.mode else HIDDEN

    def redact(self, text: str) -> str:
        """`text` without the key, should something have echoed it: as it is, in a URL, or in the auth header."""
        for form in self._forms():
            text = text.replace(form, HIDDEN)
        return text

    def redact_bytes(self, content: bytes) -> bytes:
        """The same for bytes, which are someone's data: a key too short to be one is left, as it may be any word."""
        if len(self._text) < SHORTEST_KEY:
            return content
        for form in self._forms():
            content = content.replace(form.encode(), HIDDEN.encode())
        return content

    def _forms(self) -> tuple[str, ...]:
        credentials = base64.b64encode(f"{self._text}:".encode()).decode()
        # The last one as in a repr, where a quote or a backslash is escaped.
        return credentials, credentials.rstrip("="), self._text, quote(self._text, safe=""), repr(self._text)[1:-1]

    def __repr__(self) -> str:
        return f"ApiKey({HIDDEN})"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("an ApiKey is not pickled: the pickle would hold the key")
