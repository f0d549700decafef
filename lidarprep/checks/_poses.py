"""Poses: rotations off unit, impossible speeds, motion within sweeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lidarprep.checks._samples import Sample
from lidarprep.scene import Finding, Frame, Pose, Scene, Subject
from lidarprep.scene.finding import Option
from lidarprep.scene.pose import UNIT_TOLERANCE

# A rotation that is further off unit than this is not explained by the rounding of a file with five decimals.
ODD_DEVIATION = 1e-4

# Jitter of a pose in a very short time is not a jump: shorter steps pass at any speed.
SHORTEST_JUMP_M = 1.0

# Without timestamps a step of the device is a jump if it is both this long and so many times the usual step.
JUMP_M, JUMP_TIMES_USUAL = 20.0, 10.0

# No sweep takes longer than this: times further apart are not times within one sweep.
LONGEST_SWEEP_NS = 1_000_000_000

# A motion that is larger than the noise of most lidars is worth a hint.
WORTH_A_HINT_M = 0.05


def not_unit(scene: Scene) -> list[Finding]:
    """Find rotations that were normalised by more than rounding explains."""
    named = []
    for camera in scene.cameras:
        if camera.ego_from_camera is not None:
            named.append((f"the extrinsics of camera {camera.name}", camera.ego_from_camera.normalised_by))
        else:
            poses = [i.world_from_camera for frame in scene for i in frame.images if i.camera.name == camera.name]
            named.append((f"a pose of camera {camera.name} in the world", _deviation(poses)))
    named += [(f"the extrinsics of lidar {lidar.name}", _deviation((lidar.ego_from_lidar,))) for lidar in scene.lidars]
    frames = [frame for frame in scene if _deviation((frame.world_from_ego,)) > ODD_DEVIATION]
    if frames:
        worst = max(frames, key=lambda frame: _deviation((frame.world_from_ego,)))
        others = f" (and those of {len(frames) - 1} other frames, less)" if len(frames) > 1 else ""
        named.append((f"the pose of frame {worst.id}{others}", _deviation((worst.world_from_ego,))))
    elif scene.trajectory is not None:
        named.append(("a pose of the device's path", scene.trajectory.normalised_by))
    return [
        Finding(
            "rotation-not-unit",
            f"{name}: the quaternion or matrix is off unit by {deviation:.2g}; it was normalised",
            f"mend it in the recording: beyond {UNIT_TOLERANCE:g} it would be refused",
            found=float(f"{deviation:.2g}"),
            expected="1, to four decimals",
        )
        for name, deviation in named
        if deviation > ODD_DEVIATION
    ]


def _deviation(poses: Iterable[Pose | None]) -> float:
    return max((pose.normalised_by for pose in poses if pose is not None), default=0.0)


def jumps(scene: Scene, max_speed: float) -> list[Finding]:
    """Find steps of the device from one frame to the next that are faster than `max_speed`, metres a second."""
    posed = [frame for frame in scene if frame.world_from_ego is not None]
    stamped = {frame.timestamp: frame for frame in reversed(posed) if frame.timestamp is not None}
    if len(stamped) > 1 and all(frame.timestamp is not None for frame in posed):
        return _too_fast([stamped[time] for time in sorted(stamped)], max_speed)
    return _too_far(posed)


def _steps(frames: list[Frame]) -> NDArray[np.float64]:
    """(F - 1,) metres from each frame's device to the next one's."""
    places = np.array([frame.world_from_ego.translation for frame in frames if frame.world_from_ego is not None])
    return np.asarray(np.linalg.norm(np.diff(places.reshape(-1, 3), axis=0), axis=1))


def _too_fast(frames: list[Frame], max_speed: float) -> list[Finding]:
    """Judge frames in time order, one a time, by their speed."""
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
            "or mend the poses, if it is not as fast as that",
            subject=Subject("frame", frames[worst + 1].id),
            found=round(float(speeds[worst]), 1),
            expected=f"at most {max_speed:g} m/s",
            option=Option(f"--max-speed {enough:.0f}", f"max_speed={enough:.0f}", "Recipe"),
        )
    ]


def _too_far(frames: list[Frame]) -> list[Finding]:
    """Judge frames without timestamps, in their order, by the usual step."""
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
            subject=Subject("frame", frames[worst + 1].id),
            found=round(float(steps[worst]), 1),
            expected=f"about {usual:.2f} m",
        )
    ]


def motion_within_sweeps(scene: Scene, samples: Sequence[Sample]) -> str | None:
    """Say in a sentence how far the device moves during a sweep; None if it hardly moves or that is not known.

    Recordings seldom say whether their points are compensated for it, so this is a hint and not a finding.
    """
    path = scene.device_path()
    if scene.motion_compensated or scene.points_frame != "ego" or path is None or len(path) < 2:
        return None
    furthest, at = 0.0, ""
    for sample in samples:
        times, frame = sample.points.timestamp, sample.frame
        if times is None or not len(times) or frame.timestamp is None:
            continue
        span = int(times.max()) - int(times.min())
        if not 0 < span <= LONGEST_SWEEP_NS:
            continue
        row = int(np.clip(np.searchsorted(path.timestamps, frame.timestamp), 1, len(path) - 1))
        step = float(np.linalg.norm(path.translations[row] - path.translations[row - 1]))
        moved = step * span / int(path.timestamps[row] - path.timestamps[row - 1])
        if moved > furthest:
            furthest, at = moved, f"frame {frame.id} takes {span / 1e6:.0f} ms"
    if furthest < WORTH_A_HINT_M:
        return None
    return (
        f"points have times of their own: {at}, in which the device moves {furthest:.2f} m; unless the points are "
        "compensated for it already, --deskew does it (deskew=True in a recipe)"
    )
