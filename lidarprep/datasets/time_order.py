"""Frames in time order, one a time, since attachments are."""

from __future__ import annotations

from dataclasses import replace

from lidarprep.errors import SceneError
from lidarprep.scene import Scene


def by_time(scene: Scene) -> Scene:
    """The same recording, its frames sorted by time; of frames with one timestamp the first is kept.

    Raises:
        SceneError: A frame has no timestamp.
    """
    for frame in scene:
        if frame.timestamp is None:
            raise SceneError(
                f"frame {frame.id} has no timestamp, so frames cannot be sorted by time",
                fix="Leave --frame-order time out: frames come in the order in which they are recorded.",
            )
    kept = {frame.timestamp: frame for frame in reversed(scene.frames)}
    frames = [kept[time] for time in sorted(time for time in kept if time is not None)]
    doubled = len(scene) - len(frames)
    notes = list(scene.notes)
    if doubled:
        notes.append(f"{doubled} of {len(scene)} frames have the timestamp of an earlier one; they are left out")
    numbered = tuple(replace(frame, index=index) for index, frame in enumerate(frames))
    return replace(scene, frames=numbered, notes=tuple(notes))
