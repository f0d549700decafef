"""Exports of labelling tools: their points are read, and what else they hold is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lidarprep.datasets import labelling_exports, open_scene
from lidarprep.errors import SceneError
from lidarprep.pointfiles import write_points
from lidarprep.scene import PointCloud


def fill(folder: Path, *names: str) -> Path:
    """Writes files: point files with one point, and empty ones."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".pcd":
            write_points(path, PointCloud(np.array([[1, 2, 3]], np.float32)))
        else:
            path.touch()
    return folder


def supervisely(folder: Path) -> Path:
    fill(folder, "meta.json", "key_id_map.json")
    ds0 = ("pointcloud/a.pcd", "pointcloud/b.pcd", "ann/a.pcd.json", "related_images/a_pcd/img.png")
    return fill(folder / "ds0", *ds0)


def episodes(folder: Path) -> Path:
    return fill(folder / "ds0", "pointcloud/a.pcd", "pointcloud/b.pcd", "annotation.json", "frame_pointcloud_map.json")


def cvat(folder: Path) -> Path:
    names = ("velodyne_points/data/a.pcd", "velodyne_points/data/b.pcd", "IMAGE_00/data/a.png", "tracklet_labels.xml")
    return fill(folder / "export", *names)


def datumaro(folder: Path) -> Path:
    names = ("point_clouds/default/a.pcd", "point_clouds/default/b.pcd", "annotations/default.json")
    return fill(folder / "export", *names)


def sustech(folder: Path) -> Path:
    names = ("lidar/a.pcd", "lidar/b.pcd", "camera/front/a.jpg", "calib/camera/front.json", "label/a.json")
    return fill(folder / "example", *names)


TOOLS = [
    (supervisely, "Supervisely", "ann/, related_images/"),
    (episodes, "Supervisely", "annotation.json, frame_pointcloud_map.json"),
    (cvat, "CVAT's KITTI raw", "IMAGE_00/, tracklet_labels.xml"),
    (datumaro, "Datumaro", "annotations/"),
    (sustech, "SUSTechPOINTS", "calib/, camera/, label/"),
]


@pytest.mark.parametrize("above", [False, True], ids=["dataset", "folder above"])
@pytest.mark.parametrize(("write", "tool", "others"), TOOLS)
def test_the_points_are_read_and_what_lies_beside_them_is_named(
    tmp_path: Path, write: Callable[[Path], Path], tool: str, others: str, above: bool
) -> None:
    path = write(tmp_path / "project")
    scene = open_scene(path.parent if above else path)
    assert scene.layout == "labelling-export"
    assert [frame.id for frame in scene] == ["a", "b"]
    assert scene[0].points().positions.tolist() == [[1, 2, 3]]
    (finding,) = scene.findings
    assert (finding.code, finding.severity, finding.found) == ("folder-not-read", "warning", tool)
    assert finding.message.startswith(f"an export of {tool}, of which only the points in ")
    assert finding.message.endswith(f"/ are read: not {others}")


def test_the_points_folder_alone_says_what_the_whole_is(tmp_path: Path) -> None:
    (finding,) = open_scene(supervisely(tmp_path / "project") / "pointcloud").findings
    assert (finding.code, finding.severity) == ("recording-not-read", "warning")
    assert "of an export of a labelling tool is opened" in finding.message


def test_one_of_several_datasets_is_chosen_by_name(tmp_path: Path) -> None:
    supervisely(tmp_path / "project")
    fill(tmp_path / "project/ds1", "pointcloud/c.pcd", "ann/c.pcd.json")
    with pytest.raises(SceneError, match=r"2 datasets\n.*--scene-name NAME: ds0/pointcloud, ds1/pointcloud"):
        open_scene(tmp_path / "project")
    assert [frame.id for frame in open_scene(tmp_path / "project", scene="ds1/pointcloud")] == ["c"]


def test_poses_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "poses.tum").write_text("1 5 0 0 0 0 0 1\n2 6 0 0 0 0 0 1\n")
    scene = open_scene(sustech(tmp_path), poses=tmp_path / "poses.tum")
    assert [frame.world_from_ego.translation[0] for frame in scene if frame.world_from_ego] == [5, 6]


def test_a_toolkit_folder_and_kittis_own_drives_are_no_exports(toolkit: Path, tmp_path: Path) -> None:
    fill(toolkit, "meta.json", "ann/8.json")
    assert open_scene(toolkit).layout == "toolkit"
    fill(tmp_path / "drive", "velodyne_points/data/0000000000.bin")
    fill(tmp_path / "other", "lidar/a.pcd")
    for path in (tmp_path / "drive", tmp_path / "other", tmp_path / "nothing"):
        assert labelling_exports.detect(path) is None
