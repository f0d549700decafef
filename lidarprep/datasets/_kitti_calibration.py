"""KITTI's calibration files: lines of a name, a colon and numbers; and the cameras that they describe.

Images of both layouts are rectified: the pixels of a point are P · [x, y, z, 1], with (x, y, z) in the frame of the
rectified camera 0. P = K · [I | t] has the camera's own position in its last column, since rectified cameras have one
rotation: a point (x, y, z) of camera 0's frame is (x, y, z) + t in the camera's own (Geiger et al., "Vision meets
robotics: the KITTI dataset", 2013).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.unread import misnamed_file
from lidarprep.errors import FormatError, SceneError, naming
from lidarprep.remote import AnyPath
from lidarprep.scene import Intrinsics, Pose

# The rows of a calibration file are all shorter than this; a file that is much larger is something else.
LARGEST_FILE = 1 << 20


@dataclass(frozen=True, eq=False)
class Calibration:
    """The numbers of a calibration file, by the name before the colon of their line.

    Raises:
        FormatError: A line that is asked for is missing, or does not have that many finite numbers of that kind.
    """

    path: AnyPath
    rows: dict[str, NDArray[np.float64]]

    def numbers(self, name: str, count: int, fix: str | None = None) -> NDArray[np.float64]:
        """Return the numbers of a line."""
        if name not in self.rows:
            names = ", ".join(self.rows) or "nothing"
            raise FormatError(self.path, found=f"no line '{name}:', only {names[:200]}", expected=name, fix=fix)
        values = self.rows[name]
        if len(values) != count or not np.isfinite(values).all():
            raise FormatError(
                self.path,
                place=f"line '{name}:'",
                found=f"{len(values)} numbers" if len(values) != count else "a number that is not finite",
                expected=f"{count} numbers",
            )
        return values

    def pose(self, rotation: str, translation: str | None = None) -> Pose:
        """Return the transform of the lines with its (3, 3) rotation and, unless it is 0, its translation, metres."""
        matrix = self.numbers(rotation, 9).reshape(3, 3)
        offset = np.zeros(3) if translation is None else self.numbers(translation, 3)
        return self.checked(rotation, np.column_stack((matrix, offset)))

    def checked(self, name: str, matrix: NDArray[np.float64]) -> Pose:
        """Return the pose of a (3, 4) matrix of the named line."""
        with naming(self.path, f"line '{name}:'"):
            return Pose.from_matrix(matrix)

    def rectified_camera(
        self, name: str, size: tuple[int, int] | None = None
    ) -> tuple[Intrinsics, NDArray[np.float64]]:
        """Split a projection matrix (3, 4) into the intrinsics, and t (3,), the offset from camera 0's frame.

        Args:
            name: The line that holds it: "P_rect_02", "P2".
            size: Width and height of the images in pixels, where they are known.
        """
        p = self.numbers(name, 12).reshape(3, 4)
        width, height = size if size is not None else (None, None)
        (fx, skew, cx), (zero, fy, cy), last = p[:, :3].tolist()
        if zero != 0 or last != [0, 0, 1]:
            raise FormatError(
                self.path, place=f"line '{name}:'", found="no projection matrix", expected="fx s cx · 0 fy cy · 0 0 1 ·"
            )
        with naming(self.path, f"line '{name}:'"):
            intrinsics = Intrinsics(fx, fy, cx, cy, skew, width=width, height=height)
        return intrinsics, np.asarray(np.linalg.solve(p[:, :3], p[:, 3]), dtype=np.float64)


def read_calibration(path: AnyPath) -> Calibration:
    """Read a calibration file. Lines without numbers, such as the time of calibration, are passed over."""
    if not path.is_file():
        raise SceneError(
            f"{path} is missing{misnamed_file(path)}: where the sensors sit on the device is not known",
            fix="Put it there.",
        )
    if path.stat().st_size > LARGEST_FILE:
        raise FormatError(path, found=f"{path.stat().st_size} bytes", expected="a few lines of calibration")
    rows: dict[str, NDArray[np.float64]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        name, colon, rest = line.partition(":")
        try:
            values = np.array([float(word) for word in rest.split()])
        except ValueError:
            continue
        if not colon:
            continue
        name = name.strip()
        if name in rows:
            raise FormatError(path, place=f"line {number}", found=f"a second line '{name}:'", expected="one")
        rows[name] = values
    return Calibration(path, rows)
