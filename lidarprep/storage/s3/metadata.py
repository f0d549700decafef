"""What an object carries that says what it is, so that what is there is told from what only looks like it."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

# Of the content, as it is before it is compressed.
SHA256 = "lidarprep-sha256"

# Of what it was put with.
OPTIONS = "lidarprep-options"

# How many bytes there are once they are decompressed, where they are compressed.
CONTENT_LENGTH = "lidarprep-bytes"


# Checksums that the store gives, and verifies what it is sent by.
_CHECKSUMS = ("ChecksumSHA256", "ChecksumCRC32")


def whole_checksums(head: dict[str, Any]) -> dict[str, str]:
    """The checksums of all of an object's bytes, as hex digits, by boto's names.

    What came in parts has one of its parts' checksums, which says nothing that could be compared.
    """
    if "-" in head.get("ETag", "") or head.get("ChecksumType") == "COMPOSITE":
        return {}
    return {name: base64.b64decode(head[name]).hex() for name in _CHECKSUMS if name in head}


def digest(headers: dict[str, Any]) -> str:
    """What tells whether an object was put with the same headers: tags and ACL show in no answer to a HEAD."""
    return hashlib.sha256(json.dumps(headers, sort_keys=True).encode()).hexdigest()[:16]
