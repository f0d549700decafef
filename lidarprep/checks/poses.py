"""Poses: whether their rotations are unit, and whether the device moves as a device can."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lidarprep.checks.finding import Finding
from lidarprep.scene import Frame, Pose, Scene
from lidarprep.scene.pose import UNIT_TOLERANCE

# From here on a rotation is off unit by more than the rounding of a file with five decimals explains.
ODD_DEVIATION = 1e-4

# Jitter of a pose in a very short time is no jump: steps below this are let be, whatever their speed.
SHORTEST_JUMP_M = 1.0

# Without timestamps: a step of the device is a jump if it is both this long and so many times the usual step.
JUMP_M, JUMP_TIMES_USUAL = 20.0, 10.0


def not_unit(scene: Scene) -> list[Finding]:
    """Rotations that had to be normalised by more than rounding explains."""
    findings = []
    named: list[tuple[str, Pose | None]] = [
        *((f"the extrinsics of camera {camera.name}", camera.ego_from_camera) for camera in scene.cameras),
        *((f"the extrinsics of lidar {lidar.name}", lidar.ego_from_lidar) for lidar in scene.lidars),
    ]
    for name, pose in named:
        if pose is not None and pose.normalised_by > ODD_DEVIATION:
            findings.append(_not_unit(name, pose.normalised_by))
    frames = [frame for frame in scene if _deviation((frame.world_from_ego,)) > ODD_DEVIATION]
    if frames:
        worst = max(frames, key=lambda frame: _deviation((frame.world_from_ego,)))
        others = f" (and those of {len(frames) - 1} other frames, less)" if len(frames) > 1 else ""
        findings.append(_not_unit(f"the pose of frame {worst.id}{others}", _deviation((worst.world_from_ego,))))
    elif scene.trajectory is not None and scene.trajectory.normalised_by > ODD_DEVIATION:
        findings.append(_not_unit("a pose of the device's way", scene.trajectory.normalised_by))
    for camera in scene.cameras:
        if camera.ego_from_camera is not None:
            continue
        worst_by = _deviation(
            image.world_from_camera for frame in scene for image in frame.images if image.camera.name == camera.name
        )
        if worst_by > ODD_DEVIATION:
            findings.append(_not_unit(f"a pose of camera {camera.name} in the world", worst_by))
    return findings


def _deviation(poses: Iterable[Pose | None]) -> float:
    return max((pose.normalised_by for pose in poses if pose is not None), default=0.0)


def _not_unit(name: str, deviation: float) -> Finding:
    return Finding(
        "rotation-not-unit",
        f"{name}: the quaternion or matrix is off unit by {deviation:.2g}; it was normalised",
        f"mend it in the recording: beyond {UNIT_TOLERANCE:g} it would be refused",
    )


def jumps(scene: Scene, max_speed: float) -> list[Finding]:
    """Steps of the device from one frame to the next that it cannot have made.

    Args:
        scene: The recording.
        max_speed: Metres a second.
    """
    posed = [frame for frame in scene if frame.world_from_ego is not None]
    stamped = {frame.timestamp: frame for frame in reversed(posed) if frame.timestamp is not None}
    if len(stamped) > 1 and all(frame.timestamp is not None for frame in posed):
        return _too_fast([stamped[time] for time in sorted(stamped)], max_speed)
    return _too_far(posed)


def _steps(frames: list[Frame]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(F - 1,) metres from each frame's device to the next one's."""
    places = np.array([frame.world_from_ego.translation for frame in frames if frame.world_from_ego is not None])
    steps: np.ndarray[tuple[int], np.dtype[np.float64]] = np.linalg.norm(np.diff(places.reshape(-1, 3), axis=0), axis=1)
    return steps


def _too_fast(frames: list[Frame], max_speed: float) -> list[Finding]:
    """Of frames in time order, one a time."""
    steps = _steps(frames)
    times = np.array([frame.timestamp for frame in frames], dtype=np.int64)
    seconds = np.diff(times) / 1e9
    speeds = np.where(steps > SHORTEST_JUMP_M, steps / seconds, 0.0)
    fast = int((speeds > max_speed).sum())
    if not fast:
        return []
    worst = int(speeds.argmax())
    enough = float(np.ceil(speeds[worst] + 1))
    return [
        Finding(
            "device-jumps",
            f"the device moves {steps[worst]:.1f} m in {seconds[worst]:.3g} s, {speeds[worst]:.0f} m/s, from frame "
            f"{frames[worst].id} to {frames[worst + 1].id}; {fast} of {len(steps)} steps are faster than "
            f"{max_speed:g} m/s",
            f"mend the poses; or if it is as fast as that, --max-speed {enough:.0f} "
            f"(max_speed={enough:.0f} in inspect_scene and in a recipe)",
        )
    ]


def _too_far(frames: list[Frame]) -> list[Finding]:
    """Of frames in their order, where their times are not known."""
    steps = _steps(frames)
    if not steps.size:
        return []
    usual = float(np.sort(steps)[(len(steps) - 1) // 2])
    far = steps > max(JUMP_M, JUMP_TIMES_USUAL * usual)
    if not far.any():
        return []
    worst = int(steps.argmax())
    return [
        Finding(
            "device-jumps",
            f"the device moves {steps[worst]:.1f} m from frame {frames[worst].id} to {frames[worst + 1].id}, where "
            f"half of the steps are at most {usual:.2f} m; {int(far.sum())} of {len(steps)} steps are such jumps",
            "mend the poses; or if it moves so, give the frames timestamps, which its speed can be judged by",
        )
    ]
