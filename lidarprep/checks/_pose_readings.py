"""Poses judged by the cloud: read otherwise, do the surroundings coincide better?

Each way in which poses are often mistaken is scored by the share of voxels in common (see `_surroundings`), and so are
the poses as given. Another reading is named only where it fits clearly better, so that advice never makes it worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lidarprep.checks._attitude import tilts
from lidarprep.checks._samples import SceneSamples
from lidarprep.checks._surroundings import (
    SAME_CLOUD,
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
from lidarprep.datasets.pose_readings import READINGS
from lidarprep.scene import Finding, Frame, Scene, Subject
from lidarprep.scene.finding import opening_option

# The share that a reading must reach at least, and by what it must be above that of the poses as given: as their
# multiple, and as a difference.
LEAST_SHARE, TIMES_GIVEN, ABOVE_GIVEN = 0.12, 1.4, 0.06

# With these figures, from two pairs on, there is no doubt.
SURE_SHARE, SURE_TIMES_GIVEN, SURE_PAIRS = 0.25, 1.8, 2

# The poses as given fit if their share is so many times that of every reading that moves the device otherwise.
FITS_TIMES = 1.25

# Two readings tell from one another where their motions are so far apart.
TELLING_M = 0.8

# Readings whose shares are nearer than this are as good as one another: the one that stands upright is taken.
AS_GOOD = 0.02

# Poses do not move if no two of them are further apart. Frames so far on are looked at whether the device does: a fast
# one leaves the first surroundings, a slow one needs many frames to move so far that it tells.
AT_REST_M, REST_GAPS = 0.3, (1, 3, 5, 8, 20)

# A motion that a search finds is another than the poses' if it is so far from it.
OTHER_MOTION_M = 0.8

# Lidars that are turned on their device are looked for in steps of so many degrees.
MOUNT_STEP_DEGREES = 10

OTHER_FRAME = "other frame"
_NO_MOTION = np.eye(3, 4)

_MEANING = {
    "inverted": "inverted: ego from world",
    "xyzw": "given with quaternions x, y, z, w, which are read as w, x, y, z",
    "wxyz": "given with quaternions w, x, y, z, which are read as x, y, z, w",
    "transposed": "given with rotations whose rows and columns are swapped",
    "optical": "of a camera's optical axes: z forward, x right, y down",
}


@dataclass(frozen=True)
class Verdict:
    """What the cloud says of the poses.

    Args:
        poses: "fit" as they are given, or "wrong"; "unknown" where the cloud does not tell.
        findings: What is wrong.
        points_frame_is_wrong: Whether that is the points' frame of reference.
    """

    poses: Literal["fit", "wrong", "unknown"]
    findings: list[Finding] = field(default_factory=list)
    points_frame_is_wrong: bool = False


def judge_poses(scene: Scene, samples: SceneSamples) -> Verdict:
    """Judge the device's poses by how well the surroundings coincide in the world."""
    posed = [frame for frame in samples.frames if frame.world_from_ego is not None]
    if len(posed) < 2:
        return Verdict("unknown")
    poses = [frame.world_from_ego for frame in posed if frame.world_from_ego is not None]
    given = Motions(np.array([pose.quaternion for pose in poses]), np.array([pose.translation for pose in poses]))
    if scene.points_frame == "ego" and _at_rest(given):
        return _judge_rest(samples, posed)
    return _Judge(scene, samples, posed, given).verdict()


def _at_rest(given: Motions) -> bool:
    return float(given.far(0).max()) < AT_REST_M


def _judge_rest(samples: SceneSamples, posed: Sequence[Frame]) -> Verdict:
    """Judge poses that do not move: does the device?"""
    for row in sorted({min(gap, len(posed) - 1) for gap in REST_GAPS}):
        first, second = samples.sample(posed[0]), samples.sample(posed[row])
        if first is None or second is None:
            continue
        one, other = surroundings(first), surroundings(second)
        if not (one.enough and other.enough):
            continue
        found = search(one, other, _NO_MOTION)
        far = float(np.linalg.norm(found.motion[:, 3]))
        if apart(found.motion, _NO_MOTION) < OTHER_MOTION_M or not _clearly_better(found.share, found.share_at_start):
            continue
        turn = np.degrees(np.arctan2(found.motion[1, 0], found.motion[0, 0]))
        moves = f"{far:.1f} m" + (f" and {abs(turn):.0f}°" if abs(turn) >= 3 else "")
        sure = found.share >= SURE_SHARE
        return Verdict(
            "wrong",
            [
                Finding(
                    "poses-at-rest",
                    f"the poses do not move, but the device does: by its points, about {moves} from frame "
                    f"{posed[0].id} to {posed[row].id}; so moved, {found.share:.0%} of the occupied voxels coincide, "
                    f"as given {found.share_at_start:.0%}",
                    "give the poses that the recording was made with (identity poses are a placeholder), or "
                    "--points-frame world if the points are in the world already",
                    severity="error" if sure else "warning",
                    subject=Subject("frame", posed[row].id),
                    found="at rest",
                    expected=f"about {moves}",
                )
            ],
        )
    return Verdict("unknown")


def _clearly_better(share: float, given: float) -> bool:
    return share >= max(LEAST_SHARE, TIMES_GIVEN * given, given + ABOVE_GIVEN)


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
            row = self._score(*pair)
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

    def _score(self, first: int, second: int) -> NDArray[np.float64] | None:
        """Return the share of each reading; None where the pair tells nothing."""
        found = np.zeros(len(self.names))
        any_points = False
        own = self.scene.points_frame
        frames: tuple[Literal["ego", "world"], ...] = ("ego", "world")
        for frame in frames:
            of_frame = [k for k, name in enumerate(self.names) if (name == OTHER_FRAME) == (frame != own)]
            if not of_frame:
                continue
            one, other = self._clouds(first, frame), self._clouds(second, frame)
            if not (one.enough and other.enough):
                continue
            any_points = True
            motions = np.array([self._motion(self.names[k], first, second) for k in of_frame])
            scored = shares(one.points, other.points, np.concatenate((motions, _NO_MOTION[None])))
            if frame == "ego" and scored[-1] > SAME_CLOUD:
                return None
            found[of_frame] = scored[:-1]
        return found if any_points else None

    # ---- judging ----------------------------------------------------------------------------------------------------

    def verdict(self) -> Verdict:
        if not self.pairs:
            return Verdict("unknown")
        better = {name: one for name in self.names[1:] if (one := self._better(name)) is not None}
        if not better and self._fits():
            return Verdict("fit")
        if self.scene.points_frame == "ego":
            turned = self._turned_lidar({name: one.share for name, one in better.items()})
            if turned is not None:
                return turned
        if better:
            return self._named(better)
        return (self._misfit() if self.scene.points_frame == "ego" else None) or Verdict("unknown")

    def _telling(self, name: str) -> NDArray[np.bool_]:
        """(P,) whether the reading moves the points otherwise than the poses as given, in each pair."""
        return np.array(
            [apart(self._motion(name, *pair), self._motion("given", *pair)) >= TELLING_M for pair in self.pairs]
            if name != OTHER_FRAME
            else [self.given.far(first)[second] >= TELLING_M for first, second in self.pairs],
            dtype=bool,
        )

    def _better(self, name: str) -> _Better | None:
        """Return by how much a reading is better than the poses as given; None unless it is clearly."""
        telling = self._telling(name)
        if not telling.any():
            return None
        given, other = self.shares[telling, 0], self.shares[telling, self.names.index(name)]
        if not _clearly_better(float(other.mean()), float(given.mean())) or (other < given).mean() > 1 / 4:
            return None
        return _Better(float(other.mean()), float(given.mean()), int(telling.sum()))

    def _fits(self) -> bool:
        for name in self.names[1:]:
            telling = self._telling(name)
            given, other = self.shares[telling, 0], self.shares[telling, self.names.index(name)]
            if telling.any() and float(given.mean()) < FITS_TIMES * float(other.mean()):
                return False
        return float(self.shares[:, 0].mean()) >= LEAST_SHARE

    def _named(self, better: dict[str, _Better]) -> Verdict:
        most = max(one.share for one in better.values())
        as_good = [name for name, one in better.items() if one.share >= most - AS_GOOD]
        name = min(as_good, key=lambda name: self._tilt(name) if name in self.readings else 0.0)
        one = better[name]
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

    def _tilt(self, name: str) -> float:
        return float(tilts(self.readings[name].quaternions).mean())

    def _other_frame(self, one: _Better) -> Verdict:
        own = self.scene.points_frame
        if own == "ego":
            # Any cloud coincides with itself to a share: the points are in the world only if no motion fits better.
            nearest = min(self.pairs, key=lambda pair: self.given.far(pair[0])[pair[1]])
            moved = self._other_motion(nearest, _NO_MOTION)
            if moved is not None:
                return _misfitting(moved)
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

    def _turned_lidar(self, better: dict[str, float]) -> Verdict | None:
        """Find points in the frame of a lidar that is turned about the vertical on its device.

        Of so many angles one fits by chance more easily, and a straight drive may be read in either way: the share
        must be clearly above those of the readings that are better, by name. That of points in the world it must only
        exceed: near the world's origin a slow device's clouds coincide where they are, and no angle undoes its motion.
        """
        in_world = better.get(OTHER_FRAME, 0.0)
        best = max((share for name, share in better.items() if name != OTHER_FRAME), default=0.0)
        given = float(self.shares[:, 0].mean())
        degrees = np.arange(-180 + MOUNT_STEP_DEGREES, 180 + 1, MOUNT_STEP_DEGREES, dtype=np.float64)
        mean = self._mounted(degrees, SEARCH_VOXEL_M)
        for step in (MOUNT_STEP_DEGREES / 3, MOUNT_STEP_DEGREES / 9):
            degrees = float(degrees[int(mean.argmax())]) + step * np.arange(-2.0, 3.0)
            mean = self._mounted(degrees, VOXEL_M)
        row = int(mean.argmax())
        angle = float((degrees[row] + 180) % 360 - 180)
        if abs(angle) <= MOUNT_STEP_DEGREES or float(mean[row]) <= in_world:
            return None
        if not _clearly_better(float(mean[row]), max(given, best)):
            return None
        one_better = _Better(float(mean[row]), given, len(self.pairs))
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

    def _other_motion(self, pair: tuple[int, int], start: NDArray[np.float64]) -> _Misfit | None:
        """Search a pair's motions round a start; None unless another fits clearly better than it and the poses'."""
        one, other = (self._clouds(row, "ego") for row in pair)
        if not (one.enough and other.enough):
            return None
        best = search(one, other, start)
        given, motion = float(self.shares[self.pairs.index(pair), 0]), self._motion("given", *pair)
        off = apart(best.motion, motion)
        if min(off, apart(best.motion, start)) < OTHER_MOTION_M:
            return None
        if not _clearly_better(best.share, max(given, best.share_at_start)):
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


@dataclass(frozen=True)
class _Better:
    """Shares of a reading and of the poses as given, and of how many pairs they are the mean."""

    share: float
    given: float
    pairs: int

    @property
    def severity(self) -> Literal["error", "warning"]:
        sure = self.share >= max(SURE_SHARE, SURE_TIMES_GIVEN * self.given) and self.pairs >= SURE_PAIRS
        return "error" if sure else "warning"

    @property
    def figures(self) -> str:
        pairs = "1 pair" if self.pairs == 1 else f"{self.pairs} pairs"
        return f"{self.share:.0%} of the occupied voxels of {pairs} of frames coincide, as given {self.given:.0%}"
