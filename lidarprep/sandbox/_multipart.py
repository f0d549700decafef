"""Read a multipart/form-data body, as file uploads have it."""

from __future__ import annotations

from email.message import Message
from email.parser import BytesHeaderParser
from typing import NamedTuple

from lidarprep.sandbox._http import RequestError

MULTIPART = "multipart/form-data"
MOST_PARTS = 100
LINE_END = b"\r\n"


class UploadedFile(NamedTuple):
    """A part of a body that is a file."""

    name: str
    content: bytes


def read_multipart(body: bytes, content_type: str) -> dict[str, str | UploadedFile]:
    """Return the parts of a body by their names: texts, and files where a part has a file name.

    Raises:
        RequestError: It is not such a body.
    """
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    if header.get_content_type() != MULTIPART or not boundary:
        raise RequestError(f"The body is not {MULTIPART}.")
    # The first boundary has no line end before it.
    parts = (LINE_END + body).split(LINE_END + b"--" + boundary.encode("latin-1", "replace"), MOST_PARTS + 2)
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise RequestError("The body's parts have no end.")
    if len(parts) > MOST_PARTS + 2:
        raise RequestError(f"The body has more than {MOST_PARTS} parts.")
    fields: dict[str, str | UploadedFile] = {}
    for part in parts[1:-1]:
        head, found, content = part.partition(2 * LINE_END)
        headers = BytesHeaderParser().parsebytes(head.removeprefix(LINE_END))
        name = headers.get_param("name", header="content-disposition")
        if not found or not isinstance(name, str) or not name:
            raise RequestError("A part of the body has no name.")
        if (file_name := headers.get_filename()) is not None:
            fields[name] = UploadedFile(file_name, content)
        else:
            try:
                fields[name] = content.decode()
            except UnicodeDecodeError:
                raise RequestError(f"{name} is not a text in UTF-8.") from None
    return fields
