"""One point file or attachment to another."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from lidarprep.attachments import FORMATS, AttachmentFormat, format_of_suffix
from lidarprep.errors import FormatError, RecipeError
from lidarprep.readers import point_suffixes, read_points, write_points
from lidarprep.readers.points import is_point_file
from lidarprep.scene import Frame, Pose
from lidarprep.steps import StepReport
from lidarprep.steps.intensity import NormaliseIntensity, guess_intensity_scale
from lidarprep.storage import LocalFolder


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    Args:
        points: How many points were written.
        notes: What was dropped, rounded or guessed, a sentence each.
    """

    points: int
    notes: list[str]


def convert(
    source: str | PathLike[str],
    target: str | PathLike[str],
    *,
    intensity_scale: float | None = None,
    precision: int | None = None,
) -> Conversion:
    """Converts a point file or an attachment to another, by the suffixes of their names.

    The points of a point file go into an attachment as they stand: its frame of reference becomes the world, with the
    device at the origin.

    Args:
        source: The file that is read.
        target: The file that is written, whole or not at all.
        intensity_scale: The intensity of a point file that becomes 1 in an attachment; guessed where it is None.
        precision: Decimals of a Frame JSON's points; exact where it is None.

    Raises:
        FormatError: A name's end is unknown, or the source is not what it claims to be.
        RecipeError: The intensity's scale is in doubt.
        EncodingError: The target cannot hold what the source has.
        StorageError: The target cannot be written.
    """
    source, target = Path(source), Path(target)
    if source.exists() and target.exists() and source.samefile(target):
        raise RecipeError(f"{source} cannot be converted to itself", fix="Choose another name for the target.")
    from_format, to_format = format_of_suffix(source.suffix), format_of_suffix(target.suffix)
    if to_format is None and not is_point_file(target):
        raise FormatError(target, found=f"unknown kind {target.suffix!r}", expected=f"one of {_known_suffixes()}")
    frame = _read(source, from_format)
    notes: list[str] = []
    if to_format is None:
        if precision is not None:
            raise RecipeError(f"precision is for Frame JSON, not for {target.suffix}")
        points = frame.points()
        unheld = write_points(target, points)
        if points.ignored_fields:
            notes.append(f"fields that have no place in a cloud are dropped: {', '.join(points.ignored_fields)}")
        if unheld:
            notes.append(f"{target.suffix} does not hold exactly: {', '.join(unheld)}")
        if from_format is not None:
            notes.append("pose, radar points and pictures of the attachment are dropped")
        return Conversion(len(points), notes)
    if from_format is None:
        frame, note = _normalised(frame, intensity_scale)
        notes += [note] if note else []
        frame, note = _finite(frame)
        notes += [note] if note else []
    data = to_format.encode(frame, precision=precision)
    LocalFolder(target.parent).put(target.name, data, to_format.content_type)
    notes += to_format.losses(frame).values()
    return Conversion(len(frame.points()), notes)


def _read(source: Path, attachment_format: AttachmentFormat | None) -> Frame:
    if attachment_format is not None:
        try:
            data = source.read_bytes()
        except OSError as error:
            raise FormatError(source, found=f"the file cannot be read ({error.strerror or error})") from error
        return attachment_format.decode(data, source=str(source))
    if not is_point_file(source):
        raise FormatError(source, found=f"unknown kind {source.suffix!r}", expected=f"one of {_known_suffixes()}")
    points = read_points(source, "world")
    return Frame(id=source.stem, index=0, read_points=lambda: points, world_from_ego=Pose.identity())


def _normalised(frame: Frame, scale: float | None) -> tuple[Frame, str | None]:
    note = None
    if scale is None:
        points = frame.points()
        scale, reason = guess_intensity_scale([points])
        note = None if points.intensity is None else f"intensity {scale:g} is taken as 1, since {reason}"
    return NormaliseIntensity(scale)(frame, StepReport()), note


def _finite(frame: Frame) -> tuple[Frame, str | None]:
    """Without the points that are not finite, which no attachment can hold."""
    points = frame.points()
    finite = np.isfinite(points.positions).all(axis=1)
    if finite.all():
        return frame, None
    return frame.with_data(points.take(finite)), f"{(~finite).sum()} points that are not finite are dropped"


def _known_suffixes() -> str:
    return " ".join([*sorted(point_suffixes()), *(f.suffix for f in FORMATS.values())])
