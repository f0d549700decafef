"""Media types of what is stored."""

from __future__ import annotations

from pathlib import Path

from lidarprep.errors import FormatError

# How images begin, their media types, and suffixes for those that have no file name.
_IMAGES = {b"\xff\xd8\xff": ("image/jpeg", ".jpg"), b"\x89PNG\r\n\x1a\n": ("image/png", ".png")}


def image_type(path: Path | str, data: bytes) -> tuple[str, str]:
    """Return media type and suffix of an image, by how its bytes begin; `path` names it in errors.

    Raises:
        FormatError: It is neither a JPEG nor a PNG: whatever a name in a recording says, nothing else is published.
    """
    for beginning, found in _IMAGES.items():
        if data.startswith(beginning):
            return found
    raise FormatError(path, place="byte 0", found="neither a JPEG nor a PNG", fix="Replace the image, or remove it.")
