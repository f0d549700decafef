"""Small recordings: in the toolkit layout, and generated ones that are written in others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.datasets.generated import Recording, generated

POSE = {"heading": [1.0, 0.0, 0.0, 0.0], "position": [1.0, 2.0, 3.0]}
INTRINSICS = {"fx": 900.0, "fy": 901.0, "cx": 640.0, "cy": 360.0}


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A generated recording, to be written in a layout and read back."""
    return generated(tmp_path_factory.mktemp("generated") / "toolkit")


@pytest.fixture
def toolkit(tmp_path: Path) -> Path:
    """A toolkit recording of three frames, 8, 9 and 10, with two cameras and radar; the point files are no PLY."""
    root = tmp_path / "recording"
    for folder in ("pointcloud", "poses", "radar_points", "cameras/left", "cameras/front"):
        (root / folder).mkdir(parents=True)
    for n in (8, 9, 10):
        (root / f"pointcloud/{n}.ply").write_bytes(b"")
        (root / f"poses/{n}.json").write_text(json.dumps({**POSE, "position": [n, 0, 0]}))
        (root / f"radar_points/{n}.txt").write_text(f"{n}, 1, 2, 0.5, 0, 0, 3\n\n")
        for camera in ("left", "front"):
            (root / f"cameras/{camera}/{n}.jpg").write_bytes(b"")
    for camera in ("left", "front"):
        (root / f"cameras/{camera}/extrinsics.json").write_text(json.dumps(POSE))
        (root / f"cameras/{camera}/intrinsics.json").write_text(json.dumps(INTRINSICS))
    return root
