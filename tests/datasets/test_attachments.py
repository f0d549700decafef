"""What `prepare` stored is opened again as a recording, and prepared once more: nothing changes but by rounding."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.attachments import FormatName
from lidarprep.datasets.attachments import MANIFEST_KEY
from lidarprep.storage import store
from tests.datasets.generated import Recording, generated
from tests.datasets.write_folder import write_toolkit

FORMATS: tuple[FormatName, ...] = ("json", "protobuf", "sfs")
# How far a format's timestamps and numbers are from what it was given: LidarFrame has float64 times and float32 poses,
# a Sensor Fusion Scene whole microseconds and intensities in 256 steps.
TIME_NS = {"json": 0, "protobuf": 256, "sfs": 1000}
POSE_M = {"json": 1e-12, "protobuf": 2e-5, "sfs": 1e-9}
INTENSITY = {"json": 0.0, "protobuf": 0.0, "sfs": 0.5 / 255 + 1e-6}


def stored(folder: Path, number: int) -> Path:
    """The attachment that `prepare` stored for a frame, or for the whole scene."""
    return next(iter([*folder.glob(f"frames/{number}-*"), *folder.glob("*.sfs")]))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return generated(tmp_path_factory.mktemp("generated") / "recording")


@pytest.fixture(scope="module")
def prepared(made: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recording in the toolkit layout, prepared as each of the formats."""
    folder = tmp_path_factory.mktemp("prepared")
    scene = lp.open_scene(write_toolkit(made, folder / "scene"))
    for name in FORMATS:
        lp.prepare(scene, lp.Recipe(format=name, intensity_scale=255), folder / name)
    return folder


def require_same_frames(
    found: lp.Scene, expected: lp.Scene, *, time_ns: int, pose_m: float, intensity: float, point_m: float = 0.0
) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.timestamp is not None
        assert other.timestamp is not None
        assert abs(one.timestamp - other.timestamp) <= time_ns
        assert one.world_from_ego is not None
        assert other.world_from_ego is not None
        np.testing.assert_allclose(one.world_from_ego.matrix, other.world_from_ego.matrix, atol=pose_m)
        a, b = one.points(), other.points()
        np.testing.assert_allclose(a.positions, b.positions, atol=point_m, rtol=0)
        assert a.intensity is not None
        assert b.intensity is not None
        np.testing.assert_allclose(a.intensity, b.intensity, atol=intensity, rtol=0)
        radar, wanted = one.radar(), other.radar()
        assert (radar is None) == (wanted is None)
        if radar is not None and wanted is not None:
            np.testing.assert_allclose(radar.positions, wanted.positions, atol=2e-5)
        assert [image.camera.name for image in one.images] == [image.camera.name for image in other.images]
        for image, picture in zip(one.images, other.images, strict=True):
            assert image.world_from_camera is not None
            assert picture.world_from_camera is not None
            np.testing.assert_allclose(image.world_from_camera.matrix, picture.world_from_camera.matrix, atol=pose_m)
            assert image.camera.intrinsics.fx == pytest.approx(picture.camera.intrinsics.fx, rel=1e-6)
            assert encoded(image) == encoded(picture)


def encoded(image: lp.CameraImage) -> bytes:
    if image.content is not None:
        return image.content()
    assert image.path is not None
    return image.path.read_bytes()


@pytest.mark.parametrize("name", FORMATS)
def test_attachments_hold_the_recording_as_it_was(made: Recording, prepared: Path, name: str) -> None:
    scene = lp.open_scene(prepared / name)
    assert (scene.layout, scene.points_frame) == ("attachments", "world")
    assert scene.notes[0] == "opened as attachments: its manifest.json is that of attachments"
    assert [frame.id for frame in scene] == ["1", "2", "3"]
    assert [camera.name for camera in scene.cameras] == [camera.name for camera in made.cameras]
    assert [frame.timestamp for frame in scene] == [frame.timestamp for frame in made.frames]
    for frame, expected in zip(scene, made.frames, strict=True):
        assert frame.world_from_ego is not None
        np.testing.assert_allclose(frame.world_from_ego.matrix, expected.world_from_ego, atol=POSE_M[name])
        points = frame.points()
        np.testing.assert_allclose(points.positions, expected.in_world, atol=1e-5)
        assert points.intensity is not None
        np.testing.assert_allclose(points.intensity, expected.intensity / 255, atol=1e-7)
        radar = frame.radar()
        assert radar is not None
        assert len(radar) == len(expected.radar)
        for image, camera in zip(frame.images, made.cameras, strict=True):
            assert encoded(image) == expected.pictures[camera.name]
            assert image.world_from_camera is not None
            pose = expected.world_from_ego @ camera.ego_from_camera
            np.testing.assert_allclose(image.world_from_camera.matrix, pose, atol=POSE_M[name])
            assert image.camera.intrinsics.fx == pytest.approx(camera.fx, rel=1e-6)


@pytest.mark.parametrize("before", FORMATS)
@pytest.mark.parametrize("after", FORMATS)
def test_preparing_attachments_again_changes_nothing_but_by_rounding(
    prepared: Path, tmp_path: Path, before: FormatName, after: FormatName
) -> None:
    scene = lp.open_scene(prepared / before)
    lp.prepare(scene, lp.Recipe(format=after), tmp_path / "again")
    require_same_frames(
        lp.open_scene(tmp_path / "again"),
        scene,
        time_ns=TIME_NS[after],
        pose_m=max(POSE_M[before], POSE_M[after]),
        intensity=INTENSITY[after],
    )


def test_images_out_of_a_scene_are_stored_under_the_suffix_of_their_bytes(prepared: Path, tmp_path: Path) -> None:
    manifest = lp.prepare(lp.open_scene(prepared / "sfs"), lp.Recipe(), tmp_path / "out")
    assert {Path(image.url).suffix for image in manifest.images} == {".jpg"}
    for image in manifest.images:
        assert (tmp_path / "out" / image.url).read_bytes()[:3] == b"\xff\xd8\xff"


def test_each_image_is_read_once_and_up_to_twenty_once_more_for_their_sizes(made: Recording, tmp_path: Path) -> None:
    read: list[str] = []
    camera = lp.Camera("front", 0, lp.Intrinsics(1, 1, 1, 1))
    cloud = lp.PointCloud(np.ones((1, 3), np.float32), "world")

    def picture(row: int) -> bytes:
        read.append(str(row))
        return made.frames[0].pictures[made.cameras[0].name]

    def frame(row: int) -> lp.Frame:
        image = lp.CameraImage(camera, world_from_camera=lp.Pose.identity(), content=partial(picture, row))
        return lp.Frame(str(row), row, lambda: cloud, world_from_ego=lp.Pose.identity(), images=(image,))

    scene = lp.Scene("made", "made", tuple(map(frame, range(4))), (camera,), "world")
    manifest = lp.prepare(scene, lp.Recipe(), tmp_path / "out")
    assert [image.url.partition("-")[0] for image in manifest.images] == [f"images/front/{row}" for row in range(4)]
    # The checks compare the sizes of all four; those of extrinsics go by the size of the first one.
    assert [read.count(str(row)) for row in range(4)] == [3, 2, 2, 2]


# ---- files and folders without a manifest ----------------------------------------------------------------------------


@pytest.fixture
def loose(prepared: Path, tmp_path: Path) -> Path:
    """Two Frame JSONs without manifest and images, whose names are not in the order of their times."""
    for number, target in ((1, "b.json"), (2, "a.json")):
        (tmp_path / target).write_bytes(stored(prepared / "json", number).read_bytes())
    return tmp_path


def test_loose_attachments_are_in_time_order(loose: Path, made: Recording) -> None:
    scene = lp.open_scene(loose)
    assert [(frame.id, frame.index) for frame in scene] == [("b", 0), ("a", 1)]
    assert [frame.timestamp for frame in scene] == [frame.timestamp for frame in made.frames[:2]]
    assert [image.camera.name for image in scene[0].images] == []
    assert any("images are not there and left out, such as images/" in note for note in scene.notes)


def test_one_attachment_is_a_scene_of_one_frame(prepared: Path) -> None:
    for name in ("json", "protobuf"):
        file = stored(prepared / name, 1)
        scene = lp.open_scene(file)
        assert [frame.id for frame in scene] == [file.stem]
        assert [camera.name for camera in scene.cameras] == [str(camera.index) for camera in scene.cameras]
        assert all(image.path is not None for image in scene[0].images)  # beside the folder frames/
    assert len(lp.open_scene(stored(prepared / "sfs", 1))) == 3
    assert len(lp.open_scene(prepared / "json" / "manifest.json")) == 3


def test_a_folder_with_one_scene_is_that_scene_and_of_several_one_is_chosen(prepared: Path, tmp_path: Path) -> None:
    data = stored(prepared / "sfs", 1).read_bytes()
    (tmp_path / "monday.sfs").write_bytes(data)
    assert len(lp.open_scene(tmp_path)) == 3
    (tmp_path / "friday.sfs").write_bytes(data)
    with pytest.raises(lp.SceneError, match=r"holds 2 scenes\n.*--scene-name NAME: friday, monday") as caught:
        lp.open_scene(tmp_path)
    assert "--scene-name" in str(caught.value)
    assert len(lp.open_scene(tmp_path, scene="friday")) == len(lp.open_scene(tmp_path, scene="friday.sfs")) == 3


def test_an_image_of_which_only_the_url_is_known_keeps_it(loose: Path, tmp_path: Path) -> None:
    text = (loose / "b.json").read_bytes().replace(b'"image_url":"images/', b'"image_url":"https://pictures.example/')
    (loose / "b.json").write_bytes(text)
    scene = lp.open_scene(loose / "b.json")
    urls = [image.url for image in scene[0].images]
    assert urls
    assert all(url is not None and url.startswith("https://pictures.example/") for url in urls)
    manifest = lp.prepare(scene, lp.Recipe(), tmp_path / "out")
    assert manifest.images == []
    written = json.loads((tmp_path / "out" / manifest.attachments[0].url).read_bytes())
    assert [image["image_url"] for image in written["images"]] == urls


@pytest.mark.parametrize(
    "url", ["../secret.jpg", "/etc/secret.jpg", "a/../../secret.jpg", "%2e%2e/secret.jpg", "file:///secret.jpg"]
)
def test_no_url_leads_to_a_file_outside_the_folder(loose: Path, url: str) -> None:
    folder = loose / "inner"
    folder.mkdir()
    (loose / "secret.jpg").write_bytes(b"\xff\xd8\xff")
    document = json.loads((loose / "b.json").read_bytes())
    document["images"][0]["image_url"] = url
    (folder / "b.json").write_text(json.dumps(document))
    assert all(image.path is None for image in lp.open_scene(folder)[0].images)


# ---- laziness --------------------------------------------------------------------------------------------------------


def frame_json(**more: Any) -> dict[str, Any]:
    frame = {"device_position": {"x": 1.0, "y": 2.0, "z": 3.0}, "timestamp": 1_700_000_000_000_000_000}
    return {**frame, **more}


POINT = {"x": 1.5, "y": 2.5, "z": 3.5}


def test_points_that_come_last_are_not_read_at_opening(tmp_path: Path) -> None:
    points = ",".join(['{"x":1,"y":2,"z":oops}'] * 5000 + ['{"x":1,"y":2,"z":3}'])
    (tmp_path / "a.json").write_text(json.dumps(frame_json())[:-1] + f',"points":[{points}]}}')
    scene = lp.open_scene(tmp_path)
    assert scene[0].timestamp == 1_700_000_000_000_000_000
    with pytest.raises(lp.FormatError, match="not a JSON number"):
        scene[0].points()


@pytest.mark.parametrize("count", [0, 1, 3000])
@pytest.mark.parametrize("points_first", [False, True])
def test_points_may_stand_anywhere_in_a_frame_json(tmp_path: Path, count: int, points_first: bool) -> None:
    points = {"points": [POINT] * count}
    radar = {"radar_points": [{"position": POINT}]}
    frame = {**points, **frame_json(), **radar} if points_first else {**frame_json(), **radar, **points}
    (tmp_path / "a.json").write_text(json.dumps(frame, indent=1))
    scene = lp.open_scene(tmp_path)
    assert scene[0].timestamp == 1_700_000_000_000_000_000
    assert len(scene[0].points()) == count
    radar_points = scene[0].radar()
    assert radar_points is not None
    assert radar_points.positions.tolist() == [[1.5, 2.5, 3.5]]


def test_what_stands_before_the_points_may_be_long(tmp_path: Path) -> None:
    radar = [{"position": POINT}] * 20_000  # a megabyte
    (tmp_path / "a.json").write_text(json.dumps(frame_json(radar_points=radar, points=[POINT])))
    frame = lp.open_scene(tmp_path)[0]
    found = frame.radar()
    assert found is not None
    assert len(found) == 20_000
    assert len(frame.points()) == 1


def test_a_second_pose_behind_what_seemed_the_last_points_is_found_when_they_are_read(tmp_path: Path) -> None:
    # "points", then a pose of other numbers, then an unknown array that looks as points do.
    text = (
        json.dumps(frame_json(points=[POINT]))[:-1]
        + ',"device_position":{"x":9,"y":9,"z":9},"others":[{"x":1,"y":2,"z":3}]}'
    )
    (tmp_path / "a.json").write_text(text)
    frame = lp.open_scene(tmp_path)[0]
    with pytest.raises(lp.FormatError, match="behind its points"):
        frame.points()


# ---- what is none ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("poses.json", b'[{"heading": [1, 0, 0, 0], "position": [0, 0, 0]}]'),
        ("1.json", b'{"heading": [1, 0, 0, 0], "position": [0, 0, 0]}'),
        ("sample.json", b'[{"token": "a", "points": 5}]'),
        ("package.json", b'{"name": "x", "version": "1"}'),
        ("manifest.json", b'{"name": "x", "attachments": []}'),
        ("model.pb", b"\x08\x01"),
        ("empty.pb", b""),
        ("empty.sfs", b""),
    ],
)
def test_other_files_are_not_taken_for_attachments(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(lp.SceneError, match="is no recording that lidarprep knows"):
            lp.open_scene(path)


def test_what_lies_beside_attachments_is_noted(loose: Path) -> None:
    (loose / "README.md").touch()
    assert "1 files are no attachments of a frame, such as README.md" in lp.open_scene(loose).notes


def test_two_attachments_of_one_frame_are_named(loose: Path, prepared: Path) -> None:
    (loose / "a.pb").write_bytes(stored(prepared / "protobuf", 1).read_bytes())
    with pytest.raises(lp.SceneError, match="belong to the same frame"):
        lp.open_scene(loose)


def test_attachments_without_times_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("f2", "f10", "f1"):
        frame = frame_json(points=[POINT])
        del frame["timestamp"]
        (tmp_path / f"{name}.json").write_text(json.dumps(frame))
    scene = lp.open_scene(tmp_path)
    assert [frame.id for frame in scene] == ["f1", "f2", "f10"]
    assert any("order of their names" in note for note in scene.notes)


@pytest.mark.parametrize("keep", [1, 40, 0.3, 0.9])
@pytest.mark.parametrize("name", FORMATS)
def test_an_attachment_that_is_cut_is_named(prepared: Path, tmp_path: Path, name: str, keep: float) -> None:
    file = stored(shutil.copytree(prepared / name, tmp_path / "out"), 2)
    data = file.read_bytes()
    file.write_bytes(data[: int(keep if keep >= 1 else len(data) * keep)])
    with pytest.raises(lp.FormatError) as caught:
        [frame.points() for frame in lp.open_scene(tmp_path / "out")]
    assert file.name in str(caught.value)


def test_a_manifest_whose_files_are_gone_or_do_not_fit_is_named(prepared: Path, tmp_path: Path) -> None:
    manifest = json.loads((prepared / "json" / "manifest.json").read_bytes())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(lp.SceneError, match=r"frames/1-.*\.json is missing, which .*manifest\.json names"):
        lp.open_scene(tmp_path)
    shutil.copytree(prepared / "json" / "frames", tmp_path / "frames")
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "frames": manifest["frames"][:2]}))
    with pytest.raises(lp.SceneError, match="names 2 frames, and its attachments hold 3"):
        lp.open_scene(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "attachments": []}))
    with pytest.raises(lp.SceneError, match="names no attachment"):
        lp.open_scene(tmp_path)
    (tmp_path / "manifest.json").write_text('{"lidarprep": "1", "attachments": 7}')
    with pytest.raises(lp.FormatError, match="manifest"):
        lp.open_scene(tmp_path)


def test_an_offset_of_the_world_and_options_without_use_are_noted(prepared: Path, tmp_path: Path) -> None:
    manifest = json.loads((prepared / "json" / "manifest.json").read_bytes())
    shutil.copytree(prepared / "json" / "frames", tmp_path / "frames")
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "world_offset": [1000.0, 0, 0]}))
    notes = lp.open_scene(tmp_path, pose_topic="/odom").notes
    assert "(1000, 0, 0) metres were taken from the recording's coordinates, and are not added" in notes
    assert any("--pose-topic" in note for note in notes)


def test_a_camera_that_changes_is_noted(loose: Path) -> None:
    for name in ("a.json", "b.json"):
        document = json.loads((loose / name).read_bytes())
        for image in document["images"]:
            image["image_url"] = "https://pictures.example/1.jpg"
            image["fx"] += ord(name[0])
        (loose / name).write_text(json.dumps(document))
    scene = lp.open_scene(loose)
    assert any(note.startswith("the intrinsics of camera 0") for note in scene.notes)
    assert scene[0].images[0].camera.intrinsics.fx != scene[1].images[0].camera.intrinsics.fx


def test_an_attachment_can_be_read_in_another_process(prepared: Path) -> None:
    for name in ("json", "protobuf", "sfs"):
        frame = lp.open_scene(prepared / name)[0]
        sent = pickle.loads(pickle.dumps(replace(frame, images=())))
        np.testing.assert_array_equal(sent.points().positions, frame.points().positions)


def test_the_manifest_is_looked_for_under_the_name_that_it_is_stored_under() -> None:
    """The name is written down twice, so that opening a recording need not import what writes manifests."""
    assert MANIFEST_KEY == store.MANIFEST_KEY
