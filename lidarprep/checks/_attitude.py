"""The device's attitude over the whole drive: how far it leans, and where it heads as it drives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.pose_readings import READINGS
from lidarprep.scene import Finding, Frame
from lidarprep.scene.finding import opening_option
from lidarprep.scene.pose import conjugate, rotate

# A device leans if it does by more than this in every frame; it is upright below the second.
LEANS_DEGREES, UPRIGHT_DEGREES = 30.0, 12.0

# Steps that say where the device goes are so long, and so many; it goes the same way if the mean resultant length of
# the angle between heading and travel is above the last.
STEP_M, FEWEST_STEPS, STEADY = 0.5, 5, 0.97

# It drives ahead within so many degrees, backwards beyond the second, and sideways in between.
AHEAD_DEGREES, BACKWARDS_DEGREES = 45.0, 135.0


def odd_attitude(frames: Sequence[Frame], poses: Literal["fit", "wrong", "unknown"]) -> list[Finding]:
    """Find a device that leans in every frame, or that always drives sideways or backwards.

    Args:
        frames: The frames, in time order.
        poses: What the cloud says of the poses. Where they fit, a lidar may be mounted so, and only the heading is
            worth a note; where they are wrong, that is said by other findings.
    """
    known = [frame.world_from_ego for frame in frames if frame.world_from_ego is not None]
    if not known or poses == "wrong":
        return []
    quaternions = np.array([pose.quaternion for pose in known])
    translations = np.array([pose.translation for pose in known])
    leaning = [] if poses == "fit" else _leaning(quaternions, translations)
    return leaning or _travel(quaternions, translations, fits=poses == "fit")


def tilts(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M,) degrees between the device's z axis and the world's, of (M, 4) quaternions w, x, y, z."""
    upright = 1 - 2 * (quaternions[:, 1] ** 2 + quaternions[:, 2] ** 2)
    return np.asarray(np.degrees(np.arccos(np.clip(upright, -1, 1))))


def _leaning(quaternions: NDArray[np.float64], translations: NDArray[np.float64]) -> list[Finding]:
    leans = tilts(quaternions)
    if float(leans.min()) <= LEANS_DEGREES:
        return []
    upright = {name: float(tilts(read(quaternions, translations)[0]).max()) for name, read in READINGS.items()}
    orders = {name: lean for name, lean in upright.items() if name != "inverted" and lean < UPRIGHT_DEGREES}
    message = f"the device leans by {np.median(leans):.0f}°, and by {leans.min():.0f}° or more in every frame"
    found = Finding(
        "device-leans",
        message,
        "look whether the poses are world from ego, with z up",
        found=round(float(np.median(leans)), 1),
        expected=f"less than {LEANS_DEGREES:g}°",
    )
    if not orders:
        return [found]
    name = min(orders, key=orders.__getitem__)
    what = "is the quaternion w, x, y, z? Read" if name in ("xyzw", "wxyz") else "read"
    return [
        replace(
            found,
            message=f"{message}; {what} as {name}, it is within {orders[name]:.0f}° of upright",
            cure="if the device is not mounted so",
            option=opening_option("--poses-are", name, "poses_are", repr(name)),
        )
    ]


def _travel(quaternions: NDArray[np.float64], translations: NDArray[np.float64], *, fits: bool) -> list[Finding]:
    rows = [0]
    for row in range(1, len(translations)):
        if float(np.linalg.norm(translations[row] - translations[rows[-1]])) >= STEP_M:
            rows.append(row)
    if len(rows) <= FEWEST_STEPS:
        return []
    ahead = rotate(conjugate(quaternions[rows[:-1]]), np.diff(translations[rows], axis=0))
    mean = np.exp(1j * np.arctan2(ahead[:, 1], ahead[:, 0])).mean()
    angle = float(np.degrees(np.angle(mean)))
    if abs(mean) < STEADY or abs(angle) <= AHEAD_DEGREES:
        return []
    way = "backwards" if abs(angle) >= BACKWARDS_DEGREES else "sideways"
    side = "" if way == "backwards" else " to the left" if angle > 0 else " to the right"
    return [
        Finding(
            "device-drives-odd",
            f"the device always drives {way}: {abs(angle):.0f}°{side} of its x axis, over {len(rows) - 1} steps",
            "look whether the poses are those of the points' own frame, with x ahead"
            + ("; the points fit the poses, so only the device's heading in the task is affected" if fits else ""),
            severity="note",  # robots strafe, and lidars are mounted as there is room
            found=round(angle, 1),
            expected=f"within {AHEAD_DEGREES:g}° of x",
        )
    ]
