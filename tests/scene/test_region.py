"""The region of interest: its edges, its turn, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lidarprep.errors import RecipeError
from lidarprep.scene import RegionOfInterest3D


def test_points_on_the_region_edge_are_inside() -> None:
    region = RegionOfInterest3D((10, 20, 0), length=8, width=6)
    edge = [[14, 20, 0], [6, 20, 0], [10, 23, 0], [10, 17, 0], [14, 23, 0], [6, 17, 0]]
    assert region.contains(edge).all()
    beyond = [[14.000001, 20, 0], [5.999999, 20, 0], [10, 23.000001, 0], [10, 16.999999, 0]]
    assert not region.contains(beyond).any()


def test_height_does_not_matter() -> None:
    region = RegionOfInterest3D((0, 0, 100), length=2, width=2)
    assert region.contains([[0, 0, -1e6], [0, 0, 1e6]]).all()
    assert region.contains([[0.5, 0.5], [1.5, 0]]).tolist() == [True, False]


def test_the_region_turns_counterclockwise() -> None:
    region = RegionOfInterest3D((0, 0, 0), length=10, width=2, rotation=np.pi / 4)
    assert region.contains([[3, 3, 0], [3, -3, 0], [-3, -3, 0]]).tolist() == [True, False, True]


@given(
    st.floats(-np.pi, np.pi), st.floats(-1000, 1000), st.floats(-1000, 1000), st.floats(0.1, 500), st.floats(0.1, 500)
)
def test_corners_and_edges_of_a_turned_region_are_inside(
    angle: float, x: float, y: float, length: float, width: float
) -> None:
    region = RegionOfInterest3D((x, y, 0), length, width, angle)
    own = np.array([[a * length / 2, b * width / 2, 0] for a in (-1, 0, 1) for b in (-1, 0, 1)])
    turn = Rotation.from_euler("z", angle)
    assert region.contains(turn.apply(own) + np.array([x, y, 0])).all()
    outward = own[np.abs(own).any(axis=1)] * (1 + 1e-6)
    assert not region.contains(turn.apply(outward) + np.array([x, y, 0])).any()


def test_what_is_not_a_number_is_outside() -> None:
    region = RegionOfInterest3D((0, 0, 0), 1, 1)
    assert not region.contains([[np.nan, 0, 0], [0, np.inf, 0]]).any()


@pytest.mark.parametrize(
    ("position", "length", "width", "rotation"),
    [
        ((0, 0), 1, 1, 0),
        ((0, 0, 0), 0, 1, 0),
        ((0, 0, 0), 1, -1, 0),
        ((0, 0, np.nan), 1, 1, 0),
        ((0, 0, 0), np.inf, 1, 0),
        ((0, 0, 0), 1, 1, np.nan),
    ],
)
def test_a_region_that_makes_no_sense_is_refused(
    position: tuple[float, ...], length: float, width: float, rotation: float
) -> None:
    with pytest.raises(RecipeError, match="region_of_interest_3d"):
        RegionOfInterest3D(position, length, width, rotation)  # type: ignore[arg-type]


def test_the_api_object_names_every_number() -> None:
    assert RegionOfInterest3D((1, 2, 3), 4, 5, 0.5).to_api() == {
        "position": {"x": 1, "y": 2, "z": 3},
        "length": 4,
        "width": 5,
        "rotation": 0.5,
    }
