"""KITTI object detection: label_2/NAME.txt and calib/NAME.txt, a pair for each frame.

A line is: type truncated occluded alpha left top right bottom height width length x y z rotation_y. Positions are in
the frame of the rectified camera (x right, y down, z ahead), metres; (x, y, z) is the middle of the bottom face, which
readers move up by half the height along -y. rotation_y turns about the camera's y axis; at 0 the object looks along
+x. Ids of objects and attributes have no place in it; boxes stay upright in the camera, so pitch and roll are lost.

The frame of the Velodyne is ego here, as for the layout kitti-object; Tr_velo_to_cam is the camera's pose on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError
from lidarprep.scene import Cuboids, LabelledFrame, Labels, Pose
from lidarprep.scene.labels import euler_angles

# A camera at the device's origin that looks ahead: what labels are given in where there is no camera.
LOOKING_AHEAD = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


@dataclass(frozen=True)
class LabelCamera:
    """The camera that labels are given in.

    Args:
        camera_from_ego: Its pose, which is the same in all frames.
        projection: (3, 3) float64 intrinsics; None where there is no image.
        size: Width and height of its images, pixels; None where unknown.
    """

    camera_from_ego: Pose
    projection: NDArray[np.float64] | None = None
    size: tuple[int, int] | None = None

    @classmethod
    def ahead(cls) -> LabelCamera:
        """Return a camera without an image that looks ahead from the device's origin."""
        return cls(Pose(LOOKING_AHEAD, np.zeros(3)))


def write_kitti(labels: Labels, names: Sequence[str], camera: LabelCamera) -> Iterator[tuple[str, bytes]]:
    """Yield the files of all frames.

    Raises:
        SceneError: A frame with labels has no pose.
    """
    cuboids = labels.in_frame("ego").cuboids
    calibration = _calibration(camera).encode()
    rows = range(0) if cuboids is None else range(len(cuboids))
    by_frame: dict[int, list[int]] = {}
    for row in rows:
        assert cuboids is not None  # noqa: S101
        by_frame.setdefault(int(cuboids.frame[row]), []).append(row)
    for number, name in enumerate(names):
        lines = [] if cuboids is None else [_line(cuboids, row, camera) for row in by_frame.get(number, [])]
        yield f"label_2/{name}.txt", "".join(f"{line}\n" for line in lines).encode()
        yield f"calib/{name}.txt", calibration


def _line(cuboids: Cuboids, row: int, camera: LabelCamera) -> str:
    length, width, height = cuboids.size[row].tolist()
    pose = Pose.from_euler(float(cuboids.roll[row]), float(cuboids.pitch[row]), float(cuboids.yaw[row]))
    centre = camera.camera_from_ego.apply(cuboids.position[row])
    front = camera.camera_from_ego.rotate(pose.rotation[:, 0])
    rotation_y = float(np.arctan2(-front[2], front[0]))
    alpha = rotation_y - float(np.arctan2(centre[0], centre[2]))
    alpha = float(np.arctan2(np.sin(alpha), np.cos(alpha)))
    signs = np.array([(a, b, c) for a in (-0.5, 0.5) for b in (-0.5, 0.5) for c in (-0.5, 0.5)])
    corners = pose.rotate(signs * (length, width, height)) + cuboids.position[row]
    box, truncated = _image_box(camera.camera_from_ego.apply(corners), camera)
    numbers = [alpha, *box, height, width, length, centre[0], centre[1] + height / 2, centre[2], rotation_y]
    kind = "_".join(str(cuboids.label[row]).split()) or "_"
    return f"{kind} {truncated:.2f} 3 {' '.join(f'{number:.6f}' for number in numbers)}"


def _image_box(corners: NDArray[np.float64], camera: LabelCamera) -> tuple[list[float], float]:
    """Return left, top, right, bottom in pixels, -1 where it is not seen; and the part of it beyond the image."""
    if camera.projection is None or (corners[:, 2] < 0.1).any():
        return [-1.0] * 4, 0.0
    pixels = corners @ camera.projection.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    if camera.size is None:
        return [*low.tolist(), *high.tolist()], 0.0
    last = np.array(camera.size, dtype=np.float64) - 1
    seen_low, seen_high = np.clip(low, 0, last), np.clip(high, 0, last)
    seen = float(np.prod(seen_high - seen_low) / max(float(np.prod(high - low)), 1e-12))
    if seen <= 0:
        return [-1.0] * 4, 1.0
    return [*seen_low.tolist(), *seen_high.tolist()], max(0.0, 1 - seen)


def _calibration(camera: LabelCamera) -> str:
    intrinsics = np.eye(3) if camera.projection is None else camera.projection
    projection = np.column_stack((intrinsics, np.zeros(3)))
    identity = np.eye(3, 4)
    matrices = {f"P{number}": projection for number in range(4)}
    matrices |= {"R0_rect": np.eye(3), "Tr_velo_to_cam": camera.camera_from_ego.matrix[:3], "Tr_imu_to_velo": identity}
    return "".join(
        f"{name}: {' '.join(f'{number:.12e}' for number in matrix.ravel())}\n" for name, matrix in matrices.items()
    )


def read_kitti(files: Mapping[str, bytes], calibrations: Mapping[str, bytes]) -> Labels:
    """Read labels of frames, in ego (the frame of the Velodyne); regions "DontCare" are left out.

    KITTI names no objects: each label is an object of its own.

    Args:
        files: The files of labels, by the names of their frames.
        calibrations: Those of the calibration, likewise.

    Raises:
        FormatError: A line is no label, or a frame has no calibration.
    """
    frames, rows = [], []
    for number, name in enumerate(sorted(files)):
        frames.append(LabelledFrame(name, number))
        if name not in calibrations:
            raise FormatError(
                f"label_2/{name}.txt", found=f"no calib/{name}.txt", expected="the calibration of its camera"
            )
        ego_from_camera = _ego_from_camera(calibrations[name], f"calib/{name}.txt")
        for at, line in enumerate(files[name].decode("utf-8", "replace").splitlines(), 1):
            words = line.split()
            if not words or words[0] == "DontCare":
                continue
            try:
                _, _, _, _, _, _, _, height, width, length, x, y, z, rotation_y = map(float, words[1:15])
            except ValueError:
                raise FormatError(
                    f"label_2/{name}.txt", place=f"line {at}", found=repr(line[:80]), expected="a type and 14 numbers"
                ) from None
            front = ego_from_camera.rotate([np.cos(rotation_y), 0.0, -np.sin(rotation_y)])
            up = ego_from_camera.rotate([0.0, -1.0, 0.0])
            axes = np.stack((front, np.cross(up, front), up), axis=-1)
            yaw, pitch, roll = euler_angles(axes[None])
            if abs(pitch[0]) < 1e-3 and abs(roll[0]) < 1e-3:  # a camera is level but for what calibration rounds
                pitch, roll = np.zeros(1), np.zeros(1)
            rows.append(
                {
                    "track": f"{name}-{at}",
                    "label": words[0],
                    "frame": number,
                    "position": ego_from_camera.apply([x, y - height / 2, z]),
                    "size": (length, width, height),
                    "yaw": float(yaw[0]),
                    "pitch": float(pitch[0]),
                    "roll": float(roll[0]),
                }
            )
    return Labels(tuple(frames), frame="ego", cuboids=Cuboids.of_rows(rows))


def _ego_from_camera(content: bytes, name: str) -> Pose:
    found: dict[str, NDArray[np.float64]] = {}
    for line in content.decode("utf-8", "replace").splitlines():
        key, _, numbers = line.partition(":")
        try:
            found[key.strip()] = np.array([float(word) for word in numbers.split()])
        except ValueError:
            continue
    to_camera = next((found[key] for key in ("Tr_velo_to_cam", "Tr_velo_cam") if key in found), np.zeros(0))
    rectified = found.get("R0_rect", found.get("R_rect", np.eye(3).ravel()))
    if to_camera.size != 12 or rectified.size != 9:
        raise FormatError(name, found="no Tr_velo_to_cam of 12 numbers and R0_rect of 9")
    rotation = np.eye(4)
    rotation[:3, :3] = rectified.reshape(3, 3)
    matrix = rotation @ np.vstack((to_camera.reshape(3, 4), (0, 0, 0, 1)))
    return Pose.from_matrix(matrix).inverse()
