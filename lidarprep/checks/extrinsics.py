"""Extrinsics of cameras: inverted, in the axes of a body, or such that a camera sees too little.

The device's z is taken to point up, or the world's on a device that is tilted: what looks inverted does so by both. A
camera that looks to the right at a right angle has extrinsics whose rotation is its own inverse: there, neither its
attitude nor what it sees can tell one reading from the other.
"""

from __future__ import annotations

from lidarprep.checks.finding import Finding, opening_option
from lidarprep.checks.views import Array, CameraView, View

# A picture's downward axis that points further from down than the first looks wrong; nearer than the second, right.
TURNED_DEGREES, UPRIGHT_DEGREES = 60.0, 45.0

# A picture that is rolled by more than the first, and by less than the second when its extrinsics are inverted, is more
# likely inverted than mounted so: nobody mounts a camera askew such that its inverse is level.
ROLLED_DEGREES, LEVEL_DEGREES = 10.0, 3.0

# Cameras look up at most so far; one whose z axis points higher has its pose in the axes of a body.
HIGHEST_ELEVATION_DEGREES = 60.0

# A camera sees too little if fewer points fall into its picture than this part of what is expected; told only
# where at least so many are expected.
TOO_LITTLE, FEWEST_EXPECTED = 0.02, 50.0

# What inverts to a better attitude, but sees less than this part of what it sees as given, is not inverted.
WORSE_VIEW = 0.2


def odd_extrinsics(view: CameraView) -> Finding | None:
    """What is odd about a camera's pose, judged by its attitude and by the points that fall into its picture."""
    if _looks_inverted(view):
        return _inverted(view)
    if view.given.elevation_degrees > HIGHEST_ELEVATION_DEGREES and view.as_body.seen >= view.given.seen:
        return _body_axes(view)
    if _sees_too_little(view):
        return _too_little(view)
    return None


def _looks_inverted(view: CameraView) -> bool:
    return view.inverted.seen >= WORSE_VIEW * view.given.seen and all(_upright_if_inverted(view, up) for up in view.ups)


def _upright_if_inverted(view: CameraView, up: Array) -> bool:
    given, inverted = view.given, view.inverted
    if inverted.down_degrees(up) >= UPRIGHT_DEGREES:
        return False
    rolled = given.roll_degrees(up) > ROLLED_DEGREES and inverted.roll_degrees(up) < LEVEL_DEGREES
    return rolled or given.down_degrees(up) > TURNED_DEGREES


def _sees_too_little(view: CameraView) -> bool:
    return view.surrounded and view.expected >= FEWEST_EXPECTED and view.given.seen < TOO_LITTLE * view.expected


def _inverted(view: CameraView) -> Finding:
    name = view.camera.name
    message = (
        f"the extrinsics of camera {name} look inverted: as given, {_attitude(view, view.given)}; "
        f"inverted, {_attitude(view, view.inverted)}"
    )
    if view.camera.ego_from_camera is None:
        return Finding("extrinsics-inverted", message, "give its poses as world from camera")
    return Finding(
        "extrinsics-inverted",
        message,
        opening_option("--invert-extrinsics", name, "invert_extrinsics", f"[{name!r}]"),
    )


def _attitude(view: CameraView, reading: View) -> str:
    """What the pose makes of the picture, with the figures."""
    seen = f" and {reading.seen / view.points:.1%} of the points fall into it" if view.points else ""
    return f"its picture is {reading.down_degrees():.0f}° from upright{seen}"


def _body_axes(view: CameraView) -> Finding:
    return Finding(
        "extrinsics-body-axes",
        f"camera {view.camera.name} looks {view.given.elevation_degrees:.0f}° upwards, as if its pose were in the axes "
        f"of a body; {_seen(view)}",
        "give the pose of its optical frame: z forward, x right, y down",
    )


def _too_little(view: CameraView) -> Finding:
    return Finding(
        "extrinsics-see-little",
        f"camera {view.camera.name} sees too little: {_seen(view)}, though there are points all round the device",
        "mend its extrinsics: the pose on the device, metres, of its optical frame (z forward, x right, y down)",
    )


def _seen(view: CameraView) -> str:
    return (
        f"{view.given.seen} of {view.points} points that were looked at fall into its picture of "
        f"{view.width} × {view.height} pixels"
    )
