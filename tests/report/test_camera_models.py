"""The viewer projects points as Intrinsics.project does, and draws them at those pixels, for every camera model."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lidarprep.scene.camera import MODEL_COEFFICIENTS, CameraModel, Distortion, Intrinsics
from lidarprep.scene.pose import Pose
from tests.report.conftest import OpenPage
from tests.report.viewer_page import PageFrame, camera_data, image_data, write_page

MODELS: list[CameraModel] = list(MODEL_COEFFICIENTS)

# Half of the range that a coefficient is drawn from.
REACH = {"k1": 0.3, "k2": 0.1, "k3": 0.03, "k4": 0.02, "k5": 0.01, "k6": 0.005, "p1": 0.01, "p2": 0.01}
REACH |= {"lx": 0.05, "ly": 0.05}


def random_camera(model: CameraModel, rng: np.random.Generator, *, rational: bool) -> Intrinsics:
    """A camera with distortion and skew; without its size now and then."""
    values = {name: float(rng.uniform(-1, 1) * REACH[name]) for name in MODEL_COEFFICIENTS[model] if name != "xi"}
    if model == "brown_conrady" and not rational:  # these make the limit of the monotonic radius infinite
        values |= {"k4": 0.0, "k5": 0.0, "k6": 0.0}
    if model == "omnidirectional":
        values["xi"] = float(rng.choice([0.0, rng.uniform(0.2, 1), rng.uniform(1, 2.5)]))
        values["k4"] *= rational
    width, height = (int(size) for size in rng.integers(300, 2000, 2))
    fx, fy = rng.uniform(200, 900, 2)
    cx, cy = width * rng.uniform(0.4, 0.6), height * rng.uniform(0.4, 0.6)
    sized = rng.random() < 0.8
    return Intrinsics(
        fx, fy, cx, cy, float(rng.uniform(-5, 5)), model, Distortion(**values), *((width, height) if sized else ())
    )


def described(camera: Intrinsics) -> dict[str, Any]:
    """The camera as SceneData has it."""
    values = {name: getattr(camera, name) for name in ("model", "fx", "fy", "cx", "cy", "skew", "width", "height")}
    return values | {"distortion": {n: getattr(camera.distortion, n) for n in MODEL_COEFFICIENTS[camera.model]}}


def random_points(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """All around the camera, most of them before it."""
    points = rng.normal(size=(count, 3)) * [8, 6, 10] + [0, 0, 8]
    points[: count // 4] = rng.uniform(-20, 20, (count // 4, 3))
    return points


# Where formulas divide by 0 or turn round.
SPECIAL = [[0, 0, 0], [0, 0, 5], [0, 0, -5], [0, 3, 0], [4, 0, 0], [-4, 0, -1], [1e-9, 0, 1], [1e6, 2, 1e-6]]


def random_pose(rng: np.random.Generator) -> Pose:
    q = rng.normal(size=4)
    return Pose.from_quaternion(q / np.linalg.norm(q), rng.uniform(-20, 20, 3))


@pytest.mark.parametrize("model", MODELS)
def test_the_viewer_projects_as_python_does(model: CameraModel, tmp_path: Path, open_page: OpenPage) -> None:
    rng = np.random.default_rng(MODELS.index(model))
    page = open_page(write_page(tmp_path / "page.html", [PageFrame(np.zeros((1, 3)))]))
    seen_of_all = 0
    for case in range(8):
        camera = random_camera(model, rng, rational=case % 3 == 2)
        pose, points = random_pose(rng), random_points(rng, 1500)
        if case < 4:  # exact: the way to the world and back is rounded
            pose, points = Pose.identity(), np.array(SPECIAL, dtype=np.float64)
        world = pose.apply(points)
        pixels, seen = camera.project(pose.inverse().apply(world))
        found = page.evaluate(
            "([camera, pose, points]) => lidarprep.project(camera, pose, points)",
            [described(camera), pose.matrix[:3].ravel().tolist(), world.ravel().tolist()],
        )
        found_pixels = np.array([np.nan if p is None else p for p in found["pixels"]], dtype=float).reshape(-1, 2)
        assert (np.array(found["seen"], dtype=bool) == seen).all()
        # Without a size, points at the side of the camera are seen at pixels of 1e20.
        near = seen & (np.abs(pixels) < 1e5).all(axis=1)
        assert np.abs(found_pixels[near] - pixels[near]).max(initial=0) < 1e-3
        seen_of_all += int(seen.sum())
    assert seen_of_all > 500


def black_image(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, format="JPEG")
    return out.getvalue()


# The pixels of the first image that are not black: [column, row] of each.
LIT = """() => {
  const canvas = document.querySelector(".lv-images canvas");
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const found = [];
  for (let i = 0; i < data.length / 4; i++) {
    const lit = data[4 * i] + data[4 * i + 1] + data[4 * i + 2] > 60;
    if (lit) found.push([i % canvas.width, Math.floor(i / canvas.width)]);
  }
  return found;
}"""


@pytest.mark.parametrize(("model", "scale_factor"), [(model, 1.0 + n % 2) for n, model in enumerate(MODELS)])
def test_points_are_drawn_at_the_pixel_that_holds_them(
    model: CameraModel, scale_factor: float, tmp_path: Path, open_page: OpenPage
) -> None:
    rng = np.random.default_rng(40 + MODELS.index(model))
    width, height = 640, 480
    coefficients = {name: 0.1 * REACH.get(name, 0) for name in MODEL_COEFFICIENTS[model]}
    coefficients |= {"xi": 0.8} if model == "omnidirectional" else {}
    size = (int(width * scale_factor), int(height * scale_factor))
    focal = 200.0 * scale_factor
    camera = Intrinsics(focal, focal, size[0] / 2 - 3, size[1] / 2 + 5, 1.5, model, Distortion(**coefficients), *size)
    pose = random_pose(rng)
    points = pose.apply(np.array([[0, 0, 6], [2, 1, 7], [-3, 1.5, 9], [4, -2, 12], [-1, -2, 5]]))
    data = image_data(0, width, height, world_from_camera=pose.matrix[:3].ravel().tolist(), scale_factor=scale_factor)
    frame = PageFrame(points, images=[black_image(width, height)], data={"images": [data]})
    page = open_page(write_page(tmp_path / "page.html", [frame], cameras=[camera_data("front", **described(camera))]))
    page.locator(".lv-images select").nth(1).select_option("1")
    page.wait_for_function(
        "() => document.querySelector('.lv-images figcaption').textContent.includes('points inside')"
    )
    page.wait_for_function(f"() => ({LIT})().length === {len(points)}")
    lit = page.evaluate(LIT)
    pixels, seen = camera.project(pose.inverse().apply(points))
    assert seen.all()
    in_image = (pixels + 0.5) / scale_factor - 0.5
    # To a pixel: positions in the page are quantised, so that a point at a pixel's edge may fall into the next one.
    for pixel in np.array(lit):
        assert np.abs(in_image - pixel).max(axis=1).min() <= 0.5 + 1e-2
