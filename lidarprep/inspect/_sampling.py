"""Which frames of a recording an inspection reads: all, but of a large one in a store as many as tell what it is.

To fetch all of a recording takes as long as to prepare it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from lidarprep.scene import Frame, Scene

# Bytes of a recording in a store above which some of its frames are read; and what is fetched of it then, in all, of
# points: a share of it, within limits.
LARGE = 256 << 20
_SHARE, _LEAST, _MOST = 0.004, 4 << 20, 64 << 20


def rows_to_read(scene: Scene) -> list[int]:
    """Return the rows of the frames that are read of a recording: all, or some that are spread over it."""
    count, fetched = len(scene), remote_bytes(scene)
    if fetched <= LARGE or not count:
        return list(range(count))
    budget = min(max(_LEAST, int(_SHARE * fetched)), _MOST)
    most = max(1, min(count, int(budget * count / fetched)))
    if most == 1:
        return [count // 2]
    rows: list[int] = np.unique(np.linspace(0, count - 1, most).round().astype(int)).tolist()
    return rows


def with_samples(scene: Scene, rows: list[int]) -> tuple[Scene, list[str]]:
    """Return a scene whose frames of these rows are read once, in part where they come in chunks; and a note."""
    if len(rows) == len(scene) and not (remote_bytes(scene) > LARGE and any(one.read_sample for one in scene)):
        return scene, []
    frames = list(scene.frames)
    for row in rows:
        frames[row] = _read_once(frames[row])
    note = (
        f"{len(rows)} of {len(scene)} frames are read{_in_part(scene, rows)}, since the recording is large and lies in "
        f"a store ({remote_bytes(scene) / 1e6:,.0f} MB): what is said of points and images is of these. "
        "--every-frame (every_frame=True) reads all"
    )
    return replace(scene, frames=tuple(frames)), [note]


def _in_part(scene: Scene, rows: list[int]) -> str:
    return ", in part" if any(scene[row].read_sample is not None for row in rows) else ""


def _read_once(frame: Frame) -> Frame:
    """Return a frame that keeps its points once they are read, in part where they come in chunks."""
    return replace(frame, read_points=cache(frame.read_sample or frame.read_points), read_chunks=None)


def remote_bytes(scene: Scene) -> int:
    """Return the size of all files of a recording that lie in a store."""
    files = {source for frame in scene for source in frame.sources if "://" in source.location}
    return sum(source.bytes or 0 for source in files)
