"""nuScenes: what is read from a dataset, and what is said of one whose tables don't hang together."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lidarprep.datasets import _nuscenes_tables as nuscenes_tables
from lidarprep.datasets import nuscenes, open_scene
from lidarprep.errors import FormatError, SceneError
from tests.datasets.generated import Matrix, Recording, pose_matrix, quaternion
from tests.datasets.write_nuscenes import (
    EGO_FROM_LIDAR,
    RADAR_RECORD,
    SCENE,
    VERSION,
    token,
    write_nuscenes,
)

Record = dict[str, Any]


@pytest.fixture(scope="module")
def written(recorded: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset to read only."""
    return write_nuscenes(recorded, tmp_path_factory.mktemp("written") / "nuscenes")


@pytest.fixture
def dataset(written: Path, tmp_path: Path) -> Path:
    """The same dataset, to change."""
    return shutil.copytree(written, tmp_path / "nuscenes")


def edit(dataset: Path, table: str, change: Callable[[list[Record]], Any]) -> None:
    path = dataset / VERSION / f"{table}.json"
    records = json.loads(path.read_text())
    change(records)
    path.write_text(json.dumps(records))


def readings_of(records: list[Record], channel: str) -> list[Record]:
    return [record for record in records if f"/{channel}/" in record["filename"]]


def moved(points: Any, pose: Matrix) -> Any:
    return np.asarray(points, dtype=np.float64) @ pose[:3, :3].T + pose[:3, 3]


def by_rows(rows: Any) -> Any:
    return rows[np.lexsort(np.round(rows[:, :3], 3).T)]


@pytest.mark.parametrize("below", ["", VERSION])
def test_points_stand_in_the_world_where_they_were_recorded(written: Path, recorded: Recording, below: str) -> None:
    scene = open_scene(written / below)
    assert scene.layout == "nuscenes"
    assert scene.points_frame == "ego"
    assert len(scene) == len(recorded.frames)
    for frame, expected in zip(scene, recorded.frames, strict=True):
        cloud = frame.points()
        assert cloud.frame == "ego"
        assert cloud.positions.dtype == np.float32
        assert frame.timestamp == expected.timestamp
        assert frame.world_from_ego is not None
        np.testing.assert_allclose(frame.world_from_ego.matrix, expected.world_from_ego, atol=1e-12)
        np.testing.assert_allclose(frame.world_from_ego.apply(cloud.positions), expected.in_world, atol=1e-4)
        np.testing.assert_array_equal(cloud.intensity, expected.intensity)
        np.testing.assert_array_equal(cloud.ring, np.arange(len(cloud)) % 32)
        assert cloud.device is None  # there is one lidar
        assert cloud.ignored_fields == ()


def test_the_folder_of_tables_may_be_where_the_user_is(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(written / VERSION)
    scene = open_scene(".")
    assert scene.notes[:2] == (
        f"opened as nuscenes: it holds nuScenes tables: {VERSION}",
        f"scene {SCENE} of {VERSION}",
    )
    assert len(scene[0].points())


def test_times_may_be_floats_as_some_exports_have_them(dataset: Path, recorded: Recording) -> None:
    def as_floats(records: list[Record]) -> None:
        for record in records:
            record["timestamp"] += 0.25

    edit(dataset, "sample_data", as_floats)
    times = [frame.timestamp + 250 for frame in recorded.frames]
    assert [frame.timestamp for frame in open_scene(dataset)] == times


def test_the_lidar_is_named_with_its_place_on_the_vehicle(written: Path) -> None:
    (lidar,) = open_scene(written).lidars
    assert (lidar.name, lidar.index) == ("LIDAR_TOP", 0)
    assert lidar.ego_from_lidar is not None
    np.testing.assert_allclose(lidar.ego_from_lidar.matrix, EGO_FROM_LIDAR, atol=1e-6)


def test_cameras_have_their_calibration_and_images_their_poses(written: Path, recorded: Recording) -> None:
    scene = open_scene(written)
    for camera, expected in zip(scene.cameras, recorded.cameras, strict=True):
        assert (camera.name, camera.index) == (expected.name, recorded.cameras.index(expected))
        inside = camera.intrinsics
        assert (inside.fx, inside.fy, inside.cx, inside.cy) == (expected.fx, expected.fy, expected.cx, expected.cy)
        assert (inside.width, inside.height) == (expected.width, expected.height)
    for frame, recorded_frame in zip(scene, recorded.frames, strict=True):
        assert [image.camera.name for image in frame.images] == [camera.name for camera in recorded.cameras]
        for image, expected in zip(frame.images, recorded.cameras, strict=True):
            assert image.path is not None
            assert image.path.read_bytes() == recorded_frame.pictures[expected.name]
            assert image.world_from_camera is not None
            np.testing.assert_allclose(
                image.world_from_camera.matrix, recorded_frame.world_from_ego @ expected.ego_from_camera, atol=1e-9
            )


def test_an_image_is_posed_where_the_vehicle_was_when_it_was_taken(dataset: Path, recorded: Recording) -> None:
    then = pose_matrix([np.cos(0.1), 0, 0, np.sin(0.1)], [100, 50, 1])
    camera = recorded.cameras[1]

    def earlier(records: list[Record]) -> None:
        reading = readings_of(records, camera.name)[1]
        reading |= {"timestamp": reading["timestamp"] - 20_000, "ego_pose_token": "then"}

    edit(dataset, "sample_data", earlier)
    pose = {"token": "then", "timestamp": 0, "rotation": quaternion(then), "translation": then[:3, 3].tolist()}
    edit(dataset, "ego_pose", lambda records: records.append(pose))
    scene = open_scene(dataset)
    image = next(image for image in scene[1].images if image.camera.name == camera.name)
    assert image.timestamp == recorded.frames[1].timestamp - 20_000_000
    assert image.world_from_camera is not None
    np.testing.assert_allclose(image.world_from_camera.matrix, then @ camera.ego_from_camera, atol=1e-9)
    assert scene[1].world_from_ego is not None
    np.testing.assert_allclose(scene[1].world_from_ego.matrix, recorded.frames[1].world_from_ego, atol=1e-12)
    assert scene.trajectory is not None
    assert len(scene.trajectory) == len(recorded.frames) + 1

    near = open_scene(dataset, image_tolerance=0.01)
    assert camera.name not in [image.camera.name for image in near[1].images]
    assert f"camera {camera.name}: 1 of 3 frames have no image within 0.01 s (--image-tolerance)" in near.notes


def test_returns_of_all_radars_are_in_the_frame(written: Path, recorded: Recording) -> None:
    scene = open_scene(written)
    for frame, expected in zip(scene, recorded.frames, strict=True):
        radar = frame.radar()
        assert radar is not None
        assert radar.directions is not None
        assert (radar.frame, radar.sizes) == ("ego", None)
        found = by_rows(np.column_stack((radar.positions, radar.directions)))
        flat = expected.radar[:, :6] * (1, 1, 1, 1, 1, 0)  # the radars measure no velocity upwards
        np.testing.assert_allclose(found, by_rows(flat), atol=1e-4)


def rewrite_radar(path: Path, change: Callable[[Any], None]) -> None:
    header, data, body = path.read_bytes().partition(b"DATA binary\n")
    rows = np.frombuffer(body[:-1], RADAR_RECORD).copy()
    change(rows)
    path.write_bytes(header + data + rows.tobytes() + b"\n")


def test_returns_that_the_radar_doubts_are_kept_and_said_to_be(dataset: Path, recorded: Recording) -> None:
    def doubt(rows: Any) -> None:
        rows["invalid_state"], rows["ambig_state"], rows["dyn_prop"] = 1, 1, 7

    for path in dataset.rglob("RADAR_*/*.pcd"):
        rewrite_radar(path, doubt)
    scene = open_scene(dataset)
    assert [len(frame.radar() or ()) for frame in scene] == [len(frame.radar) for frame in recorded.frames]
    assert any("also those marked as invalid" in note for note in scene.notes)


def test_a_radar_file_of_nothing_but_nan_has_no_return(dataset: Path) -> None:
    def empty(rows: Any) -> None:
        for name in ("x", "y", "z", "vx_comp", "vy_comp"):
            rows[name] = np.nan

    for path in dataset.rglob("RADAR_*/*.pcd"):
        rewrite_radar(path, empty)
    radar = open_scene(dataset)[0].radar()
    assert radar is not None
    assert len(radar) == 0


def test_a_radar_seen_earlier_is_moved_to_where_the_vehicle_is(dataset: Path, recorded: Recording) -> None:
    then = pose_matrix([1, 0, 0, 0], [-2, 1, 0])
    now = recorded.frames[0].world_from_ego
    channel = "RADAR_FRONT"

    def earlier(records: list[Record]) -> None:
        readings_of(records, channel)[0] |= {
            "timestamp": recorded.frames[0].timestamp // 1000 - 30_000,
            "ego_pose_token": "then",
        }

    pose = {"token": "then", "timestamp": 0, "rotation": quaternion(then), "translation": then[:3, 3].tolist()}
    edit(dataset, "sample_data", earlier)
    edit(dataset, "ego_pose", lambda records: records.append(pose))
    radar = open_scene(dataset)[0].radar()
    assert radar is not None
    returns = recorded.frames[0].radar
    ahead = returns[:, 0] >= 0
    in_world = np.concatenate((moved(returns[ahead, :3], then), moved(returns[~ahead, :3], now)))
    np.testing.assert_allclose(by_rows(moved(radar.positions, now)), by_rows(in_world), atol=1e-4)


def test_keyframes_are_taken_and_all_sweeps_if_asked_for(dataset: Path, recorded: Recording) -> None:
    edit(dataset, "sample_data", lambda records: readings_of(records, "LIDAR_TOP")[1].update(is_key_frame=False))
    times = [frame.timestamp for frame in recorded.frames]
    assert [frame.timestamp for frame in open_scene(dataset)] == [times[0], times[2]]
    sweeps = open_scene(dataset, all_sweeps=True)
    assert [frame.timestamp for frame in sweeps] == times
    assert [frame.index for frame in sweeps] == [0, 1, 2]


def test_readings_of_other_scenes_are_left_alone(dataset: Path, recorded: Recording) -> None:
    other = {"token": "other", "scene_token": "elsewhere", "timestamp": 1, "prev": "", "next": ""}
    edit(dataset, "sample", lambda records: records.append(other))
    edit(dataset, "sample_data", lambda records: records[0].update(sample_token="other"))
    assert open_scene(dataset)[0].timestamp == recorded.frames[1].timestamp


def add_scene(dataset: Path, name: str) -> None:
    scene = {"token": token(name), "nbr_samples": 0, "name": name}
    edit(dataset, "scene", lambda records: records.append(scene))


def test_one_of_several_scenes_is_named(dataset: Path) -> None:
    add_scene(dataset, "scene-0103")
    with pytest.raises(SceneError, match=r"holds 2 scenes\nName one with --scene-name NAME: scene-0061, scene-0103"):
        open_scene(dataset)
    for asked in (SCENE, token(SCENE), "61"):
        assert len(open_scene(dataset, scene=asked)) == 3
    with pytest.raises(SceneError, match="holds no scene '62'"):
        open_scene(dataset, scene="62")
    with pytest.raises(FormatError, match=r"sample_data\.json: nothing of scene scene-0103"):
        open_scene(dataset, scene="scene-0103")


def test_of_several_versions_the_one_with_the_scene_is_read(dataset: Path) -> None:
    shutil.copytree(dataset / VERSION, dataset / "v1.0-test")
    with pytest.raises(SceneError, match=r"tables of 2 versions: v1\.0-mini, v1\.0-test"):
        open_scene(dataset)
    edit(dataset, "scene", lambda records: records[0].update(name="scene-0001"))
    assert len(open_scene(dataset, scene="scene-0001")) == 3
    assert len(open_scene(dataset, scene=SCENE)) == 3
    assert len(open_scene(dataset / "v1.0-test")) == 3
    # Where two have it, the smaller is read: here the one that lacks its first sweep.
    edit(dataset, "scene", lambda records: records[0].update(name=SCENE))
    edit(dataset, "sample_data", lambda records: records.pop(0))
    scene = open_scene(dataset, scene=SCENE)
    assert len(scene) == 2
    assert f"scene {SCENE} of {VERSION}" in scene.notes


def test_several_lidars_are_put_together_each_from_where_it_was(dataset: Path, recorded: Recording) -> None:
    ego_from_rear = pose_matrix([0.6, 0, 0, 0.8], [-1, 0.5, 2])
    then = pose_matrix([1, 0, 0, 0], [1, 2, 3])
    rows = np.array([[1, 2, 3, 40, 5], [4, 5, 6, 70, 8]], "<f4")
    (dataset / "samples/LIDAR_REAR").mkdir()
    (dataset / "samples/LIDAR_REAR/0.bin").write_bytes(rows.tobytes())
    edit(
        dataset,
        "sensor",
        lambda records: records.append({"token": "rear", "channel": "LIDAR_REAR", "modality": "lidar"}),
    )
    calibrated = {"token": "rear", "sensor_token": "rear", "camera_intrinsic": []}
    calibrated |= {"rotation": quaternion(ego_from_rear), "translation": [-1, 0.5, 2]}
    edit(dataset, "calibrated_sensor", lambda records: records.append(calibrated))
    edit(
        dataset,
        "ego_pose",
        lambda records: records.append({"token": "then", "rotation": [1, 0, 0, 0], "translation": [1, 2, 3]}),
    )
    rear = {"token": "rear", "ego_pose_token": "then", "calibrated_sensor_token": "rear", "is_key_frame": True}
    rear |= {"filename": "samples/LIDAR_REAR/0.bin", "timestamp": recorded.frames[0].timestamp // 1000 + 10_000}
    edit(dataset, "sample_data", lambda records: records.append({**records[0], **rear}))

    assert [lidar.name for lidar in open_scene(dataset).lidars] == ["LIDAR_TOP"]
    scene = open_scene(dataset, lidars=["LIDAR_REAR", "LIDAR_TOP"])
    assert [(lidar.name, lidar.index) for lidar in scene.lidars] == [("LIDAR_TOP", 0), ("LIDAR_REAR", 1)]
    cloud, expected = scene[0].points(), recorded.frames[0]
    np.testing.assert_array_equal(cloud.device, [0] * len(expected.positions) + [1, 1])
    in_world = np.concatenate((expected.in_world, moved(rows[:, :3], then @ ego_from_rear)))
    np.testing.assert_allclose(moved(cloud.positions, expected.world_from_ego), in_world, atol=1e-4)
    np.testing.assert_array_equal(scene[1].points().device, 0)
    assert "LIDAR_REAR: 2 of 3 frames have no sweep within 0.05 s (--image-tolerance)" in scene.notes
    alone = open_scene(dataset, lidars=["LIDAR_REAR"])
    assert [frame.timestamp for frame in alone] == [expected.timestamp + 10_000_000]
    assert alone[0].points().device is None


def test_only_the_cameras_asked_for_are_read_under_their_own_numbers(written: Path) -> None:
    scene = open_scene(written, cameras=["left_camera"])
    assert [(camera.name, camera.index) for camera in scene.cameras] == [("left_camera", 1)]
    assert [image.camera.name for image in scene[0].images] == ["left_camera"]
    with pytest.raises(SceneError, match=r"no camera 'CAM_FRONT'\nKnown are front_camera, left_camera, right_camera"):
        open_scene(written, cameras=["CAM_FRONT"])
    with pytest.raises(SceneError, match=r"no lidar 'LIDAR_REAR'\nKnown are LIDAR_TOP"):
        open_scene(written, lidars=["LIDAR_REAR"])


def test_a_missing_image_is_noted_and_left_out(dataset: Path) -> None:
    next(iter(sorted((dataset / "samples/left_camera").iterdir()))).unlink()
    scene = open_scene(dataset)
    assert [len(frame.images) for frame in scene] == [2, 3, 3]
    assert any("left_camera: 1 of 3 files that sample_data.json names are not there" in note for note in scene.notes)


def test_a_missing_radar_file_is_noted_and_left_out(dataset: Path, recorded: Recording) -> None:
    for path in (dataset / "samples/RADAR_FRONT").iterdir():
        path.unlink()
    scene = open_scene(dataset)
    assert len(scene[0].radar() or ()) == (recorded.frames[0].radar[:, 0] < 0).sum()
    assert any("RADAR_FRONT: 3 of 3 files" in note for note in scene.notes)


def test_a_missing_sweep_is_noted_and_an_error_when_it_is_read(dataset: Path) -> None:
    sweeps = sorted((dataset / "samples/LIDAR_TOP").iterdir())
    sweeps[1].unlink()
    scene = open_scene(dataset)
    assert len(scene) == 3
    assert any(
        note.startswith("LIDAR_TOP: 1 of 3 files") and note.endswith("reading their points is an error")
        for note in scene.notes
    )
    scene[0].points()
    with pytest.raises(FormatError, match=r"pcd\.bin: no such file, though sample_data\.json names it"):
        scene[1].points()
    for sweep in (sweeps[0], sweeps[2]):
        sweep.unlink()
    with pytest.raises(SceneError, match="none of the 3 files of LIDAR_TOP"):
        open_scene(dataset)


def test_opening_reads_no_points_and_frames_can_be_sent_elsewhere(dataset: Path, recorded: Recording) -> None:
    scene = open_scene(dataset)
    kept = pickle.loads(pickle.dumps((scene[0].read_points, scene[0].read_radar)))
    assert len(kept[0]()) == len(recorded.frames[0].positions)
    assert len(kept[1]()) == len(recorded.frames[0].radar)
    for path in (*dataset.rglob("*.pcd.bin"), *dataset.rglob("*.pcd")):
        path.write_bytes(path.read_bytes()[:-7])
    scene = open_scene(dataset)
    with pytest.raises(FormatError, match="bytes left over"):
        scene[0].points()
    with pytest.raises(FormatError, match="the file ends"):
        scene[0].radar()


def test_a_radar_file_without_velocities_is_refused(dataset: Path) -> None:
    for path in dataset.rglob("RADAR_*/*.pcd"):
        path.write_bytes(path.read_bytes().replace(b" vx_comp", b" vx_other"))
    with pytest.raises(FormatError, match="no field vx_comp"):
        open_scene(dataset)[0].radar()


# pypcd4 stops after ten lines of header; other tools write their own comments, or no COUNT.
@pytest.mark.parametrize(("line", "instead"), [(b"COUNT ", b""), (b"VERSION 0.7\n", b"# from a tool\nVERSION 0.7\n")])
def test_a_radar_file_with_another_sound_header_has_the_same_returns(
    dataset: Path, line: bytes, instead: bytes
) -> None:
    expected = open_scene(dataset)[0].radar()
    for path in dataset.rglob("RADAR_*/*.pcd"):
        head, data, body = path.read_bytes().partition(b"DATA binary\n")
        lines = [instead if one.startswith(line) else one for one in head.splitlines(True)]
        path.write_bytes(b"".join(lines) + data + body)
    found = open_scene(dataset)[0].radar()
    assert expected is not None
    assert found is not None
    assert len(found) > 0
    np.testing.assert_array_equal(found.positions, expected.positions)
    np.testing.assert_array_equal(np.asarray(found.directions), np.asarray(expected.directions))


def test_a_radar_file_that_promises_more_than_it_holds_is_refused(dataset: Path) -> None:
    for path in dataset.rglob("RADAR_*/*.pcd"):
        head, data, body = path.read_bytes().partition(b"DATA binary\n")
        counts = [b"POINTS ", b"WIDTH "]
        lines = [
            one.split()[0] + b" 4000000000\n" if any(map(one.startswith, counts)) else one
            for one in head.splitlines(True)
        ]
        path.write_bytes(b"".join(lines) + data + body)
    with pytest.raises(FormatError, match="4000000000 points"):
        open_scene(dataset)[0].radar()


@pytest.mark.parametrize("table", ["scene", "sample", "sample_data", "ego_pose", "calibrated_sensor", "sensor"])
def test_a_missing_or_damaged_table_is_named(dataset: Path, table: str) -> None:
    path = dataset / VERSION / f"{table}.json"
    whole = path.read_bytes()
    for damaged in (whole[:-3], whole[: len(whole) // 2], b"", b'{"token": 1}', b"[1]", b'[{"tok": 1}]'):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match=rf"{table}\.json"):
            open_scene(dataset)
    path.unlink()
    with pytest.raises(FormatError, match=rf"{table}\.json: the table is missing"):
        open_scene(dataset)


FAULTS: list[tuple[str, str, Any, str]] = [
    ("sample", "scene_token", 5, r"sample\.json, record .*, field 'scene_token': 5; expected a string"),
    ("sample_data", "ego_pose_token", "x", r"sample_data\.json, record .*: ego_pose_token 'x'; .* in ego_pose\.json"),
    ("sample_data", "calibrated_sensor_token", "x", r"calibrated_sensor_token 'x'"),
    ("calibrated_sensor", "sensor_token", "x", r"calibrated_sensor\.json, .*: sensor_token 'x'; .* in sensor\.json"),
    ("sample_data", "timestamp", "now", "field 'timestamp': 'now'; expected microseconds"),
    ("sample_data", "timestamp", 10**30, "field 'timestamp'"),
    ("sample_data", "is_key_frame", 1, "field 'is_key_frame': 1; expected true or false"),
    ("sample_data", "filename", "/etc/passwd", "the file name '/etc/passwd'; expected a path below the dataset"),
    ("sample_data", "filename", "samples/../../x.bin", "expected a path below the dataset"),
    ("ego_pose", "rotation", [1, 1, 0, 0], r"ego_pose\.json, record .*: a quaternion .* is not unit"),
    ("ego_pose", "rotation", [1, 0, 0], r"field 'rotation': .*; expected \[w, x, y, z\]"),
    ("ego_pose", "translation", [1, None, 0], r"field 'translation': .*; expected \[x, y, z\]"),
    ("calibrated_sensor", "rotation", [0, 0, 0, 0], r"calibrated_sensor\.json, record .*: a quaternion"),
    ("calibrated_sensor", "translation", "here", r"field 'translation': 'here'; expected \[x, y, z\]"),
    ("sensor", "modality", "sonar", r"sensor\.json, record .*: the modality 'sonar'"),
    ("scene", "name", None, r"scene\.json, record .*, field 'name'"),
]


@pytest.mark.parametrize(("table", "key", "value", "message"), FAULTS, ids=[f"{f[0]} {f[1]} {f[2]}" for f in FAULTS])
def test_a_record_that_makes_no_sense_is_named(dataset: Path, table: str, key: str, value: Any, message: str) -> None:
    edit(dataset, table, lambda records: records[0].update({key: value}))
    with pytest.raises(FormatError, match=message):
        open_scene(dataset)
    edit(dataset, table, lambda records: records[0].pop(key))
    with pytest.raises(FormatError, match=rf'{table}\.json, record .*: no "{key}"'):
        open_scene(dataset)


@pytest.mark.parametrize(
    "matrix", [[], [[1, 0, 0], [0, 1, 0]], [[1, 0, 0], [0, 1, 0], [1, 0, 1]], [[0, 0, 1], [0, 0, 1], [0, 0, 1]], "none"]
)
def test_a_camera_matrix_that_makes_no_sense_is_named(dataset: Path, matrix: Any) -> None:
    edit(dataset, "calibrated_sensor", lambda records: records[-1].update(camera_intrinsic=matrix))
    with pytest.raises(FormatError, match=r"calibrated_sensor\.json, record"):
        open_scene(dataset)


def test_two_calibrations_of_a_sensor_in_a_scene_are_refused_if_they_differ(dataset: Path) -> None:
    def again(records: list[Record]) -> None:
        records.append({**records[0], "token": "again"})

    edit(dataset, "calibrated_sensor", again)
    edit(dataset, "sample_data", lambda records: records[0].update(calibrated_sensor_token="again"))
    assert len(open_scene(dataset)) == 3
    edit(dataset, "calibrated_sensor", lambda records: records[-1].update(translation=[0, 0, 0]))
    with pytest.raises(FormatError, match="another calibration of LIDAR_TOP"):
        open_scene(dataset)


def test_odd_counts_and_poses_are_noted(dataset: Path) -> None:
    edit(dataset, "scene", lambda records: records[0].update(nbr_samples=40))
    edit(dataset, "ego_pose", lambda records: records[1].update(translation=[1, 2, 3]))
    notes = open_scene(dataset).notes
    assert "scene.json promises 40 samples; sample.json has 3 of them" in notes
    assert "ego_pose.json has several poses at 1 times; of each the first is taken" in notes


def test_options_without_use_are_refused_or_noted(written: Path, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="has its own poses"):
        open_scene(written, poses=tmp_path / "poses.txt")
    with pytest.raises(SceneError, match="moved into ego"):
        open_scene(written, points_frame="world")
    notes = open_scene(written, pose_topic="/pose", world_frame="map").notes
    assert "without use for this layout, and so ignored: --world-frame, --pose-topic" in notes


def test_a_scene_json_alone_is_no_nuscenes_dataset(tmp_path: Path) -> None:
    (tmp_path / "scene.json").write_text("[]")
    assert nuscenes.detect(tmp_path) is None
    assert nuscenes.detect(tmp_path / "scene.json") is None
    assert nuscenes.detect(tmp_path / "missing") is None
    with pytest.raises(SceneError, match="holds no nuScenes tables"):
        open_scene(tmp_path, layout="nuscenes")


@settings(max_examples=60)
@given(
    records=st.lists(
        st.fixed_dictionaries(
            {"token": st.text(max_size=4), "wanted": st.sampled_from(["yes", "no"])},
            optional={
                "nested": st.lists(
                    st.dictionaries(st.text("},[{ ", max_size=4), st.integers(0, 9), max_size=3), max_size=3
                )
            },
        ),
        max_size=6,
    ),
    part_bytes=st.integers(1, 60),
    indent=st.sampled_from([None, 0, 1]),
)
def test_a_table_read_in_parts_has_the_records_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record], part_bytes: int, indent: int | None
) -> None:
    table = tmp_path_factory.mktemp("table") / "table.json"
    table.write_text(json.dumps(records, indent=indent))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(nuscenes_tables, "PART_BYTES", part_bytes)
        assert nuscenes_tables.records(table) == records
        wanted = [record for record in records if record["wanted"] == "yes"]
        assert nuscenes_tables.records(table, "wanted", {"yes"}) == wanted


def test_a_misnamed_folder_of_keyframes_is_named(dataset: Path) -> None:
    (dataset / "samples").rename(dataset / "sample")
    with pytest.raises(SceneError, match=r"\(sample is there: is that it\?\)"):
        open_scene(dataset)


def test_a_misnamed_folder_of_sweeps_is_a_warning(dataset: Path) -> None:
    if (dataset / "sweeps").is_dir():
        shutil.rmtree(dataset / "sweeps")
    (dataset / "sweep").mkdir()
    (dataset / "sweep/1.bin").touch()
    (finding,) = open_scene(dataset).findings
    assert (finding.code, finding.found, finding.expected) == ("folder-not-read", "sweep", "sweeps")
