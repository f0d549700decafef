"""Pre-labels: labels of other people or of a model, aligned with the frames of a recording."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError, RecipeError
from lidarprep.labels import kitti, nuscenes, openlabel, scale, tables
from lidarprep.scene import Cuboids, LabelledFrame, Labels, PointLabels, Scene
from lidarprep.scene.labels import LabelsFrame

# Times of other formats are whole microseconds, or rounded otherwise.
_SAME_TIME_NS = 1_000_000

_TABLES = ("labels.json", "cuboids.parquet", "cuboids.csv", "labels.openlabel.json")


@dataclass(frozen=True)
class Prelabels:
    """Pre-labels of a recording.

    Args:
        labels: The labels in the recording's world; its frames are all of the recording's, in their order.
        digest: SHA-256 of the files that they were read from, 64 hex digits.
    """

    labels: Labels
    digest: str

    @classmethod
    def read(cls, path: str, frame: LabelsFrame | None, scene: Scene) -> Prelabels:
        """Read pre-labels of a recording.

        Args:
            path: A .json, .csv or .parquet of the columns of `lidarprep.scene.labels`, an OpenLABEL file, or a folder:
                what `lidarprep results` has written, KITTI's label_2/ and calib/, or nuScenes' tables. Labels of points
                are points/NAME.npy beside a labels.json.
            frame: What coordinates count from, where the files don't say it; else the world.
            scene: The recording.

        Raises:
            FormatError: A file cannot be read, or is not what its name says.
            RecipeError: There are no labels in it; or they are of frames that the recording does not have.
            SceneError: They are in ego, and a frame has no pose.
        """
        reader = _Files(Path(path))
        labels = reader.labels(frame)
        labels = _aligned(labels, scene, path).in_frame("world")
        if labels.cuboids is None or not (len(labels.cuboids) or labels.points or labels.shapes):
            raise RecipeError(f"{path} holds no labels", fix="Name other pre-labels, or leave --prelabels out.")
        return cls(labels, reader.digest.hexdigest())

    def notes(self, format: str) -> list[str]:
        """Return what attachments of a format do not hold of them, a sentence.

        Raises:
            RecipeError: They hold nothing of them, and no task begins with them.
        """
        if format == "sfs":
            return [] if self.labels.shapes is None else ["a Sensor Fusion Scene does not hold top-down shapes"]
        if self.labels.shapes is None:
            raise RecipeError(
                f"pre-labels of cuboids and points go into a Sensor Fusion Scene; the format is {format}",
                fix="Prepare with --format sfs, or leave --prelabels out.",
            )
        unheld = self.labels.points is not None or (self.labels.cuboids is not None and len(self.labels.cuboids) > 0)
        return [f"of the pre-labels {format} attachments take the top-down shapes only"] if unheld else []

    @property
    def base_annotations(self) -> dict[str, Any] | None:
        """What a topdown task begins with, in the recording's own world; None where there are no top-down shapes."""
        return None if self.labels.shapes is None else scale.base_annotations(self.labels.shapes)

    def of_attachments(self, offset: tuple[float, float, float]) -> Labels:
        """Return the labels in the attachments' world."""
        return replace(self.labels, world_offset=offset).in_frame("attachment")

    def of_points(self, frame_id: str) -> NDArray[np.uint32] | None:
        """Return the labels of all points of a frame of the recording; None if they are not labelled."""
        points = self.labels.points
        row = next((row for row, one in enumerate(self.labels.frames) if one.id == frame_id), None)
        return None if points is None or row is None else points.values[row]


class _Files:
    """Reads files, and digests what it has read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.digest = hashlib.sha256()

    def read(self, path: Path) -> bytes:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise FormatError(path, found=f"cannot be read ({error.strerror or error})") from error
        self.digest.update(f"{path.name} {len(content)} ".encode() + content)
        return content

    def labels(self, frame: LabelsFrame | None) -> Labels:
        path = self.path
        if path.is_file():
            return self.of_file(path, frame)
        if (path / "label_2").is_dir():
            return self.of_kitti(path)
        for folder in (path, *sorted(path.glob("v1.0-*"))):
            if (folder / "sample_annotation.json").is_file():
                names = ("category", "attribute", "instance", "sample", "sample_data", "sample_annotation")
                return nuscenes.read_nuscenes({name: self.read(folder / f"{name}.json") for name in names}, str(folder))
        for name in _TABLES:
            if (path / name).is_file():
                return self.of_file(path / name, frame)
        raise RecipeError(
            f"{path} is neither a file nor a folder of labels",
            fix=f"Name a file, or a folder with one of {', '.join(_TABLES)}, label_2/ and calib/, or nuScenes' tables.",
        )

    def of_file(self, path: Path, frame: LabelsFrame | None) -> Labels:
        content = self.read(path)
        name = str(path)
        if path.suffix == ".json" and re.match(rb'\s*\{\s*"openlabel"', content):
            return openlabel.read_openlabel(content, name)
        if path.suffix not in (".json", ".csv", ".parquet"):
            raise FormatError(
                path, found=f"a file {path.suffix or 'without a suffix'}", expected=".json, .csv or .parquet"
            )
        labels = tables.read_labels(content, name, frame or "world")
        folder = path.parent / "points"
        if path.name == "labels.json" and folder.is_dir():
            labels = replace(labels, points=self.of_points(tables.read_objects(content, name), labels, folder))
        return labels

    def of_kitti(self, path: Path) -> Labels:
        files = sorted((path / "label_2").glob("*.txt"))
        texts = {file.stem: self.read(file) for file in files}
        calibrations = {
            file.stem: self.read(path / "calib" / file.name) for file in files if (path / "calib" / file.name).is_file()
        }
        return kitti.read_kitti(texts, calibrations)

    def of_points(
        self,
        objects: tuple[NDArray[np.uint32], NDArray[np.object_], NDArray[np.bool_]],
        labels: Labels,
        folder: Path,
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


def _aligned(labels: Labels, scene: Scene, path: str) -> Labels:
    """Return the labels with the recording's frames in place of their own.

    Frames are matched by id, else by number, else by time.

    Raises:
        RecipeError: A frame with labels is none of the recording's.
    """
    frames = tuple(LabelledFrame(one.id, one.index, one.timestamp, one.world_from_ego) for one in scene)
    match = _matcher(frames)
    rows = [match(one) for one in labels.frames]
    used = set() if labels.cuboids is None else set(labels.cuboids.frame.tolist())
    if labels.points is not None:
        used |= {row for row, values in enumerate(labels.points.values) if values is not None}
    missing = [labels.frames[row] for row in sorted(used) if rows[row] is None]
    if missing:
        first = missing[0]
        raise RecipeError(
            f"{path} has labels of {len(missing)} frames that {scene.source} does not have; the first is "
            f"{first.id or first.timestamp or first.index}",
            fix="Name pre-labels of this recording: its frames' ids, numbers or timestamps in nanoseconds.",
        )
    cuboids = labels.cuboids
    if cuboids is not None and len(cuboids):
        table = np.array([-1 if row is None else row for row in rows], dtype=np.int64)
        cuboids = replace(cuboids, frame=table[cuboids.frame])
    points = labels.points
    if points is not None:
        values: list[NDArray[np.uint32] | None] = [None] * len(frames)
        for row, of_frame in zip(rows, points.values, strict=True):
            if row is not None:
                values[row] = of_frame
        points = replace(points, values=tuple(values))
    return replace(labels, frames=frames, cuboids=cuboids or Cuboids.of_rows([]), points=points)


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
