"""Points of the real recording land in its images where the things that they hit are to be seen.

Judged once by eye, on the third frame's front image with and without the lidar's points drawn over it: cars, poles
and signs are covered by points of one range each, to a few pixels. The pixel boxes are what the eye sees of two things,
a few pixels wider; the boxes in ego coordinates (x right, y forward, z up, metres from the device) were then set around
the points there. So these tests keep what was seen; that the sign is green where its points land is the image's word.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import lidarprep as lp
from lidarprep.scene import CameraImage, Frame

Box = tuple[tuple[float, ...], tuple[float, ...]]

# The silver sedan that waits ahead on the left.
SEDAN_EGO: Box = ((-4.6, 14.0, -0.3), (-2.7, 18.2, 1.0))
SEDAN_PIXELS: Box = ((335, 575), (665, 795))

# The green "6th Street" sign on the arm of the traffic light.
SIGN_EGO: Box = ((-1.3, 34.0, 4.9), (0.7, 36.0, 5.7))
SIGN_PIXELS: Box = ((905, 265), (1022, 308))

# The long wall on the left side of the street.
WALL_EGO: Box = ((-35.0, 40.0, 0.0), (-15.0, 60.0, 6.0))


@pytest.fixture(scope="module")
def frame(recording: Path) -> Frame:
    return lp.open_scene(recording)[2]


@pytest.fixture(scope="module")
def front(frame: Frame) -> CameraImage:
    return next(image for image in frame.images if image.camera.name == "front_camera")


def inside(values: NDArray[np.float64], box: Box) -> NDArray[np.bool_]:
    lowest, highest = np.array(box)
    return ((values >= lowest) & (values <= highest)).all(axis=1)


def pixels_of(frame: Frame, front: CameraImage, box: Box) -> NDArray[np.float64]:
    """Where the points of a box in ego coordinates land, by way of the world."""
    ego = frame.points().positions.astype(np.float64)
    assert frame.world_from_ego is not None
    unbounded = replace(front.camera, intrinsics=replace(front.camera.intrinsics, width=None, height=None))
    pixels, seen = replace(front, camera=unbounded).project(frame.world_from_ego.apply(ego[inside(ego, box)]))
    assert seen.all()
    return pixels


@pytest.mark.parametrize(
    ("ego_box", "pixel_box", "at_least"), [(SEDAN_EGO, SEDAN_PIXELS, 2000), (SIGN_EGO, SIGN_PIXELS, 250)]
)
def test_the_points_of_a_thing_land_on_it(
    frame: Frame, front: CameraImage, ego_box: Box, pixel_box: Box, at_least: int
) -> None:
    pixels = pixels_of(frame, front, ego_box)
    assert len(pixels) >= at_least
    assert inside(pixels, pixel_box).mean() > 0.99


def test_the_points_of_another_place_do_not(frame: Frame, front: CameraImage) -> None:
    wall = pixels_of(frame, front, WALL_EGO)
    assert len(wall) > 1000
    assert not inside(wall, SEDAN_PIXELS).any()
    assert not inside(wall, SIGN_PIXELS).any()
    assert not inside(pixels_of(frame, front, SEDAN_EGO), SIGN_PIXELS).any()


def test_the_points_fill_the_thing_and_not_a_corner_of_it(frame: Frame, front: CameraImage) -> None:
    for ego_box, pixel_box in ((SEDAN_EGO, SEDAN_PIXELS), (SIGN_EGO, SIGN_PIXELS)):
        extent = np.ptp(pixels_of(frame, front, ego_box), axis=0)
        assert (extent > 0.6 * np.subtract(pixel_box[1], pixel_box[0])).all()


def test_the_sign_is_green_where_its_points_land(frame: Frame, front: CameraImage) -> None:
    assert front.path is not None
    image = np.asarray(Image.open(front.path).convert("RGB"), dtype=np.int64)
    u, v = np.rint(pixels_of(frame, front, SIGN_EGO)).astype(np.int64).T
    red, green, _ = image[v, u].T
    on_sign = float((green > red + 20).mean())
    red, green, _ = image[v, u - 150].T  # as far left of it: sky and the traffic light's arm
    beside = float((green > red + 20).mean())
    assert on_sign > 0.4
    assert beside < 0.1


def test_points_behind_the_device_are_not_in_the_front_image(frame: Frame, front: CameraImage) -> None:
    ego = frame.points().positions.astype(np.float64)
    assert frame.world_from_ego is not None
    _, seen = front.project(frame.world_from_ego.apply(ego[ego[:, 1] < -1]))
    assert not seen.any()
