"""`inspect_scene`, and the tables of `lidarprep inspect`; tests/checks has the findings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.cli import main
from lidarprep.datasets import open_scene
from lidarprep.errors import FormatError, MissingExtraError, SceneError
from lidarprep.inspect import inspect_scene
from lidarprep.scene import Frame, Lidar, PointCloud, Pose, RadarPoints, Scene, Stream
from tests.checks.rigs import scene_of as rig_scene
from tests.checks.test_ground import road
from tests.scenes import write_json, write_toolkit_scene

START = 1_700_000_000_000_000_000


@pytest.fixture
def scene_folder(tmp_path: Path) -> Path:
    return write_toolkit_scene(tmp_path / "recording")


def inspect(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["inspect", *(str(word) for word in words)])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def cloud(count: int, *, seed: int = 0, device: int | None = None) -> PointCloud:
    rng = np.random.default_rng(seed)
    return PointCloud(
        rng.uniform(-40, 40, (count, 3)),
        intensity=rng.integers(0, 256, count).astype(np.uint8),
        device=None if device is None else np.full(count, device, dtype=np.uint32),
    )


def scene_of(
    *reads: Callable[[], PointCloud], lidars: tuple[Lidar, ...] = (), streams: tuple[Stream, ...] = ()
) -> Scene:
    frames = tuple(
        Frame(f"{row}", row, read, world_from_ego=Pose.identity(), timestamp=START + row * 50_000_000)
        for row, read in enumerate(reads)
    )
    return Scene("memory", "memory", frames, lidars=lidars, streams=streams)


def test_times_are_shown_as_milliseconds_since_the_first_frame_with_their_rate(
    scene_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for row, number in enumerate((9, 10, 11)):
        path = scene_folder / f"poses/{number}.json"
        write_json(path, json.loads(path.read_text()) | {"timestamp": START + row * 62_500_000})
    code, out, _ = inspect(capsys, scene_folder)
    assert code == 0
    for shown in (f"{START} ns", "16 Hz", "0.000", "62.500", "125.000"):
        assert shown in out
    found = json.loads(inspect(capsys, scene_folder, "--json")[1])
    assert found["rate_hz"] == 16
    assert [frame["timestamp"] for frame in found["frames"]] == [START + row * 62_500_000 for row in range(3)]


def test_frames_without_times_have_no_column_for_them(scene_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = inspect(capsys, scene_folder)
    assert " ms " not in out
    assert "Hz" not in out
    assert inspect_scene(open_scene(scene_folder)).rate_hz is None


def test_the_share_of_points_in_view_is_of_the_images_own_size(scene_folder: Path) -> None:
    points = np.array([[10.0, 0, 0]] * 3 + [[-10.0, 0, 0], [10.0, 9.0, 0]])
    scene = open_scene(scene_folder)
    level = replace(
        scene.cameras[0],
        ego_from_camera=Pose.from_matrix([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0]]),
    )
    image = replace(scene[0].images[0], camera=level)
    frame = replace(scene[0], images=(image,)).with_data(PointCloud(points))
    (camera,) = inspect_scene(replace(scene, frames=(frame,), cameras=(level,))).cameras
    assert camera.size == (64, 48)
    assert camera.points_in_view == 3 / 5


def test_lidars_and_streams_are_tables_of_their_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    merged = PointCloud.concatenate([cloud(70, device=0), cloud(30, device=2)])
    scene = scene_of(
        lambda: merged,
        lambda: merged,
        lidars=(Lidar("top", 0), Lidar("rear", 2), Lidar("broken", 3)),
        streams=(Stream("/points", "sensor_msgs/PointCloud2", 1234, True), Stream("/gps", "NavSatFix", 9, False)),
    )
    monkeypatch.setattr("lidarprep.datasets.open_scene", lambda *_, **__: scene)
    code, out, _ = inspect(capsys, "anything")
    assert code == 0
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if line[:1] == "│"]
    for row in (
        ["top", "0", "140"],
        ["rear", "2", "60"],
        ["broken", "3", "0"],
        ["/points", "sensor_msgs/PointCloud2", "1,234", "yes"],
        ["/gps", "NavSatFix", "9", "no"],
    ):
        assert row in rows
    found = json.loads(inspect(capsys, "anything", "--json")[1])
    assert found["lidars"][1] == {"name": "rear", "index": 2, "points": 60}
    assert found["streams"][1] == {"name": "/gps", "kind": "NavSatFix", "messages": 9, "used": False}


def test_the_points_of_an_only_lidar_are_its_own() -> None:
    (lidar,) = inspect_scene(scene_of(lambda: cloud(10), lambda: cloud(5), lidars=(Lidar("top", 0),))).lidars
    assert lidar.points == 15


def test_each_frame_is_read_once_and_few_are_read_again_to_be_checked(scene_folder: Path) -> None:
    one = open_scene(scene_folder)
    scene = replace(one, frames=tuple(replace(one[k % len(one)], id=f"{k}", index=k) for k in range(200)))
    reads: list[str] = []

    def counted(frame: Frame) -> Frame:
        def read() -> PointCloud:
            reads.append(frame.id)
            return frame.points()

        return replace(frame, read_points=read)

    inspect_scene(replace(scene, frames=tuple(counted(frame) for frame in scene)))
    assert set(reads) == {frame.id for frame in scene}
    assert len(reads) <= len(scene) + 20


def test_a_frame_in_chunks_gives_the_figures_of_the_whole() -> None:
    whole = cloud(5000)
    broken = replace(whole, positions=np.where(np.arange(5000)[:, None] % 7 == 3, np.nan, whole.positions))

    def chunks() -> Iterator[PointCloud]:
        for start in range(0, 5000, 900):
            yield broken.take(np.arange(start, min(start + 900, 5000)))

    def never() -> PointCloud:
        raise AssertionError("a frame that comes in chunks was read at once")

    at_once = scene_of(lambda: broken)
    in_chunks = replace(at_once, frames=(replace(at_once[0], read_points=never, read_chunks=chunks),))
    assert inspect_scene(in_chunks) == inspect_scene(at_once)


def test_points_that_are_no_numbers_are_noted_and_are_no_warning() -> None:
    positions = cloud(100).positions.copy()
    positions[::4, 2] = np.inf
    found = inspect_scene(scene_of(lambda: PointCloud(positions)))
    assert found.findings == []
    assert found.notes == ["25 points have a coordinate that is not a finite number: prepare drops them"]
    assert found.bounds is not None
    assert max(found.bounds.highest) <= 40


def test_a_frame_whose_points_are_all_no_numbers_is_as_good_as_empty() -> None:
    found = inspect_scene(scene_of(lambda: cloud(10), lambda: PointCloud(np.full((4, 3), np.nan))))
    assert [finding.code for finding in found.findings] == ["empty-frames"]


def test_many_bad_frames_are_counted_after_the_first_ones() -> None:
    def bad() -> PointCloud:
        raise FormatError("a.ply", found="nothing")

    found = inspect_scene(scene_of(*[bad] * 30, lambda: cloud(10)))
    assert len(found.findings) == 21
    assert found.findings[-1].message == "10 more frames cannot be read"
    assert [frame.error for frame in found.frames] == ["a.ply: nothing"] * 30 + [None]


def test_a_recording_of_which_nothing_can_be_read_is_an_error() -> None:
    def bad() -> PointCloud:
        raise FormatError("a.ply", found="nothing", fix="Copy it again.")

    with pytest.raises(SceneError, match=r"a\.ply: nothing\nCopy it again"):
        inspect_scene(scene_of(bad))
    with pytest.raises(SceneError, match=r"none of the 2 frames can be read; the first: a\.ply: nothing"):
        inspect_scene(scene_of(bad, bad))


def test_radar_that_cannot_be_read_makes_a_frame_bad() -> None:
    def bad() -> RadarPoints:
        raise FormatError("a.txt", found="no number")

    scene = scene_of(lambda: cloud(10), lambda: cloud(10))
    found = inspect_scene(replace(scene, frames=(replace(scene[0], read_radar=bad), scene[1])))
    assert [(finding.code, finding.message) for finding in found.findings] == [
        ("bad-frame", "frame 0 cannot be read: a.txt: no number")
    ]


def test_a_missing_library_ends_the_inspection() -> None:
    def missing() -> PointCloud:
        raise MissingExtraError("reading LAZ", "las")

    with pytest.raises(MissingExtraError):
        inspect_scene(scene_of(missing, lambda: cloud(10)))


def test_progress_is_told_frame_by_frame() -> None:
    told: list[tuple[int, int]] = []
    inspect_scene(scene_of(*[lambda: cloud(10)] * 4), on_frame=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_scene_without_frames_is_inspected_all_the_same() -> None:
    found = inspect_scene(scene_of())
    assert (found.points, found.bounds, found.findings, found.distance_m) == (0, None, [], None)


def test_json_with_strict_prints_all_of_it_and_ends_with_2(
    scene_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scene_folder / "cameras/left/10.jpg").unlink()
    code, out, err = inspect(capsys, scene_folder, "--json", "--strict")
    assert code == 2
    (finding,) = json.loads(out)["findings"]
    assert (finding["code"], finding["severity"]) == ("images-missing", "warning")
    assert finding["subject"] == {"kind": "camera", "name": "left"}
    assert finding["found"] == finding["expected"] - 1
    assert "error: 1 warning" in err


def test_the_ground_the_world_and_what_fits_them_are_figures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    clouds = [road(rng, 1.5) for _ in range(3)]
    poses = [Pose.from_euler(0, 0, 0.7, (100 + 3.0 * row, -50 + 2.0 * row, -0.001)) for row in range(3)]
    scene = rig_scene(clouds, poses)
    monkeypatch.setattr("lidarprep.datasets.open_scene", lambda *_, **__: scene)
    found = json.loads(inspect(capsys, "anything", "--json")[1])
    in_world = np.concatenate([pose.apply(cloud) for pose, cloud in zip(poses, clouds, strict=True)])
    np.testing.assert_allclose(found["world_bounds"]["lowest"], in_world.min(axis=0), atol=1e-3)
    np.testing.assert_allclose(found["world_bounds"]["highest"], in_world.max(axis=0), atol=1e-3)
    np.testing.assert_allclose(found["path"]["lowest"], [100, -50, -0.001], atol=1e-9)
    np.testing.assert_allclose(found["path"]["highest"], [106, -46, -0.001], atol=1e-9)
    assert found["ground"]["height"] == pytest.approx(1.5, abs=0.03)
    assert (found["ground"]["frames"], found["ground"]["looked_at"]) == (3, 3)
    region = lp.RegionOfInterest3D(**found["region"]["region"])
    assert found["region"]["share"] == pytest.approx(region.contains(in_world).mean(), abs=0.02)
    _, out, _ = inspect(capsys, "anything")
    assert "m below the device in 3 of 3 frames" in out
    assert f"--device-height {round(found['ground']['height'], 2):g}" in out
    assert "--roi 103,-48," in out
    assert "-0.00" not in out
    assert "x 100.00 to 106.00, y -50.00 to -46.00 m" in out


def test_points_that_seem_to_be_in_the_other_frame_propose_nothing() -> None:
    rng = np.random.default_rng(1)
    poses = [Pose.from_euler(0, 0, 0, (5000.0 + row, 0, 1.5)) for row in range(3)]
    scene = rig_scene([pose.apply(road(rng, 1.5)) for pose in poses], poses)  # said to be in ego
    found = inspect_scene(scene)
    assert [one.code for one in found.findings][:1] == ["points-in-world"]
    assert (found.ground, found.region) == (None, None)
    assert found.path is not None


def test_of_many_frames_the_first_the_last_and_the_worst_are_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def bad() -> PointCloud:
        raise FormatError("a.ply", found="nothing")

    reads: list[Callable[[], PointCloud]] = [lambda: cloud(50)] * 100
    reads[40], reads[70] = bad, lambda: cloud(3)
    monkeypatch.setattr("lidarprep.datasets.open_scene", lambda *_, **__: scene_of(*reads))
    _, out, _ = inspect(capsys, "anything")
    table = out[out.index("frames: 20 of 100; --json has all") :]
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in table.splitlines() if line[:1] == "│"]
    shown = [row[0] for row in rows if not row[0].startswith("…")]
    assert shown[:10] == [f"{row}" for row in range(10)]
    assert shown[-5:] == [f"{row}" for row in range(95, 100)]
    assert {"40", "70"} <= set(shown)
    assert len(shown) == 20
    assert sum(int(row[0].split()[1]) for row in rows if row[0].startswith("…")) == 80
    assert len(json.loads(inspect(capsys, "anything", "--json")[1])["frames"]) == 100


def test_the_first_timestamp_is_shown_as_a_date(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lidarprep.datasets.open_scene", lambda *_, **__: scene_of(lambda: cloud(10)))
    assert f"{START} ns, 2023-11-14T22:13:20.000Z" in inspect(capsys, "anything")[1]
