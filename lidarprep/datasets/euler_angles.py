"""Roll, pitch and yaw of a table of poses: in which unit they are, and as quaternions.

Exporters write degrees and radians under the same plain names. Where nothing names the unit, the attitude tells it
(a pitch beyond π/2 is no radian), and then the motion: a device turns little from one pose to the next, and the angle
between its heading and its direction of travel stays about the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lidarprep.scene.pose import multiply

AngleUnit = Literal["degrees", "radians"]

# An angle of a device's attitude in radians is at most so large; a little more for those that round.
_HALF_TURN, _QUARTER_TURN, _ROUNDING = np.pi, np.pi / 2, 1e-3

# Yaws within a turn either way may be of either unit. A yaw that is counted on over the turns starts within one.
_TURN = 2 * np.pi

# A step is travel if the device moves so far in it. The direction of so many steps, or of all of them together, is
# compared to the heading.
_TRAVEL_M, _FEWEST_STEPS = 1.0, 4

# Mean resultant length of (direction of travel - heading): 1 if it is always the same angle. The right unit reaches the
# first, and the wrong one is behind it by the second.
_STEADY, _LESS_STEADY, _AS_STEADY = 0.9, 0.1, 0.01

# Of a heading that hardly changes both are steady. By one of them the device drives ahead, within so many radians.
_AHEAD, _NOT_AHEAD = np.radians(6), np.radians(30)

# Turns from one pose to the next are smaller than this for nine of ten, and three times as large in the wrong unit.
_LARGE_STEP = 0.6


@dataclass(frozen=True)
class UnitGuess:
    """The unit of a table's angles.

    Args:
        unit: The unit.
        reason: What it rests on, as the end of "…, since".
        certain: Whether the numbers leave no doubt.
    """

    unit: AngleUnit
    reason: str
    certain: bool = True


def guess_unit(angles: NDArray[np.float64], positions: NDArray[np.float64]) -> UnitGuess:
    """Guess the unit of angles that nothing names.

    Args:
        angles: (M, 3) roll, pitch, yaw, finite, in the order of time.
        positions: (M, 3) metres, of the same poses.
    """
    names = ("roll", "pitch", "yaw")
    most = np.abs(angles).max(axis=0)
    for column, limit, limit_name in ((1, _QUARTER_TURN, "π/2"), (0, _HALF_TURN, "π")):
        if most[column] > limit + _ROUNDING:
            reason = f"a {names[column]} of {most[column]:g} is more than {limit_name} radians"
            # Angles from 0 to 2π are rarer than degrees, and never as large as this.
            if most[column] > _TURN + _ROUNDING:
                return UnitGuess("degrees", reason)
    yaw = angles[:, 2]
    by_motion = _by_travel(yaw, positions) or _by_steps(yaw)
    if by_motion is not None:
        return by_motion
    if np.abs(yaw).min() > _TURN + _ROUNDING:
        return UnitGuess("degrees", f"a yaw of {yaw[0]:g} is more than a turn in radians")
    if most[2] > _TURN + _ROUNDING:
        return UnitGuess("degrees", f"a yaw of {most[2]:g} is more than a turn in radians", certain=False)
    return UnitGuess("radians", "no angle is beyond a turn in radians", certain=not angles.any())


def _by_travel(yaw: NDArray[np.float64], positions: NDArray[np.float64]) -> UnitGuess | None:
    """Compare the heading to the direction of travel, read in either unit."""
    rows = _travelled(positions)
    if len(rows) - 1 < _FEWEST_STEPS:
        return None
    steps = np.diff(positions[rows, :2], axis=0)
    travel = np.arctan2(steps[:, 1], steps[:, 0])
    found = {}
    units: tuple[AngleUnit, ...] = ("radians", "degrees")
    for unit in units:
        heading = np.radians(yaw) if unit == "degrees" else yaw
        # The heading half way of a step, for a device that turns.
        middle = (heading[rows[:-1]] + heading[rows[1:]]) / 2
        mean = np.exp(1j * (travel - middle)).mean()
        found[unit] = float(abs(mean)), float(abs(np.angle(mean)))
    for unit, other in (units, units[::-1]):
        (steady, ahead), (other_steady, other_ahead) = found[unit], found[other]
        if steady < _STEADY:
            continue
        figures = f"in {unit} the heading keeps {np.degrees(ahead):.0f}° to the direction of travel"
        if other_steady < steady - _LESS_STEADY:
            return UnitGuess(unit, f"{figures}, in {other} it does not keep to it")
        if steady > other_steady - _AS_STEADY and ahead < _AHEAD and other_ahead > _NOT_AHEAD:
            certain = unit == "radians"  # a device may drive backwards or sideways
            return UnitGuess(unit, f"{figures}, in {other} {np.degrees(other_ahead):.0f}°", certain=certain)
    return None


def _travelled(positions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return rows that are each far enough from the one before for a direction of travel."""
    rows = [0]
    for row in range(1, len(positions)):
        if float(np.hypot(*(positions[row, :2] - positions[rows[-1], :2]))) >= _TRAVEL_M:
            rows.append(row)
    return np.array(rows, dtype=np.int64)


def _by_steps(yaw: NDArray[np.float64]) -> UnitGuess | None:
    """Judge by how far the device turns from one pose to the next."""
    if len(yaw) - 1 < _FEWEST_STEPS:
        return None
    steps = np.diff(yaw)
    in_radians = float(np.percentile(np.abs(np.angle(np.exp(1j * steps))), 90))
    in_degrees = float(np.percentile(np.abs(np.angle(np.exp(1j * np.radians(steps)))), 90))
    if in_radians > _LARGE_STEP and in_degrees < in_radians / 3:
        return UnitGuess("degrees", f"in radians it would turn by {np.degrees(in_radians):.0f}° from pose to pose")
    return None


def quaternions_of(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (M, 4) quaternions (w, x, y, z) of (M, 3) roll, pitch, yaw in radians, as `Pose.from_euler` has them."""
    about = []
    for column in range(3):
        half = np.zeros((len(angles), 4))
        half[:, 0], half[:, 1 + column] = np.cos(angles[:, column] / 2), np.sin(angles[:, column] / 2)
        about.append(half)
    return multiply(about[2], multiply(about[1], about[0]))
