"""Cuboids between world, attachments and ego; Scale's convention and ours: by SciPy, on corners."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

import lidarprep as lp
from lidarprep.labels import scale
from tests.labels.test_formats import corners_of

angle = st.floats(-np.pi, np.pi)
place = st.tuples(*[st.floats(-1e4, 1e4)] * 3)
tilt = st.floats(-1.4, 1.4)


def labels_of(position: Any, yaw: float, pitch: float, roll: float, pose: lp.Pose, offset: Any) -> lp.Labels:
    row = {"track": "a", "label": "b", "frame": 0, "position": position, "size": (4, 2, 1.5), "yaw": yaw}
    cuboids = lp.Cuboids.of_rows([row | {"pitch": pitch, "roll": roll}])
    return lp.Labels((lp.LabelledFrame("0", 0, None, pose),), world_offset=offset, cuboids=cuboids)


def corners(labels: lp.Labels) -> NDArray[np.float64]:
    assert labels.cuboids is not None
    return corners_of(labels.cuboids, 0)


@settings(max_examples=80)
@given(place, angle, tilt, tilt, place, st.tuples(angle, tilt, angle), place)
def test_corners_are_where_they_were_in_every_frame(
    position: Any, yaw: float, pitch: float, roll: float, device: Any, attitude: Any, offset: Any
) -> None:
    pose = lp.Pose.from_euler(*attitude, device)
    world = labels_of(position, yaw, pitch, roll, pose, offset)
    about = Rotation.from_euler("xyz", attitude)
    np.testing.assert_allclose(corners(world.in_frame("ego")), about.inv().apply(corners(world) - device), atol=1e-7)
    np.testing.assert_allclose(corners(world.in_frame("attachment")), corners(world) - offset, atol=1e-7)
    there = world.in_frame("ego").in_frame("attachment").in_frame("world")
    np.testing.assert_allclose(corners(there), corners(world), atol=1e-6)
    assert there.cuboids is not None
    assert world.in_frame("world") is world


@settings(max_examples=80)
@given(place, angle, tilt, tilt)
def test_scales_cuboids_cover_the_same_corners(position: Any, yaw: float, pitch: float, roll: float) -> None:
    """Scale's box: x right, y forward, z up; yaw about z, then pitch about its x, then roll about its y."""
    cuboid = {
        "uuid": "a",
        "label": "b",
        "position": dict(zip("xyz", position, strict=True)),
        "dimensions": {"x": 2.0, "y": 4.0, "z": 1.5},
        "yaw": yaw,
        "pitch": pitch,
        "roll": roll,
    }
    found = scale.cuboids([{"cuboids": [cuboid]}], [0], "test")
    turned = Rotation.from_euler("ZXY", [yaw, pitch, roll])
    # Ours lists corners by x ahead, y left, z up: the right of it is -y.
    signs = np.array([(a, b, c) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]) / 2
    expected = turned.apply(np.column_stack((-signs[:, 1] * 2.0, signs[:, 0] * 4.0, signs[:, 2] * 1.5))) + position
    np.testing.assert_allclose(corners_of(found, 0), expected, atol=1e-9)
    assert -np.pi < found.yaw[0] <= np.pi
    np.testing.assert_allclose(scale.to_scale(found, 0)["position"]["x"], position[0])
    again = scale.cuboids([{"cuboids": [scale.to_scale(found, 0)]}], [0], "test")
    np.testing.assert_allclose(corners_of(again, 0), corners_of(found, 0), atol=1e-9)


def test_the_quaternion_is_the_rotations() -> None:
    rng = np.random.default_rng(0)
    angles = rng.uniform(-3, 3, (50, 3))
    rows = [
        {
            "track": "a",
            "label": "b",
            "frame": 0,
            "position": (0, 0, 0),
            "size": (1, 1, 1),
            "yaw": y,
            "pitch": p,
            "roll": r,
        }
        for y, p, r in angles
    ]
    expected = Rotation.from_euler("ZYX", angles).as_quat(canonical=True, scalar_first=True)
    np.testing.assert_allclose(lp.Cuboids.of_rows(rows).quaternion, expected, atol=1e-12)


def test_a_frame_without_a_pose_cannot_be_brought_to_ego() -> None:
    labels = labels_of((1, 2, 3), 0.0, 0.0, 0.0, lp.Pose.identity(), (0, 0, 0))
    from dataclasses import replace

    with pytest.raises(lp.SceneError, match="frame 0 has no pose"):
        replace(labels, frames=(lp.LabelledFrame("0", 0),)).in_frame("ego")
