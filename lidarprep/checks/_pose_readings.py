"""Poses judged by the cloud: read otherwise, do the surroundings coincide better?

Each way in which poses are often mistaken is scored by the share of voxels in common (see `_surroundings`), and so are
the poses as given. Another reading is named only where it fits clearly better, so that advice never makes it worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lidarprep.checks._attitude import tilts
from lidarprep.checks._rest import judge_rest
from lidarprep.checks._samples import SceneSamples
from lidarprep.checks._surroundings import (
    NO_MOTION,
    SAME_CLOUD,
    SEARCH_STEP_M,
    SEARCH_STEPS,
    SEARCH_VOXEL_M,
    VOXEL_M,
    Motions,
    Surroundings,
    apart,
    search,
    shares,
    surroundings,
    telling_pairs,
)
from lidarprep.checks._verdict import LEAST_SHARE, OTHER_MOTION_M, TIMES_GIVEN, Better, Verdict, clearly_better
from lidarprep.datasets.pose_readings import READINGS
from lidarprep.scene import Finding, Frame, Scene, Subject
from lidarprep.scene.finding import opening_option

# The poses as given fit if their share is so many times that of every reading that moves the device otherwise.
FITS_TIMES = 1.25

# Two readings tell from one another where their motions are so far apart; poses fit if they fit better than motions
# that are further from theirs.
TELLING_M, OTHERWISE_M = 0.4, 0.8

# No motion at all is right, of points in the world, unless another fits so many times as well.
NOT_AT_REST_TIMES = 1.15

# Readings whose shares are nearer than this are as good as one another: the one that stands upright is taken.
AS_GOOD = 0.02

# Poses do not move if no two of them are further apart.
AT_REST_M = 0.3

# Lidars that are turned on their device are looked for in steps of so many degrees.
MOUNT_STEP_DEGREES = 10

# A motion that is right fits so many times as well as the mean of those that are moved by a metre to eight sides.
PEAK_TIMES = 1.25
BESIDE = np.zeros((9, 3, 4))
BESIDE[1:, 0, 3], BESIDE[1:, 1, 3] = np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)

OTHER_FRAME = "other frame"

_MEANING = {
    "inverted": "inverted: ego from world",
    "xyzw": "given with quaternions x, y, z, w, which are read as w, x, y, z",
    "wxyz": "given with quaternions w, x, y, z, which are read as x, y, z, w",
    "transposed": "given with rotations whose rows and columns are swapped",
    "optical": "of a camera's optical axes: z forward, x right, y down",
}


def judge_poses(scene: Scene, samples: SceneSamples) -> Verdict:
    """Judge the device's poses by how well the surroundings coincide in the world."""
    posed = [frame for frame in samples.frames if frame.world_from_ego is not None]
    if len(posed) < 2:
        return Verdict("unknown")
    poses = [frame.world_from_ego for frame in posed if frame.world_from_ego is not None]
    given = Motions(np.array([pose.quaternion for pose in poses]), np.array([pose.translation for pose in poses]))
    if scene.points_frame == "ego" and _at_rest(given):
        return judge_rest(samples, posed)
    return _Judge(scene, samples, posed, given).verdict()


def _at_rest(given: Motions) -> bool:
    return float(given.far(0).max()) < AT_REST_M


class _Judge:
    """Scores the readings of a scene's poses on a few pairs of its frames."""

    def __init__(self, scene: Scene, samples: SceneSamples, posed: Sequence[Frame], given: Motions) -> None:
        self.scene, self.samples, self.posed, self.given = scene, samples, posed, given
        in_ego = scene.points_frame == "ego"
        self.readings: dict[str, Motions] = {"given": given}
        if in_ego:
            for name, read in READINGS.items():
                self.readings[name] = Motions(*read(given.quaternions, given.translations))
        far_readings = [given, self.readings["inverted"]] if in_ego else [given]
        self.names = [*self.readings, *(() if scene.points_frame_is_certain else (OTHER_FRAME,))]
        self.pairs: list[tuple[int, int]] = []
        self._of_frame: dict[tuple[int, str], Surroundings] = {}
        scored = []
        for pair in telling_pairs(samples, posed, far_readings):
            row = self._score(pair)
            if row is not None:
                self.pairs.append(pair)
                scored.append(row)
        self.shares = np.array(scored).reshape(-1, len(self.names))

    def _clouds(self, row: int, frame: Literal["ego", "world"]) -> Surroundings:
        """Return a frame's points round the device, if they are in ego, or in the world."""
        if (row, frame) not in self._of_frame:
            sample = self.samples.sample(self.posed[row])
            assert sample is not None  # noqa: S101 - pairs are of frames that can be read
            centre = self.given.translations[row] if frame == "world" else None
            self._of_frame[row, frame] = surroundings(sample, centre)
        return self._of_frame[row, frame]

    def _motion(self, name: str, first: int, second: int) -> NDArray[np.float64]:
        """Return (3, 4) the motion of the points' own axes by a reading."""
        if name != OTHER_FRAME and self.scene.points_frame == "ego":
            return self.readings[name].between(first, second)
        if name == OTHER_FRAME and self.scene.points_frame == "world":
            return self.given.between(first, second)
        # In the world points stay; the two clouds are counted from two places of the device.
        moved = self.given.translations[second] - self.given.translations[first]
        return np.column_stack((np.eye(3), moved))

    def _placed(self, name: str, pair: tuple[int, int]) -> tuple[Surroundings, Surroundings, NDArray[np.float64]]:
        """Return a pair's points by a reading, and their motion (3, 4).

        Only points of one ring compare: points said to be in ego are judged as world in their own ring, unless there
        are more round the device's place in the world.
        """
        in_world = (name == OTHER_FRAME) == (self.scene.points_frame == "ego")
        in_ego = [self._clouds(row, "ego") for row in pair]
        if not in_world:
            return in_ego[0], in_ego[1], self._motion(name, *pair)
        there = [self._clouds(row, "world") for row in pair]
        if name == OTHER_FRAME and min(len(one.points) for one in in_ego) >= min(len(one.points) for one in there):
            return in_ego[0], in_ego[1], NO_MOTION
        return there[0], there[1], self._motion(name, *pair)

    def _score(self, pair: tuple[int, int]) -> NDArray[np.float64] | None:
        """Return the share of each reading; None where the pair tells nothing."""
        found = np.zeros(len(self.names))
        of_readings = [k for k, name in enumerate(self.names) if name != OTHER_FRAME]
        one, other, _ = self._placed("given", pair)
        enough = one.enough and other.enough
        if enough:
            motions = [self._motion(self.names[k], *pair) for k in of_readings]
            *scored, still = shares(one.points, other.points, np.array([*motions, NO_MOTION]))
            if self.scene.points_frame == "ego" and still > SAME_CLOUD:
                return None
            found[of_readings] = scored
        if OTHER_FRAME in self.names:
            one, other, motion = self._placed(OTHER_FRAME, pair)
            if one.enough and other.enough:
                enough = True
                found[-1], still = shares(one.points, other.points, np.array([motion, NO_MOTION]))
                if self.scene.points_frame == "world" and still > SAME_CLOUD:
                    return None
        return found if enough else None

    # ---- judging ----------------------------------------------------------------------------------------------------

    def verdict(self) -> Verdict:
        if not self.pairs:
            return Verdict("unknown")
        better = {name: one for name in self.names[1:] if (one := self._better(name)) is not None}
        if not better and self._fits():
            return Verdict("fit")
        if self.scene.points_frame == "ego":
            turned = self._turned_lidar(better)
            if turned is not None:
                return turned
        if better:
            return self._named(better)
        return (self._misfit() if self.scene.points_frame == "ego" else None) or Verdict("unknown")

    def _telling(self, name: str, least: float = TELLING_M) -> NDArray[np.bool_]:
        """(P,) whether the reading moves the points otherwise than the poses as given, in each pair."""
        return np.array(
            [apart(self._motion(name, *pair), self._motion("given", *pair)) >= least for pair in self.pairs]
            if name != OTHER_FRAME
            else [self.given.far(first)[second] >= least for first, second in self.pairs],
            dtype=bool,
        )

    def _better(self, name: str) -> Better | None:
        """Return by how much a reading is better than the poses as given; None unless it is clearly."""
        telling = self._telling(name)
        if not telling.any():
            return None
        given, other = self.shares[telling, 0], self.shares[telling, self.names.index(name)]
        if not clearly_better(float(other.mean()), float(given.mean())) or (other < given).mean() > 1 / 4:
            return None
        return Better(float(other.mean()), float(given.mean()), int(telling.sum()))

    def _fits(self) -> bool:
        for name in self.names[1:]:
            telling = self._telling(name, OTHERWISE_M)
            given, other = self.shares[telling, 0], self.shares[telling, self.names.index(name)]
            if telling.any() and float(given.mean()) < FITS_TIMES * float(other.mean()):
                return False
        return float(self.shares[:, 0].mean()) >= LEAST_SHARE

    def _named(self, better: dict[str, Better]) -> Verdict:
        most = max(one.share for one in better.values())
        as_good = [name for name, one in better.items() if one.share >= most - AS_GOOD]
        name = min(as_good, key=lambda name: self._tilt(name) if name in self.readings else 0.0)
        one = better[name]
        if not self._is_peak(name):
            return Verdict("unknown")
        if name == OTHER_FRAME:
            return self._other_frame(one)
        return Verdict(
            "wrong",
            [
                Finding(
                    "poses-misread",
                    f"the poses look as if they were {_MEANING[name]}: so read, {one.figures}",
                    severity=one.severity,
                    found=round(one.given, 3),
                    expected=round(one.share, 3),
                    option=opening_option("--poses-are", name, "poses_are", repr(name)),
                )
            ],
        )

    def _is_peak(self, name: str) -> bool:
        """Whether a reading's motions fit clearly better than those beside them.

        Points that are spread evenly coincide to the same share wherever they are moved.
        """
        found = []
        for pair in self.pairs:
            one, other, motion = self._placed(name, pair)
            found.append(shares(one.points, other.points, motion + BESIDE))
        at_it, *beside = np.mean(found, axis=0)
        return bool(at_it >= PEAK_TIMES * np.mean(beside))

    def _tilt(self, name: str) -> float:
        return float(tilts(self.readings[name].quaternions).mean())

    def _other_frame(self, one: Better) -> Verdict:
        own = self.scene.points_frame
        if own == "ego":
            # Any cloud coincides with itself to a share: the points are in the world only if no motion fits better.
            moved = self._other_motion(self._longest_searched(), NO_MOTION, times=NOT_AT_REST_TIMES)
            if moved is not None:
                clearly = clearly_better(moved.share, max(moved.given, one.share))
                return _misfitting(moved) if clearly else Verdict("unknown")
        other = "world" if own == "ego" else "ego"
        return Verdict(
            "wrong",
            [
                Finding(
                    f"points-in-{other}",
                    f"points are taken to be in {own}, but look as if they were in {other}: so read, {one.figures}",
                    severity=one.severity,
                    found=round(one.given, 3),
                    expected=round(one.share, 3),
                    option=opening_option("--points-frame", other, "points_frame", repr(other)),
                )
            ],
            points_frame_is_wrong=True,
        )

    def _turned_lidar(self, better: dict[str, Better]) -> Verdict | None:
        """Find points in the frame of a lidar that is turned about the vertical on its device.

        Of so many angles one fits by chance more easily, and a straight drive may be read in either way: the share
        must be clearly above that of every reading.
        """
        given = float(self.shares[:, 0].mean())
        degrees = np.arange(-180 + MOUNT_STEP_DEGREES, 180 + 1, MOUNT_STEP_DEGREES, dtype=np.float64)
        mean = self._mounted(degrees, SEARCH_VOXEL_M)
        for step in (MOUNT_STEP_DEGREES / 3, MOUNT_STEP_DEGREES / 9):
            degrees = float(degrees[int(mean.argmax())]) + step * np.arange(-2.0, 3.0)
            mean = self._mounted(degrees, VOXEL_M)
        row = int(mean.argmax())
        angle = float((degrees[row] + 180) % 360 - 180)
        best = max((one.share for name, one in better.items() if name != OTHER_FRAME), default=given)
        still = NOT_AT_REST_TIMES * better[OTHER_FRAME].share if OTHER_FRAME in better else 0.0
        if abs(angle) <= MOUNT_STEP_DEGREES or not clearly_better(float(mean[row]), best) or mean[row] < still:
            return None
        one_better = Better(float(mean[row]), given, len(self.pairs))
        return Verdict(
            "wrong",
            [
                Finding(
                    "lidar-turned",
                    f"the lidar looks turned by about {angle:.0f}° on the device, as if its extrinsics were "
                    f"left out: so turned, {one_better.figures}",
                    "give its extrinsics, ego from lidar: a folder lidars/NAME/ with extrinsics.json; in a bag, "
                    "transforms, or poses of the lidar's own frame",
                    severity=one_better.severity,
                    found=0,
                    expected=round(angle),
                )
            ],
        )

    def _mounted(self, degrees: NDArray[np.float64], size: float) -> NDArray[np.float64]:
        """Return (K,) mean shares of the poses as given, if the lidar is turned by each of (K,) degrees."""
        cosine, sine, zero = np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), np.zeros(len(degrees))
        mounts = np.array([[cosine, -sine, zero], [sine, cosine, zero], [zero, zero, zero + 1]]).transpose(2, 0, 1)
        found = []
        for pair in self.pairs:
            motion = self._motion("given", *pair)
            turned = mounts.transpose(0, 2, 1) @ motion[:, :3] @ mounts
            moved = (mounts.transpose(0, 2, 1) @ motion[:, 3])[:, :, None]
            one, other = (self._clouds(row, "ego") for row in pair)
            motions = np.concatenate((turned, moved), axis=2)
            coarse = size > VOXEL_M
            found.append(
                shares(one.few if coarse else one.points, other.few if coarse else other.points, motions, size)
            )
        return np.asarray(np.mean(found, axis=0))

    def _misfit(self) -> Verdict | None:
        """Find motions that fit clearly better than those of the poses, in two pairs."""
        first: _Misfit | None = None
        for pair in self.pairs[:2]:
            found = self._other_motion(pair, self._motion("given", *pair))
            if found is None:
                return None
            first = first or found
        return None if first is None or len(self.pairs) < 2 else _misfitting(first)

    def _longest_searched(self) -> tuple[int, int]:
        """Return the pair of the longest motion that a search reaches, or else the shortest one."""
        far = {pair: float(self.given.far(pair[0])[pair[1]]) for pair in self.pairs}
        reached = [pair for pair in self.pairs if far[pair] < SEARCH_STEPS * SEARCH_STEP_M]
        return max(reached, key=far.__getitem__) if reached else min(self.pairs, key=far.__getitem__)

    def _other_motion(
        self, pair: tuple[int, int], start: NDArray[np.float64], times: float = TIMES_GIVEN
    ) -> _Misfit | None:
        """Search a pair's motions round a start; None unless one fits so many times as well as it and the poses'."""
        one, other = (self._clouds(row, "ego") for row in pair)
        if not (one.enough and other.enough):
            return None
        best = search(one, other, start)
        given, motion = float(self.shares[self.pairs.index(pair), 0]), self._motion("given", *pair)
        off = apart(best.motion, motion)
        if min(off, apart(best.motion, start)) < OTHER_MOTION_M:
            return None
        if best.share < max(LEAST_SHARE, times * max(given, best.share_at_start)):
            return None
        first, second = (self.posed[row].id for row in pair)
        return _Misfit(first, second, off, best.share, given)


@dataclass(frozen=True)
class _Misfit:
    """Another motion between two frames, by their ids: metres from that of the poses, and the shares of both."""

    first: str
    second: str
    off: float
    share: float
    given: float


def _misfitting(one: _Misfit) -> Verdict:
    return Verdict(
        "wrong",
        [
            Finding(
                "poses-misfit",
                f"the poses do not fit the points: from frame {one.first} to {one.second} another motion, "
                f"{one.off:.1f} m away, fits better: {one.share:.0%} of the occupied voxels coincide, as given "
                f"{one.given:.0%}",
                "look whether the poses are of these frames and in metres, and whether the lidar's extrinsics are "
                "left out",
                subject=Subject("frame", one.second),
                found=round(one.given, 3),
                expected=round(one.share, 3),
            )
        ],
    )
