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
from lidarprep.scene.points import without_stray_times
from lidarprep.scene.pose import matrices
from lidarprep.steps import StepReport

# Points further than this from their frame's timestamp don't belong to its sweep: their times have another unit or
# another clock.
LONGEST_NS = 1_000_000_000

# Wrong times below this are reported as offsets from the frame's timestamp.
_LARGEST_OFFSET_NS = 1_000_000_000_000

# Poses further apart than this are not interpolated between.
MAX_GAP_NS = 1_000_000_000

# The motion is extrapolated so far beyond the first and the last pose, and into a gap. If only the frames have poses,
# the first and the last sweep reach beyond them by half a sweep or a whole one: 0.1 s, and some slack.
EXTRAPOLATED_NS = 150_000_000

# Dense poses are extrapolated from two that are this far apart: nearer ones would amplify their noise.
BASE_NS = 50_000_000

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Deskew:
    """Move each point from ego at its own time to ego at its frame's timestamp.

    p' = world_from_ego(frame)⁻¹ · world_from_ego(point) · p, the poses linear in translation and slerp in rotation
    between those of the device's path. Just beyond the path's ends the motion is extrapolated, which is noted.
    Positions keep their dtype; the points' timestamps still say when each was measured, on the frames' clock.
    Radar returns and images stay as they are.

    Args:
        path: world_from_ego over time.
    """

    path: Trajectory

    def __call__(self, frame: Frame, report: StepReport) -> Frame:
        """Return the frame with its points compensated; a frame in chunks is compensated as it is read.

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
        in_sweep, strays = without_stray_times(points.timestamp, LONGEST_NS)
        if strays:
            found.stray_times(strays)
            points = replace(points, timestamp=in_sweep)
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
        # A ray without a return was measured nowhere, and is known by its place.
        no_return = points.no_return_rows()
        out[no_return] = positions[no_return]
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
    """Notes of one frame, gathered over its chunks."""

    frame: Frame
    report: StepReport
    count_from: int | None = None  # origin of the times, by the first chunk
    beyond: int = 0
    furthest_ns: int = 0
    strays: int = 0

    def stray_times(self, count: int) -> None:
        """Note points whose times are not of the sweep."""
        self.strays += count
        self.report.notes["stray times"] = (
            f"frame {self.frame.id}: the times of {self.strays} points are more than {LONGEST_NS / 1e9:g} s from the "
            "others'; these points take the time of the point before them"
        )

    def extrapolated(self, count: int, furthest_ns: int) -> None:
        """Note points that were measured beyond the poses, and by how much at most."""
        if not count:
            return
        self.beyond += count
        self.furthest_ns = max(self.furthest_ns, furthest_ns)
        self.report.notes["extrapolated motion"] = (
            f"frame {self.frame.id}: {self.beyond} points were measured up to {self.furthest_ns / 1e6:.0f} ms beyond "
            "the device's poses; its motion is taken as going on steadily"
        )


def _times_of(points: PointCloud, timestamp: int, found: _Found) -> tuple[NDArray[np.int64], int]:
    """The times of points, contiguous, and their origin: 0, or their frame's timestamp.

    Raises:
        SceneError: With neither origin are they near the timestamp.
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
    """The largest distance of (N,) times from `origin`, in Python's integers, which do not overflow."""
    return max(abs(int(times.min()) - origin), abs(int(times.max()) - origin))


# ---- motion of the device ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Motion:
    """Pieces of steady motion, in time order: linear in translation, slerp in rotation the shorter way.

    Args:
        since, until: (S,) int64 nanoseconds: the first and the last time of each piece.
        begins, ends: (S,) int64 nanoseconds: the times of the two poses that the piece goes between, or beyond.
        rotations: (S, 3, 3) float64, world from ego at the first of them.
        translations: (S, 3) float64 metres, likewise, less the position of one of the poses nearby.
        axes: (S, 3) float64 unit axis of the rotation from the first to the second, in ego; zeros where there is none.
        angles: (S,) float64 its angle, radians.
        goes: (S, 3) float64 metres from the first position to the second, in the world.
    """

    since: NDArray[np.int64]
    until: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    rotations: Array
    translations: Array
    axes: Array
    angles: Array
    goes: Array

    @classmethod
    def around(cls, path: Trajectory, first: int, last: int) -> Motion:
        """Pieces of the motion from `first` to `last`, nanoseconds; there may be none."""
        reach = EXTRAPOLATED_NS + BASE_NS
        low = max(0, int(np.searchsorted(path.timestamps, first - reach)) - 1)
        high = min(len(path), int(np.searchsorted(path.timestamps, last + reach, "right")) + 1)
        pieces = np.array(list(_pieces(path.timestamps, low, high)), dtype=np.int64).reshape(-1, 4)
        a, b, since, until = pieces.T
        axes, angles = _rotation_between(path.quaternions[a], path.quaternions[b])
        return cls(
            since=np.ascontiguousarray(since),
            until=np.ascontiguousarray(until),
            begins=path.timestamps[a],
            ends=path.timestamps[b],
            rotations=matrices(path.quaternions[a]),
            translations=path.translations[a] - path.translations[low],
            axes=axes,
            angles=angles,
            goes=path.translations[b] - path.translations[a],
        )

    def seen_from(self, time: int) -> Array | None:
        """The kernel's rows: each piece as seen from the device's pose at `time`.

        Returns:
            (S, MOTION_COLUMNS) float64; None if the motion at that time is unknown.
        """
        piece = int(np.searchsorted(self.since, time, "right")) - 1
        if piece < 0 or time > self.until[piece]:
            return None
        crossed = _cross_matrices(self.axes)
        fraction = (time - int(self.begins[piece])) / int(self.ends[piece] - self.begins[piece])
        angle = fraction * self.angles[piece]
        turned = np.eye(3) + np.sin(angle) * crossed[piece] + (1 - np.cos(angle)) * crossed[piece] @ crossed[piece]
        then_from_world = (self.rotations[piece] @ turned).T
        position = self.translations[piece] + fraction * self.goes[piece]

        motion = np.empty((len(self.since), kernel.MOTION_COLUMNS))
        still = then_from_world @ self.rotations
        motion[:, kernel.RATE] = 1.0 / (self.ends - self.begins)
        motion[:, kernel.ANGLE] = self.angles
        motion[:, kernel.STILL : kernel.SINE] = still.reshape(-1, 9)
        motion[:, kernel.SINE : kernel.VERSINE] = (still @ crossed).reshape(-1, 9)
        motion[:, kernel.VERSINE : kernel.BEGINS_AT] = (still @ crossed @ crossed).reshape(-1, 9)
        motion[:, kernel.BEGINS_AT : kernel.GOES] = (self.translations - position) @ then_from_world.T
        motion[:, kernel.GOES :] = self.goes @ then_from_world.T
        return motion


def _pieces(times: NDArray[np.int64], low: int, high: int) -> Iterator[tuple[int, int, int, int]]:
    """The pieces between poses `low` to `high` of a path: rows of both poses, first and last time."""
    gaps = np.flatnonzero(np.diff(times[low:high]) > MAX_GAP_NS) + low + 1
    for run in np.split(np.arange(low, high), gaps - low):
        if len(run) < 2:
            continue  # of a single pose no motion is known
        a, b = int(run[0]), int(run[-1])
        # Extrapolate only if the poses end here, not just the part of them that is looked at.
        if a > low or low == 0:
            base = min(b, int(np.searchsorted(times, times[a] + BASE_NS)))
            yield a, base, int(times[a]) - EXTRAPOLATED_NS, int(times[a]) - 1
        for row in range(a, b):
            yield row, row + 1, int(times[row]), int(times[row + 1])
        if b < high - 1 or high == len(times):
            base = max(a, int(np.searchsorted(times, times[b] - BASE_NS, "right")) - 1)
            yield base, b, int(times[b]) + 1, int(times[b]) + EXTRAPOLATED_NS


def _rotation_between(a: Array, b: Array) -> tuple[Array, Array]:
    """Axes (S, 3) and angles (S,) of conj(a) · b, for unit quaternions (S, 4), w first: the shorter way."""
    scalar = (a * b).sum(axis=1)
    vector = a[:, :1] * b[:, 1:] - b[:, :1] * a[:, 1:] - np.cross(a[:, 1:], b[:, 1:])
    vector *= np.where(scalar < 0, -1.0, 1.0)[:, None]
    length = np.linalg.norm(vector, axis=1)
    axes = vector / np.where(length > 0, length, 1.0)[:, None]
    return axes, 2 * np.arctan2(length, np.abs(scalar))


def _cross_matrices(vectors: Array) -> Array:
    """(S, 3, 3) matrices [v]× of vectors (S, 3)."""
    x, y, z = vectors.T
    zero = np.zeros(len(vectors))
    return np.stack((zero, -z, y, z, zero, -x, -y, x, zero), axis=1).reshape(-1, 3, 3)
