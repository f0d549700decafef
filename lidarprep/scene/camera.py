"""Cameras: intrinsics, distortion, and the projection of points onto the image.

A camera's frame is its optical frame: z forward, x right, y down. Pixels are (u, v): u right, v down, (0, 0) the
centre of the upper left pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lidarprep.errors import SceneError
from lidarprep.remote import AnyPath
from lidarprep.scene.pose import Pose

CameraModel = Literal["brown_conrady", "fisheye", "omnidirectional", "cylindrical", "equirectangular"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Distortion:
    """Distortion coefficients by the names of Frame JSON; 0 for those that the model does not use.

    Args:
        k1, k2, k3, k4, k5, k6: Radial coefficients.
        p1, p2: Tangential coefficients.
        lx, ly: Shift of the distorted ray on the normalised image plane.
        xi: Mirror parameter of the omnidirectional model.
    """

    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0
    k5: float = 0.0
    k6: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    lx: float = 0.0
    ly: float = 0.0
    xi: float = 0.0

    def nonzero(self) -> dict[str, float]:
        """The coefficients that are not 0, by name, in the order of the fields."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != 0.0}


# Coefficients of each model, in the order in which a Sensor Fusion Scene lists them; another one that is not 0 is a
# mistake in the calibration.
MODEL_COEFFICIENTS: dict[CameraModel, tuple[str, ...]] = {
    "brown_conrady": ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6", "lx", "ly"),
    "fisheye": ("k1", "k2", "k3", "k4"),
    "omnidirectional": ("k1", "k2", "k3", "k4", "p1", "p2", "xi", "lx", "ly"),
    "cylindrical": (),
    "equirectangular": (),
}


@dataclass(frozen=True)
class Intrinsics:
    """How a camera maps its frame to pixels.

    Args:
        fx, fy: Focal lengths in pixels (for cylindrical and equirectangular images: pixels a radian).
        cx, cy: Principal point in pixels.
        skew: Pixels that u grows by for each unit of normalised y.
        model: The projection.
        distortion: Its coefficients.
        width, height: Size of the image in pixels, if known.

    Raises:
        SceneError: A number is not finite, a focal length is not positive, the model is unknown or does not use a
            coefficient that is given.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    skew: float = 0.0
    model: CameraModel = "brown_conrady"
    distortion: Distortion = Distortion()
    width: int | None = None
    height: int | None = None

    def __post_init__(self) -> None:
        if self.model not in get_args(CameraModel):
            raise SceneError(f"camera_model is {self.model!r}; known are {', '.join(get_args(CameraModel))}")
        for name in ("fx", "fy", "cx", "cy", "skew"):
            if not np.isfinite(getattr(self, name)):
                raise SceneError(f"intrinsics: {name} is {getattr(self, name)}, not a finite number")
        if self.fx <= 0 or self.fy <= 0:
            raise SceneError(f"intrinsics: focal lengths are pixels above 0, not fx {self.fx}, fy {self.fy}")
        coefficients = self.distortion.nonzero()
        if not all(np.isfinite(value) for value in coefficients.values()):
            raise SceneError(f"intrinsics: a distortion coefficient is not a finite number: {coefficients}")
        foreign = sorted(set(coefficients).difference(MODEL_COEFFICIENTS[self.model]))
        if foreign:
            raise SceneError(
                f"intrinsics: the {self.model} model does not use {', '.join(foreign)}",
                fix="Set them to 0, or name the camera_model that they belong to.",
            )

    def project(self, points: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
        """Project points of the camera's frame onto the image.

        Args:
            points: (N, 3) x right, y down, z forward, metres.

        Returns:
            (N, 2) float64 pixels (u, v), NaN where a point has no projection, and (N,) bool: the point is seen, in
            front of the camera and, if width and height are known, within the image.
        """
        xyz = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            x, y, seen = _PROJECTIONS[self.model](xyz, self.distortion)
            u = self.fx * x + self.skew * y + self.cx
            v = self.fy * y + self.cy
        seen &= np.isfinite(u) & np.isfinite(v)
        if self.width is not None and self.height is not None:
            with np.errstate(invalid="ignore"):
                seen &= (u >= -0.5) & (u < self.width - 0.5) & (v >= -0.5) & (v < self.height - 0.5)
        return np.column_stack((u, v)), seen

    def __repr__(self) -> str:
        size = "of unknown size" if self.width is None or self.height is None else f"{self.width} x {self.height}"
        bent = "".join(f", {name}={value:.4g}" for name, value in self.distortion.nonzero().items())
        focal = f"fx={self.fx:.6g}, fy={self.fy:.6g}, cx={self.cx:.6g}, cy={self.cy:.6g}"
        skew = f", skew={self.skew:.4g}" if self.skew else ""
        return f"Intrinsics({self.model}, {size}: {focal}{skew}{bent})"


@dataclass(frozen=True)
class Camera:
    """A camera of a recording.

    Args:
        name: Its name in the recording, unique there.
        index: Its number, from 0 in the order of the names: `camera_index` in the attachments.
        intrinsics: How it maps its frame to pixels.
        ego_from_camera: Extrinsics: the pose of its optical frame on the device; None if only world poses are known.
    """

    name: str
    index: int
    intrinsics: Intrinsics
    ego_from_camera: Pose | None = None

    def __repr__(self) -> str:
        pose = "no pose on the device" if self.ego_from_camera is None else "with its pose on the device"
        return f"Camera({self.name!r}, {self.index}: {self.intrinsics.model}, {pose})"


@dataclass(frozen=True)
class CameraImage:
    """One image of one camera.

    Args:
        camera: The camera.
        path: The image file, JPEG or PNG; None if only its URL is known.
        world_from_camera: Pose of the optical frame in the world when the image was taken; None while the frame
            has no pose.
        timestamp: Nanoseconds since the Unix epoch, or None.
        url: Where the image can be fetched once it is stored; None before.
        scale_factor: How many times the image was shrunk since the intrinsics were measured.
        priority: Rank in which annotators are shown the cameras, or None.
        metadata: Further keys of the image in a Frame JSON, or None.
        content: Reads the encoded image at each call, if it is not a file of its own; else None.

    Raises:
        SceneError: The scale factor is not a number above 0.
    """

    camera: Camera
    path: AnyPath | None = None
    world_from_camera: Pose | None = None
    timestamp: int | None = None
    url: str | None = field(default=None, repr=False)  # it may be signed
    scale_factor: float = 1.0
    priority: int | None = None
    metadata: Mapping[str, Any] | None = None
    content: Callable[[], bytes] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.scale_factor < np.inf:
            raise SceneError(
                f"the image {self.path or self.url} has a scale_factor of {self.scale_factor}, not above 0"
            )

    def __repr__(self) -> str:
        place = "in the recording" if self.path is None and self.content is not None else str(self.path or "elsewhere")
        pose = "no pose" if self.world_from_camera is None else "with its pose"
        return f"CameraImage({self.camera.name!r}: {place}, {pose})"

    def project(self, world_points: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
        """Project points (N, 3) of the world onto the image, as Intrinsics.project does.

        Raises:
            SceneError: The image has no pose.
        """
        if self.world_from_camera is None:
            raise SceneError(f"the image {self.path or self.url} has no pose in the world")
        return self.camera.intrinsics.project(self.world_from_camera.inverse().apply(world_points))


def _increasing_until(coefficients: list[float]) -> float:
    """The first positive root of a polynomial given by rising powers; up to it the distorted radius grows."""
    # By falling powers the same numbers are the polynomial of the roots' inverses. Its leading 1 makes it safe to solve
    # however small the coefficients are.
    inverses = np.roots(coefficients)
    real = inverses.real[(np.abs(inverses.imag) < 1e-9) & (inverses.real > 1e-12)]
    return float(1.0 / real.max()) if real.size else np.inf


def _brown_conrady(xyz: Array, d: Distortion) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Brown, "Decentering distortion of lenses", 1966, with the rational radial factor that OpenCV documents."""
    in_front = xyz[:, 2] > 0
    x, y = xyz[:, 0] / xyz[:, 2], xyz[:, 1] / xyz[:, 2]
    return *_distort(x, y, d, k4=d.k4, k5=d.k5, k6=d.k6), in_front & _monotonic(x * x + y * y, d)


def _omnidirectional(xyz: Array, d: Distortion) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Mei and Rives, "Single view point omnidirectional camera calibration", 2007: a unit sphere, shifted by xi."""
    sphere = xyz / np.linalg.norm(xyz, axis=1, keepdims=True)
    z = sphere[:, 2] + d.xi
    # A mirror with xi > 1 images only the part of the sphere above z = -1/xi; without one, what is in front.
    in_front = (z > 0) & (sphere[:, 2] > (-1.0 / d.xi if d.xi > 1 else -d.xi))
    x, y = sphere[:, 0] / z, sphere[:, 1] / z
    return *_distort(x, y, d), in_front & _monotonic(x * x + y * y, d)


def _distort(
    x: Array, y: Array, d: Distortion, *, k4: float = 0.0, k5: float = 0.0, k6: float = 0.0
) -> tuple[Array, Array]:
    """Radial and tangential distortion on the normalised image plane.

    ASSUMED: lx and ly shift the ray after its radius is taken, and an omnidirectional k4 moves nothing; Scale prints no
    formula with them.
    """
    r2 = x * x + y * y
    radial = (1 + r2 * (d.k1 + r2 * (d.k2 + r2 * d.k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    x, y = x + d.lx, y + d.ly
    return (
        x * radial + 2 * d.p1 * x * y + d.p2 * (r2 + 2 * x * x),
        y * radial + d.p1 * (r2 + 2 * y * y) + 2 * d.p2 * x * y,
    )


def _monotonic(r2: Array, d: Distortion) -> NDArray[np.bool_]:
    """Whether the distorted radius still grows with the true one; beyond, far points would fold back into the image."""
    if d.k4 or d.k5 or d.k6:
        return np.isfinite(r2)
    return r2 < _increasing_until([1.0, 3 * d.k1, 5 * d.k2, 7 * d.k3])


def _fisheye(xyz: Array, d: Distortion) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Kannala and Brandt, "A generic camera model and calibration method", 2006, as OpenCV's fisheye module has it."""
    radius = np.hypot(xyz[:, 0], xyz[:, 1])
    theta = np.arctan2(radius, xyz[:, 2])
    t2 = theta * theta
    distorted = theta * (1 + t2 * (d.k1 + t2 * (d.k2 + t2 * (d.k3 + t2 * d.k4))))
    scale = np.where(radius > 0, distorted / np.where(radius > 0, radius, 1), 0.0)
    seen = (xyz[:, 2] > 0) & (t2 < _increasing_until([1.0, 3 * d.k1, 5 * d.k2, 7 * d.k3, 9 * d.k4]))
    return xyz[:, 0] * scale, xyz[:, 1] * scale, seen


def _cylindrical(xyz: Array, _: Distortion) -> tuple[Array, Array, NDArray[np.bool_]]:
    """A cylinder about the y axis: u by the angle, v by the height at distance 1. ASSUMED: Scale prints no formula."""
    distance = np.hypot(xyz[:, 0], xyz[:, 2])
    return np.arctan2(xyz[:, 0], xyz[:, 2]), xyz[:, 1] / distance, distance > 0


def _equirectangular(xyz: Array, _: Distortion) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Longitude and latitude: u by the angle about y, v by the angle below the horizon. ASSUMED, as for cylindrical."""
    distance = np.hypot(xyz[:, 0], xyz[:, 2])
    return np.arctan2(xyz[:, 0], xyz[:, 2]), np.arctan2(xyz[:, 1], distance), (distance > 0) | (xyz[:, 1] != 0)


_Projection = Callable[[Array, Distortion], tuple[Array, Array, NDArray[np.bool_]]]
_PROJECTIONS: dict[CameraModel, _Projection] = {
    "brown_conrady": _brown_conrady,
    "fisheye": _fisheye,
    "omnidirectional": _omnidirectional,
    "cylindrical": _cylindrical,
    "equirectangular": _equirectangular,
}


def intrinsics_from_mapping(values: Mapping[str, Any]) -> Intrinsics:
    """Intrinsics from the keys of Frame JSON (fx, fy, cx, cy, camera_model, skew, k1 …), each a number.

    Raises:
        SceneError: A key is missing, unknown or not a number.
    """
    required = ("fx", "fy", "cx", "cy")
    known = {*required, "skew", "camera_model", "width", "height", *(f.name for f in fields(Distortion))}
    missing = [key for key in required if key not in values]
    if missing:
        raise SceneError(f"intrinsics lack {', '.join(missing)}")
    unknown = sorted(set(values) - known)
    if unknown:
        raise SceneError(f"intrinsics have unknown keys {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    numbers: dict[str, float] = {}
    for key, value in values.items():
        if key == "camera_model":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SceneError(f"intrinsics: {key} is {value!r}, not a number")
        try:
            numbers[key] = float(value)
        except OverflowError as error:
            raise SceneError(f"intrinsics: {key} is a whole number beyond float64") from error
        if key in ("width", "height") and not (numbers[key] >= 1 and numbers[key].is_integer()):
            raise SceneError(f"intrinsics: {key} is {value!r}, not a whole number of pixels")
    size = {key: int(numbers.pop(key)) for key in ("width", "height") if key in numbers}
    distortion = Distortion(**{f.name: numbers.pop(f.name) for f in fields(Distortion) if f.name in numbers})
    return Intrinsics(**numbers, model=values.get("camera_model", "brown_conrady"), distortion=distortion, **size)  # type: ignore[arg-type]
