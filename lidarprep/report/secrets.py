"""Texts without what URLs in them may carry that is nobody else's business."""

from __future__ import annotations

import re

# A user's name and password; a query, which may hold a signature, and a fragment.
_USER = re.compile(r"(?<=://)[^/?#\s@]+@")
_QUERY = re.compile(r"(\w+://[^\s?#\"'<>]+)[?#][^\s\"'<>]+")


def without_secrets(text: str) -> str:
    """Return the text with its URLs cut to scheme, host and path."""
    return _QUERY.sub(r"\1", _USER.sub("", text))
