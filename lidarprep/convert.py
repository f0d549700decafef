"""Convert one point file or attachment to another; what the target cannot hold is named and dropped."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lidarprep.attachments import FORMATS, FrameFormat, SceneFormat, format_of_suffix
from lidarprep.datasets.attachments import read_frame_file, read_scene_file
from lidarprep.datasets.undecoded import undecoded_file
from lidarprep.errors import FormatError, RecipeError
from lidarprep.pointfiles import is_point_file, point_suffixes, read_points, takes_columns, write_points
from lidarprep.remote import AnyPath, as_path
from lidarprep.scene import CameraImage, Frame, Pose
from lidarprep.steps import StepReport
from lidarprep.steps.intensity import NormaliseIntensity, guess_intensity_scale
from lidarprep.storage.files import move_file, temporary_file, writing

if TYPE_CHECKING:
    from lidarprep.remote.options import AccessOptions

Format = FrameFormat | SceneFormat


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion.

    Args:
        points: Number of points written.
        notes: Losses and guesses, a sentence each.
    """

    points: int
    notes: list[str]


def convert(
    source: str | PathLike[str],
    target: str | PathLike[str],
    *,
    intensity_scale: float | None = None,
    precision: int | None = None,
    frame: str | None = None,
    columns: str | None = None,
    overwrite: bool = False,
    access: AccessOptions | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Conversion:
    """Convert a point file or an attachment to another, by the suffixes of their names.

    The positions of a point file go unchanged into an attachment: its frame of reference becomes the world, with the
    device at the origin. A Sensor Fusion Scene goes whole into another one; anything else takes one frame of it.

    Args:
        source: The file to read, or its URL: s3://, gs://, az://, https://.
        target: The file to write, whole or not at all.
        intensity_scale: The intensity of a point file that becomes 1 in an attachment; None guesses it.
        precision: Decimals of a Frame JSON's points; None keeps them exact.
        frame: A frame of a scene: its id, or its number from 0.
        columns: What the columns of a .bin, a .npy or text are, where it does not name them: "x,y,z,_,intensity".
        overwrite: Whether to replace an existing target.
        access: How the store of a source's URL is reached.
        progress: Called after each frame of a scene with (frames written, frames in all).

    Raises:
        FormatError: A suffix is unknown, or the source is not what it claims to be.
        RecipeError: The target is there already; the intensity's scale is in doubt; the scene has no such frame, or
            several and none is chosen; `columns` is given for a source that names its own.
        SceneError: `columns` makes no sense.
        EncodingError: The target cannot hold a value of the source.
        StorageError: The target cannot be written.
    """
    source, target = as_path(source, access), Path(target)
    if isinstance(source, Path) and source.exists() and target.exists() and source.samefile(target):
        raise RecipeError(f"{source} cannot be converted to itself", fix="Choose another name for the target.")
    if not overwrite and os.path.lexists(target):
        raise RecipeError(f"{target} is there already", fix="Choose another name, or replace it with --overwrite.")
    from_format, to_format = format_of_suffix(source.suffix), format_of_suffix(target.suffix)
    if to_format is None and not is_point_file(target, named=True):
        raise FormatError(target, found=f"unknown kind {target.suffix!r}", expected=f"one of {_known_suffixes()}")
    if precision is not None and (to_format is None or to_format.name != "json"):
        raise RecipeError(f"precision is for Frame JSON, not for {target.suffix}")
    if columns is not None and (from_format is not None or not takes_columns(source)):
        raise RecipeError(f"columns are for files that name none, not for {source.suffix}", fix="Leave --columns out.")
    frames, notes = _read(source, from_format, columns)
    if frame is not None or not isinstance(to_format, SceneFormat):
        frames = [_chosen(frames, frame, source)]
    if to_format is None:
        return _to_point_file(frames[0], target, notes, is_attachment=from_format is not None)
    if from_format is None:
        frames = [_as_attachments_want(frames[0], intensity_scale, notes)]
    frames = _with_images_that_fit(frames, to_format, notes)
    if isinstance(to_format, SceneFormat):
        return _to_scene(frames, target, to_format, notes, progress)
    data = to_format.encode(frames[0], precision=precision)
    with temporary_file(target) as file, writing(target):
        file.write(data)
        move_file(file, target)
    return Conversion(len(frames[0].points()), [*notes, *to_format.losses(frames[0]).values()])


# ---- reading -------------------------------------------------------------------------------------------------------


def _read(source: AnyPath, attachment_format: Format | None, columns: str | None) -> tuple[list[Frame], list[str]]:
    """Read the frames of a file, and the notes of what was left out."""
    if attachment_format is None:
        if not is_point_file(source, named=True):
            undecoded = undecoded_file(source)
            if undecoded is not None:
                raise FormatError(source, found=undecoded.what, fix=undecoded.cure)
            raise FormatError(source, found=f"unknown kind {source.suffix!r}", expected=f"one of {_known_suffixes()}")
        points = read_points(source, "world", columns)
        return [Frame(id=source.stem, index=0, read_points=lambda: points, world_from_ego=Pose.identity())], []
    if isinstance(attachment_format, SceneFormat):
        scene = read_scene_file(source, attachment_format)
        return list(scene.frames), list(scene.notes)
    return [read_frame_file(source, attachment_format)], []


def _chosen(frames: list[Frame], wanted: str | None, source: AnyPath) -> Frame:
    """Choose a frame by its id, else by its number."""
    if wanted is None:
        if len(frames) == 1:
            return frames[0]
        raise RecipeError(
            f"{source} has {len(frames)} frames, {frames[0].id} to {frames[-1].id}, and the target holds one",
            fix="Choose one with --frame.",
        )
    found = [frame for frame in frames if frame.id == wanted]
    if not found and wanted.isdecimal():
        found = frames[int(wanted) :][:1]
    if not found:
        raise RecipeError(f"{source} has no frame {wanted!r}; it has {len(frames)}, {frames[0].id} to {frames[-1].id}")
    return found[0]


# ---- fitting the target --------------------------------------------------------------------------------------------


def _as_attachments_want(frame: Frame, intensity_scale: float | None, notes: list[str]) -> Frame:
    """Normalise the intensities of a point file's frame, and drop its points that are not finite."""
    points = frame.points()
    if intensity_scale is None:
        intensity_scale, reason = guess_intensity_scale([points])
        if points.intensity is not None:
            notes.append(f"intensity {intensity_scale:g} is taken as 1, since {reason}")
    points = NormaliseIntensity(intensity_scale)(frame, StepReport()).points()
    finite = np.isfinite(points.positions).all(axis=1)
    if not finite.all():
        notes.append(f"{(~finite).sum()} points that are not finite are dropped")
        points = points.take(finite)
    return frame.with_data(points)


def _with_images_that_fit(frames: list[Frame], to_format: Format, notes: list[str]) -> list[Frame]:
    """Drop images that lack what the format holds of one: a URL, or their bytes."""

    def fits(image: CameraImage) -> bool:
        if to_format.images == "url":
            return image.url is not None
        return image.content is not None or image.path is not None

    unfit = [image.camera.name for frame in frames for image in frame.images if not fits(image)]
    if not unfit:
        return frames
    lacks = "no URL, which is what" if to_format.images == "url" else "a URL only, and their bytes are what"
    notes.append(
        f"{len(unfit)} images have {lacks} {to_format.name} attachments hold; they are dropped: "
        f"{', '.join(dict.fromkeys(unfit))}"
    )
    return [replace(frame, images=tuple(filter(fits, frame.images))) for frame in frames]


# ---- writing -------------------------------------------------------------------------------------------------------


def _to_point_file(frame: Frame, target: Path, notes: list[str], *, is_attachment: bool) -> Conversion:
    points = frame.points()
    unheld = write_points(target, points)
    notes.extend(points.notes)
    if points.ignored_fields:
        notes.append(f"fields that have no place in a cloud are dropped: {', '.join(points.ignored_fields)}")
    if unheld:
        notes.append(f"{target.suffix} does not hold exactly: {', '.join(unheld)}")
    if is_attachment:
        radar = frame.radar()
        beside = ["the device's pose"]
        beside += ["its GPS pose"] if frame.gps is not None else []
        beside += ["the frame's timestamp"] if frame.timestamp is not None else []
        beside += [f"{len(radar)} radar points"] if radar is not None else []
        beside += [f"{len(frame.images)} images"] if frame.images else []
        notes.append(f"{target.suffix} holds points only; dropped: {', '.join(beside)}")
    return Conversion(len(points), notes)


def _to_scene(
    frames: list[Frame],
    target: Path,
    to_format: SceneFormat,
    notes: list[str],
    progress: Callable[[int, int], None],
) -> Conversion:
    points, losses = 0, dict[str, str]()
    with temporary_file(target) as file:
        writer = to_format.writer(file, frames=len(frames), images=sum(len(frame.images) for frame in frames))
        for done, frame in enumerate(frames, start=1):
            cloud = frame.points()
            held = frame.with_data(cloud, frame.radar())  # its points are read once
            writer.add(held)
            points += len(cloud)
            losses = to_format.losses(held) | losses  # the first sentence of each kind
            progress(done, len(frames))
        writer.finish()
        with writing(target):
            move_file(file, target)
    return Conversion(points, [*notes, *losses.values(), *writer.notes])


def _known_suffixes() -> str:
    return " ".join([*sorted(point_suffixes(named=True)), *(f.suffix for f in FORMATS.values())])
