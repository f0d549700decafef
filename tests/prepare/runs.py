"""What the tests of a run share: recordings that note what is read of them, and what is told and stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lidarprep as lp
from lidarprep.attachments import get_format
from lidarprep.storage.manifest import AttachmentRecord, FrameRecord, FrameResult, SkippedRecord

REGION = lp.RegionOfInterest3D(position=(20.0, 5.0, 0.0), length=50.0, width=30.0, rotation=0.3)

# Ids of the frames whose points were read.
read: list[str] = []


def _read_counted(frame_id: str, read_points: Callable[[], lp.PointCloud]) -> lp.PointCloud:
    read.append(frame_id)
    return read_points()


def counted(scene: lp.Scene) -> lp.Scene:
    """The scene, whose frames note in `read` that they are read."""
    read.clear()
    frames = (replace(one, read_points=partial(_read_counted, one.id, one.read_points)) for one in scene)
    return replace(scene, frames=tuple(frames))


class Told:
    """Notes what progress is told; raises an error once a frame is told of."""

    def __init__(self, stop_at: str = "", error: BaseException | None = None) -> None:
        self.told: list[Any] = []
        self.stop_at = stop_at
        self.error = error

    def start(self, frames: int, done: int) -> None:
        self.told.append((frames, done))

    def advance(self, frame: FrameRecord, stored_bytes: int) -> None:
        self.told.append(frame.id)
        if frame.id == self.stop_at and self.error is not None:
            raise self.error

    def skip(self, frame: SkippedRecord) -> None:
        self.told.append(f"without {frame.id}")


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def finished(out: Path) -> set[str]:
    """Ids of the frames that a run which has not ended has finished."""
    entries = [path.read_bytes() for path in (out / ".lidarprep").glob("*.json")]
    return {FrameResult.model_validate_json(data).record.id for data in entries if b'"frame"' in data}


def assert_only_what_the_manifest_names(manifest: lp.Manifest, out: Path) -> None:
    """Everything below the folder is named, and is what the manifest says."""
    assert not lp.verify(lp.load_manifest(out)).findings
    assert set(files(out)) == {key for key, _ in manifest.objects()} | {"manifest.json"}
    assert lp.load_manifest(out) == manifest


def points_of(out: Path, record: AttachmentRecord, format: str = "json") -> lp.PointCloud:
    """The points of an attachment."""
    frame_format: Any = get_format(format)
    cloud: lp.PointCloud = frame_format.decode((out / record.url).read_bytes()).points()
    return cloud


def positions_of(out: Path, record: AttachmentRecord, format: str = "json") -> NDArray[np.float64]:
    """(N, 3) positions of an attachment."""
    return points_of(out, record, format).positions.astype(np.float64)


def cut(path: Path) -> None:
    """Make a file end early."""
    path.write_bytes(path.read_bytes()[:-7])
