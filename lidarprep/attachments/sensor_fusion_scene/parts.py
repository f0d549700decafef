"""What a scene's writer keeps of a frame that it has written: the header's part of it, and enough to go on after it.

It is plain data, which JSON holds exactly. Where the blocks of a scene outlive the process that wrote them, another one
can take them up.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO

from pydantic import TypeAdapter, ValidationError

from lidarprep.attachments.sensor_fusion_scene.clock import SceneClock
from lidarprep.attachments.sensor_fusion_scene.notes import Findings
from lidarprep.attachments.sensor_fusion_scene.sensors import FrameRecord
from lidarprep.errors import EncodingError

READ_BYTES = 1 << 20


@dataclass(frozen=True)
class ScenePart:
    """One frame of a scene, written.

    Args:
        record: What the header says of it.
        clock: What the scene's times count from.
        notes: What was found odd in it, and in those before.
        start: Where in their file the scene's blocks begin.
        size: How many bytes of blocks there are, its own the last of them.
        crc32: CRC-32 of all of these.
    """

    record: FrameRecord
    clock: SceneClock
    notes: Findings
    start: int
    size: int
    crc32: int

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        values: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return values

    @classmethod
    def from_json(cls, values: Any) -> ScenePart | None:
        """From what `to_json` gave; None if it is anything else."""
        try:
            return _adapter().validate_python(values)
        except (ValidationError, EncodingError):
            return None


@cache
def _adapter() -> TypeAdapter[ScenePart]:
    return TypeAdapter(ScenePart)


def count_sound(spool: BinaryIO, parts: Sequence[ScenePart]) -> int:
    """How many of a scene's parts, from the first, a file still holds as they were written.

    All of their bytes are read: a checksum counts from the first block on, so that a part is sound only after those
    that it was written after.
    """
    at = crc32 = 0
    for number, part in enumerate(parts):
        if part.start != parts[0].start or part.size < at:
            return number
        spool.seek(part.start + at)
        while at < part.size:
            piece = spool.read(min(READ_BYTES, part.size - at))
            if not piece:
                return number
            crc32 = zlib.crc32(piece, crc32)
            at += len(piece)
        if crc32 != part.crc32:
            return number
    return len(parts)
