"""Files and folders of labels, of whatever format, aligned with the frames of a scene."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError, RecipeError
from lidarprep.labels import kitti, nuscenes, openlabel, scale, tables
from lidarprep.remote import AnyPath, as_path
from lidarprep.scene import Cuboids, LabelledFrame, Labels, PointLabels, Scene
from lidarprep.scene.labels import LabelsFrame

# Times of other formats are whole microseconds, or rounded otherwise.
_SAME_TIME_NS = 1_000_000

_TABLES = ("labels.json", "cuboids.parquet", "cuboids.csv", "labels.openlabel.json")


def read_labels(path: str | PathLike[str], scene: Scene, frame: LabelsFrame | None = None) -> Labels:
    """Read labels of a scene from a file or a folder.

    Args:
        path: A .json, .csv or .parquet of the columns of `lidarprep.scene.labels`; an OpenLABEL file; the JSON that the
            response of a lidarannotation task links to, with as many frames as the scene; or a folder: what
            `lidarprep results` has written, KITTI's label_2/ and calib/, or nuScenes' tables. Labels of points are
            points/NAME.npy beside a labels.json.
        scene: The recording, or what was prepared of it.
        frame: What coordinates count from, where the files don't say it. Else those of a task's JSON count from the
            attachments' world, those of tables from the recording's.

    Returns:
        The labels in the frame of reference of the files; `Labels.in_frame` takes them to another one. Their frames are
        all of the scene's. A task's JSON does not say the `world_offset` of its attachments: (0, 0, 0) is returned.

    Raises:
        FormatError: A file cannot be read, or is not what its name says.
        RecipeError: There are no files of labels; or they are of frames that the scene does not have.
    """
    return LabelFile.read(path, scene, frame).labels


@dataclass(frozen=True)
class LabelFile:
    """Labels that were read from a file or a folder.

    Args:
        labels: The labels, as `read_labels` returns them.
        digest: SHA-256 of the files that they were read from, 64 hex digits.
    """

    labels: Labels
    digest: str

    @classmethod
    def read(
        cls,
        path: str | PathLike[str],
        scene: Scene,
        frame: LabelsFrame | None = None,
        selections: Sequence[Sequence[int]] = (),
    ) -> LabelFile:
        """Read labels as `read_labels` does.

        Args:
            path, scene, frame: As of `read_labels`.
            selections: Rows of the scene's frames that a task's JSON may be of, where it is not of all: those that are
                chosen, those that are labelled.
        """
        files = _Files(as_path(path), scene, frame, selections)
        return cls(aligned(files.labels(), scene, str(path)), files.digest.hexdigest())


class _Files:
    """Reads files, and digests what it has read."""

    def __init__(
        self, path: AnyPath, scene: Scene, frame: LabelsFrame | None, selections: Sequence[Sequence[int]]
    ) -> None:
        self.path = path
        self.scene = scene
        self.frame = frame
        self.selections = selections
        self.digest = hashlib.sha256()

    def read(self, path: AnyPath) -> bytes:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise FormatError(path, found=f"cannot be read ({error.strerror or error})") from error
        self.digest.update(f"{path.name} {len(content)} ".encode() + content)
        return content

    @staticmethod
    def entries(folder: AnyPath) -> list[AnyPath]:
        return sorted(folder.iterdir(), key=lambda path: path.name) if folder.is_dir() else []

    def labels(self) -> Labels:
        """Read the labels; those of Scale's JSON have the scene's frames already."""
        path = self.path
        if path.is_file():
            return self.of_file(path)
        if (path / "label_2").is_dir():
            return self.of_kitti(path)
        for folder in (path, *(one for one in self.entries(path) if one.name.startswith("v1.0-"))):
            if (folder / "sample_annotation.json").is_file():
                names = ("category", "attribute", "instance", "sample", "sample_data", "sample_annotation")
                return nuscenes.read_nuscenes({name: self.read(folder / f"{name}.json") for name in names}, str(folder))
        for name in _TABLES:
            if (path / name).is_file():
                return self.of_file(path / name)
        raise RecipeError(
            f"{path} is neither a file nor a folder of labels",
            fix=f"Name a file, or a folder with one of {', '.join(_TABLES)}, label_2/ and calib/, or nuScenes' tables.",
        )

    def of_file(self, path: AnyPath) -> Labels:
        content = self.read(path)
        name = str(path)
        if path.suffix == ".json" and re.match(rb'\s*\{\s*"openlabel"', content):
            return openlabel.read_openlabel(content, name)
        if path.suffix not in (".json", ".csv", ".parquet"):
            raise FormatError(
                path, found=f"a file {path.suffix or 'without a suffix'}", expected=".json, .csv or .parquet"
            )
        if path.suffix == ".json" and content.lstrip()[:1] == b"[":
            listed = scale.read_json(content, name)
            if any(isinstance(one, dict) and "cuboids" in one for one in listed):
                return self.of_scale(listed)
        labels = tables.read_labels(content, name, self.frame or "world")
        folder = path.parent / "points"
        if path.name == "labels.json" and folder.is_dir():
            labels = replace(labels, points=self.of_points(tables.read_objects(content, name), labels, folder))
        return labels

    def of_scale(self, listed: Sequence[Any]) -> Labels:
        """Read what a lidarannotation task links to: a list with an object for each frame."""
        everything = range(len(self.scene))
        rows = next((rows for rows in (everything, *self.selections) if len(rows) == len(listed)), None)
        if rows is None:
            some = sorted({len(one) for one in self.selections} - {len(everything)}, reverse=True)
            of_them = f", of which {' or '.join(map(str, some))} are chosen or labelled" if some else ""
            raise RecipeError(
                f"{self.path} has labels of {len(listed)} frames, and {self.scene.source} has {len(everything)}"
                f"{of_them}",
                fix="Take them with what was labelled: the manifest of that task, or its recording with the same "
                "--frames.",
            )
        cuboids = scale.cuboids(listed, rows, str(self.path))
        return Labels(frames_of(self.scene), frame=self.frame or "attachment", cuboids=cuboids)

    def of_kitti(self, path: AnyPath) -> Labels:
        files = [file for file in self.entries(path / "label_2") if file.suffix == ".txt"]
        texts = {file.stem: self.read(file) for file in files}
        calibrations = {
            file.stem: self.read(path / "calib" / file.name) for file in files if (path / "calib" / file.name).is_file()
        }
        return kitti.read_kitti(texts, calibrations)

    def of_points(
        self,
        objects: tuple[NDArray[np.uint32], NDArray[np.object_], NDArray[np.bool_]],
        labels: Labels,
        folder: AnyPath,
    ) -> PointLabels:
        values: list[NDArray[np.uint32] | None] = []
        for one in labels.frames:
            path = folder / f"{one.id}.npy"
            array = None
            if path.is_file():
                try:
                    array = np.load(io.BytesIO(self.read(path)), allow_pickle=False)
                except (ValueError, EOFError) as error:
                    raise FormatError(path, found=f"no NPY ({error})"[:200]) from None
                if array.ndim != 1 or array.dtype.kind not in "ui":
                    raise FormatError(path, found=f"{array.dtype} {array.shape}", expected="(N,) whole numbers")
            values.append(None if array is None else array.astype(np.uint32))
        return PointLabels(*objects, tuple(values))


def frames_of(scene: Scene) -> tuple[LabelledFrame, ...]:
    """Return a scene's frames as labels have them."""
    return tuple(LabelledFrame(one.id, one.index, one.timestamp, one.world_from_ego) for one in scene)


def aligned(labels: Labels, scene: Scene, source: str, *, strict: bool = True) -> Labels:
    """Return labels with a scene's frames in place of their own.

    Frames are matched by id, else by number, else by time. Where the scene is a part of a recording, labels of the
    recording's other frames are left out, which is noted.

    Args:
        labels: Labels of frames of any scene.
        scene: The scene whose frames they get, all of them and in its order.
        source: Names the labels in errors.
        strict: Whether labels of other frames are refused; else they are left out.

    Raises:
        RecipeError: A frame with labels is none of the scene's.
    """
    frames = frames_of(scene)
    match, elsewhere = _matcher(frames), _matcher(scene.left_out)
    rows = [match(one) for one in labels.frames]
    used = set() if labels.cuboids is None else set(labels.cuboids.frame.tolist())
    if labels.points is not None:
        used |= {row for row, values in enumerate(labels.points.values) if values is not None}
    unmatched = [labels.frames[row] for row in sorted(used) if rows[row] is None]
    missing = [one for one in unmatched if elsewhere(one) is None]
    if missing and strict:
        first = missing[0]
        raise RecipeError(
            f"{source} has labels of {len(missing)} frames that {scene.source} does not have; the first is "
            f"{first.id or first.timestamp or first.index}",
            fix="Name labels of this recording: its frames' ids, numbers or timestamps in nanoseconds.",
        )
    cuboids = labels.cuboids
    if cuboids is not None and len(cuboids):
        row_of = np.array([-1 if row is None else row for row in rows], dtype=np.int64)[cuboids.frame]
        cuboids = replace(cuboids, frame=row_of).take(row_of >= 0)
    points = labels.points
    if points is not None:
        values: list[NDArray[np.uint32] | None] = [None] * len(frames)
        for row, of_frame in zip(rows, points.values, strict=True):
            if row is not None:
                values[row] = of_frame
        points = replace(points, values=tuple(values))
    notes = labels.notes
    if scene.left_out and unmatched:
        notes += (f"labels of {len(unmatched)} frames outside this part of the recording are left out",)
    return replace(labels, frames=frames, cuboids=cuboids or Cuboids.of_rows([]), points=points, notes=notes)


def _matcher(frames: Sequence[LabelledFrame]) -> Callable[[LabelledFrame], int | None]:
    by_id = {one.id: row for row, one in enumerate(frames)}
    by_number = {int(one.id): row for row, one in enumerate(frames) if re.fullmatch("[0-9]{1,9}", one.id)}
    by_index = {one.index: row for row, one in enumerate(frames)}
    timed = [(one.timestamp, row) for row, one in enumerate(frames) if one.timestamp is not None]

    def match(one: LabelledFrame) -> int | None:
        if one.id in by_id:
            return by_id[one.id]
        if re.fullmatch("[0-9]{1,9}", one.id) and by_number:
            return by_number.get(int(one.id))  # 000010 and 10 are one
        if one.timestamp is not None and timed:
            time, row = min(timed, key=lambda entry: abs(entry[0] - (one.timestamp or 0)))
            return row if abs(time - one.timestamp) < _SAME_TIME_NS else None
        return by_index.get(one.index) if not one.id else None

    return match
