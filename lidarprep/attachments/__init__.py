"""Attachments: frames of the world as the bytes that Scale reads, and back.

Each format is one module; the table here says what else there is to know of it, without importing it, since a format's
module brings its kernels. Frame JSON and LidarFrame protobuf hold one frame (`FrameFormat`), a Sensor Fusion Scene
holds all of them (`SceneFormat`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast, overload

import numpy as np

from lidarprep.errors import RecipeError
from lidarprep.scene import Frame, Scene
from lidarprep.scene.points import LARGEST_EXACT_M

if TYPE_CHECKING:
    from mmap import mmap

    from lidarprep.attachments.sensor_fusion_scene import ScenePart, SceneWriter

# Nanoseconds since the Unix epoch that no recording's times lie before: 1980, when GPS began to count.
EARLIEST_UNIX_NS = 315_964_800 * 10**9

FormatName = Literal["json", "protobuf", "sfs"]


@dataclass(frozen=True)
class AttachmentFormat:
    """What there is to know of an attachment format.

    Args:
        name: Its name in a recipe.
        title: Its name in a sentence.
        suffix: Suffix of its files.
        content_type: Media type that it is stored under.
        module: Module that writes and reads it.
        columns: Optional columns of a PointCloud that it holds.
        pictures: What it holds of a picture: the URL that it can be fetched from, or its encoded bytes.
        exact_timestamps: Whether nanoseconds since the epoch fit its numbers; float64 rounds them to 256 ns.
        exact_intensity: Whether it holds intensities as float32; else in 256 steps.
        picture_metadata: Whether it holds what else is said of a picture.
    """

    name: FormatName
    title: str
    suffix: str
    content_type: str
    module: str
    columns: frozenset[str]
    pictures: Literal["url", "content"]
    exact_timestamps: bool
    exact_intensity: bool = True
    picture_metadata: bool = False

    def losses(self, frame: Frame) -> dict[str, str]:
        """What an attachment of this frame cannot hold, or rounds: a sentence with the figure for each kind."""
        losses = {}
        points = frame.points()
        unheld = [*points.ignored_fields, *sorted(set(points.columns) - self.columns)]
        if unheld:
            losses["unheld fields"] = f"fields that {self.name} attachments do not hold: {', '.join(unheld)}"
        if len(points):
            largest = float(max(points.positions.max(), -points.positions.min()))
            if largest > LARGEST_EXACT_M:
                rounding = float(np.spacing(np.float32(largest)))
                losses["rounded coordinates"] = (
                    f"frame {frame.id}: coordinates reach {largest:.0f} m, where float32 rounds to {rounding:.2g} m"
                )
        if points.timestamp is not None and len(points):
            latest = int(np.abs(points.timestamp).max())
            if latest < EARLIEST_UNIX_NS:
                losses["epoch of times"] = (
                    f"points' times reach {latest / 1e9:.6g} s: they are written as they are, though they count from a "
                    "start of their own and not from the Unix epoch"
                )
        if not self.exact_intensity and points.intensity is not None and len(points):
            steps = points.intensity * np.float32(255)
            rounding = float(np.abs(steps - np.rint(steps)).max()) / 255
            if rounding > 1e-6:
                losses["rounded intensities"] = (
                    f"{self.name} holds intensities in 256 steps: rounded by up to {rounding:.2g}"
                )
        if not self.picture_metadata and any(image.metadata for image in frame.images):
            losses["picture metadata"] = f"{self.name} attachments do not hold the pictures' metadata"
        if not self.exact_timestamps:
            times = [frame.timestamp or 0, *(image.timestamp or 0 for image in frame.images)]
            if points.timestamp is not None and len(points):
                times.append(int(np.abs(points.timestamp).max()))
            rounding = float(np.spacing(float(max(times, key=abs))))
            if rounding > 1:
                losses["rounded timestamps"] = f"{self.name} rounds timestamps since the epoch to {rounding:.0f} ns"
        return losses


@dataclass(frozen=True)
class FrameFormat(AttachmentFormat):
    """A format whose attachments hold one frame each; its name is also the `attachment_type` of a task."""

    def encode(self, frame: Frame, *, precision: int | None = None) -> bytes:
        """One frame in the world as one attachment.

        Args:
            frame: Its points in the world frame, its intensity 0–1, its pictures with URLs.
            precision: Decimals of the points' numbers, where the format is text; None for exact ones.

        Raises:
            EncodingError: The format cannot hold a value of the frame.
        """
        encode = cast(Callable[..., bytes], import_module(self.module).encode)
        return encode(frame, precision=precision)

    def decode(self, data: bytes, *, source: str = "attachment") -> Frame:
        """One attachment as a frame in the world; `source` names it in errors.

        Raises:
            FormatError: The bytes are not what the format asks for.
        """
        return cast(Frame, import_module(self.module).decode(data, source=source))

    def relink(self, data: bytes, url_of: Callable[[str], str], *, source: str = "attachment") -> bytes:
        """One attachment that `encode` has made, with other URLs of its pictures: no other byte changes.

        Args:
            data: The attachment.
            url_of: Gives the URL that is to stand in place of one.
            source: Names it in errors.

        Raises:
            FormatError: `encode` has not made it.
        """
        relink = cast(Callable[..., bytes], import_module(self.module).relink)
        return relink(data, url_of, source=source)


@dataclass(frozen=True)
class SceneFormat(AttachmentFormat):
    """A format whose one attachment holds all frames of a scene, their pictures in it.

    What its writer rounds, assumes or drops, it says itself, in its `notes`.
    """

    def writer(
        self,
        spool: BinaryIO,
        *,
        frames: int,
        pictures: int,
        lidars: int = 1,
        odometry: bool = False,
        parts: Sequence[ScenePart] = (),
    ) -> SceneWriter:
        """A writer that takes the frames one by one, and makes the file that it is given the attachment.

        Args:
            spool: A file for bytes that can be read, written and sought in.
            frames: How many frames are to come,
            pictures: how many pictures with them, and
            lidars: how many lidars' points; more cost time, not more memory.
            odometry: Whether to write the device's poses as a sensor of their own.
            parts: What an earlier writer gave for the frames that the file holds already, as `count_sound` finds them.
        """
        module = import_module(self.module)
        room = module.header_room(frames, pictures, lidars)
        return cast("SceneWriter", module.SceneWriter(spool, odometry=odometry, header_room=room, parts=parts))

    def read_part(self, values: Any) -> ScenePart | None:
        """What an earlier writer gave for a frame, from the JSON values that `ScenePart.to_json` makes of it.

        None if they are anything else.
        """
        return cast("ScenePart | None", import_module(self.module).ScenePart.from_json(values))

    def count_sound(self, spool: BinaryIO, parts: Sequence[ScenePart]) -> int:
        """How many of the parts, from the first, a file still holds as an earlier writer has written them."""
        return cast(int, import_module(self.module).count_sound(spool, parts))

    def decode(self, data: bytes | mmap, *, source: str = "attachment") -> Scene:
        """An attachment as a recording in the world; `source` names it in errors.

        Args:
            data: The whole file, or a map of it, of which only what is asked for is read.
            source: Names it in errors.

        Raises:
            FormatError: The bytes are not what the format asks for.
        """
        return cast(Scene, import_module(self.module).decode(data, source=source))


FORMATS: dict[str, FrameFormat | SceneFormat] = {
    attachment_format.name: attachment_format
    for attachment_format in (
        FrameFormat(
            name="json",
            title="Frame JSON",
            suffix=".json",
            content_type="application/json",
            module="lidarprep.attachments.frame_json",
            columns=frozenset({"intensity", "device", "timestamp", "is_ground"}),
            pictures="url",
            exact_timestamps=True,
            picture_metadata=True,
        ),
        FrameFormat(
            name="protobuf",
            title="LidarFrame protobuf",
            suffix=".pb",
            content_type="application/x-protobuf",
            module="lidarprep.attachments.lidar_frame",
            columns=frozenset({"intensity", "device", "timestamp", "is_ground"}),
            pictures="url",
            exact_timestamps=False,
        ),
        SceneFormat(
            name="sfs",
            title="Sensor Fusion Scene",
            suffix=".sfs",
            content_type="application/octet-stream",
            module="lidarprep.attachments.sensor_fusion_scene",
            columns=frozenset({"intensity", "device", "timestamp", "colour"}),
            pictures="content",
            exact_timestamps=True,  # whole microseconds from an offset; what its writer rounds, it says itself
            exact_intensity=False,
        ),
    )
}


@overload
def get_format(name: Literal["json", "protobuf"]) -> FrameFormat: ...
@overload
def get_format(name: Literal["sfs"]) -> SceneFormat: ...
@overload
def get_format(name: str) -> FrameFormat | SceneFormat: ...
def get_format(name: str) -> FrameFormat | SceneFormat:
    """The attachment format of that name.

    Raises:
        RecipeError: There is none.
    """
    if name not in FORMATS:
        raise RecipeError(f"unknown attachment format {name!r}", fix=f"Known are {', '.join(FORMATS)}.")
    return FORMATS[name]


def format_of_suffix(suffix: str) -> FrameFormat | SceneFormat | None:
    """The attachment format of files with that suffix (".json"), or None."""
    return next((f for f in FORMATS.values() if f.suffix == suffix.lower()), None)
