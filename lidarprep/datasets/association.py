"""Association by time: images, radar sweeps and poses, which have times of their own, to the lidar's frames.

Data without a match is counted and noted, never replaced by other data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lidarprep.datasets.filenames import Key
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.poses import PoseTable
from lidarprep.errors import SceneError
from lidarprep.remote import AnyPath
from lidarprep.scene import Camera, CameraImage, Pose, Scene, Trajectory
from lidarprep.scene.trajectory import named_offset


def nearest(timestamps: ArrayLike, others: ArrayLike, tolerance_ns: int) -> NDArray[np.int64]:
    """Return for each of (F,) times the row of the nearest of (K,) others, or -1; the earlier of two as near.

    Args:
        timestamps: (F,) int64 nanoseconds.
        others: (K,) int64 nanoseconds, in any order.
        tolerance_ns: How far away the nearest may be, included.
    """
    rows, apart = _neighbours(timestamps, others)
    return np.where(apart.min(axis=1) <= tolerance_ns, np.where(apart[:, 1] < apart[:, 0], rows[:, 1], rows[:, 0]), -1)


def paired(timestamps: ArrayLike, others: ArrayLike, tolerance_ns: int) -> NDArray[np.int64]:
    """Associate as `nearest` does, but give each of the others to one time at most.

    The nearest pairs come first; of pairs as near the earlier one. A time whose nearest is given away gets its
    neighbour on the other side, if that is within the tolerance: two series that alternate are paired in turn.

    Args:
        timestamps: (F,) int64 nanoseconds.
        others: (K,) int64 nanoseconds, in any order.
        tolerance_ns: How far apart a pair may be, included.
    """
    times = np.asarray(timestamps, dtype=np.int64)
    neighbours, apart = _neighbours(times, others)
    rows = np.full(len(times), -1, dtype=np.int64)
    frames, sides = np.nonzero(apart <= tolerance_ns)
    chosen = neighbours[frames, sides]
    taken = set()
    for pair in np.lexsort((sides, times[frames], apart[frames, sides])).tolist():
        frame, other = frames[pair], chosen[pair]
        if rows[frame] < 0 and other not in taken:
            rows[frame] = other
            taken.add(other)
    return rows


def _neighbours(timestamps: ArrayLike, others: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (F, 2) rows of the others before and after each time, and how far away; endlessly far where none is."""
    times, unsorted = np.asarray(timestamps, dtype=np.int64), np.asarray(others, dtype=np.int64)
    order = np.argsort(unsorted, kind="stable")
    after = np.searchsorted(unsorted[order], times)
    places = np.column_stack((after - 1, after))
    inside = (places >= 0) & (places < len(order))
    rows = np.zeros_like(places)
    rows[inside] = order[places[inside]]
    apart = np.full(places.shape, np.iinfo(np.int64).max)
    apart[inside] = np.abs(unsorted[rows[inside]] - np.broadcast_to(times[:, None], places.shape)[inside])
    return rows, apart


# So many images and frames tell whether they begin and end as far apart.
_FEWEST_SHIFTED = 4

# A camera, and its images by the key or the number of the frame that they belong to.
CameraFiles = tuple[Camera, Mapping[Key, AnyPath]]


def images_of_frame(
    cameras: Iterable[CameraFiles[Key]], key: Key, world_from_ego: Pose | None, timestamp: int | None
) -> tuple[CameraImage, ...]:
    """Return the images that belong to a frame by its key, with their cameras' poses in the world at its time."""
    return tuple(
        CameraImage(
            camera,
            files[key],
            None if world_from_ego is None or (pose := camera.ego_from_camera) is None else world_from_ego @ pose,
            timestamp,
        )
        for camera, files in cameras
        if key in files
    )


@dataclass(frozen=True)
class ImageSeries:
    """The images of one camera, as a recording has them.

    Args:
        camera: The camera, with its extrinsics.
        timestamps: (K,) nanoseconds since the Unix epoch, in any order.
        image: Makes the image of a row: its file, or the function that reads its encoded bytes. The timestamp is added
            by `match_images`, and the pose if the camera has extrinsics.
    """

    camera: Camera
    timestamps: Sequence[int]
    image: Callable[[int], CameraImage]


def match_images(
    timestamps: Sequence[int], series: Sequence[ImageSeries], trajectory: Trajectory | None, options: OpenOptions
) -> tuple[list[tuple[CameraImage, ...]], list[str]]:
    """Find for each frame the nearest image of each camera, with the camera's pose at the image's own time.

    Args:
        timestamps: (F,) of the frames, nanoseconds.
        series: The cameras' images.
        trajectory: world_from_ego over time; None where it is not known: then images have no pose.
        options: For the tolerance and the widest gap.

    Returns:
        The images of each frame, in the order of the series; and notes on those that were not matched.
    """
    found: list[list[CameraImage]] = [[] for _ in timestamps]
    notes: list[str] = []
    for one in series:
        rows = nearest(timestamps, one.timestamps, options.image_tolerance_ns)
        frames = np.flatnonzero(rows >= 0).tolist()
        times = [int(one.timestamps[rows[frame]]) for frame in frames]
        poses: Sequence[Pose | None] = [None] * len(times)
        if trajectory is not None:
            poses = trajectory.at_each(times, max_gap_ns=options.max_pose_gap_ns, then=one.camera.ego_from_camera)
        unposed = 0
        for frame, time, pose in zip(frames, times, poses, strict=True):
            if trajectory is not None and pose is None:
                unposed += 1
                continue
            image = one.image(int(rows[frame]))
            world_from_camera = image.world_from_camera if one.camera.ego_from_camera is None else pose
            image = replace(image, camera=one.camera, world_from_camera=world_from_camera, timestamp=time)
            found[frame].append(image)
        notes += unmatched(f"camera {one.camera.name}", "image", rows, options)
        notes += _shifted(one, timestamps)
        if unposed:
            notes.append(
                f"camera {one.camera.name}: {unposed} images were taken where no pose is known; they are left out"
            )
    return [tuple(images) for images in found], notes


def _shifted(series: ImageSeries, timestamps: Sequence[int]) -> list[str]:
    """Return a note on images that come as often as the frames, and begin and end later or earlier by half a frame."""
    frames, images = (np.unique(np.asarray(times, dtype=np.int64)) for times in (timestamps, series.timestamps))
    if min(len(frames), len(images)) < _FEWEST_SHIFTED or abs(len(frames) - len(images)) > 1:
        return []
    step, image_step = (float(np.median(np.diff(times))) for times in (frames, images))
    begin, end = int(images[0] - frames[0]), int(images[-1] - frames[-1])
    offset = (begin + end) / 2
    if abs(step - image_step) > 0.02 * step or abs(begin - end) > 0.1 * step or abs(offset) < 0.49 * step:
        return []
    later = "after" if offset > 0 else "before"
    return [
        f"camera {series.camera.name}: its images begin and end {abs(offset) / 1e6:.1f} ms {later} the frames"
        f"{named_offset(offset)}: a constant delay of its clock, or of the lidar's, would look so"
    ]


def unmatched(name: str, what: str, rows: NDArray[np.int64], options: OpenOptions) -> list[str]:
    """Return a note on the frames without a match, whose row is -1; none if each has one."""
    missing = int((rows < 0).sum())
    within = f"within {options.image_tolerance:g} s (--image-tolerance)"
    return [f"{name}: {missing} of {len(rows)} frames have no {what} {within}"] if missing else []


def unpaired(name: str, frames: Set[int], images: Set[int]) -> list[str]:
    """Return notes on the frames without an image of a camera, and on its images without a frame, by their numbers."""
    missing, left_over = len(frames - images), len(images - frames)
    notes = [f"camera {name}: {missing} of {len(frames)} frames have no image"] if missing else []
    return [*notes, f"camera {name}: {left_over} of {len(images)} images belong to no frame"] if left_over else notes


def poses_at(
    timestamps: Sequence[int], trajectory: Trajectory, options: OpenOptions
) -> tuple[list[Pose | None], list[str]]:
    """Interpolate the pose at each frame's time; None where there is none, and a note on how many lack one."""
    poses = trajectory.at_each(timestamps, max_gap_ns=options.max_pose_gap_ns)
    without = sum(pose is None for pose in poses)
    if not without:
        return poses, []
    first, last = (int(trajectory.timestamps[k]) for k in (0, -1))
    return poses, [
        f"{without} of {len(poses)} frames have no pose: the poses reach from {first} to {last} ns, "
        f"and gaps over {options.max_pose_gap:g} s are not bridged (--max-pose-gap)"
    ]


def poses_of_table(
    timestamps: Sequence[int], table: PoseTable, options: OpenOptions, what: str, fix: str
) -> tuple[list[Pose | None], Trajectory, list[str]]:
    """Interpolate the poses of a file with times at the frames' times; with the trajectory and notes.

    Raises:
        SceneError: No frame is within the time of the poses; `what` says what has the frames' times, in the singular.
    """
    trajectory, notes = table.trajectory()
    poses, missing = poses_at(timestamps, trajectory, options)
    if all(pose is None for pose in poses):
        begin, end = (int(trajectory.timestamps[row]) for row in (0, -1))
        apart = (begin + end) / 2 - (min(timestamps) + max(timestamps)) / 2
        clocks = f"; they are {abs(apart) / 1e9:.1f} s apart{named_offset(apart)}" if named_offset(apart) else ""
        raise SceneError(
            f"no {what} is within the time of the poses: {what}s are from {min(timestamps)} to {max(timestamps)} ns, "
            f"poses in {table.path} from {trajectory.timestamps[0]} to {trajectory.timestamps[-1]} ns, "
            f"and gaps over {options.max_pose_gap:g} s are not bridged (--max-pose-gap){clocks}",
            fix=f"{fix} Or their times have another unit: --time-unit.",
        )
    return poses, trajectory, [*notes, *missing]


def by_time(scene: Scene) -> Scene:
    """Return the scene with its frames sorted by time; of frames with one timestamp the first is kept.

    Raises:
        SceneError: A frame has no timestamp.
    """
    for frame in scene:
        if frame.timestamp is None:
            raise SceneError(
                f"frame {frame.id} has no timestamp, so frames cannot be sorted by time",
                fix="Leave --frame-order time out: frames come in the order in which they are recorded.",
            )
    kept = {frame.timestamp: frame for frame in reversed(scene.frames)}
    frames = [kept[time] for time in sorted(time for time in kept if time is not None)]
    doubled = len(scene) - len(frames)
    notes = list(scene.notes)
    if doubled:
        notes.append(f"{doubled} of {len(scene)} frames have the timestamp of an earlier one; they are left out")
    numbered = tuple(replace(frame, index=index) for index, frame in enumerate(frames))
    return replace(scene, frames=numbered, notes=tuple(notes))
