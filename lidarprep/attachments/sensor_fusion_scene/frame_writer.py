"""One frame of the world to the arrays of a scene, and to what the scene's header says of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lidarprep.attachments.columns import device_pose, require_world
from lidarprep.attachments.sensor_fusion_scene.cameras import describe_intrinsics, open_picture, picture_size
from lidarprep.attachments.sensor_fusion_scene.clock import NS_PER_US, FrameTime, SceneClock
from lidarprep.attachments.sensor_fusion_scene.container import BlockWriter
from lidarprep.attachments.sensor_fusion_scene.notes import Notes
from lidarprep.attachments.sensor_fusion_scene.parts import ScenePart
from lidarprep.attachments.sensor_fusion_scene.point_blocks import ROUNDED_TIMES, write_clouds, write_radar
from lidarprep.attachments.sensor_fusion_scene.pose_path import pose_values
from lidarprep.attachments.sensor_fusion_scene.sensors import FrameRecord, Picture
from lidarprep.errors import EncodingError
from lidarprep.scene import CameraImage, Frame

READ_BYTES = 1 << 18


@dataclass(frozen=True)
class FrameWriter:
    """Writes one frame of a scene.

    Args:
        blocks: Where its arrays go.
        notes: Told of what is rounded, assumed or dropped.
        earlier: The frames before; the first sets the scene's clock.
    """

    blocks: BlockWriter
    notes: Notes
    earlier: Sequence[ScenePart]

    def write(self, frame: Frame) -> tuple[SceneClock, FrameRecord]:
        """Writes a frame's arrays; gives the scene's clock, and what the header says of the frame.

        Raises:
            EncodingError, FormatError: As `SceneWriter.add`.
        """
        points = frame.points()
        require_world("points", points.frame, frame.id)
        pose = pose_values(device_pose(frame))
        between = None
        if points.timestamp is not None and len(points):
            between = int(points.timestamp.min()), int(points.timestamp.max())
        clock = self.earlier[0].clock if self.earlier else SceneClock.starting_with(frame, between)
        time = clock.time_of(frame, len(self.earlier), between)
        self._require_order(frame, time)
        self._note_time(frame, clock, time, between)
        self._note_unheld(frame)
        clouds = write_clouds(self.blocks, points, time.points_from_us, frame.id, self.notes)
        radar = frame.radar()
        record = FrameRecord(
            id=frame.id,
            time=time,
            pose=pose,
            clouds=clouds,
            radar=None if radar is None else write_radar(self.blocks, radar, frame.id),
            pictures=[],
        )
        for image in frame.images:
            self._write_picture(image, frame, clock, record)
        return clock, record

    def _require_order(self, frame: Frame, time: FrameTime) -> None:
        if not self.earlier:
            return
        last = self.earlier[-1].record
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
            self.notes.say("assumed times", "frames have no timestamps: they are put 100 ms apart")
            if between is not None and time.points_from_us is not None and self.earlier:
                self.notes.say("shifted points", "points' timestamps are counted from their frame's first point")
        if between is not None and time.points_from_us is None:
            self.notes.say(
                "unheld points' times",
                f"frame {frame.id}: its points' timestamps, from {between[0]} to {between[1]} ns, do not lie within "
                "60 s of the frame's or 71 minutes of the scene's start; they are left out",
            )
        if time.start_us < time.device_us:
            self.notes.say(
                "earlier frames",
                f"frame {frame.id} begins at its earliest point, {(time.device_us - time.start_us) / 1000:.3f} ms "
                "before its timestamp",
            )
        if frame.timestamp is not None and frame.timestamp % NS_PER_US:
            self.notes.once(*ROUNDED_TIMES)

    def _note_unheld(self, frame: Frame) -> None:
        if frame.gps is not None:
            self.notes.say("gps", "a Sensor Fusion Scene does not hold GPS poses")
        for image in frame.images:
            name = image.camera.name
            if image.camera.intrinsics.skew:
                self.notes.say(f"skew {name}", f"camera {name}: a Sensor Fusion Scene does not hold its skew")
            if image.priority is not None or image.metadata is not None:
                self.notes.say(
                    f"extras {name}", f"camera {name}: a Sensor Fusion Scene holds no priority and no metadata"
                )

    def _write_picture(self, image: CameraImage, frame: Frame, clock: SceneClock, record: FrameRecord) -> None:
        """Writes a picture's bytes, unless it is the one that its camera's last frame showed already."""
        name = image.camera.name
        if image.world_from_camera is None:
            raise EncodingError(f"frame {frame.id}: the picture of {name} has no pose")
        time_us, own = clock.image_time(image.timestamp, frame, record.time)
        if image.timestamp is not None and not own:
            self.notes.say(
                "pictures' clock",
                f"frame {frame.id}: the picture of {name} is not on its frame's clock; it is put at the frame's time",
            )
        last = self._last_picture(name, record)
        if last is not None and own and (last.time_us, last.path) == (time_us, image.path):
            self.notes.say("repeated pictures", f"frame {frame.id}: {name} shows the picture of an earlier frame again")
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
            content = self.blocks.append("uint8", (size,), _contents(file))
        pose = pose_values(image.world_from_camera)
        record.pictures.append(Picture(name, image.camera.index, intrinsics, time_us, pose, content, image.path))

    def _last_picture(self, camera: str, record: FrameRecord) -> Picture | None:
        for one in chain([record], (part.record for part in reversed(self.earlier))):
            for picture in reversed(one.pictures):
                if picture.camera == camera:
                    return picture
        return None


def _contents(file: BinaryIO) -> Iterator[NDArray[np.uint8]]:
    while data := file.read(READ_BYTES):
        yield np.frombuffer(data, dtype=np.uint8)
