"""Attachments: frames of the world as the bytes that Scale reads, and back.

Each format is one module. The table here has all other facts about it without importing it, since a format's module
loads its kernels. Frame JSON and LidarFrame protobuf hold one frame (`FrameFormat`), a Sensor Fusion Scene holds all
of them (`SceneFormat`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, BinaryIO, Literal, cast, overload

import numpy as np

from lidarprep.errors import RecipeError
from lidarprep.scene import Frame, Labels, Scene
from lidarprep.scene.points import LARGEST_EXACT_M

if TYPE_CHECKING:
    from mmap import mmap

    from lidarprep.attachments.sensor_fusion_scene import SceneWriter

# The earliest plausible time of a recording, nanoseconds since the Unix epoch: 1980, the start of GPS time.
EARLIEST_UNIX_NS = 315_964_800 * 10**9

FormatName = Literal["json", "protobuf", "sfs"]


@dataclass(frozen=True)
class AttachmentFormat:
    """The facts about an attachment format.

    Args:
        name: Its name in a recipe.
        title: Its name in a sentence.
        suffix: Suffix of its files.
        content_type: Media type of its files.
        module: Module that writes and reads it.
        columns: Optional columns of a PointCloud that it holds.
        images: Whether it holds an image's URL or its encoded bytes.
        exact_timestamps: Whether nanoseconds since the epoch fit its numbers; float64 rounds them to 256 ns.
        exact_intensity: Whether it holds intensities as float32; else in 256 steps.
        image_metadata: Whether it holds images' metadata.
    """

    name: FormatName
    title: str
    suffix: str
    content_type: str
    module: str
    columns: frozenset[str]
    images: Literal["url", "content"]
    exact_timestamps: bool
    exact_intensity: bool = True
    image_metadata: bool = False

    def losses(self, frame: Frame) -> dict[str, str]:
        """Return what an attachment of this frame cannot hold, or rounds: a sentence with the figure for each kind."""
        losses = {}
        points = frame.points()
        unheld = [*points.ignored_fields, *sorted(set(points.columns) - self.columns)]
        if unheld:
            losses["unheld fields"] = f"fields that {self.name} attachments do not hold: {', '.join(unheld)}"
        losses |= {note: note for note in points.notes}
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
                    f"points' times reach {latest / 1e9:.6g} s: they are written unchanged, though they count from a "
                    "start of their own and not from the Unix epoch"
                )
        if not self.exact_intensity and points.intensity is not None and len(points):
            steps = points.intensity * np.float32(255)
            rounding = float(np.abs(steps - np.rint(steps)).max()) / 255
            if rounding > 1e-6:
                losses["rounded intensities"] = (
                    f"{self.name} holds intensities in 256 steps: rounded by up to {rounding:.2g}"
                )
        if not self.image_metadata and any(image.metadata for image in frame.images):
            losses["image metadata"] = f"{self.name} attachments do not hold the images' metadata"
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
        """Encode one frame in the world as one attachment.

        Args:
            frame: Its points in the world frame, its intensity 0–1, its images with URLs.
            precision: Decimals of the points' numbers, where the format is text; None for exact ones.

        Raises:
            EncodingError: The format cannot hold a value of the frame.
        """
        encode = cast(Callable[..., bytes], import_module(self.module).encode)
        return encode(frame, precision=precision)

    def decode(self, data: bytes, *, source: str = "attachment") -> Frame:
        """Decode one attachment as a frame in the world; `source` names it in errors.

        Raises:
            FormatError: The bytes are not of the format.
        """
        return cast(Frame, import_module(self.module).decode(data, source=source))

    def relink(self, data: bytes, url_of: Callable[[str], str], *, source: str = "attachment") -> bytes:
        """Replace the URLs of images in an attachment that `encode` has made; all other bytes stay the same.

        Args:
            data: The attachment.
            url_of: Gives the new URL for an old one.
            source: Names it in errors.

        Raises:
            FormatError: `encode` has not made it.
        """
        relink = cast(Callable[..., bytes], import_module(self.module).relink)
        return relink(data, url_of, source=source)


@dataclass(frozen=True)
class SceneFormat(AttachmentFormat):
    """A format whose one attachment holds all frames of a scene, with their images.

    The `notes` of its writer name what it rounds, assumes or drops.
    """

    def writer(
        self,
        file: BinaryIO,
        *,
        frames: int,
        images: int,
        lidars: int = 1,
        odometry: bool = False,
        labels: Labels | None = None,
    ) -> SceneWriter:
        """Return a writer that takes the frames one by one, and completes the file by `finish`.

        Args:
            file: An empty binary file, open for reading and writing ("w+b").
            frames: Expected number of frames; a wrong estimate costs time, not more memory.
            images: Expected number of images of all frames.
            lidars: Expected number of lidars.
            odometry: Whether to write the device's poses as a sensor of their own.
            labels: Pre-labels in the attachments' world, which become the scene's annotations.
        """
        module = import_module(self.module)
        writer = module.SceneWriter(file, frames=frames, images=images, lidars=lidars, odometry=odometry, labels=labels)
        return cast("SceneWriter", writer)

    def read_annotations(self, data: bytes | mmap, *, source: str = "attachment") -> Labels:
        """Read the labels that a scene holds, in its world.

        Raises:
            FormatError: The bytes are not of the format.
        """
        return cast(Labels, import_module(self.module).read_annotations(data, source))

    def decode(self, data: bytes | mmap, *, source: str = "attachment") -> Scene:
        """Decode an attachment as a recording in the world.

        Args:
            data: The whole file, or a memory map of it, which is read on demand.
            source: Names it in errors.

        Raises:
            FormatError: The bytes are not of the format.
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
            images="url",
            exact_timestamps=True,
            image_metadata=True,
        ),
        FrameFormat(
            name="protobuf",
            title="LidarFrame protobuf",
            suffix=".pb",
            content_type="application/x-protobuf",
            module="lidarprep.attachments.lidar_frame",
            columns=frozenset({"intensity", "device", "timestamp", "is_ground"}),
            images="url",
            exact_timestamps=False,
        ),
        SceneFormat(
            name="sfs",
            title="Sensor Fusion Scene",
            suffix=".sfs",
            content_type="application/octet-stream",
            module="lidarprep.attachments.sensor_fusion_scene",
            columns=frozenset({"intensity", "device", "timestamp", "colour"}),
            images="content",
            exact_timestamps=True,  # whole microseconds from an offset; its writer notes what it rounds
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
    """Return the attachment format of that name.

    Raises:
        RecipeError: The name is unknown.
    """
    if name not in FORMATS:
        raise RecipeError(f"unknown attachment format {name!r}", fix=f"Known are {', '.join(FORMATS)}.")
    return FORMATS[name]


def format_of_suffix(suffix: str) -> FrameFormat | SceneFormat | None:
    """Return the attachment format of files with that suffix (".json"), or None."""
    return next((f for f in FORMATS.values() if f.suffix == suffix.lower()), None)
