"""The data of the page, as the viewer reads it: viewer/src/data.ts has the same types.

Matrices are 12 numbers, row-major 3×4 [R|t], target from source. Places are metres in the viewer's world: the
recording's less `offset`. Times are nanoseconds as text, since JavaScript's numbers would round them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from lidarprep.report.views import SceneView
from lidarprep.scene import Camera, Intrinsics, Pose
from lidarprep.scene.camera import MODEL_COEFFICIENTS, CameraModel

if TYPE_CHECKING:
    from lidarprep.scene import Cuboids

Vector = tuple[float, float, float]
Matrix = list[float]


class IntrinsicsData(TypedDict):
    """How a camera maps its frame to pixels; `distortion` has all coefficients that its model uses."""

    model: CameraModel
    fx: float
    fy: float
    cx: float
    cy: float
    skew: float
    distortion: dict[str, float]
    width: int | None
    height: int | None


class CameraData(IntrinsicsData):
    """A camera."""

    name: str
    ego_from_camera: Matrix | None


class ImageData(TypedDict):
    """An image; `camera` is a row of the scene's cameras, `shown` whether the page has its JPEG."""

    camera: int
    intrinsics: IntrinsicsData | None
    world_from_camera: Matrix | None
    timestamp: str | None
    width: int
    height: int
    scale_factor: float
    shown: bool
    problem: str | None


class CuboidData(TypedDict):
    """A box around an object; `rotation` is a quaternion w, x, y, z from the box's own axes to the world."""

    id: str
    label: str
    center: Vector
    size: Vector
    rotation: tuple[float, float, float, float]
    front: Literal["x", "y"]
    prelabel: bool


class TimeData(TypedDict):
    """Times of points: first + u16 / 65535 * span, nanoseconds."""

    first: str
    span: float


class PointsData(TypedDict):
    """What the columns of a frame's blob are; position = origin + step * u16."""

    shown: int
    total: int
    origin: Vector
    step: Vector
    columns: list[str]
    time: TimeData | None


class FrameData(TypedDict):
    """A frame of the viewer."""

    id: str
    index: int
    timestamp: str | None
    world_from_ego: Matrix | None
    labelled: bool
    error: str | None
    points: PointsData | None
    radar: list[list[float]]
    images: list[ImageData]
    cuboids: list[CuboidData]


class DeviceData(TypedDict):
    """A lidar."""

    id: int
    name: str


class ScaleData(TypedDict):
    """The intensity that is drawn as 1."""

    scale: float


class RegionData(TypedDict):
    """The region of interest, metres and radians."""

    x: float
    y: float
    length: float
    width: float
    rotation: float


class BandData(TypedDict):
    """The heights above the ground that are kept, metres."""

    device_height: float
    lowest: float
    highest: float


class SceneData(TypedDict):
    """All that the viewer knows of the scene, but for points and images."""

    version: Literal[1]
    source: str
    layout: str
    offset: Vector
    has_poses: bool
    fates: list[str]
    devices: list[DeviceData]
    intensity: ScaleData | None
    region: RegionData | None
    band: BandData | None
    path: list[list[float]]
    thinned: str
    cameras: list[CameraData]
    frames: list[FrameData]


def to_json(data: SceneData) -> str:
    """Return JSON that may stand within a script element: no "<", no NaN."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def vector(numbers: Sequence[float] | NDArray[np.float64]) -> Vector:
    """Return three numbers as floats of Python."""
    x, y, z = (float(number) for number in numbers)
    return (x, y, z)


def places(positions: NDArray[np.floating[Any]], decimals: int = 3) -> list[list[float]]:
    """Return the finite ones of places (N, 3) as lists, rounded."""
    known = positions[np.isfinite(positions).all(axis=1)].astype(np.float64)
    rounded: list[list[float]] = known.round(decimals).tolist()
    return rounded


def matrix(pose: Pose | None) -> Matrix | None:
    """Return the 12 numbers of a pose."""
    return None if pose is None else [float(number) for number in pose.matrix[:3].ravel()]


def intrinsics_data(intrinsics: Intrinsics) -> IntrinsicsData:
    """Return the intrinsics of a camera."""
    return {
        "model": intrinsics.model,
        "fx": float(intrinsics.fx),
        "fy": float(intrinsics.fy),
        "cx": float(intrinsics.cx),
        "cy": float(intrinsics.cy),
        "skew": float(intrinsics.skew),
        "distortion": {
            name: float(getattr(intrinsics.distortion, name)) for name in MODEL_COEFFICIENTS[intrinsics.model]
        },
        "width": intrinsics.width,
        "height": intrinsics.height,
    }


def camera_data(camera: Camera) -> CameraData:
    """Return a camera."""
    return {
        **intrinsics_data(camera.intrinsics),
        "name": camera.name,
        "ego_from_camera": matrix(camera.ego_from_camera),
    }


def region_data(view: SceneView) -> RegionData | None:
    """Return the region of interest, in the view's world."""
    if view.region is None:
        return None
    region = view.region
    return {
        "x": float(region.position[0]),
        "y": float(region.position[1]),
        "length": float(region.length),
        "width": float(region.width),
        "rotation": float(region.rotation),
    }


def band_data(view: SceneView) -> BandData | None:
    """Return the band of heights that is kept."""
    if view.band is None:
        return None
    band = view.band
    return {
        "device_height": float(band.device_height),
        "lowest": float(band.lowest),
        "highest": float(band.highest),
    }


def cuboid_data(cuboids: Cuboids, *, prelabels: bool) -> list[CuboidData]:
    """Return the cuboids of a frame."""
    found: list[CuboidData] = []
    for row, (w, x, y, z) in enumerate(cuboids.quaternion.tolist()):
        found.append(
            {
                "id": cuboids.track[row],
                "label": cuboids.label[row],
                "center": vector(cuboids.position[row]),
                "size": vector(cuboids.size[row]),
                "rotation": (w, x, y, z),
                "front": "x",
                "prelabel": prelabels,
            }
        )
    return found
