"""The commands, as a person or a program runs them: what stands on stdout and stderr, and how they end."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import lidarprep as lp
from lidarprep.cli.console import print_table
from lidarprep.sandbox import running_sandbox
from tests.scenes import read_ply, write_json, write_toolkit_scene


@pytest.fixture
def scene_folder(tmp_path: Path) -> Path:
    return write_toolkit_scene(tmp_path / "recording")


@pytest.fixture
def lidarprep(run: Any) -> Any:
    """The command, as conftest runs it."""
    return run


def test_prepare_shows_a_table_on_stderr_and_nothing_on_stdout(
    lidarprep: Any, scene_folder: Path, tmp_path: Path
) -> None:
    ended = lidarprep("prepare", scene_folder, "--out", tmp_path / "out")
    assert (ended.code, ended.out) == (0, "")
    assert "points out" in ended.err
    assert "manifest.json" in ended.err
    assert "\x1b" not in ended.err


def test_prepare_json_prints_the_manifest_for_programs(lidarprep: Any, scene_folder: Path, tmp_path: Path) -> None:
    ended = lidarprep("prepare", scene_folder, "--out", tmp_path / "out", "--json")
    assert json.loads(ended.out) == json.loads((tmp_path / "out/manifest.json").read_bytes())


def test_every_flag_of_prepare_reaches_the_recipe(lidarprep: Any, scene_folder: Path, tmp_path: Path) -> None:
    flags = "--format json --roi 20,5,60,40,17.2 --device-height 1.8 --height-band -30,30 --frames 0:3:1 "
    flags += (
        "--labeling-sample-rate 2 --only-labelled --precision 3 --intensity-scale 255 --points-frame ego --workers 1 "
    )
    flags += "--voxel 0.25 --voxel-keep nearest --drop-intensity --skip-bad-frames --max-speed 30"
    ended = lidarprep("prepare", scene_folder, "--out", tmp_path / "out", *flags.split(), "--json")
    assert json.loads(ended.out)["recipe"] == {
        "format": "json",
        "region_of_interest_3d": {
            "position": [20.0, 5.0, 0.0],
            "length": 60.0,
            "width": 40.0,
            "rotation": pytest.approx(np.radians(17.2)),
        },
        "device_height": 1.8,
        "height_band": [-30.0, 30.0],
        "frames": "0:3:1",
        "labeling_sample_rate": 2,
        "only_labelled": True,
        "precision": 3,
        "intensity_scale": 255.0,
        "points_frame": "ego",
        "voxel": 0.25,
        "voxel_keep": "nearest",
        "prelabels": None,
        "prelabels_frame": None,
        "odometry": False,
        "deskew": False,
        "drop_intensity": True,
        "recentre": None,
        "skip_bad_frames": True,
        "accept": [],
        "checks": "full",
        "strict": False,
        "max_speed": 30.0,
    }


def test_flags_override_the_recipe_file(lidarprep: Any, scene_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("format: protobuf\ndevice_height: 30\nframes: '0:2'\n")
    ended = lidarprep(
        "prepare",
        scene_folder,
        "--out",
        tmp_path / "out",
        "--recipe",
        tmp_path / "recipe.yaml",
        "--frames",
        ":1",
        "--json",
    )
    manifest = json.loads(ended.out)
    assert manifest["format"] == "protobuf"
    assert manifest["recipe"]["device_height"] == 30
    assert len(manifest["frames"]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--roi", "1,2,3"], "--roi is '1,2,3'; expected X,Y,LENGTH,WIDTH[,DEGREES]"),
        (["--roi", "0,0,-5,3"], "length is -5.0; it must be above 0 metres"),
        (["--height-band", "3,1", "--device-height", "2"], "the lower end comes first"),
        (["--height-band", "0,1"], "height_band needs device_height"),
        (["--frames", "5:"], "keeps none of the recording's 3 frames"),
        (["--frames", "a:b"], "expected start:stop"),
        (["--only-labelled"], "only_labelled needs labeling_sample_rate"),
        (["--format", "xml"], "format is 'xml'"),
        (["--precision", "3", "--format", "protobuf"], "precision is for Frame JSON"),
        (["--precision", "3", "--format", "sfs"], "precision is for Frame JSON"),
        (["--odometry"], "odometry is for a Sensor Fusion Scene"),
        (["--presign", "2"], "cannot be signed"),
        (["--url-base", "data"], "url_base must be a URL"),
        (["--recipe", "nowhere.yaml"], "the recipe cannot be read"),
        (["--intensity-scale", "9"], "outside 0 to 9"),
        (["--endpoint-url", "nonsense"], "endpoint_url must be a URL"),
        (["--url-base", "https://user:pass@host/x"], "without user, password"),
        (["--url-base", "https://host/x?sig=abc"], "without user, password"),
        (["--device-height", "-3"], "device_height is '-3': must be 0 metres or more"),
        (["--voxel", "0"], "voxel is 0.0"),
        (["--voxel-keep", "nearest"], "voxel_keep is 'nearest' without voxel"),
        (["--layout", "bag"], "there is no layout 'bag'"),
        (["--poses", "nowhere.txt"], "poses"),
    ],
)
def test_wrong_usage_is_one_clear_error_with_exit_code_2(
    lidarprep: Any, scene_folder: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    ended = lidarprep("prepare", scene_folder, "--out", tmp_path / "out", *words)
    assert ended.code == 2
    assert message in ended.err
    assert re.search("^error: ", ended.err, re.MULTILINE)  # after lines of progress, where the machine is slow
    assert "Traceback" not in ended.err
    assert ended.out == ""
    assert not (tmp_path / "out/manifest.json").exists()


def test_an_unknown_key_in_a_recipe_names_the_nearest(lidarprep: Any, scene_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("devise_height: 1.8\n")
    ended = lidarprep("prepare", scene_folder, "--out", tmp_path / "o", "--recipe", tmp_path / "recipe.yaml")
    assert ended.code == 2
    assert "recipe.yaml: unknown key 'devise_height'; did you mean 'device_height'?" in ended.err


def faults(folder: Path) -> dict[str, tuple[Any, str]]:
    """What can be wrong with a recording: how it is planted, and what the error names."""
    ply = folder / "pointcloud/10.ply"
    return {
        "a truncated point file": (lambda: ply.write_bytes(ply.read_bytes()[:-1]), "10.ply"),
        "a lying header": (
            lambda: ply.write_bytes(ply.read_bytes().replace(b"vertex 500", b"vertex 900000000")),
            "10.ply",
        ),
    }


@pytest.mark.parametrize("fault", list(faults(Path())))
def test_a_recording_that_is_not_sound_is_one_clear_error_and_leaves_nothing(
    lidarprep: Any, scene_folder: Path, tmp_path: Path, fault: str
) -> None:
    plant, named = faults(scene_folder)[fault]
    plant()
    ended = lidarprep("prepare", scene_folder, "--out", tmp_path / "out")
    assert ended.code == 2
    assert named in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("pose", ["missing", "broken"])
def test_a_frame_without_a_pose_is_named_and_the_others_are_kept(
    lidarprep: Any, scene_folder: Path, tmp_path: Path, pose: str
) -> None:
    if pose == "missing":
        (scene_folder / "poses/10.json").unlink()
    else:
        write_json(scene_folder / "poses/10.json", {"heading": [1, 0, 0]})
    ended = lidarprep("prepare", scene_folder, "--out", tmp_path / "out")
    assert ended.code == 2
    assert "frame 10 has no pose" in ended.err
    assert not (tmp_path / "out/manifest.json").exists()
    ended = lidarprep("prepare", scene_folder, "--out", tmp_path / "out", "--skip-bad-frames", "--json")
    assert ended.code == 0
    assert [frame["id"] for frame in json.loads(ended.out)["frames"]] == ["9", "11"]


def test_debug_shows_the_traceback_wherever_it_stands(lidarprep: Any, tmp_path: Path) -> None:
    for words in (["--debug", "inspect", tmp_path / "nowhere"], ["inspect", tmp_path / "nowhere", "--debug"]):
        ended = lidarprep(*words)
        assert ended.code == 2
        assert "Traceback" in ended.err
        assert "nowhere: there is no such file or folder" in ended.err


def test_the_table_of_prepare_has_columns_of_what_was_dropped_and_of_labelled_frames_where_some_are_not(
    lidarprep: Any, scene_folder: Path, tmp_path: Path
) -> None:
    def header(*words: str) -> list[str]:
        ended = lidarprep(
            "prepare", scene_folder, "--out", tmp_path / "-".join(["out", *words]).replace(",", "_"), *words
        )
        assert ended.code == 0, ended.err
        return next(line for line in ended.err.splitlines() if "points in" in line).replace("┃", " ").split("  ")

    def named(*words: str) -> list[str]:
        return [cell.strip() for cell in header(*words) if cell.strip()]

    assert named() == ["frame", "points in", "points out", "MB"]
    assert named("--roi", "20,5,60,60", "--labeling-sample-rate", "2") == [
        *("frame", "points in", "region", "points out", "MB", "labelled")
    ]


def test_inspect_shows_what_a_recording_is(lidarprep: Any, scene_folder: Path) -> None:
    ended = lidarprep("inspect", scene_folder)
    assert ended.code == 0
    for shown in ("toolkit", "1,500", "intensity", "front", "brown_conrady"):
        assert shown in ended.out
    assert ended.err == ""


def test_inspect_json_has_the_figures(lidarprep: Any, scene_folder: Path) -> None:
    found = json.loads(lidarprep("inspect", scene_folder, "--json").out)
    assert found["layout"] == "toolkit"
    assert [frame["points"] for frame in found["frames"]] == [500, 500, 500]
    assert found["fields"] == ["positions", "intensity"]
    assert [camera["name"] for camera in found["cameras"]] == ["front", "left"]
    assert found["findings"] == []


def test_inspect_warns_of_what_looks_odd(lidarprep: Any, scene_folder: Path) -> None:
    (scene_folder / "cameras/left/10.jpg").unlink()
    found = json.loads(lidarprep("inspect", scene_folder, "--json").out)
    assert [finding["message"] for finding in found["findings"]] == ["camera left has images for 2 of 3 frames"]


def test_a_cloud_goes_through_every_format_and_comes_back(lidarprep: Any, scene_folder: Path, tmp_path: Path) -> None:
    source = scene_folder / "pointcloud/9.ply"
    steps = [
        source,
        *(tmp_path / f"cloud{suffix}" for suffix in (".json", ".pb", ".pcd", ".npz", ".npy", ".bin", ".ply")),
    ]
    for before, after in pairwise(steps):
        assert lidarprep("convert", before, after).code == 0
    first, last = lp.read_points(source), lp.read_points(steps[-1])
    np.testing.assert_array_equal(last.positions, first.positions)
    assert first.intensity is not None
    assert last.intensity is not None
    np.testing.assert_array_equal(last.intensity, first.intensity / np.float32(255))


@pytest.mark.parametrize(
    "words", [["a.ply", "b.xyz"], ["a.xyz", "b.ply"], ["nowhere.ply", "b.json"], ["a.pb", "b.pcd"]]
)
def test_convert_names_what_it_cannot_read_or_write(lidarprep: Any, tmp_path: Path, words: list[str]) -> None:
    ended = lidarprep("convert", *(tmp_path / word for word in words))
    assert ended.code == 2
    assert list(tmp_path.iterdir()) == []


def test_convert_takes_the_chosen_frame_of_a_scene(lidarprep: Any, scene_folder: Path, tmp_path: Path) -> None:
    lidarprep("prepare", scene_folder, "--out", tmp_path / "out", "--format", "sfs")
    (scene,) = (tmp_path / "out").glob("scene-*.sfs")
    ended = lidarprep("convert", scene, tmp_path / "a.json")
    assert ended.code == 2
    assert f"{scene.name} has 3 frames, 0 to 2" in ended.err
    assert "--frame" in ended.err
    ended = lidarprep("convert", scene, tmp_path / "a.json", "--frame", "2")
    assert ended.code == 0
    assert "2 images have no URL" in ended.err
    assert len(json.loads((tmp_path / "a.json").read_bytes())["points"]) == 500


def test_submit_makes_a_task_of_what_prepare_stored(
    lidarprep: Any, scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALE_API_KEY", "test_key")
    lidarprep("prepare", scene_folder, "--out", tmp_path / "out", "--labeling-sample-rate", "2")
    (tmp_path / "task.yaml").write_text("labels: [car, {choice: pedestrian, subchoices: [adult, child]}]\n")
    with running_sandbox() as sandbox:
        ended = lidarprep(
            *(
                "submit",
                tmp_path / "out/manifest.json",
                "--type",
                "lidarannotation",
                "--params",
                tmp_path / "task.yaml",
            ),
            *("--param", "project=street", "--param", "callback_url=https://example.com/c", "--unique-id", "scene 1"),
            *("--api-url", sandbox.url, "--json"),
        )
        task = json.loads(ended.out)
        with lp.ScaleClient(api_url=sandbox.url) as client:
            known = client.get_task(task["task_id"])
    assert known.unique_id == "scene 1"
    assert known.params["attachments"] == [
        (tmp_path / "out" / record.url).as_uri() for record in lp.load_manifest(tmp_path / "out").attachments
    ]
    assert known.params["labeling_sample_rate"] == 2
    assert "test_key" not in ended.err + ended.out


def test_submit_with_a_wrong_key_ends_with_1_and_never_shows_it(
    lidarprep: Any, scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALE_API_KEY", "test_wrong_key")
    lidarprep("prepare", scene_folder, "--out", tmp_path / "out")
    with running_sandbox(api_keys=["test_right"]) as sandbox:
        ended = lidarprep(
            *("submit", tmp_path / "out", "--type", "multistage", "--api-url", sandbox.url),
            *("--param", "project=p", "--param", "callback_url=https://example.com/c"),
        )
    assert ended.code == 1
    assert "401" in ended.err or "API key" in ended.err
    assert "test_wrong_key" not in ended.err


def test_a_multistage_task_of_protobuf_is_refused_before_anything_is_sent(
    lidarprep: Any, scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALE_API_KEY", "test_key")
    lidarprep("prepare", scene_folder, "--out", tmp_path / "out", "--format", "protobuf")
    ended = lidarprep("submit", tmp_path / "out", "--type", "multistage", "--api-url", "http://127.0.0.1:9/v1")
    assert ended.code == 2
    assert "--format sfs, or --format json" in ended.err


def test_a_scene_has_one_line_for_its_size_and_becomes_a_multistage_task(
    lidarprep: Any, scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALE_API_KEY", "test_key")
    ended = lidarprep("prepare", scene_folder, "--out", tmp_path / "out", "--format", "sfs", "--odometry", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["recipe"]["odometry"] is True
    (scene,) = (tmp_path / "out").glob("scene-*.sfs")
    assert f"{scene.name}: 3 frames, 0.0 MB" in ended.err
    assert "1 attachment, 0.0 MB" in ended.err
    with running_sandbox() as sandbox:
        words = ("submit", tmp_path / "out", "--type", "multistage", "--api-url", sandbox.url, "--json")
        common = ("--param", "project=street", "--param", "callback_url=https://example.com/c")
        task = json.loads(lidarprep(*words, *common).out)
        with lp.ScaleClient(api_url=sandbox.url) as client:
            known = client.get_task(task["task_id"])
    assert known.params["scene_format"] == "sensor_fusion"
    assert known.params["attachments"] == [scene.as_uri()]


@pytest.mark.parametrize("type", ["lidarannotation", "lidarsegmentation", "lidartopdown"])
def test_a_task_of_frames_is_refused_a_scene_before_anything_is_sent(
    lidarprep: Any, scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type: str
) -> None:
    monkeypatch.setenv("SCALE_API_KEY", "test_key")
    lidarprep("prepare", scene_folder, "--out", tmp_path / "out", "--format", "sfs")
    ended = lidarprep("submit", tmp_path / "out", "--type", type, "--api-url", "http://127.0.0.1:9/v1")
    assert ended.code == 2
    assert f"a {type} task takes Frame JSON or LidarFrame protobuf; what was prepared is Sensor Fusion" in ended.err
    run = {
        "scene": str(scene_folder),
        "out": str(tmp_path / "never"),
        "recipe": {"format": "sfs"},
        "task": {"type": type, "api_url": "http://127.0.0.1:9/v1"},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    ended = lidarprep("run", tmp_path / "run.yaml")
    assert ended.code == 2
    assert "or make a multistage task" in ended.err
    assert not (tmp_path / "never").exists()


def test_run_prepares_stores_and_submits_as_the_recipe_says(
    lidarprep: Any, scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALE_API_KEY", "test_key")
    region = {"position": [20, 5, 0], "length": 60, "width": 60}
    with running_sandbox() as sandbox:
        run = {
            "scene": str(scene_folder),
            "out": str(tmp_path / "out"),
            "recipe": {"region_of_interest_3d": region, "device_height": 30, "format": "protobuf"},
            "task": {
                "type": "lidartopdown",
                "api_url": sandbox.url,
                "params": {
                    "project": "street",
                    "callback_url": "https://example.com/c",
                    "geometries": {"line": {"objects_to_annotate": ["kerb"]}},
                },
            },
        }
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
        ended = lidarprep("run", tmp_path / "run.yaml", "--frames", ":2", "--json")
        assert ended.code == 0, ended.err
        result = json.loads(ended.out)
        with lp.ScaleClient(api_url=sandbox.url) as client:
            task = client.get_task(result["task"]["task_id"])
    assert len(result["manifest"]["frames"]) == 2
    assert task.type == "lidartopdown"
    assert task.params["region_of_interest_3d"]["length"] == 60
    assert task.params["deviceHeight"] == 30


def test_run_refuses_a_task_that_cannot_be_submitted_before_it_prepares_anything(
    lidarprep: Any, scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALE_API_KEY", "test_key")
    for task, message in (
        ({"type": "bogus"}, "bogus"),
        ({"type": "lidarannotation", "params": {"labels": "car"}}, "labels"),
        ({"type": "lidarannotation", "params": {"lables": ["car"]}}, "labels"),
    ):
        (tmp_path / "run.yaml").write_text(
            yaml.safe_dump({"scene": str(scene_folder), "out": str(tmp_path / "out"), "task": task})
        )
        ended = lidarprep("run", tmp_path / "run.yaml")
        assert ended.code == 2
        assert message in ended.err
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("destination", ["ftp://host/x", "s3:/bucket/x", "https://host/x", ""])
def test_a_destination_of_an_unknown_kind_is_not_taken_for_a_folder(
    lidarprep: Any, scene_folder: Path, destination: str
) -> None:
    ended = lidarprep("prepare", scene_folder, "--out", destination)
    assert ended.code == 2
    assert "Name a folder, or s3://bucket/prefix" in ended.err


def test_the_recording_itself_is_no_destination(lidarprep: Any, scene_folder: Path) -> None:
    ended = lidarprep("prepare", scene_folder, "--out", scene_folder)
    assert ended.code == 2
    assert "is the recording itself" in ended.err
    assert not (scene_folder / "manifest.json").exists()


@pytest.mark.parametrize(("stop", "code"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129)])
def test_a_run_that_is_stopped_keeps_what_is_done_and_says_how_to_go_on(
    lidarprep: Any, scene_folder: Path, tmp_path: Path, stop: str, code: int
) -> None:
    program = (
        "import os, signal; from lidarprep.cli import main\n"
        "import lidarprep.cli.progress as c\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # nohup has it ignored
        f"c.Bar.advance = lambda *_: os.kill(os.getpid(), signal.{stop})\n"
        f"main(['prepare', {str(scene_folder)!r}, '--out', {str(tmp_path / 'out')!r}])\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == code, ended.stderr
    assert "frames are done and kept: run the same command again to go on." in ended.stderr
    assert ("hung up: stopping\n" in ended.stderr) is (stop == "SIGHUP")
    assert not (tmp_path / "out/manifest.json").exists()
    again = lidarprep("prepare", scene_folder, "--out", tmp_path / "out")
    assert again.code == 0
    assert "frames were done before" in again.err
    # What was being written when the process was left may stay, for prune.
    assert list((tmp_path / "out/.lidarprep").glob("*.json")) == []
    once_more = lidarprep("prepare", scene_folder, "--out", tmp_path / "out")
    assert once_more.code == 0
    assert "nothing to do" in once_more.err


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_that_is_closed_stops_a_run_unless_it_was_started_by_nohup(
    lidarprep: Any, scene_folder: Path, tmp_path: Path, terminal: bool
) -> None:
    closing = "os.dup2(os.open('/dev/full', os.O_WRONLY), 2)"  # writing fails, as to a terminal that is gone
    program = (
        "import os, signal; from lidarprep.cli import main\n"
        "import lidarprep.cli.progress as c\n"
        f"signal.signal(signal.SIGHUP, signal.SIG_{'DFL' if terminal else 'IGN'})\n"
        "def closed(*_):\n"
        f"    {closing if terminal else 'pass'}\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "c.Bar.advance = closed\n"
        f"main(['prepare', {str(scene_folder)!r}, '--out', {str(tmp_path / 'out')!r}])\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == (129 if terminal else 0), ended.stderr
    assert (tmp_path / "out/manifest.json").exists() is not terminal


def test_the_demo_does_the_whole_job(lidarprep: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lidarprep.sample.write_sample", partial(lp.write_sample, columns=400, image_width=96))
    ended = lidarprep("demo", "--out", tmp_path / "demo", "--frames", "2")
    assert ended.code == 0, ended.err
    lines = ended.err.strip().splitlines()
    assert str(tmp_path / "demo/attachments") in lines[-3]
    assert "lidarannotation" in lines[-2]
    assert "multistage" in lines[-1]
    assert lidarprep("demo", "--out", tmp_path / "demo", "--frames", "2").code == 0


def test_every_public_name_can_be_had() -> None:
    assert {"open_scene", "prepare", "Recipe", "RegionOfInterest3D", "ScaleClient"} <= set(lp.__all__)
    for name in lp.__all__:
        assert getattr(lp, name) is not None
    with pytest.raises(AttributeError):
        lp.nothing_of_the_kind  # noqa: B018


def test_convert_replaces_what_is_there_only_with_overwrite(lidarprep: Any, scene_folder: Path, tmp_path: Path) -> None:
    words = ("convert", scene_folder / "pointcloud/9.ply", tmp_path / "a.pcd")
    assert lidarprep(*words).code == 0
    ended = lidarprep(*words)
    assert ended.code == 2
    assert ended.err.startswith(f"error: {tmp_path / 'a.pcd'} is there already\n")
    assert lidarprep(*words, "--overwrite").code == 0


def test_a_recipe_that_keeps_nothing_is_told_where_the_points_are(
    lidarprep: Any, scene_folder: Path, tmp_path: Path
) -> None:
    words = ("prepare", scene_folder, "--out", tmp_path / "out", "--points-frame", "world")
    points = read_ply(scene_folder / "pointcloud/10.ply")[0]  # of the frame in the middle
    ended = lidarprep(*words, "--roi", "900,-70,20,30,15")
    assert ended.code == 2
    (x0, y0, _), (x1, y1, _) = points.min(axis=0), points.max(axis=0)
    assert (
        f"The points of frame 10 are at x {x0:.1f} to {x1:.1f} and y {y0:.1f} to {y1:.1f} in the world; "
        "the region is 20 × 30 m around x 900 and y -70, turned by 15°.\n"
    ) in ended.err
    ended = lidarprep("prepare", scene_folder, "--out", tmp_path / "out", "--device-height", "100")
    lowest, highest = points[:, 2].min() + 100, points[:, 2].max() + 100
    assert (
        f"The points of frame 10 are {lowest:.1f} to {highest:.1f} m above the ground, "
        "if the device is 100 m above it; the band is -1 to 8 m.\n"
    ) in ended.err


def test_a_place_that_was_given_as_a_path_is_named_as_one(lidarprep: Any, scene_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out of town"
    assert f"manifest: {out}/manifest.json\n" in lidarprep("prepare", scene_folder, "--out", out).err
    ended = lidarprep("prepare", scene_folder, "--out", out, "--precision", "2")
    assert ended.err.startswith(f"error: {out}/manifest.json is there already")
    (out / "manifest.json").write_text("[]")
    assert lidarprep("verify", out).err.startswith(f"error: {out}/manifest.json: JSON that is not an object")


def test_columns_of_figures_are_aligned_at_the_right_and_prose_at_the_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [("a", "short", "7", "3"), ("b", "what takes some words", "1,234", "unknown"), ("c", "x", "-5", "12.5%")]
    print_table("things", ("name", "looks like", "points", "share"), rows)
    body = [line for line in capsys.readouterr().err.splitlines() if line.startswith("│")]
    assert body == [
        "│ a    │ short                 │      7 │       3 │",
        "│ b    │ what takes some words │  1,234 │ unknown │",
        "│ c    │ x                     │     -5 │   12.5% │",
    ]


def test_the_layouts_are_described_from_the_left(lidarprep: Any) -> None:
    told = lidarprep("layouts").out
    assert "│ ros1             │ a ROS 1 bag: a file NAME.bag  " in told
