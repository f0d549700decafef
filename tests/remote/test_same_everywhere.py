"""The same recording from the disk, from a store and from web servers gives the same attachments."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.prepare import prepare
from tests.datasets.generated import Recording, generated
from tests.datasets.test_every_layout import LAYOUTS
from tests.datasets.write_kitti_object import write_kitti_object
from tests.remote.web import web_server
from tests.storage.clouds import Cloud, az_cloud, gs_cloud
from tests.storage.conftest import BUCKET, server

# A layout of each way of reading: many small files, tables, ranges, SQLite.
SOME = ("toolkit", "nuscenes", "ros1", "ros2", "mcap", "argoverse2")

Place = Callable[[Path], tuple[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return generated(tmp_path_factory.mktemp("generated"), frames=2, columns=40)


@pytest.fixture
def s3(bucket: Any, tmp_path: Path) -> Place:
    """Put the folder of a test into a bucket; return a path's URL there, and how it is opened."""

    def put(path: Path) -> tuple[str, dict[str, Any]]:
        for file in (tmp_path / "in").rglob("*"):
            if file.is_file():
                bucket.put_object(Key=file.relative_to(tmp_path).as_posix(), Body=file.read_bytes())
        url = f"s3://{BUCKET}/{path.relative_to(tmp_path).as_posix()}"
        return url, {"access": lp.StorageOptions(endpoint_url=server())}

    return put


@pytest.fixture(params=[gs_cloud, az_cloud], ids=["gs", "az"])
def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Place:
    """Put the folder of a test into a bucket of Google or a container of Azure, which is reached by the environment."""
    made: Cloud = request.param(monkeypatch)

    def put(path: Path) -> tuple[str, dict[str, Any]]:
        store = made.open("in")
        for file in (tmp_path / "in").rglob("*"):
            if file.is_file():
                data, key = file.read_bytes(), file.relative_to(tmp_path / "in").as_posix()
                store.put(key, data, "application/octet-stream", sha256=hashlib.sha256(data).hexdigest())
        return made.url(path.relative_to(tmp_path).as_posix()), {}

    return put


@pytest.fixture(params=[True, False], ids=["by ranges", "whole files"])
def web(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Serve the folder of a test; return a path's URL there."""
    with web_server(tmp_path, ranges=request.param) as address:
        yield lambda path: (f"{address}/{path.relative_to(tmp_path).as_posix()}", {})


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_the_same_from_s3(name: str, recording: Recording, tmp_path: Path, s3: Place) -> None:
    check_same(LAYOUTS[name].write(recording, tmp_path / "in" / "recording"), s3, tmp_path)


@pytest.mark.parametrize("name", SOME)
def test_layouts_are_the_same_from_web_servers(name: str, recording: Recording, tmp_path: Path, web: Place) -> None:
    check_same(LAYOUTS[name].write(recording, tmp_path / "in" / "recording"), web, tmp_path)


@pytest.mark.parametrize("name", SOME)
def test_layouts_are_the_same_from_other_clouds(name: str, recording: Recording, tmp_path: Path, cloud: Place) -> None:
    check_same(LAYOUTS[name].write(recording, tmp_path / "in" / "recording"), cloud, tmp_path)


def test_a_point_file_is_the_same_from_other_clouds(recording: Recording, tmp_path: Path, cloud: Place) -> None:
    check_same(point_file(recording, tmp_path, ".laz"), cloud, tmp_path)


@pytest.mark.parametrize("form", ["json", "sfs"])
def test_attachments_are_the_same_from_other_clouds(
    form: str, recording: Recording, tmp_path: Path, cloud: Place
) -> None:
    stored = attachments(recording, tmp_path, form)
    check_same(stored / "manifest.json", cloud, tmp_path)


def test_frames_with_a_calibration_each_are_the_same_from_s3(recording: Recording, tmp_path: Path, s3: Place) -> None:
    check_same(write_kitti_object(recording, tmp_path / "in" / "recording"), s3, tmp_path)


@pytest.mark.parametrize("suffix", [".las", ".laz", ".parquet", ".feather", ".npz", ".csv", ".ply", ".pcd", ".bin"])
def test_point_files_are_the_same_from_s3(suffix: str, recording: Recording, tmp_path: Path, s3: Place) -> None:
    check_same(point_file(recording, tmp_path, suffix), s3, tmp_path)


@pytest.mark.parametrize("suffix", [".laz", ".parquet", ".ply"])
def test_point_files_are_the_same_from_web_servers(
    suffix: str, recording: Recording, tmp_path: Path, web: Place
) -> None:
    check_same(point_file(recording, tmp_path, suffix), web, tmp_path)


@pytest.mark.parametrize("form", ["json", "protobuf", "sfs"])
def test_attachments_and_their_manifest_are_the_same_from_s3(
    form: str, recording: Recording, tmp_path: Path, s3: Place
) -> None:
    stored = attachments(recording, tmp_path, form)
    check_same(stored, s3, tmp_path)
    check_same(stored / "manifest.json", s3, tmp_path)


def test_attachments_are_the_same_from_web_servers(recording: Recording, tmp_path: Path, web: Place) -> None:
    check_same(attachments(recording, tmp_path, "json") / "manifest.json", web, tmp_path)


def test_a_manifest_on_a_web_server_is_loaded_and_nothing_is_stored_there(
    recording: Recording, tmp_path: Path, web: Place
) -> None:
    stored = attachments(recording, tmp_path, "json")
    url, _ = web(stored)
    loaded = lp.load_manifest(f"{url}/manifest.json")
    assert loaded.model_dump() == lp.load_manifest(stored).model_dump()
    assert loaded.location == f"{url}/manifest.json"
    with pytest.raises(lp.errors.RecipeError, match="store"):
        lp.prune(loaded.location.removesuffix("/manifest.json"))


def test_files_beside_the_recording_are_named_by_urls(recording: Recording, tmp_path: Path, s3: Place) -> None:
    folder = LAYOUTS["folder-csv"].write(recording, tmp_path / "in" / "recording")
    poses = (folder / "poses.csv").rename(tmp_path / "in" / "elsewhere.csv")
    local = lp.open_scene(folder, poses=poses)
    url, how = s3(folder)
    there, _ = s3(poses)
    assert keys(lp.open_scene(url, poses=there, **how), tmp_path / "b") == keys(local, tmp_path / "a")


def test_a_run_reads_its_recording_and_its_poses_from_where_its_recipe_says(
    recording: Recording, tmp_path: Path, s3: Place
) -> None:
    folder = LAYOUTS["folder-csv"].write(recording, tmp_path / "in" / "recording")
    poses = (folder / "poses.csv").rename(tmp_path / "in" / "elsewhere.csv")
    (url, _), (there, _) = s3(folder), s3(poses)
    whole = {
        "scene": url,
        "out": str(tmp_path / "out"),
        "opening": {"poses": there},
        "storage": {"endpoint_url": server()},
        "recipe": {"checks": "quick"},
    }
    stored = lp.run(lp.RunRecipe(**whole)).manifest
    assert sorted(key for key, _ in stored.objects()) == keys(lp.open_scene(folder, poses=poses), tmp_path / "a")


def test_each_folder_of_a_web_server_is_listed_once_and_none_that_is_not_there(
    recording: Recording, tmp_path: Path
) -> None:
    asked: list[str] = []
    folder = LAYOUTS["toolkit"].write(recording, tmp_path / "in" / "recording")
    with web_server(tmp_path, ranges=True, asked=asked) as address:
        lp.open_scene(f"{address}/in/recording")
    listings = [path for path in asked if path.endswith("/")]
    assert len(listings) == len(set(listings)) == 1 + sum(path.is_dir() for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host/drive", "ftp:// is not a place that lidarprep can read from"),
        ("hdfs://host/drive", "hdfs:// is not a place that lidarprep can read from"),
        ("s3:/bucket/drive", "one slash is missing"),
        ("s3:///drive", "names no bucket"),
    ],
)
def test_a_place_that_nothing_is_read_from_is_told(url: str, said: str) -> None:
    with pytest.raises(lp.errors.RecipeError, match=said):
        lp.open_scene(url)


def test_a_file_url_is_a_path(recording: Recording, tmp_path: Path) -> None:
    folder = LAYOUTS["folder-csv"].write(recording, tmp_path / "a folder")
    assert lp.open_scene(folder.as_uri()).source == str(folder)


def test_what_is_secret_in_a_url_is_in_nothing_that_is_stored_or_shown(recording: Recording, tmp_path: Path) -> None:
    cloud = point_file(recording, tmp_path, ".ply")
    with web_server(tmp_path, ranges=True) as address:
        signed = f"http://me:hunter2@{urlsplit(address).netloc}/in/{cloud.name}?X-Amz-Signature=5ec2e7"
        scene = lp.open_scene(signed)
        manifest = prepare(scene, lp.Recipe(checks="quick"), tmp_path / "out")
        page = lp.write_report(scene, tmp_path / "page.html")
        texts = [repr(scene), scene._repr_html_(), manifest.to_json().decode(), page.path.read_text(), *scene.notes]
        with pytest.raises(lp.errors.SceneError) as missing:
            lp.open_scene(signed.replace(".ply", ".pcd"))
    texts.append(str(missing.value))
    assert not [text for text in texts if "5ec2e7" in text or "hunter2" in text]


def check_same(path: Path, put: Place, tmp_path: Path) -> None:
    """Compare what is prepared of a recording on the disk and elsewhere, by the hashes in the objects' names."""
    url, how = put(path)
    local, remote = lp.open_scene(path), lp.open_scene(url, **how)
    assert remote.source == url
    assert [frame.id for frame in remote] == [frame.id for frame in local]
    assert [finding.code for finding in remote.findings] == [finding.code for finding in local.findings]
    assert keys(remote, tmp_path / "b" / path.name) == keys(local, tmp_path / "a" / path.name)


def keys(scene: lp.Scene, out: Path) -> list[str]:
    return sorted(key for key, _ in prepare(scene, lp.Recipe(checks="quick"), out).objects())


def point_file(recording: Recording, tmp_path: Path, suffix: str) -> Path:
    frame = recording.frames[0]
    intensity = None if suffix == ".bin" else frame.intensity.astype(np.uint16)
    cloud = lp.PointCloud(frame.positions, "ego", intensity=intensity)
    path = tmp_path / "in" / f"cloud{suffix}"
    path.parent.mkdir(exist_ok=True)
    lp.write_points(path, cloud)
    return path


def attachments(recording: Recording, tmp_path: Path, form: str) -> Path:
    scene = lp.open_scene(LAYOUTS["toolkit"].write(recording, tmp_path / "recording"))
    prepare(scene, lp.Recipe(format=form, checks="quick"), tmp_path / "in" / "stored")
    return tmp_path / "in" / "stored"
