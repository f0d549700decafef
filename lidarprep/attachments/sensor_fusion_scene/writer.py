"""Frames of the world to a Sensor Fusion Scene, one frame in memory at a time.

The header stands first in the file and needs the sizes and times of all that follows. So the blocks go to a spool,
which becomes the file's second part as it is, and only what the header says of them is kept until the end.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from operator import length_hint
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from lidarprep.attachments.sensor_fusion_scene.container import ALIGNMENT, BlockWriter, header_of, write_all
from lidarprep.attachments.sensor_fusion_scene.frame_writer import FrameWriter
from lidarprep.attachments.sensor_fusion_scene.notes import Notes
from lidarprep.attachments.sensor_fusion_scene.parts import ScenePart
from lidarprep.attachments.sensor_fusion_scene.sensors import sensors_of
from lidarprep.errors import EncodingError
from lidarprep.scene import Frame

COPY_BYTES = 1 << 18
# What a frame adds to the header, generously: a lidar takes about 900 bytes, a radar 700, a picture 350.
HEADER_ROOM_A_FRAME = 2048
HEADER_ROOM_A_FURTHER_LIDAR = 1024
HEADER_ROOM_A_PICTURE = 640


@dataclass(frozen=True)
class WrittenScene:
    """A scene that was written.

    Args:
        bytes: Its size.
        notes: What was rounded, assumed or dropped, a sentence each.
    """

    bytes: int
    notes: tuple[str, ...]


def write_scene(out: BinaryIO, frames: Iterable[Frame], *, odometry: bool = False) -> WrittenScene:
    """Writes frames as one Sensor Fusion Scene.

    A file that can be read and sought in (mode "w+b") gets its blocks at once, in their place, and its header at the
    end. Anything else gets both at the end, the blocks from an unnamed temporary file: twice the bytes to write.

    Args:
        out: Where to write, for bytes; from its current position on.
        frames: In time order, as `SceneWriter.add` takes them; taken up one by one.
        odometry: Whether to write the device's poses as a sensor of their own, which the official validator refuses.

    Raises:
        EncodingError, FormatError: As `SceneWriter`.
    """
    if out.seekable() and out.readable():
        writer = SceneWriter(out, odometry=odometry, header_room=header_room(length_hint(frames, 64)))
        writer.add_all(frames)
        return WrittenScene(writer.finish_in_place(), writer.notes)
    with TemporaryFile() as spool:
        return _write_through(spool, out, frames, odometry)


def header_room(frames: int, pictures: int | None = None, lidars: int = 1) -> int:
    """Bytes that the header of so many frames will most likely fit into; of three pictures a frame if not said."""
    a_frame = HEADER_ROOM_A_FRAME + HEADER_ROOM_A_FURTHER_LIDAR * max(0, lidars - 1)
    return a_frame * frames + HEADER_ROOM_A_PICTURE * (3 * frames if pictures is None else pictures)


def encode(frame: Frame) -> bytes:
    """One frame in the world as a Sensor Fusion Scene; as `encode_scene`."""
    return encode_scene([frame])


def encode_scene(frames: Iterable[Frame], *, odometry: bool = False) -> bytes:
    """Frames as one Sensor Fusion Scene, in memory; arguments and errors as `write_scene`."""
    out = BytesIO()
    _write_through(BytesIO(), out, frames, odometry)
    return out.getvalue()


def _write_through(spool: BinaryIO, out: BinaryIO, frames: Iterable[Frame], odometry: bool) -> WrittenScene:
    writer = SceneWriter(spool, odometry=odometry)
    writer.add_all(frames)
    return WrittenScene(writer.finish(out), writer.notes)


class SceneWriter:
    """Writes a scene frame by frame.

    A lidar sensor is made for each device id (its id in the scene is that integer), or one named "lidar" where the
    points have no `device`. It has a frame where it has points; a frame without any point is one of the first sensor.
    The poses of lidars and radar are the device's, and the points are in the world.

    Args:
        spool: A file for bytes that can be read, written, sought in and truncated; used from its current position on,
            and cut behind what the writer goes on after.
        odometry: Whether to write the device's poses as a sensor of their own, which the official validator refuses.
        header_room: Bytes to leave free before the blocks, for `finish_in_place`.
        parts: What another writer gave for the frames that the spool holds already, as `count_sound` finds them.
    """

    def __init__(
        self, spool: BinaryIO, *, odometry: bool = False, header_room: int = 0, parts: Sequence[ScenePart] = ()
    ) -> None:
        self._spool = spool
        self._odometry = odometry
        self._parts = list(parts)
        self._notes = Notes(parts[-1].notes if parts else None)
        # Where the blocks begin, and how much is free before them.
        self._start = parts[-1].start if parts else spool.tell() + -(-header_room // ALIGNMENT) * ALIGNMENT
        self._room = self._start - spool.tell()
        spool.seek(self._start)
        self._blocks = BlockWriter(spool)
        if parts:
            self._blocks.size, self._blocks.crc32 = parts[-1].size, parts[-1].crc32
        self._cut()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was rounded, assumed or dropped: each kind once, with how many times it was met."""
        return self._notes.sentences()

    def add(self, frame: Frame) -> ScenePart:
        """Appends a frame's arrays to the spool, and keeps what the header says of them.

        Args:
            frame: The next frame in time: points and radar in the world, intensity 0–1, a device pose, pictures with
                poses and files.

        Returns:
            What is kept.

        Raises:
            EncodingError: A value cannot be written: not finite, not in the world, out of time order.
            FormatError: A picture's file cannot be read. After any error the writer is as it was before.
        """
        blocks, notes = self._blocks, Notes(self._notes.found)
        size, crc32 = blocks.size, blocks.crc32
        try:
            clock, record = FrameWriter(blocks, notes, self._parts).write(frame)
        except BaseException:
            blocks.size, blocks.crc32 = size, crc32
            self._cut()
            raise
        self._notes = notes
        self._parts.append(ScenePart(record, clock, notes.found, self._start, blocks.size, blocks.crc32))
        return self._parts[-1]

    def add_all(self, frames: Iterable[Frame]) -> None:
        """Adds frames one by one, each taken up when the one before is written; as `add`."""
        for frame in frames:
            self.add(frame)

    def finish(self, out: BinaryIO) -> int:
        """Writes the scene: the header, then the spool's blocks.

        The spool is left open, at its end; more frames may be added, and a longer scene finished.

        Args:
            out: Where to write, for bytes; not the spool.

        Returns:
            How many bytes were written.

        Raises:
            EncodingError: There is no frame, or the times of a sensor are not what the format allows.
        """
        header = header_of(self._document())
        write_all(out, header)
        return len(header) + self._copy_blocks(out)

    def finish_in_place(self) -> int:
        """Makes the spool itself the scene: writes the header into the room before the blocks.

        A header that is longer than the room moves the blocks, which costs as much as `finish`; a shorter one is
        filled with spaces. The spool is left open, at its end, as by `finish`.

        Returns:
            Size of the scene, which begins where the spool was when the writer was made.

        Raises:
            EncodingError: As `finish`.
        """
        header = header_of(self._document(), at_least=self._room)
        self._move_blocks(len(header) - self._room)
        self._spool.seek(self._start - self._room)
        write_all(self._spool, header)
        self._spool.seek(0, os.SEEK_END)
        return len(header) + self._blocks.size

    # ---- the whole scene -------------------------------------------------------------------------------------------

    def _document(self) -> dict[str, Any]:
        if not self._parts:
            raise EncodingError("a Sensor Fusion Scene needs at least one frame")
        records = [part.record for part in self._parts]
        return {
            "version": "1.0",
            "sensors": sensors_of(records, self._blocks, self._notes, odometry=self._odometry),
            "time_offset": self._parts[0].clock.offset_us,
            "time_unit": "microseconds",
        }

    def _cut(self) -> None:
        """Cuts the spool behind the blocks, where the next one goes."""
        self._spool.seek(self._start + self._blocks.size)
        self._spool.truncate()

    def _copy_blocks(self, out: BinaryIO) -> int:
        self._spool.seek(self._start)
        left = self._blocks.size
        buffer = memoryview(bytearray(min(COPY_BYTES, left)))
        while left:
            read = self._spool.readinto(buffer[: min(left, len(buffer))])  # type: ignore[attr-defined]
            if not read:
                raise EOFError("the spool is shorter than what was written to it")
            write_all(out, buffer[:read])
            left -= read
        return self._blocks.size

    def _move_blocks(self, distance: int) -> None:
        """Moves the blocks that many bytes towards the spool's end, beginning with the last.

        Where that is cut short, `count_sound` still finds the frames that were not moved yet.
        """
        at = self._blocks.size if distance else 0
        while at:
            step = min(COPY_BYTES, at)
            at -= step
            self._spool.seek(self._start + at)
            piece = self._spool.read(step)
            self._spool.seek(self._start + at + distance)
            write_all(self._spool, piece)
        self._start += distance
        self._room += distance
