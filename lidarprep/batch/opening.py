"""Opens the recordings of scenes. One of which scenes are parts stays open for the next part.

Opening a bag of an hour takes seconds, since it reads the headers of all messages: too long to do it for each part. One
recording stays open in a process, so its memory does not grow with the batch. It does so for one call of
`prepare_many`: a worker may outlive that, and the recording may change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from lidarprep.batch.scenes import BatchScene
from lidarprep.errors import SceneError
from lidarprep.run import open_recording
from lidarprep.scene import Scene


@dataclass(frozen=True)
class _Kept:
    """An open recording, and what it was opened by."""

    opened_by: tuple[Any, ...]
    recording: Scene


_kept: _Kept | None = None
_lock = Lock()


def opened(scene: BatchScene, call: str | None = None) -> Scene:
    """Open a scene's recording, and take its part of it.

    Args:
        scene: The scene.
        call: Names the call of `prepare_many` during which a recording stays open for its next part; None for none.

    Raises:
        LidarprepError: It cannot be opened, or has no such part.
    """
    global _kept
    span = scene.opening.span
    if span is None or call is None:
        return open_recording(scene)
    whole = scene.model_copy(update={"opening": replace(scene.opening, span=None)})
    opened_by = (call, whole.scene, whole.layout, whole.opening, whole.recipe.points_frame, whole.storage)
    with _lock:
        known = _kept
    if known is None or known.opened_by != opened_by:
        forget()  # before the next one takes memory
        known = _Kept(opened_by, open_recording(whole))
        with _lock:
            _kept = known
    return known.recording.part(span)


def forget() -> None:
    """Keep no recording open."""
    global _kept
    with _lock:
        _kept = None


def require_split(scene: BatchScene) -> None:
    """Check that a scene is not a whole recording that was to be split.

    Raises:
        LidarprepError: It is. The error is what keeps it from being split, if that is still so.
    """
    if scene.split is not None:
        opened(scene)
        raise SceneError(
            f"{scene.recording} could not be split into parts of {scene.split} when the scenes were listed",
            fix="Now it can be opened: run the same command again.",
        )
