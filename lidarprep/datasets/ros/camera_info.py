"""sensor_msgs/CameraInfo as intrinsics.

Coefficients are in OpenCV's order: k1 k2 p1 p2 k3 k4 k5 k6. K and P are those of the full picture; binning and the
region of interest make of them those of the picture that is sent, as the image_geometry package does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.ros.cursor import Bytes, Cursor, Wire
from lidarprep.errors import SceneError
from lidarprep.scene.camera import CameraModel, Distortion, Intrinsics

# The names of a distortion model's coefficients, in order. REP 104 names the first two; drivers write the others.
_BROWN = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
_FISHEYE = ("k1", "k2", "k3", "k4")
_MODELS: dict[str, tuple[CameraModel, tuple[str, ...]]] = {
    "plumb_bob": ("brown_conrady", _BROWN),
    "rational_polynomial": ("brown_conrady", _BROWN),
    "radtan": ("brown_conrady", _BROWN),
    "brown_conrady": ("brown_conrady", _BROWN),
    "equidistant": ("fisheye", _FISHEYE),
    "fisheye": ("fisheye", _FISHEYE),
    "kannala_brandt4": ("fisheye", _FISHEYE),
    "none": ("brown_conrady", ()),
    "": ("brown_conrady", _BROWN[:5]),
}


@dataclass(frozen=True)
class CameraInfo:
    """A CameraInfo.

    Args:
        frame_id: The optical frame.
        raw: Intrinsics of the camera as it is; an error if they cannot be had.
        rectified: Intrinsics of its rectified picture, which has no distortion; likewise.
        shifted: Whether P moves the rectified picture aside, as it does for the second camera of a stereo pair.
    """

    frame_id: str
    raw: Intrinsics | SceneError
    rectified: Intrinsics | SceneError
    shifted: bool


def read_camera_info(path: Path, place: str, data: Bytes, wire: Wire) -> CameraInfo:
    """A serialised CameraInfo.

    Raises:
        FormatError: The message is cut.
    """
    cursor = Cursor(path, place, data, wire)
    frame_id = cursor.header().frame_id
    height, width = cursor.number("I"), cursor.number("I")
    model = cursor.text()
    coefficients, k = cursor.floats(), cursor.floats(9).reshape(3, 3)
    cursor.floats(9)  # R: turns into the rectified pair's frame
    p = cursor.floats(12).reshape(3, 4)
    binning = (max(1, cursor.number("I")), max(1, cursor.number("I")))
    x, y, roi_height, roi_width = (cursor.number("I") for _ in range(4))
    size = ((roi_width or width) // binning[0], (roi_height or height) // binning[1])
    window = _Window((x, y), binning, size)
    return CameraInfo(
        frame_id,
        window.intrinsics(k, model, coefficients),
        window.intrinsics(p[:, :3], "none", np.zeros(0)),
        bool(p[0, 3] or p[1, 3]),
    )


@dataclass(frozen=True)
class _Window:
    """The part of the full picture that is sent: its corner in full pixels, pixels taken together, and its size."""

    corner: tuple[int, int]
    binning: tuple[int, int]
    size: tuple[int, int]

    def intrinsics(
        self, k: NDArray[np.float64], model: str, coefficients: NDArray[np.float64]
    ) -> Intrinsics | SceneError:
        try:
            projection, distortion = _distortion(model, coefficients)
            (bx, by), (x, y) = self.binning, self.corner
            return Intrinsics(
                fx=float(k[0, 0]) / bx,
                fy=float(k[1, 1]) / by,
                cx=(float(k[0, 2]) - x) / bx,
                cy=(float(k[1, 2]) - y) / by,
                skew=float(k[0, 1]) / bx,
                model=projection,
                distortion=distortion,
                width=self.size[0] or None,
                height=self.size[1] or None,
            )
        except SceneError as error:
            return error


def _distortion(model: str, coefficients: NDArray[np.float64]) -> tuple[CameraModel, Distortion]:
    known = _MODELS.get(model.strip().lower())
    if known is None:
        raise SceneError(
            f"the distortion model {model[:40]!r} is not known; known are {', '.join(filter(None, _MODELS))}"
        )
    projection, names = known
    beyond = coefficients[len(names) :]
    if beyond.any():
        raise SceneError(f"the distortion model {model!r} has {len(coefficients)} coefficients; {len(names)} are known")
    values = dict(zip(names, coefficients.tolist(), strict=False))
    return projection, Distortion(**values)
