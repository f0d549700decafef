"""Motion compensation: a sweep's points, measured one after the other on a moving device, as if all at one time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import SceneError
from lidarprep.kernels import deskew as kernel
from lidarprep.scene import Frame, PointCloud, Trajectory
from lidarprep.steps import StepReport
from lidarprep.steps.motion import EXTRAPOLATED_NS, MAX_GAP_NS, Motion

# Points further than this from their frame's timestamp are no part of its sweep: their times have another unit, or
# are of another clock.
LONGEST_NS = 1_000_000_000

# Times below this that do not fit are shown as what they seem to be: offsets from the frame's timestamp.
_LARGEST_OFFSET_NS = 1_000_000_000_000


@dataclass(frozen=True)
class Deskew:
    """Moves each point from ego at its own time to ego at its frame's timestamp.

    p' = world_from_ego(frame)⁻¹ · world_from_ego(point) · p, the poses linear in translation and slerp in rotation
    between those of the device's path. Just beyond the path's ends the motion is taken as going on steadily, which is
    noted. Positions keep their dtype; the points' timestamps still say when each was measured, on the frames' clock.
    Radar returns and images stay as they are.

    Args:
        path: world_from_ego over time.
    """

    path: Trajectory

    def __call__(self, frame: Frame, report: StepReport) -> Frame:
        """The frame, its points compensated; those of a frame that comes in chunks are when they are read.

        Raises:
            SceneError: The frame has no timestamp or its points have none, they are in the world already, their times
                do not belong to the frame, or no pose is known for them.
        """
        if frame.read_chunks is not None:
            chunks = partial(self._chunks, frame, report)
            return replace(frame, read_points=partial(_whole, chunks), read_chunks=chunks)
        points = self._deskewed(frame.points(), _Found(frame, report))
        return replace(frame, read_points=lambda: points)

    def _chunks(self, frame: Frame, report: StepReport) -> Iterator[PointCloud]:
        found = _Found(frame, report)
        for chunk in frame.chunks():
            deskewed = self._deskewed(chunk, found)
            del chunk  # before the next one is read
            yield deskewed
            del deskewed

    def _deskewed(self, points: PointCloud, found: _Found) -> PointCloud:
        frame = found.frame
        if points.frame == "world":
            raise SceneError(
                f"frame {frame.id}: its points are in the world, where no motion is left to be compensated",
                fix="Leave --deskew out; or say --points-frame ego, if they are in the device's frame.",
            )
        if not len(points):
            return points
        if points.timestamp is None:
            raise SceneError(
                f"frame {frame.id}: its points have no times of their own, which --deskew goes by",
                fix="Leave --deskew out.",
            )
        if frame.timestamp is None:
            raise SceneError(
                f"frame {frame.id} has no timestamp, which --deskew moves its points to",
                fix='Give poses with times (a "timestamp" in each pose of a toolkit folder), or leave --deskew out.',
            )
        positions = np.require(points.positions, requirements=("C", "W"))
        times, count_from = _times_of(points, frame.timestamp, found)
        first, last = int(times.min()) + count_from, int(times.max()) + count_from
        motion = Motion.around(self.path, min(first, frame.timestamp), max(last, frame.timestamp))
        rows = motion.seen_from(frame.timestamp)
        if rows is None:
            raise self._no_pose(frame, "its timestamp lies")
        out = np.empty_like(positions)
        counts = np.zeros(3, dtype=np.int64)
        kernel.deskew(positions, times, count_from, motion.since, motion.until, motion.begins, rows, out, counts)
        if counts[kernel.OUTSIDE]:
            raise self._no_pose(frame, f"{counts[kernel.OUTSIDE]} of {len(points)} points were measured")
        found.extrapolated(int(counts[kernel.EXTRAPOLATED]), int(counts[kernel.FURTHEST]))
        if count_from:  # from here on they are on the clock of all else
            return replace(points, positions=out, timestamp=times + count_from)
        return replace(points, positions=out)

    def _no_pose(self, frame: Frame, what: str) -> SceneError:
        begin, end = (int(self.path.timestamps[row]) for row in (0, -1))
        return SceneError(
            f"frame {frame.id}, {frame.timestamp} ns: {what} where the device's motion is not known. Its "
            f"{len(self.path)} poses reach from {begin} to {end} ns; gaps over {MAX_GAP_NS / 1e9:g} s are not bridged, "
            f"and beyond its poses the motion is taken as going on for {EXTRAPOLATED_NS / 1e9:g} s",
            fix="Give the poses that are missing, or go without such frames: --frames, or --skip-bad-frames.",
        )


def _whole(chunks: partial[Iterator[PointCloud]]) -> PointCloud:
    return PointCloud.concatenate(list(chunks()))


@dataclass
class _Found:
    """What is to be said of one frame, over all of its chunks."""

    frame: Frame
    report: StepReport
    count_from: int | None = None  # what the times count from, as the first chunk tells
    beyond: int = 0
    furthest_ns: int = 0

    def extrapolated(self, count: int, furthest_ns: int) -> None:
        """So many more points were measured beyond the poses, by so much at most."""
        if not count:
            return
        self.beyond += count
        self.furthest_ns = max(self.furthest_ns, furthest_ns)
        self.report.notes["extrapolated motion"] = (
            f"frame {self.frame.id}: {self.beyond} points were measured up to {self.furthest_ns / 1e6:.0f} ms beyond "
            "the device's poses; its motion is taken as going on steadily"
        )


def _times_of(points: PointCloud, timestamp: int, found: _Found) -> tuple[NDArray[np.int64], int]:
    """The times of points, contiguous, and what they count from: 0, or their frame's timestamp.

    Raises:
        SceneError: Neither way are they near it.
    """
    times = np.require(points.timestamp, np.int64, ("C", "W"))
    apart, offsets = _largest(times, timestamp), _largest(times, 0)
    if min(apart, offsets) > LONGEST_NS:
        # A ray that met nothing may have no time either.
        finite = np.isfinite(points.positions).all(axis=1)
        if not finite.all():
            times = np.where(finite, times, times[int(finite.argmax())] if finite.any() else timestamp)
            apart, offsets = _largest(times, timestamp), _largest(times, 0)
    if apart <= LONGEST_NS and found.count_from in (None, 0):
        found.count_from = 0
        if offsets <= LONGEST_NS and timestamp:
            found.report.notes["times of points"] = (
                f"frame {found.frame.id}: its points' times could count from its timestamp, {timestamp} ns, or be on "
                "its clock; they are taken as on its clock"
            )
        return times, 0
    if offsets <= LONGEST_NS and found.count_from in (None, timestamp):
        found.count_from = timestamp
        found.report.notes["times of points"] = "the points' times are taken as counting from their frame's timestamp"
        return times, timestamp
    if min(apart, offsets) <= LONGEST_NS:
        what = "some of its points' times look as if they counted from its timestamp, and others as if on its clock"
    elif offsets < _LARGEST_OFFSET_NS:
        what = f"its points' times, taken as counting from its timestamp, reach to {offsets / 1e9:.4g} s"
    else:
        what = f"its points were measured up to {apart / 1e9:.4g} s from its timestamp, {timestamp} ns"
    raise SceneError(
        f"frame {found.frame.id}: {what}; those of a sweep are within {LONGEST_NS / 1e9:g} s",
        fix="Check the unit and the clock of the points' times and of the poses'; or leave --deskew out.",
    )


def _largest(times: NDArray[np.int64], origin: int) -> int:
    """How far (N,) times are from `origin` at most; in Python's integers, which do not overflow."""
    return max(abs(int(times.min()) - origin), abs(int(times.max()) - origin))
