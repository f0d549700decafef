"""A small street that winds a little, everything in it, and the drive of the car with the sensors down it.

A seeded random generator places the things. Places are given as `along` (metres along the street's middle) and
`across` (metres left of it). The world has z up, with z = 0 the surface of the road.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import pi, radians

import numpy as np
from numpy.typing import ArrayLike, NDArray

import lidarprep.sample._solids as things
from lidarprep.sample._solids import Solids, box, join, place, take
from lidarprep.scene import Pose

# The ego frame is the lidar's: x forward, y left, z up, its origin this high above the road.
DEVICE_HEIGHT_M = 1.8

FRAME_SECONDS = 0.1
FIRST_FRAME_NS = 1_700_000_000_000_000_000

# Positions across the street, metres from its middle.
LANE_M = 1.75
LANE_EDGE_M = 3.5
PARKED_M = 4.6
KERB_M = 5.7
HOUSE_M = 10.0
KERB_HEIGHT_M = 0.12

# How far from the car the world goes on; beyond is the sky.
VIEW_M = 160.0

# The street's heading swings about 0.3 rad, so that no wall is aligned with the world's axes.
_HEADING, _SWING, _WAVELENGTH_M = 0.3, 0.3, 180.0
_STEP_M = 0.1


@dataclass(frozen=True)
class Mover:
    """A car or a person that moves along the street at an even speed.

    `kind` is one of things.CAR_KINDS, or "person". Its solids are in its own frame. It is `along` the street at second
    0, and `speed` is metres a second along the street's middle, negative against its direction.
    """

    kind: str
    solids: Solids
    along: float
    across: float
    speed: float
    height: float = 0.0


@dataclass(frozen=True)
class Reflector:
    """A strong radar target, such as a post; its middle and velocity (3,) in the world, metres and metres a second."""

    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    size: float


class Street:
    """The street, from before the drive's start to beyond its end; the drive covers `travel` metres."""

    def __init__(self, rng: np.random.Generator, duration: float, travel: float) -> None:
        self.begin, self.end = -VIEW_M - 20, travel + VIEW_M + 20
        # Moving things are looked up beyond the ends, too; they are drawn only where they are in view.
        steps = np.arange(self.begin - 20, self.end + 20, _STEP_M)
        heading = self.heading(steps + _STEP_M / 2)
        path = np.cumsum(_STEP_M * np.column_stack((np.cos(heading), np.sin(heading))), axis=0)
        self._steps = np.append(steps, steps[-1] + _STEP_M)
        self._path = np.vstack((np.zeros(2), path))
        self._path -= self._middle(np.array([0.0]))
        self._reflectors: list[Reflector] = []
        self.parked = join(self._park_cars(rng))
        self._static = join([self.parked, *self._surfaces(), *self._houses(rng), *self._furniture(rng)])
        self.movers = tuple(self._traffic(rng, duration, travel)) + tuple(self._people(rng))

    def heading(self, along: ArrayLike) -> NDArray[np.float64]:
        """Angle from the world's x axis to the street's direction, radians."""
        swing: NDArray[np.float64] = np.sin(2 * pi / _WAVELENGTH_M * np.asarray(along, dtype=np.float64))
        return np.asarray(_HEADING + _SWING * swing)

    def position(self, along: ArrayLike, across: ArrayLike) -> NDArray[np.float64]:
        """(N, 2) float64 x and y in the world, metres, of places along (N,) and across (N,) the street."""
        along = np.atleast_1d(np.asarray(along, dtype=np.float64))
        heading = self.heading(along)
        left = np.column_stack((-np.sin(heading), np.cos(heading)))
        return self._middle(along) + left * np.asarray(across, dtype=np.float64).reshape(-1, 1)

    def _middle(self, along: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack([np.interp(along, self._steps, self._path[:, axis]) for axis in range(2)])

    def at(self, seconds: float, eye: NDArray[np.float64]) -> Solids:
        """Every solid within VIEW_M of `eye` (3,) at that second of the drive, with its velocity."""
        away = np.hypot(*(self._static.centre[:, :2] - eye[:2]).T)
        moving = [self.place(mover, seconds) for mover in self.movers if self._in_view(mover, seconds, eye)]
        return join([take(self._static, away < VIEW_M), *moving])

    def reflectors(self, seconds: float, eye: NDArray[np.float64]) -> list[Reflector]:
        """Reflectors within VIEW_M of `eye` (3,) at that second of the drive."""
        found = [r for r in self._reflectors if np.hypot(*(r.position - eye)[:2]) < VIEW_M]
        for mover in self.movers:
            if mover.kind != "person" and self._in_view(mover, seconds, eye):
                body = self.place(mover, seconds)
                found.append(Reflector(body.centre[0], body.velocity[0], 2 * float(body.half[0, 1])))
        return found

    def place(self, mover: Mover, seconds: float) -> Solids:
        """A mover's solids in the world at that second of the drive, with their velocity."""
        along = mover.along + mover.speed * seconds
        yaw = float(self.heading(along)) + (0.0 if mover.speed >= 0 else pi)
        # Over the time of a sweep; in a bend the outer lane is longer, so its cars are faster over ground.
        reach = mover.speed * FRAME_SECONDS / 2
        here, there = self.position((along - reach, along + reach), mover.across)
        vx, vy = ((there - here) / FRAME_SECONDS).tolist()
        return place(mover.solids, self._stand(along, mover.across, mover.height), yaw, (vx, vy, 0.0))

    def _in_view(self, mover: Mover, seconds: float, eye: NDArray[np.float64]) -> bool:
        along = mover.along + mover.speed * seconds
        if not self.begin < along < self.end:
            return False
        return float(np.hypot(*(self.position(along, mover.across)[0] - eye[:2]))) < VIEW_M

    def _stand(self, along: float, across: float, height: float = 0.0) -> tuple[float, float, float]:
        x, y = self.position(along, across)[0]
        return float(x), float(y), height

    def _put(self, thing: Solids, along: float, across: float, *, height: float = 0.0, turn: float = 0.0) -> Solids:
        """A thing in the world, turned by `turn` from the street's direction."""
        return place(thing, self._stand(along, across, height), float(self.heading(along)) + turn)

    def _every(self, spacing: float) -> Iterator[float]:
        yield from np.arange(self.begin, self.end, spacing).tolist()

    def _surfaces(self) -> Iterator[Solids]:
        """Pavements, grass and road markings: flat boxes, short enough to follow the street's bends."""
        for along in self._every(6.0):
            yield self._put(box("road paint", (0, 0, 0.002), (3.0, 0.14, 0.004)), along, 0.0)
            for side in (1, -1):
                line = box("road paint", (0, 0, 0.002), (6.1, 0.12, 0.004))
                pavement = box("paving", (0, 0, KERB_HEIGHT_M / 2), (6.4, HOUSE_M - KERB_M, KERB_HEIGHT_M))
                grass = box("grass", (0, 0, 0.05), (9.0, 36.0, 0.10))
                yield self._put(line, along, side * LANE_EDGE_M)
                yield self._put(pavement, along, side * (KERB_M + HOUSE_M) / 2)
                yield self._put(grass, along, side * (HOUSE_M + 18.0))
        for crossing in self._crossings():
            for across in np.arange(-3.0, 3.1, 1.0).tolist():
                yield self._put(box("road paint", (0, 0, 0.002), (3.0, 0.5, 0.004)), crossing, across)

    def _crossings(self) -> Iterator[float]:
        yield from np.arange(26.0, self.end, 72.0).tolist()
        yield from np.arange(26.0 - 72.0, self.begin, -72.0).tolist()

    def _houses(self, rng: np.random.Generator) -> Iterator[Solids]:
        """A row on each side; here and there a gap to look through."""
        for side in (1, -1):
            along = self.begin
            while along < self.end:
                width, depth = rng.uniform(9.0, 18.0), rng.uniform(8.0, 12.0)
                house = things.building(rng, width, depth, int(rng.integers(2, 6)))
                across = side * (HOUSE_M + rng.uniform(0.2, 1.5) + depth / 2)
                yield self._put(house, along + width / 2, across, height=0.1, turn=0.0 if side == 1 else pi)
                along += width + (rng.uniform(3.0, 9.0) if rng.random() < 0.35 else 0.6)

    def _park_cars(self, rng: np.random.Generator) -> Iterator[Solids]:
        """Cars along both kerbs, not near a crossing; most face the way that their side drives."""
        crossings = np.array(list(self._crossings()))
        for side in (1, -1):
            for slot in self._every(6.4):
                along = slot + rng.uniform(-0.4, 0.4)
                taken = rng.random() < 0.55
                kind, paint = str(rng.choice(things.CAR_KINDS)), str(rng.choice(things.CAR_PAINTS))
                turn = (0.0 if side == -1 else pi) + rng.normal(0, 0.02)
                across = side * (PARKED_M + rng.normal(0, 0.08))
                if not taken or np.abs(crossings - along).min() < 7.0:
                    continue
                parked = self._put(things.car(kind, paint), along, across, turn=turn)
                self._reflectors.append(Reflector(parked.centre[0], np.zeros(3), 2 * float(parked.half[0, 1])))
                yield parked

    def _furniture(self, rng: np.random.Generator) -> Iterator[Solids]:
        """Trees, lamps, signs and bins along the kerbs."""
        put = partial(self._put, height=KERB_HEIGHT_M)
        for side in (1, -1):
            # A thing's -y then points to the road, and a sign looks at those who come towards it.
            turn = 0.0 if side == 1 else pi
            for along in self._every(13.0):
                if rng.random() < 0.6:
                    at = along + rng.uniform(-2, 2)
                    yield put(things.tree(rng), at, side * (KERB_M + 0.9))
            for along in self._every(29.0):
                post = put(things.LAMP_POST, along + 5 * side, side * (KERB_M + 0.4), turn=turn)
                self._reflectors.append(Reflector(post.centre[0] * (1, 1, 0) + (0, 0, 1.0), np.zeros(3), 0.2))
                yield post
            for crossing in self._crossings():
                warning = put(things.WARNING_SIGN, crossing + 2.2 * side, side * 6.0, turn=turn)
                self._reflectors.append(Reflector(warning.centre[1], np.zeros(3), 0.6))
                yield warning
                yield put(things.LITTER_BIN, crossing + 4.5, side * 6.3)
            for along in self._every(47.0):
                yield put(things.YELLOW_SIGN, along + 11, side * 6.0, turn=turn)

    def _traffic(self, rng: np.random.Generator, duration: float, travel: float) -> Iterator[Mover]:
        """One car ahead, one behind, and oncoming ones for as long as the drive lasts. None ever meets another."""

        def some_car(along: float, across: float, speed: float) -> Mover:
            kind = str(rng.choice(things.CAR_KINDS))
            return Mover(kind, things.car(kind, str(rng.choice(things.CAR_PAINTS))), along, across, speed)

        yield some_car(21.0 + rng.uniform(0, 4), -LANE_M, 8.6)
        yield some_car(-24.0 - rng.uniform(0, 4), -LANE_M, 7.4)
        oncoming = -9.5
        along = 18.0 + rng.uniform(0, 10)
        while along < travel + VIEW_M - oncoming * duration:
            yield some_car(along, LANE_M, oncoming)
            along += rng.uniform(28.0, 60.0)

    def _people(self, rng: np.random.Generator) -> Iterator[Mover]:
        """People on the pavements, walking either way."""
        for side in (1, -1):
            for along in self._every(15.0):
                speed = float(rng.choice((-1.4, -1.1, 1.2, 1.5)))
                across = side * rng.uniform(7.4, 9.2)
                solids = things.PEOPLE[str(rng.choice(list(things.PEOPLE)))]
                yield Mover("person", solids, along + rng.uniform(-6, 6), across, speed, KERB_HEIGHT_M)


# ---- the drive ----------------------------------------------------------------------------------------------------

_SPEED, _SURGE_M, _SURGE_SECONDS = 8.0, 0.3, 7.0
_PITCH, _PITCH_SECONDS = radians(0.20), 2.3
_ROLL, _ROLL_SECONDS = radians(0.25), 3.1


def travel(seconds: ArrayLike) -> NDArray[np.float64]:
    """Metres along the street that the car has covered after so many seconds."""
    seconds = np.asarray(seconds, dtype=np.float64)
    surge: NDArray[np.float64] = np.sin(2 * pi / _SURGE_SECONDS * seconds)
    return _SPEED * seconds + _SURGE_M * surge


def frame_timestamp(frame: int) -> int:
    """Nanoseconds since the Unix epoch at which a frame's images were taken; frames count from 0."""
    return FIRST_FRAME_NS + frame * round(FRAME_SECONDS * 1e9)


class Drive:
    """A drive down the right lane of a street."""

    def __init__(self, street: Street) -> None:
        self._street = street

    def poses(self, seconds: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """world_from_ego at each of (N,) seconds: (N, 3, 3) rotations, and (N, 3) translations in metres."""
        seconds = np.atleast_1d(np.asarray(seconds, dtype=np.float64))
        along = travel(seconds)
        yaw = self._street.heading(along)
        pitch = _PITCH * np.sin(2 * pi / _PITCH_SECONDS * seconds)
        roll = _ROLL * np.sin(2 * pi / _ROLL_SECONDS * seconds)
        rotations = _about(2, yaw) @ _about(1, pitch) @ _about(0, roll)
        height = np.full(len(seconds), DEVICE_HEIGHT_M)
        return rotations, np.column_stack((self._street.position(along, -LANE_M), height))

    def pose(self, seconds: float) -> Pose:
        """world_from_ego at one second."""
        rotations, translations = self.poses(seconds)
        return Pose(rotations[0], translations[0])


def _about(axis: int, angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3, 3) rotations about one axis by (N,) radians."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    rotations = np.zeros((len(angles), 3, 3))
    rotations[:, axis, axis] = 1.0
    rotations[:, i, i] = rotations[:, j, j] = np.cos(angles)
    rotations[:, j, i] = np.sin(angles)
    rotations[:, i, j] = -rotations[:, j, i]
    return rotations
