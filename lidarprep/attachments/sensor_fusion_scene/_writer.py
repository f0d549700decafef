"""Frames of the world to a Sensor Fusion Scene, with one frame in memory at a time.

The header comes first in the file and needs the sizes and times of all that follows. So the writer leaves room for it,
appends each frame's arrays, and writes the header at the end.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lidarprep._images import BadImageError, read_header
from lidarprep.attachments._frame import device_pose, require_world
from lidarprep.attachments.sensor_fusion_scene._annotations import LabelledPoints, annotations_of, write_point_labels
from lidarprep.attachments.sensor_fusion_scene._container import ALIGNMENT, BlockWriter, header_of, write_all
from lidarprep.attachments.sensor_fusion_scene._conventions import (
    NS_PER_US,
    SAME_CLOCK_NS,
    FrameTime,
    SceneClock,
    describe_intrinsics,
    pose_values,
)
from lidarprep.attachments.sensor_fusion_scene._sensors import (
    ROUNDED_TIMES,
    Notes,
    WrittenFrame,
    WrittenImage,
    sensors_of,
    write_clouds,
    write_radar,
)
from lidarprep.errors import EncodingError, FormatError
from lidarprep.scene import CameraImage, Frame, Labels
from lidarprep.scene.points import without_stray_times

COPY_BYTES = 1 << 18

# Generous estimates of bytes in the header: a lidar takes about 900 a frame, a radar 700, an image 350.
HEADER_BYTES_A_FRAME = 2048
HEADER_BYTES_A_FURTHER_LIDAR = 1024
HEADER_BYTES_AN_IMAGE = 640
HEADER_BYTES_A_CUBOID = 256


class SceneWriter:
    """Writes a scene frame by frame.

    Each device id becomes a lidar sensor with that integer as its id; points without `device` become one named
    "lidar". It has a frame where it has points; a frame without any point belongs to the first sensor. The poses of
    lidars and radar are the device's, and the points are in the world.

    The arguments are those of `SceneFormat.writer`. If the header turns out longer than expected, `finish` moves all
    arrays, which costs time. The official validator refuses odometry.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        frames: int = 0,
        images: int = 0,
        lidars: int = 1,
        odometry: bool = False,
        labels: Labels | None = None,
    ) -> None:
        room = (HEADER_BYTES_A_FRAME + HEADER_BYTES_A_FURTHER_LIDAR * max(0, lidars - 1)) * frames
        room += HEADER_BYTES_AN_IMAGE * images
        room += HEADER_BYTES_A_CUBOID * (0 if labels is None or labels.cuboids is None else len(labels.cuboids))
        self._file = file
        self._labels = labels
        self._labelled: list[LabelledPoints] = []
        self._odometry = odometry
        self._room = -(-room // ALIGNMENT) * ALIGNMENT
        self._clock: SceneClock | None = None
        self._frames: list[WrittenFrame] = []
        self._last_images: dict[str, WrittenImage] = {}
        self._notes = Notes()
        file.seek(self._room)
        self._blocks = BlockWriter(file)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was rounded, assumed or dropped: each kind once, with its number."""
        return self._notes.sentences()

    def add(self, frame: Frame, point_labels: NDArray[np.uint32] | None = None) -> None:
        """Append a frame's arrays to the file.

        Args:
            point_labels: (N,) for each of the frame's points the number of its object in `labels`; 0 for none.
            frame: The next frame in time: points and radar in the world, intensity 0–1, a device pose, images with
                poses and files.

        Raises:
            EncodingError: A value cannot be written: not finite, not in the world, out of time order.
            FormatError: An image file cannot be read. After any error the writer is in the state before the call.
        """
        notes, size = Notes(self._notes.found), self._blocks.size
        try:
            clock, written = self._write(frame, notes)
            labelled: list[LabelledPoints] = []
            if point_labels is not None:
                labelled = write_point_labels(self._blocks, point_labels, written.clouds, frame.points().device)
        except BaseException:
            self._blocks.size = size
            self._file.seek(self._room + size)
            self._file.truncate()
            raise
        self._notes, self._clock = notes, clock
        self._frames.append(written)
        self._labelled += labelled
        self._last_images |= {image.camera: image for image in written.images}

    def finish(self) -> int:
        """Write the header, which completes the file; return its size in bytes.

        Raises:
            EncodingError: There is no frame, or the times of a sensor are not allowed by the format.
        """
        if self._clock is None:
            raise EncodingError("a Sensor Fusion Scene needs at least one frame")
        sensors = sensors_of(self._frames, self._blocks, self._notes, odometry=self._odometry)
        document: dict[str, Any] = {
            "version": "1.0",
            "sensors": sensors,
            "time_offset": self._clock.offset_us,
            "time_unit": "microseconds",
        }
        if self._labels is not None:
            document["annotations"] = annotations_of(self._labels, self._frames, self._labelled, sensors)
        header = header_of(document, at_least=self._room)
        self._make_room(len(header))
        self._file.seek(0)
        write_all(self._file, header)
        self._file.seek(0, os.SEEK_END)
        return len(header) + self._blocks.size

    def _make_room(self, room: int) -> None:
        """Move the arrays so that they begin at `room`, the last piece first."""
        at = self._blocks.size if room != self._room else 0
        while at:
            step = min(COPY_BYTES, at)
            at -= step
            self._file.seek(self._room + at)
            piece = self._file.read(step)
            self._file.seek(room + at)
            write_all(self._file, piece)
        self._room = room

    # ---- one frame ----

    def _write(self, frame: Frame, notes: Notes) -> tuple[SceneClock, WrittenFrame]:
        points = frame.points()
        require_world("points", points.frame, frame.id)
        pose = pose_values(device_pose(frame))
        between = None
        if points.timestamp is not None and len(points):
            in_sweep, strays = without_stray_times(points.timestamp, SAME_CLOCK_NS)
            if strays:
                points = replace(points, timestamp=in_sweep)
                notes.add(
                    "stray times",
                    f"frame {frame.id}: the times of {strays} points are more than {SAME_CLOCK_NS / 1e9:g} s from the "
                    "others'; these points take the time of the point before them",
                )
            between = int(in_sweep.min()), int(in_sweep.max())
        clock = self._clock or SceneClock.starting_with(frame, between)
        time = clock.time_of(frame, len(self._frames), between)
        self._require_order(frame, time)
        self._note_time(frame, clock, time, between, notes)
        _note_unheld(frame, notes)
        clouds = write_clouds(self._blocks, points, time.points_from_us, frame.id, notes)
        radar = frame.radar()
        written_radar = None if radar is None else write_radar(self._blocks, radar, frame.id)
        written = WrittenFrame(frame.id, time, pose, clouds, written_radar, [])
        last_images = dict(self._last_images)
        for image in frame.images:
            added = self._write_image(image, frame, clock, time, last_images.get(image.camera.name), notes)
            if added is not None:
                written.images.append(added)
                last_images[added.camera] = added
        return clock, written

    def _require_order(self, frame: Frame, time: FrameTime) -> None:
        if not self._frames:
            return
        last = self._frames[-1]
        for what, before, now in (
            ("is at", last.time.device_us, time.device_us),
            ("begins at", last.time.start_us, time.start_us),
        ):
            if now <= before:
                raise EncodingError(
                    f"frame {frame.id} {what} {now} µs, frame {last.id} before it at {before} µs; "
                    "a scene's frames are strictly increasing in whole microseconds"
                )

    def _note_time(
        self, frame: Frame, clock: SceneClock, time: FrameTime, between: tuple[int, int] | None, notes: Notes
    ) -> None:
        if not clock.recorded:
            notes.add("assumed times", "frames have no timestamps: they are put 100 ms apart")
            if between is not None and time.points_from_us is not None and self._frames:
                notes.add("shifted points", "points' timestamps are counted from their frame's first point")
        if between is not None and time.points_from_us is None:
            notes.add(
                "unheld points' times",
                f"frame {frame.id}: its points' timestamps, from {between[0]} to {between[1]} ns, do not lie within "
                "60 s of the frame's or 71 minutes of the scene's start; they are left out",
            )
        if time.start_us < time.device_us:
            notes.add(
                "earlier frames",
                f"frame {frame.id} begins at its earliest point, {(time.device_us - time.start_us) / 1000:.3f} ms "
                "before its timestamp",
            )
        if frame.timestamp is not None and frame.timestamp % NS_PER_US:
            notes.add_once(*ROUNDED_TIMES)

    def _write_image(
        self,
        image: CameraImage,
        frame: Frame,
        clock: SceneClock,
        time: FrameTime,
        last: WrittenImage | None,
        notes: Notes,
    ) -> WrittenImage | None:
        """Write an image's bytes; None if it is `last`, the image that its camera's last frame showed already."""
        name = image.camera.name
        if image.world_from_camera is None:
            raise EncodingError(f"frame {frame.id}: the image of {name} has no pose")
        time_us, own = clock.image_time(image.timestamp, frame, time)
        if image.timestamp is not None and not own:
            notes.add(
                "images' clock",
                f"frame {frame.id}: the image of {name} is not on its frame's clock; it is put at the frame's time",
            )
        if last is not None and own and (last.time_us, last.path) == (time_us, image.path):
            notes.add("repeated images", f"frame {frame.id}: {name} shows the image of an earlier frame again")
            return None
        if time_us < 0 or (last is not None and time_us <= last.time_us):
            before = "the scene's first frame" if last is None else f"the one before it, at {last.time_us} µs"
            raise EncodingError(
                f"frame {frame.id}: the image of {name}, at {time_us} µs, is not later than {before}; "
                "a camera's images are strictly increasing in whole microseconds"
            )
        data = _read_image(image, frame.id)
        intrinsics = describe_intrinsics(image, _image_size(data, image, frame.id))
        if last is not None and last.intrinsics != intrinsics:
            raise EncodingError(
                f"frame {frame.id}: the intrinsics or the image size of {name} are not those of the frames "
                "before; a camera of a Sensor Fusion Scene has one calibration"
            )
        content = self._blocks.append("uint8", (len(data),), (np.frombuffer(data, dtype=np.uint8),))
        pose = pose_values(image.world_from_camera)
        return WrittenImage(name, image.camera.index, intrinsics, time_us, pose, content, image.path)


def _note_unheld(frame: Frame, notes: Notes) -> None:
    if frame.gps is not None:
        notes.add("gps", "a Sensor Fusion Scene does not hold GPS poses")
    for image in frame.images:
        name = image.camera.name
        if image.camera.intrinsics.skew:
            notes.add(f"skew {name}", f"camera {name}: a Sensor Fusion Scene does not hold its skew")
        if image.priority is not None or image.metadata is not None:
            notes.add(f"extras {name}", f"camera {name}: a Sensor Fusion Scene holds no priority and no metadata")


def _read_image(image: CameraImage, frame_id: str) -> bytes:
    """Read the encoded bytes of an image."""
    if image.content is not None:
        return image.content()
    if image.path is None:
        raise EncodingError(
            f"frame {frame_id}: the image of {image.camera.name} has no file, and a Sensor Fusion Scene holds the "
            "image itself",
            fix="Download it first, or leave the images out.",
        )
    try:
        return image.path.read_bytes()
    except OSError as error:
        raise FormatError(image.path, found=f"the file cannot be read ({error.strerror or error})") from error


def _image_size(data: bytes, image: CameraImage, frame_id: str) -> tuple[int, int]:
    """Return width and height in pixels, from the image's header.

    Raises:
        FormatError: It is no image that Scale takes.
    """
    try:
        # Whatever a name or a link in a recording refers to, only camera images are published.
        return read_header(data).size
    except BadImageError as error:
        where = image.path or image.url or f"frame {frame_id}, {image.camera.name}"
        raise FormatError(where, found=f"an image that {error}") from error
