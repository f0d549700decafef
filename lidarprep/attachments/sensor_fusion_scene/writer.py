"""Frames of the world to a Sensor Fusion Scene, one frame in memory at a time.

The header stands first in the file and needs the sizes and times of all that follows. So the blocks go to a spool,
which becomes the file's second part as it is, and only what the header says of them is kept until the end.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from operator import length_hint
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lidarprep.attachments.columns import device_pose, require_world
from lidarprep.attachments.sensor_fusion_scene.cameras import describe_intrinsics, open_picture, picture_size
from lidarprep.attachments.sensor_fusion_scene.clock import NS_PER_US, FrameTime, SceneClock
from lidarprep.attachments.sensor_fusion_scene.container import ALIGNMENT, BlockWriter, header_of, write_all
from lidarprep.attachments.sensor_fusion_scene.notes import Notes
from lidarprep.attachments.sensor_fusion_scene.point_blocks import ROUNDED_TIMES, write_clouds, write_radar
from lidarprep.attachments.sensor_fusion_scene.pose_path import pose_values
from lidarprep.attachments.sensor_fusion_scene.sensors import FrameRecord, Picture, sensors_of
from lidarprep.errors import EncodingError
from lidarprep.scene import CameraImage, Frame

COPY_BYTES = 1 << 18
# What a frame adds to the header, generously: a lidar takes about 900 bytes, a radar 700, a picture 350.
HEADER_ROOM_A_FRAME = 2048
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


def header_room(frames: int, pictures: int | None = None) -> int:
    """Bytes that the header of so many frames will most likely fit into; of three pictures a frame if not said."""
    return HEADER_ROOM_A_FRAME * frames + HEADER_ROOM_A_PICTURE * (3 * frames if pictures is None else pictures)


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
        spool: A file for bytes that can be read, written, sought in and truncated; used from its current position on.
        odometry: Whether to write the device's poses as a sensor of their own, which the official validator refuses.
        header_room: Bytes to leave free before the blocks, for `finish_in_place`.
    """

    def __init__(self, spool: BinaryIO, *, odometry: bool = False, header_room: int = 0) -> None:
        self._spool = spool
        self._room = -(-header_room // ALIGNMENT) * ALIGNMENT
        self._start = spool.tell() + self._room  # where the blocks begin
        spool.seek(self._start)
        self._blocks = BlockWriter(spool)
        self._odometry = odometry
        self._clock: SceneClock | None = None
        self._records: list[FrameRecord] = []
        self._notes = Notes()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was rounded, assumed or dropped: each kind once, with how many times it was met."""
        return self._notes.sentences()

    def add(self, frame: Frame) -> None:
        """Appends a frame's arrays to the spool, and keeps what the header says of them.

        Args:
            frame: The next frame in time: points and radar in the world, intensity 0–1, a device pose, pictures with
                poses and files.

        Raises:
            EncodingError: A value cannot be written: not finite, not in the world, out of time order.
            FormatError: A picture's file cannot be read. After any error the writer is as it was before.
        """
        size, notes = self._blocks.size, self._notes.copy()
        try:
            clock, record = self._write_frame(frame)
        except BaseException:
            self._blocks.size, self._notes = size, notes
            self._spool.seek(self._start + size)
            self._spool.truncate()
            raise
        self._clock = clock
        self._records.append(record)

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

    # ---- one frame -------------------------------------------------------------------------------------------------

    def _write_frame(self, frame: Frame) -> tuple[SceneClock, FrameRecord]:
        points = frame.points()
        require_world("points", points.frame, frame.id)
        pose = pose_values(device_pose(frame))
        between = None
        if points.timestamp is not None and len(points):
            between = int(points.timestamp.min()), int(points.timestamp.max())
        clock = self._clock or SceneClock.starting_with(frame, between)
        time = clock.time_of(frame, len(self._records), between)
        self._require_order(frame, time)
        self._note_time(frame, clock, time, between)
        self._note_unheld(frame)
        clouds = write_clouds(self._blocks, points, time.points_from_us, frame.id, self._notes)
        radar = frame.radar()
        record = FrameRecord(
            id=frame.id,
            time=time,
            pose=pose,
            clouds=clouds,
            radar=None if radar is None else write_radar(self._blocks, radar, frame.id),
            pictures=[],
        )
        for image in frame.images:
            self._write_picture(image, frame, clock, record)
        return clock, record

    def _require_order(self, frame: Frame, time: FrameTime) -> None:
        if not self._records:
            return
        last = self._records[-1]
        for what, before, now in (
            ("is at", last.time.device_us, time.device_us),
            ("begins at", last.time.start_us, time.start_us),
        ):
            if now <= before:
                raise EncodingError(
                    f"frame {frame.id} {what} {now} µs, frame {last.id} before it at {before} µs; "
                    "a scene's frames are strictly increasing in whole microseconds"
                )

    def _note_time(self, frame: Frame, clock: SceneClock, time: FrameTime, between: tuple[int, int] | None) -> None:
        if not clock.recorded:
            self._notes.say("assumed times", "frames have no timestamps: they are put 100 ms apart")
            if between is not None and time.points_from_us is not None and self._records:
                self._notes.say("shifted points", "points' timestamps are counted from their frame's first point")
        if between is not None and time.points_from_us is None:
            self._notes.say(
                "unheld points' times",
                f"frame {frame.id}: its points' timestamps, from {between[0]} to {between[1]} ns, do not lie within "
                "60 s of the frame's or 71 minutes of the scene's start; they are left out",
            )
        if time.start_us < time.device_us:
            self._notes.say(
                "earlier frames",
                f"frame {frame.id} begins at its earliest point, {(time.device_us - time.start_us) / 1000:.3f} ms "
                "before its timestamp",
            )
        if frame.timestamp is not None and frame.timestamp % NS_PER_US:
            self._notes.once(*ROUNDED_TIMES)

    def _note_unheld(self, frame: Frame) -> None:
        if frame.gps is not None:
            self._notes.say("gps", "a Sensor Fusion Scene does not hold GPS poses")
        for image in frame.images:
            name = image.camera.name
            if image.camera.intrinsics.skew:
                self._notes.say(f"skew {name}", f"camera {name}: a Sensor Fusion Scene does not hold its skew")
            if image.priority is not None or image.metadata is not None:
                self._notes.say(
                    f"extras {name}", f"camera {name}: a Sensor Fusion Scene holds no priority and no metadata"
                )

    def _write_picture(self, image: CameraImage, frame: Frame, clock: SceneClock, record: FrameRecord) -> None:
        """Writes a picture's bytes, unless it is the one that its camera's last frame showed already."""
        name = image.camera.name
        if image.world_from_camera is None:
            raise EncodingError(f"frame {frame.id}: the picture of {name} has no pose")
        time_us, own = clock.image_time(image.timestamp, frame, record.time)
        if image.timestamp is not None and not own:
            self._notes.say(
                "pictures' clock",
                f"frame {frame.id}: the picture of {name} is not on its frame's clock; it is put at the frame's time",
            )
        last = self._last_picture(name, record)
        if last is not None and own and (last.time_us, last.path) == (time_us, image.path):
            self._notes.say(
                "repeated pictures", f"frame {frame.id}: {name} shows the picture of an earlier frame again"
            )
            return
        if time_us < 0 or (last is not None and time_us <= last.time_us):
            before = "the scene's first frame" if last is None else f"the one before it, at {last.time_us} µs"
            raise EncodingError(
                f"frame {frame.id}: the picture of {name}, at {time_us} µs, is not later than {before}; "
                "a camera's pictures are strictly increasing in whole microseconds"
            )
        with open_picture(image, frame.id) as file:
            intrinsics = describe_intrinsics(image, picture_size(file, image, frame.id))
            if last is not None and last.intrinsics != intrinsics:
                raise EncodingError(
                    f"frame {frame.id}: the intrinsics or the picture size of {name} are not those of the frames "
                    "before; a camera of a Sensor Fusion Scene has one calibration"
                )
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            content = self._blocks.append("uint8", (size,), _contents(file))
        pose = pose_values(image.world_from_camera)
        record.pictures.append(Picture(name, image.camera.index, intrinsics, time_us, pose, content, image.path))

    def _last_picture(self, camera: str, record: FrameRecord) -> Picture | None:
        for earlier in (record, *reversed(self._records)):
            for picture in reversed(earlier.pictures):
                if picture.camera == camera:
                    return picture
        return None

    # ---- the whole scene -------------------------------------------------------------------------------------------

    def _document(self) -> dict[str, Any]:
        if self._clock is None:
            raise EncodingError("a Sensor Fusion Scene needs at least one frame")
        return {
            "version": "1.0",
            "sensors": sensors_of(self._records, self._blocks, self._notes, odometry=self._odometry),
            "time_offset": self._clock.offset_us,
            "time_unit": "microseconds",
        }

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
        """Moves the blocks that many bytes towards the spool's end, beginning with the last."""
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


def _contents(file: BinaryIO) -> Iterator[NDArray[np.uint8]]:
    while data := file.read(COPY_BYTES):
        yield np.frombuffer(data, dtype=np.uint8)
