"""A page by the contract of a recording that lidarprep has opened, for tests of images and calibrations."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from lidarprep.scene import Camera, Pose, Scene
from lidarprep.scene.camera import MODEL_COEFFICIENTS
from tests.report.viewer_page import PageFrame, camera_data, image_data, write_page


def write_recording_page(path: Path, scene: Scene, points: int = 4000) -> Path:
    """All frames with so many points each, and with all images; world positions less those of the first frame."""
    first = scene.frames[0].world_from_ego
    offset = np.zeros(3) if first is None else np.floor(first.translation)
    frames = [_frame(scene, row, offset, points) for row in range(len(scene.frames))]
    cameras = [_camera(camera) for camera in scene.cameras]
    return write_page(
        path, frames, cameras=cameras, source=scene.source, layout=scene.layout, offset=offset.tolist(),
        path=[[0.0, 0.0, 0.0]] * len(frames),
    )  # fmt: skip


def _matrix(pose: Pose | None, offset: np.ndarray | None = None) -> list[float] | None:
    if pose is None:
        return None
    return (pose if offset is None else pose.translated(-offset)).matrix[:3].ravel().tolist()


def _camera(camera: Camera) -> dict[str, object]:
    own = camera.intrinsics
    values = {name: getattr(own, name) for name in ("model", "fx", "fy", "cx", "cy", "skew", "width", "height")}
    distortion = {name: getattr(own.distortion, name) for name in MODEL_COEFFICIENTS[own.model]}
    return camera_data(camera.name, **values, distortion=distortion, ego_from_camera=_matrix(camera.ego_from_camera))


def _frame(scene: Scene, row: int, offset: np.ndarray, points: int) -> PageFrame:
    frame = scene.frames[row]
    cloud = frame.points()
    positions = cloud.positions[np.isfinite(cloud.positions).all(axis=1)][:: max(1, len(cloud.positions) // points)]
    if cloud.frame == "ego" and frame.world_from_ego is not None:
        positions = frame.world_from_ego.apply(positions)
    images: list[dict[str, object]] = []
    blobs: list[bytes | None] = []
    names = [camera.name for camera in scene.cameras]
    for image in frame.images:
        data = image.content() if image.content is not None else image.path.read_bytes() if image.path else b""
        with Image.open(io.BytesIO(data)) as opened:
            width, height = opened.size
            out = io.BytesIO()
            opened.convert("RGB").save(out, format="JPEG")
        blobs.append(out.getvalue())
        images.append(
            image_data(
                names.index(image.camera.name), width, height, scale_factor=image.scale_factor,
                world_from_camera=_matrix(image.world_from_camera, offset),
            )
        )  # fmt: skip
    said = {"id": frame.id, "images": images, "world_from_ego": _matrix(frame.world_from_ego, offset)}
    return PageFrame(positions - offset, images=blobs, data=said)
