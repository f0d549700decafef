"""The guess of a layout: near misses, recordings further down, parts of a whole, URLs, and layouts named wrongly."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.datasets import guess, open_scene
from lidarprep.datasets.guess import SHAPES
from lidarprep.datasets.layouts import known_layouts
from lidarprep.datasets.unread import near_miss
from lidarprep.errors import SceneError


def refusal(path: Path | str, **options: str) -> list[str]:
    with pytest.raises(SceneError) as caught:
        open_scene(path, layout=options.get("layout"))
    return str(caught.value).splitlines()


@pytest.mark.parametrize("name", ["pointclouds", "point_cloud", "PointCloud", "lidar", "velodyne", "scans"])
def test_a_toolkit_folder_whose_folder_of_points_has_another_name(toolkit: Path, name: str) -> None:
    (toolkit / "pointcloud").rename(toolkit / name)
    wanted = f"a toolkit folder but for its folder pointcloud/; is {name}/ that? Rename it to pointcloud."
    assert refusal(toolkit)[1:] == [f"It is {wanted}"]
    (finding,) = open_scene(toolkit / name).findings
    assert (finding.code, finding.severity) == ("recording-not-read", "warning")
    assert finding.message == f"nothing but {name}/ is opened: the folder above is {wanted}"


def test_a_toolkit_folder_without_points_says_what_is_there(toolkit: Path) -> None:
    for path in (toolkit / "pointcloud").iterdir():
        path.unlink()
    (toolkit / "pointcloud").rmdir()
    there = "cameras, poses, radar_points"
    assert refusal(toolkit)[1:] == [
        f"It is a toolkit folder but for its folder pointcloud/, which is not there; {there} are."
    ]


@pytest.mark.parametrize(
    ("folders", "called"),
    [
        (("velodyn", "calib", "image_2", "label_2"), "a part of KITTI object but for its folder velodyne/"),
        (("velodyne_point", "oxts", "image_02"), "a drive of KITTI raw but for its folder velodyne_points/"),
        (("lidars", "camera", "meta"), "a sequence of PandaSet but for its folder lidar/"),
        (("sensor", "calibration"), "a log of Argoverse 2 but for its folder sensors/"),
        (("camera", "pointclouds"), "a toolkit folder but for its folder pointcloud/"),
    ],
)
def test_near_misses_of_other_layouts_are_named(tmp_path: Path, folders: tuple[str, ...], called: str) -> None:
    for name in folders:
        (tmp_path / name).mkdir()
    assert called in refusal(tmp_path)[1]
    assert f"is {folders[-1] if 'pointclouds' in folders else folders[0]}/ that?" in refusal(tmp_path)[1]


@pytest.mark.parametrize("folders", [("images", "pcd"), ("videos",), ("calib",), ("meta", "docs"), ()])
def test_little_evidence_makes_no_near_miss(tmp_path: Path, folders: tuple[str, ...]) -> None:
    for name in folders:
        (tmp_path / name).mkdir()
    assert refusal(tmp_path)[1:] == ["`lidarprep layouts` lists what is known."]


@pytest.mark.parametrize("above", [1, 2, 3])
def test_a_recording_further_down_is_offered(toolkit: Path, tmp_path: Path, above: int) -> None:
    inner = tmp_path / "top" / "/".join("abc"[: above - 1])
    inner.mkdir(parents=True)
    toolkit.rename(inner / "rec")
    assert refusal(tmp_path / "top")[1:] == [f"Did you mean {inner / 'rec'} (toolkit)?"]


def test_a_recording_beside_point_files_is_a_warning(toolkit: Path, tmp_path: Path) -> None:
    (tmp_path / "stray.ply").write_bytes(b"")
    (finding,) = open_scene(tmp_path).findings
    assert (finding.code, finding.severity) == ("recording-not-read", "warning")
    assert finding.message == "recording/ (toolkit) lies beside the point files, and is not read"
    assert finding.cure == f"open {toolkit}, if that is meant"


def test_a_file_beside_a_recordings_folders_is_told_to_be_none_of_it(toolkit: Path, tmp_path: Path) -> None:
    for path in (toolkit / "stray.ply", tmp_path / "other.ply"):
        path.write_bytes(b"")
    (finding,) = open_scene(toolkit / "stray.ply").findings
    assert (finding.code, finding.severity) == ("recording-not-read", "note")
    assert finding.message == "the file lies in the folder of a recording (toolkit), and does not belong to it"
    assert open_scene(tmp_path / "other.ply").findings == ()


def test_point_files_beside_a_recordings_folders_are_told(toolkit: Path) -> None:
    (toolkit / "stray.ply").write_bytes(b"")
    (finding,) = open_scene(toolkit).findings
    assert (finding.code, finding.severity) == ("recording-not-read", "note")
    assert finding.message == "1 point files in the folder itself, such as stray.ply, are not read"


def test_the_point_folder_of_a_recording_is_told_to_be_a_part(toolkit: Path, tmp_path: Path) -> None:
    points = toolkit / "pointcloud"
    (finding,) = open_scene(points).findings
    assert (finding.code, finding.severity) == ("recording-not-read", "warning")
    assert finding.message.startswith("only pointcloud/ of a toolkit folder is opened: nothing else of ")
    assert finding.cure == f"open {toolkit}"
    assert [one.severity for one in open_scene(points, layout="folder").findings] == ["note"]
    (tmp_path / "poses.tum").write_text("".join(f"{k} 0 0 0 0 0 0 1\n" for k in range(3)))
    assert [one.severity for one in open_scene(points, poses=tmp_path / "poses.tum").findings] == ["note"]


def test_other_folders_beside_a_recording_are_no_parts_of_it(toolkit: Path) -> None:
    (toolkit / "mine").mkdir()
    (toolkit / "mine/1.ply").write_bytes(b"")
    assert open_scene(toolkit / "mine").findings == ()


def test_folders_around_a_recording_that_are_gone_or_cannot_be_read_are_no_hindrance(
    toolkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    for folder in (mine, tmp_path / "other"):
        folder.mkdir()
        (folder / "1.ply").write_bytes(b"")
    (mine / "below").mkdir()

    def refused(real: Callable[..., Any]) -> Callable[..., Any]:
        def look(place: str | Path) -> Any:
            if Path(place) != mine:
                raise PermissionError(13, "Permission denied", str(place))
            return real(place)

        return look

    monkeypatch.setattr("os.listdir", refused(os.listdir))
    monkeypatch.setattr("os.scandir", refused(os.scandir))
    scene = open_scene(mine)
    assert len(scene) == 1
    assert scene.findings == ()


def test_a_colon_in_a_path_is_no_url(tmp_path: Path) -> None:
    (tmp_path / "run:/deep").mkdir(parents=True)
    (tmp_path / "run:/deep/1.ply").write_bytes(b"")
    assert len(open_scene(tmp_path / "run:/deep")) == 1


def test_a_layout_that_is_named_wrongly_is_told_with_the_one_that_fits(toolkit: Path) -> None:
    lines = refusal(toolkit, layout="kitti-raw")
    assert lines[0] == f"{toolkit} holds no drive"
    assert lines[-1] == "It looks like toolkit: leave --layout out."


@pytest.mark.parametrize(
    ("suffix", "said"), [(".pcap", "driver"), (".e57", "CloudCompare"), (".tfrecord", "waymo-open-dataset")]
)
def test_formats_that_are_not_read_have_a_way_on(tmp_path: Path, suffix: str, said: str) -> None:
    (tmp_path / f"drive{suffix}").touch()
    assert said in refusal(tmp_path / f"drive{suffix}")[1]


def test_each_shape_is_of_a_layout() -> None:
    assert set(SHAPES) <= set(known_layouts())


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("camera", ["cameras", "poses"], "cameras"),
        ("CAMERAS", ["cameras"], "cameras"),
        ("images", ["pointcloud", "cameras"], "cameras"),
        ("radar", ["radar_points"], "radar_points"),
        ("image_02", ["image_0", "image_2"], "image_2"),
        ("image_3", ["image_0", "image_2"], None),
        ("label_2", ["image_2"], None),
        ("intrinsics", ["extrinsics"], None),
        ("intrinsic", ["extrinsics", "intrinsics"], "intrinsics"),
        ("velodyne_reduced", ["velodyne"], None),
        ("labels", ["lidar", "cameras", "poses"], None),
        ("cameras", ["cameras", "camera"], None),
    ],
)
def test_names_that_are_almost_those_that_are_read(name: str, known: list[str], meant: str | None) -> None:
    assert near_miss(name, known) == meant


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=5))
def test_a_near_miss_is_one_of_the_known_names_and_never_the_name_itself(name: str, known: list[str]) -> None:
    meant = near_miss(name, known)
    assert meant is None or (meant in known and meant != name)


def test_a_folder_of_many_recordings_is_not_compared_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(201):
        (tmp_path / f"drive_{number}").mkdir()
    (tmp_path / "drive_7" / "a.xyz").write_text("1 2 3\n")
    monkeypatch.setattr(guess, "near_miss", lambda *_: pytest.fail("its names were compared"))
    assert not open_scene(tmp_path / "drive_7").findings
