"""What a journal holds, and the line that each record of it is.

It is JSON behind the SHA-256 of its text: a record that was cut short, or whose bits have turned, is as if it was never
written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]

_DIGEST_LENGTH = 64


@dataclass(frozen=True)
class Journaled:
    """What a journal holds.

    Args:
        header: What run it is.
        records: What is done, in the order in which it was recorded.
    """

    header: Record
    records: tuple[Record, ...] = ()


def as_line(record: Record) -> bytes:
    """The line that a record is."""
    text = json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
    return hashlib.sha256(text).hexdigest().encode() + b" " + text + b"\n"


def sound_records(data: bytes) -> tuple[list[Record], int]:
    """The records before the first line that is not whole, and how many bytes they are."""
    records, sound_bytes = [], 0
    for line in data.splitlines(keepends=True):
        record = _from_line(line)
        if record is None:
            break
        sound_bytes += len(line)
        records.append(record)
    return records, sound_bytes


def _from_line(line: bytes) -> Record | None:
    digest, text = line[:_DIGEST_LENGTH], line[_DIGEST_LENGTH + 1 : -1]
    if line != b"%b %b\n" % (digest, text) or hashlib.sha256(text).hexdigest().encode() != digest:
        return None
    record: Record = json.loads(text)
    return record
