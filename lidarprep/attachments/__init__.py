"""Attachments: frames of the world as the bytes that Scale reads, and back.

Each format is one module with `encode` and `decode`; the table here says what else there is to know of it, without
importing it, since a format's module brings its kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Literal, cast

import numpy as np

from lidarprep.errors import RecipeError
from lidarprep.scene import Frame
from lidarprep.scene.points import LARGEST_EXACT_M

FormatName = Literal["json", "protobuf"]


@dataclass(frozen=True)
class AttachmentFormat:
    """What there is to know of an attachment format.

    Args:
        name: Its name in a recipe, and as `attachment_type` of a task.
        suffix: Suffix of its files.
        content_type: Media type that it is stored under.
        module: Module with its `encode` and `decode`.
        columns: Optional columns of a PointCloud that it holds.
        exact_timestamps: Whether nanoseconds since the epoch fit its numbers; float64 rounds them to 256 ns.
    """

    name: FormatName
    suffix: str
    content_type: str
    module: str
    columns: frozenset[str]
    exact_timestamps: bool

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
        if not self.exact_timestamps:
            times = [frame.timestamp or 0, *(image.timestamp or 0 for image in frame.images)]
            if points.timestamp is not None and len(points):
                times.append(int(np.abs(points.timestamp).max()))
            rounding = float(np.spacing(float(max(times, key=abs))))
            if rounding > 1:
                losses["rounded timestamps"] = f"{self.name} rounds timestamps since the epoch to {rounding:.0f} ns"
        return losses


FORMATS: dict[str, AttachmentFormat] = {
    attachment_format.name: attachment_format
    for attachment_format in (
        AttachmentFormat(
            name="json",
            suffix=".json",
            content_type="application/json",
            module="lidarprep.attachments.frame_json",
            columns=frozenset({"intensity", "device", "timestamp", "is_ground"}),
            exact_timestamps=True,
        ),
        AttachmentFormat(
            name="protobuf",
            suffix=".pb",
            content_type="application/x-protobuf",
            module="lidarprep.attachments.lidar_frame",
            columns=frozenset({"intensity", "device", "timestamp", "is_ground"}),
            exact_timestamps=False,
        ),
    )
}


def get_format(name: str) -> AttachmentFormat:
    """The attachment format of that name.

    Raises:
        RecipeError: There is none.
    """
    if name not in FORMATS:
        raise RecipeError(f"unknown attachment format {name!r}", fix=f"Known are {', '.join(FORMATS)}.")
    return FORMATS[name]


def format_of_suffix(suffix: str) -> AttachmentFormat | None:
    """The attachment format of files with that suffix (".json"), or None."""
    return next((f for f in FORMATS.values() if f.suffix == suffix.lower()), None)
