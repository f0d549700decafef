"""Recordings for Rerun: what its own reader finds is what a view of the scene has."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

import lidarprep as lp
from lidarprep.report.views import Fate, SceneView
from tests.report.scenes import box_at

pytest.importorskip("rerun", reason="rerun-sdk, a wheel of 171 MB, is not installed: pip install 'lidarprep[rerun]'")

RECIPE = lp.Recipe(
    region_of_interest_3d=lp.RegionOfInterest3D((10.0, 1.0, 0.0), 60, 30), device_height=1.8, height_band=(-0.5, 3.0)
)

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> lp.Scene:
    folder = tmp_path_factory.mktemp("rerun") / "recording"
    lp.write_sample(folder, frames=2, columns=300, image_width=320)
    return lp.open_scene(folder)


@pytest.fixture(scope="module")
def exported(scene: lp.Scene, tmp_path_factory: pytest.TempPathFactory) -> tuple[lp.ExportResult, Rows]:
    path = tmp_path_factory.mktemp("exported") / "scene.rrd"
    box = box_at((5.0, 1.0, 0.8), (4.4, 1.8, 1.6), 0.3, pitch=0.1, roll=-0.2)
    frames = tuple(lp.LabelledFrame(one.id, one.index) for one in scene)
    labels = lp.Labels(frames, cuboids=lp.Cuboids.of_rows([box]))
    result = lp.export(scene, path, recipe=RECIPE, labels=labels)
    assert result.bytes == path.stat().st_size
    return result, read(path)


def read(path: Path) -> Rows:
    """Rows of each entity in the order of frames, as plain values by their columns."""
    from rerun.chunk import RrdReader

    rows: Rows = defaultdict(list)
    reader = RrdReader(path)
    assert len(reader.recordings()) == len(reader.blueprints()) == 1
    for chunk in reader.stream():
        for row in chunk.to_record_batch().to_pylist():
            rows[chunk.entity_path].append(row)
    return {path: sorted(found, key=lambda row: row.get("frame") or 0) for path, found in rows.items()}


def having(rows: list[dict[str, Any]], column: str) -> list[Any]:
    return [row[column] for row in rows if row.get(column) is not None]


def matrix(row: dict[str, Any]) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(row["Transform3D:quaternion"][0]).as_matrix()
    pose[:3, 3] = row["Transform3D:translation"][0]
    return pose


def test_points_are_those_of_the_view_by_what_becomes_of_them(
    scene: lp.Scene, exported: tuple[lp.ExportResult, Rows]
) -> None:
    result, rows = exported
    view = SceneView.of(scene, RECIPE)
    total = 0
    for number, frame in enumerate(view.frames):
        seen = view.look(frame)
        for fate in Fate:
            path = f"/world/points/{'kept' if fate == Fate.KEPT else f'dropped/{fate.name.lower()}'}"
            if fate == Fate.NOT_FINITE:
                assert path not in rows
                continue
            row = rows[path][number]
            assert row["frame"] == frame.index
            assert row["time"].value == frame.timestamp
            found = np.array(row["Points3D:positions"], dtype=np.float32).reshape(-1, 3)
            np.testing.assert_array_equal(found, seen.positions[seen.fate == fate].astype(np.float32))
            total += len(found)
    assert result.points == total


def test_cameras_are_where_they_were_and_show_their_files(
    scene: lp.Scene, exported: tuple[lp.ExportResult, Rows]
) -> None:
    result, rows = exported
    for number, frame in enumerate(scene):
        assert frame.world_from_ego is not None
        np.testing.assert_allclose(matrix(rows["/world/ego"][number]), frame.world_from_ego.matrix, atol=1e-6)
        for image in frame.images:
            camera = rows[f"/world/cameras/{image.camera.name}"]
            placed = [row for row in camera if row.get("Transform3D:translation") is not None]
            assert image.world_from_camera is not None
            np.testing.assert_allclose(matrix(placed[number]), image.world_from_camera.matrix, atol=1e-5)
            assert image.path is not None
            assert bytes(having(camera, "EncodedImage:blob")[number][0]) == image.path.read_bytes()
            # Column-major; Rerun counts pixels from the corner of the upper left one, not from its centre.
            k = np.array(having(camera, "Pinhole:image_from_camera")[number][0]).reshape(3, 3).T
            intrinsics = image.camera.intrinsics
            centre = intrinsics.cx + 0.5, intrinsics.cy + 0.5
            expected = [[intrinsics.fx, 0, centre[0]], [0, intrinsics.fy, centre[1]], [0, 0, 1]]
            np.testing.assert_allclose(k, expected, rtol=1e-6)
    assert result.images == 6
    assert {note.partition(":")[0] for note in result.notes} == {
        f"camera {camera.name}"
        for camera in scene.cameras
        if camera.intrinsics.distortion.nonzero() or camera.intrinsics.model == "fisheye"
    }


def test_labels_region_band_and_path_are_there(scene: lp.Scene, exported: tuple[lp.ExportResult, Rows]) -> None:
    _, rows = exported
    first, second = rows["/world/labels"]
    np.testing.assert_allclose(first["Boxes3D:centers"], [(5.0, 1.0, 0.8)], rtol=1e-6)
    np.testing.assert_allclose(first["Boxes3D:half_sizes"], [(2.2, 0.9, 0.8)], rtol=1e-6)
    assert first["Boxes3D:labels"] == ["car"]
    turned = Rotation.from_quat(first["Boxes3D:quaternions"][0]).as_matrix()
    np.testing.assert_allclose(turned, Rotation.from_euler("ZYX", [0.3, 0.1, -0.2]).as_matrix(), atol=1e-6)
    assert second["Boxes3D:centers"] == []
    assert len(rows["/world/region"][0]["LineStrips3D:strips"]) == 12
    band = np.array(rows["/world/ego/band"][0]["LineStrips3D:strips"])
    np.testing.assert_allclose(np.unique(band[..., 2]), [-2.3, 1.2], rtol=1e-6)
    places = [frame.world_from_ego.translation for frame in scene if frame.world_from_ego is not None]
    np.testing.assert_allclose(rows["/world/path"][0]["LineStrips3D:strips"][0], places, rtol=1e-5, atol=1e-6)


def test_a_scene_without_times_and_poses_has_a_duration(scene: lp.Scene, tmp_path: Path) -> None:
    bare = tuple(replace(frame, timestamp=None, world_from_ego=None, images=()) for frame in scene)
    hostile = replace(scene.cameras[0], name="a/b \udcff")
    image = replace(scene[0].images[0], camera=hostile, world_from_camera=None)
    frames = (replace(bare[0], images=(image,)), bare[1])
    lp.export(replace(scene, frames=frames, cameras=(hostile,)), tmp_path / "a.rrd", kept_only=True)
    rows = read(tmp_path / "a.rrd")
    kept = rows["/world/points/kept"]
    assert [row["time"].total_seconds() for row in kept] == [0.0, 0.1]
    np.testing.assert_array_equal(np.float32(kept[1]["Points3D:positions"]), scene[1].points().positions)
    assert not [path for path in rows if "dropped" in path]
    assert "/world/cameras/a_b" in rows
