"""One scene: prepared, submitted if that is asked for, and told of in a record, whatever becomes of it."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

from lidarprep.batch.opening import forget, opened, require_split
from lidarprep.batch.record import SceneRecord
from lidarprep.batch.scenes import BatchScene
from lidarprep.batch.tasks import submit_one
from lidarprep.errors import FormatError, LidarprepError, SourceChangedError
from lidarprep.prepare.processing import NoProgress
from lidarprep.run import run
from lidarprep.scene import Scene
from lidarprep.storage import Manifest

log = logging.getLogger(__name__)


class _Started(NoProgress):
    """Notes whether there was anything to do."""

    is_told = False

    def start(self, frames: int, done: int) -> None:
        """Note that there is."""
        self.is_told = True


def prepare_one(
    scene: BatchScene,
    known: SceneRecord | None = None,
    *,
    workers: int | None = None,
    submit: bool = False,
    report: bool = False,
    call: str | None = None,
) -> SceneRecord:
    """Prepare one scene; what is wrong with it becomes part of the record. Other processes may run it.

    A scene that is done is opened, and compared with its manifest, as `prepare` does it: so a changed recording and a
    lost object are noticed.

    Args:
        scene: The scene.
        known: What the ledger says of it.
        workers: Frames prepared at once, where the scene does not say it; as many as cores where it is None.
        submit: Whether to submit its task, if it has one. A scene that has a task of what is stored keeps that.
        report: Whether to write its page beside its manifest, if there was anything to do, or there is none.
        call: Names the call of `prepare_many`, during which a recording stays open for its next part.

    Returns:
        The record that the ledger is to have; `known` again where there was nothing to do.
    """
    known = known or SceneRecord(scene.name, scene.recording)
    begun, progress = time.perf_counter(), _Started()
    changes = {"workers": scene.workers or workers, "task": None}
    manifest, error = None, ""
    try:
        require_split(scene)
        recording = opened(scene, call)
        manifest = run(scene.model_copy(update=changes), scene=recording, progress=progress).manifest
    except LidarprepError as failure:
        error, exit_code = str(failure), failure.exit_code
        if isinstance(failure, FormatError | SourceChangedError):
            forget()  # the recording may have changed since it was opened
    except Exception as failure:  # of our own, or of a library: it must not end the batch
        log.debug("scene %s", scene.name, exc_info=True)
        error, exit_code = _unexpected(failure), 1
    seconds = round(time.perf_counter() - begun, 3)
    told: dict[str, Any] = {"recording": scene.recording, "when": round(time.time(), 3), "attempts": known.attempts + 1}
    if manifest is None:
        return replace(known, state="failed", error=error, exit_code=exit_code, seconds=seconds, **told)
    record = replace(SceneRecord.of_manifest(scene.name, manifest), **told).with_task_of(known)
    record = replace(record, seconds=seconds if progress.is_told else known.seconds)
    if report:
        _write_page(scene, recording, manifest, is_new=progress.is_told)
    if submit and scene.task is not None and not record.task:
        try:
            record = submit_one(record, manifest, scene.task, scene.storage)
        except Exception as failure:  # as above
            log.debug("scene %s", scene.name, exc_info=True)
            record = replace(record, error=_unexpected(failure), exit_code=1)
    is_same = replace(record, attempts=known.attempts, when=known.when) == known
    return known if is_same else record


def _write_page(scene: BatchScene, recording: Scene, manifest: Manifest, *, is_new: bool) -> None:
    """Write the page of a scene; what is prepared is no worse without."""
    from lidarprep.batch.pages import has_page, write_page  # brings what draws

    try:
        if is_new or not has_page(manifest, scene.storage):
            write_page(recording, manifest, scene.storage)
    except Exception as failure:
        log.debug("scene %s", scene.name, exc_info=True)
        problem = failure.message if isinstance(failure, LidarprepError) else _unexpected(failure)
        log.warning("%s has no page: %s", scene.name, problem)


def lost(known: SceneRecord, error: str) -> SceneRecord:
    """Return the record of a scene whose worker has died, or could not be reached."""
    when, attempts = round(time.time(), 3), known.attempts + 1
    return replace(known, state="failed", error=error, exit_code=1, when=when, attempts=attempts)


def _unexpected(failure: Exception) -> str:
    """Name an error that is none of ours by its kind and place: its own text may show what is secret."""
    place = failure.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = "" if place is None else f" in {place.tb_frame.f_globals.get('__name__')}, line {place.tb_lineno}"
    return f"lidarprep did not expect this: {type(failure).__name__}{where}\nThe scene alone, with --debug, says more."
