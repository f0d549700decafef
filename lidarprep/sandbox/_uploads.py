"""Files that were uploaded to the sandbox, or imported: `scaledata://` URLs, resolvable as attachments."""

from __future__ import annotations

import json
import mimetypes
import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from lidarprep._sqlite import IN_MEMORY, Database
from lidarprep.errors import StorageError
from lidarprep.sandbox._common import SandboxError, UnknownNameError, time_text

Document = dict[str, Any]

SCHEME = "scaledata"
# The real URLs have an account's id there.
URL_START = f"{SCHEME}://sandbox/"

MAX_FILE_BYTES = 80 * 1000 * 1000

SCHEMA = (
    """
    CREATE TABLE uploads (                          -- the files' bytes are in a folder beside the database
        id TEXT PRIMARY KEY,
        url TEXT NOT NULL UNIQUE,
        reference_id TEXT UNIQUE,
        document TEXT NOT NULL
    )
    """,
)


class UploadList:
    """Uploaded files: facts in the database, bytes in the folder `DATABASE.files`.

    A database in memory keeps the bytes in a temporary folder, which is removed with it.
    """

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now
        self._folder = None if database.path == IN_MEMORY else Path(f"{database.path}.files")
        self._lock = threading.Lock()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def add(self, content: bytes, name: str, fields: Mapping[str, Any]) -> Document:
        """Keep a file, and return it as it is answered.

        Args:
            content: Its bytes.
            name: Its file name.
            fields: `display_name`, `project_names`, `reference_id` and `metadata`.

        Raises:
            SandboxError: Another file has the reference_id.
            StorageError: It can't be written.
        """
        reference_id, file_id = fields.get("reference_id"), secrets.token_hex(12)
        self._require_free(reference_id)
        kept_as = str(uuid4())
        document = {
            "id": file_id,
            "created_at": time_text(self._now()),
            "mime_type": mimetypes.guess_type(name)[0] or "application/octet-stream",
            "size": len(content),
            **fields,
            "attachment_url": URL_START + kept_as,
        }
        self._write(kept_as, content)
        with self._database.transaction():
            self._require_free(reference_id)  # another upload may have taken it meanwhile
            self._database.run(
                "INSERT INTO uploads VALUES (?, ?, ?, ?)",
                (file_id, document["attachment_url"], reference_id, json.dumps(document)),
            )
        return document

    def path(self, url: str) -> Path:
        """Return the file of a scaledata:// URL.

        Raises:
            UnknownNameError: There is none.
        """
        row = self._database.row("SELECT url FROM uploads WHERE url = ?", (url,))
        if row is None:
            raise UnknownNameError("file", url)
        return self._in_folder() / url.removeprefix(URL_START)

    def close(self) -> None:
        """Remove a temporary folder."""
        if self._temporary is not None:
            self._temporary.cleanup()

    def _require_free(self, reference_id: str | None) -> None:
        row = self._database.row("SELECT id FROM uploads WHERE reference_id = ?", (reference_id,))
        if row is not None:
            raise SandboxError(f'The reference_id ("{reference_id}") is already used for another file ({row[0]}).', 409)

    def _write(self, name: str, content: bytes) -> None:
        folder = self._in_folder()
        temporary = folder / f".{name}"
        try:
            with open(temporary, "xb", opener=_for_owner) as file:
                file.write(content)
            temporary.replace(folder / name)
        except OSError as cause:
            temporary.unlink(missing_ok=True)
            raise StorageError(f"{folder}: an uploaded file can't be written: {cause.strerror or cause}") from None

    def _in_folder(self) -> Path:
        with self._lock:  # of two uploads at once, one makes it
            if self._folder is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="lidarprep-sandbox-")
                self._folder = Path(self._temporary.name)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        return self._folder


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
