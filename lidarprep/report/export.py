"""Exports to viewers that people have: MCAP for Foxglove and Lichtblick, .rrd for Rerun.

Frames are read by threads, a few ahead of the one that is written, so that memory is bounded by frames in flight.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from lidarprep.checks import BadImage
from lidarprep.errors import RecipeError, SceneError
from lidarprep.recipe import Recipe
from lidarprep.report.boxes import ShownLabels
from lidarprep.report.moments import UNTIMED_NS, ExportPlan, Moment
from lidarprep.report.secrets import without_secrets
from lidarprep.report.views import Fate, SceneView
from lidarprep.scene import Labels, Scene
from lidarprep.scene_settings import BAD_FRAME
from lidarprep.storage import Manifest
from lidarprep.storage.files import move_file, temporary_file, writing

# Threads that read and encode frames; one more frame waits to be written.
_THREADS = min(4, os.cpu_count() or 1)

# Of frames and images that are left out, so many are named.
_NAMED = 3


@dataclass(frozen=True)
class ExportResult:
    """What an export has written.

    Args:
        path: The file.
        frames, points, images: How many of each.
        bytes: Size of the file.
        notes: What was left out, and what the viewer does not show as it is: a sentence each.
    """

    path: str
    frames: int
    points: int
    images: int
    bytes: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self) | {"notes": list(self.notes)}


class ExportFile(Protocol):
    """A file of one of the formats, written frame by frame."""

    notes: list[str]

    def encode(self, moment: Moment) -> Any:
        """Encode a frame; any thread may."""

    def write(self, moment: Moment, encoded: Any) -> None:
        """Write an encoded frame; frames come in time order."""

    def finish(self, about: dict[str, str]) -> None:
        """Write what is left, and what the file is about."""


def export(
    source: Scene | Manifest | SceneView,
    path: str | PathLike[str],
    *,
    recipe: Recipe | None = None,
    kept_only: bool = False,
    labels: Labels | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ExportResult:
    """Export a scene to a file that a viewer opens: points with their fates, poses, images, radar and labels.

    The file is written under a temporary name, and is whole or not there. Frames that cannot be read, and images that
    cannot be decoded, are left out and named in the notes.

    Args:
        source: A recording; or a manifest on this machine, or a scene opened from one: what was stored.
        path: The file to write: .mcap, which takes the extra `foxglove`; or .rrd, which takes the extra `rerun`.
        recipe: How the recording is prepared, which says the points' fates and selects frames; None keeps all.
        kept_only: Whether to leave out the points that preparation drops.
        labels: Labels of the scene, as `lp.results` and `lp.read_labels` return them, in any frame of reference. None:
            those that the scene itself has, if any.
        overwrite: Whether to replace an existing file.
        progress: Called after each frame with (frames done, frames in all).

    Raises:
        RecipeError: The suffix is unknown; the file is there already, or is part of the recording; the labels or the
            recipe do not fit the scene.
        MissingExtraError: The libraries that write the format are not installed.
        SceneError, FormatError: No frame can be read.
        StorageError: The file cannot be written; the manifest is not on this machine.
    """
    target = Path(path)
    file_type = _file_type(target)
    if not overwrite and os.path.lexists(target):
        raise RecipeError(f"{target} is there already", fix="Choose another name, or replace it with --overwrite.")
    view = SceneView.of(source, recipe)
    view.require_other(target)
    shown = ShownLabels.of(labels, view) if labels is not None or view.prelabels is not None else None
    plan = ExportPlan.of(view, shown, kept_only=kept_only)
    log = _Log(plan)
    with temporary_file(target) as stream:
        file = file_type(stream, plan)

        def read(row: int) -> tuple[Moment, Any]:
            moment = plan.read(row)
            return moment, file.encode(moment)

        for row, result in _ahead(read, len(view.frames)):
            try:
                moment, encoded = result.result()
            except BAD_FRAME as error:
                log.leave_out(row, error)
            else:
                file.write(moment, encoded)
                log.add(moment)
            progress(row + 1, len(view.frames))
        log.require_some()
        notes = (*log.notes(), *file.notes)
        file.finish(_about(plan, notes))
        with writing(target):
            move_file(stream, target)
    return ExportResult(str(target), log.frames, log.points, log.images, target.stat().st_size, notes)


def _file_type(target: Path) -> Callable[[BinaryIO, ExportPlan], ExportFile]:
    suffix = target.suffix.lower()
    if suffix == ".mcap":
        from lidarprep.report.foxglove import McapFile

        return McapFile
    if suffix == ".rrd":
        from lidarprep.report.rerun import RrdFile

        return RrdFile
    found = f"ends in {suffix}" if suffix else "has no suffix"
    raise RecipeError(
        f"{target} {found}, which says no viewer's format",
        fix="Known are .mcap (Foxglove, Lichtblick, Rerun) and .rrd (Rerun).",
    )


def _ahead(read: Callable[[int], Any], rows: int) -> Iterator[tuple[int, Future[Any]]]:
    """Read rows in threads, a few ahead; each comes in its turn."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="lidarprep-export") as pool:
        waiting: deque[tuple[int, Future[Any]]] = deque()
        try:
            for row in range(rows):
                waiting.append((row, pool.submit(read, row)))
                if len(waiting) > _THREADS:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            pool.shutdown(cancel_futures=True)


def _about(plan: ExportPlan, notes: Sequence[str]) -> dict[str, str]:
    """Say what the file is of, for those who find it later."""
    scene, recipe = plan.view.scene, plan.view.recipe
    about = {
        "lidarprep": version("lidarprep"),
        "source": scene.source,
        "layout": scene.layout,
        "offset": " ".join(f"{value:g}" for value in plan.view.offset),
        "fates": ", ".join(f"{fate.value} {fate.title}" for fate in Fate),
        "recipe": recipe.model_dump_json(exclude_defaults=True),
        "notes": "\n".join(notes),
    }
    return {key: without_secrets(value).encode("utf-8", "replace").decode() for key, value in about.items()}


class _Log:
    """Counts what was written, and says what was not."""

    def __init__(self, plan: ExportPlan) -> None:
        self._plan = plan
        self.frames = self.points = self.images = 0
        self._not_finite = self._without_pose = 0
        self._bad_frames: list[str] = []
        self._errors: list[Exception] = []
        self._bad_images: list[BadImage] = []
        self._of_images: Counter[tuple[str, str]] = Counter()

    def add(self, moment: Moment) -> None:
        """Count a frame that was written."""
        self.frames += 1
        self.points += len(moment.view)
        self.images += len(moment.images)
        self._not_finite += moment.not_finite
        self._without_pose += moment.view.world_from_ego is None
        self._bad_images += moment.bad_images
        self._of_images += moment.notes

    def leave_out(self, row: int, error: SceneError | Exception) -> None:
        """Count a frame that cannot be read."""
        self._bad_frames.append(f"{self._plan.view.frames[row].id} ({str(error).splitlines()[0]})")
        self._errors.append(error)

    def require_some(self) -> None:
        """Raise what is wrong with the first frame, if none was written."""
        if not self.frames:
            raise self._errors[0]

    def notes(self) -> list[str]:
        """Return what is to be known of the file, a sentence each."""
        view, notes = self._plan.view, []
        if self._bad_frames:
            notes.append(f"bad frames are left out: {_some(self._bad_frames)}")
        if not self._plan.has_times:
            notes.append(
                f"times are missing or run backwards: frames are shown {UNTIMED_NS / 1e9:g} s apart, from 1970 on"
            )
        if self._without_pose:
            what = "points are drawn around the origin" if view.scene.points_frame == "ego" else "no device is drawn"
            notes.append(f"{self._without_pose} of {self.frames} frames have no pose: their {what}")
        if any(view.offset):
            x, y, z = view.offset
            notes.append(f"({x:g}, {y:g}, {z:g}) m are taken from the recording's world")
        if view.intensity_is_guessed:
            notes.append(f"intensity {view.intensity_scale:g} is drawn as 1; prepare would ask for --intensity-scale")
        if self._not_finite:
            notes.append(f"{self._not_finite:,} points that are not finite are left out")
        for (camera, what), count in self._of_images.items():
            notes.append(f"camera {camera}: {count} image{'s are' if count > 1 else ' is'} {what}")
        for camera in dict.fromkeys(image.camera for image in self._bad_images):
            bad = [f"frame {image.frame} {image.error}" for image in self._bad_images if image.camera == camera]
            notes.append(f"camera {camera}: images that cannot be decoded are left out: {_some(bad)}")
        return notes


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return ", ".join(items[:_NAMED]) + more
