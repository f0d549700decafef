"""What stands after a file's header, and after its last point: padding is fine, more means that the header lies."""

from __future__ import annotations

from io import FileIO
from pathlib import Path

from lidarprep.errors import FormatError


def body_of(stream: FileIO, start: int) -> bytes:
    """A file from an offset on.

    By itself, since NumPy copies numbers fastest from where their size divides the address; and without a buffer, which
    would copy them once more.
    """
    stream.seek(start)
    return stream.readall()


def check_leftover(path: Path, leftover: bytes, promised: str) -> None:
    """Accept bytes after the data if they are zeros or white space, as padding to a block's size is.

    Anything else would be points that the header does not count, and they must not be lost silently.

    Args:
        path: The file, for the error.
        leftover: The bytes after the last point, up to the file's end.
        promised: What the header says that there is: "100 points of 16 bytes".

    Raises:
        FormatError: There is more than padding.
    """
    if leftover.strip(b"\0 \t\r\n"):
        raise FormatError(
            path,
            place=f"byte {path.stat().st_size - len(leftover)}",
            found=f"{len(leftover)} bytes more than the header promises",
            expected=f"the end of the file after {promised}",
            fix="Write the file again: its header and its data belong to different point counts.",
        )
