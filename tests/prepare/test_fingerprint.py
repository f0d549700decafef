"""What a result depends on: the digests change with it, and with nothing else."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.prepare.fingerprint import RunIdentity
from lidarprep.prepare.plan import plan
from lidarprep.storage.manifest import SettingsRecord
from tests.datasets.test_multi_lidar import bag, open_bag
from tests.scenes import write_toolkit_scene

SETTINGS = SettingsRecord(intensity_scale=255)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_toolkit_scene(tmp_path / "recording", frames=3, points=5)


def identity(
    scene: lp.Scene | Path, recipe: lp.Recipe | None = None, storage: lp.StorageOptions | None = None
) -> RunIdentity:
    scene = lp.open_scene(scene) if isinstance(scene, Path) else scene
    recipe = recipe or lp.Recipe()
    return RunIdentity.of(scene, recipe, storage or lp.StorageOptions(), plan(scene, recipe))


def of_frames(told: RunIdentity, settings: SettingsRecord = SETTINGS) -> dict[str, str | None]:
    return {name: told.of_frame(name, settings) for name in told.frames}


def touch(path: Path) -> None:
    """Another time of change, and nothing else."""
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))


def test_every_frame_has_one_that_stays(folder: Path) -> None:
    before, again = identity(folder), identity(folder)
    assert before.fingerprint is not None
    assert len(set(of_frames(before).values())) == 3
    assert (again.fingerprint, of_frames(again)) == (before.fingerprint, of_frames(before))


@pytest.mark.parametrize("format", ["json", "protobuf", "sfs"])
def test_attachments_have_one_that_changes_with_their_file(folder: Path, tmp_path: Path, format: Any) -> None:
    manifest = lp.prepare(lp.open_scene(folder), lp.Recipe(format=format), tmp_path / "out")
    file = tmp_path / "out" / manifest.attachments[0].url
    before = identity(file).fingerprint
    assert identity(file).fingerprint == before is not None
    touch(file)
    assert identity(file).fingerprint != before


def test_a_recording_that_is_moved_keeps_it(folder: Path, tmp_path: Path) -> None:
    before = identity(folder)
    shutil.move(folder, tmp_path / "elsewhere")
    after = identity(tmp_path / "elsewhere")
    assert (after.fingerprint, of_frames(after)) == (before.fingerprint, of_frames(before))


@pytest.mark.parametrize("file", ["pointcloud/9.ply", "cameras/front/9.jpg", "radar_points/9.txt"])
def test_a_file_changes_its_own_frame_and_no_other(folder: Path, file: str) -> None:
    before = identity(folder)
    touch(folder / file)
    after = identity(folder)
    assert after.fingerprint != before.fingerprint
    old, new = of_frames(before), of_frames(after)
    assert [name for name in old if old[name] != new[name]] == ["9"]


def test_a_cameras_calibration_changes_its_frames(folder: Path) -> None:
    before = identity(folder)
    path = folder / "cameras/front/intrinsics.json"
    path.write_text(path.read_text().replace("501", "502"))
    assert not set(of_frames(identity(folder)).values()) & set(of_frames(before).values())


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"precision": 3}, False),
        ({"voxel": 0.5}, False),
        ({"format": "protobuf"}, False),
        ({"frames": ":2"}, True),
        ({"labeling_sample_rate": 2}, True),
        ({"skip_bad_frames": True}, True),
        ({"max_speed": 300.0}, True),
    ],
)
def test_parts_of_the_recipe_that_do_not_show_in_a_frame_keep_it(
    folder: Path, change: dict[str, Any], kept: bool
) -> None:
    before, after = identity(folder), identity(folder, lp.Recipe(**change))
    assert after.fingerprint != before.fingerprint
    assert (of_frames(before)["9"] == of_frames(after)["9"]) is kept


def test_settings_and_storage_options_that_show_change_frames(folder: Path) -> None:
    before = identity(folder)
    others = [
        of_frames(before, SETTINGS.model_copy(update={"offset": (1.0, 0.0, 0.0)})),
        of_frames(before, SETTINGS.model_copy(update={"intensity_scale": 1.0})),
        of_frames(identity(folder, storage=lp.StorageOptions(url_base="https://data.example.com"))),
    ]
    assert len({digest for told in (of_frames(before), *others) for digest in told.values()}) == 12
    assert of_frames(before, SETTINGS.model_copy(update={"notes": ["odd"]})) == of_frames(before)
    reached = lp.StorageOptions(endpoint_url="https://s3.example.com", profile="mine", region="eu-west-1")
    assert identity(folder, storage=reached).fingerprint == before.fingerprint


@pytest.mark.parametrize(
    "change",
    [{"index": 7}, {"timestamp": 7}, {"images": ()}, {"world_from_ego": lp.Pose(np.eye(3), np.array([0, 0, 1e-9]))}],
)
def test_what_the_recording_says_of_a_frame_changes_it(folder: Path, change: dict[str, Any]) -> None:
    scene = lp.open_scene(folder)
    other = replace(scene, frames=(replace(scene[0], **change), *scene.frames[1:]))
    old, new = of_frames(identity(scene)), of_frames(identity(other))
    assert [name for name in old if old[name] != new[name]] == ["9"]


def test_a_frames_pose_changes_all_that_are_deskewed_by_it(folder: Path) -> None:
    scene = lp.open_scene(folder)
    scene = replace(scene, frames=tuple(replace(frame, timestamp=frame.index * 10**8) for frame in scene))
    moved = replace(scene[0], world_from_ego=lp.Pose(np.eye(3), np.zeros(3)))
    other = replace(scene, frames=(moved, *scene.frames[1:]))
    for recipe, changed in ((lp.Recipe(deskew=True), ["9", "10", "11"]), (lp.Recipe(), ["9"])):
        old, new = of_frames(identity(scene, recipe)), of_frames(identity(other, recipe))
        assert [name for name in old if old[name] != new[name]] == changed


@pytest.mark.parametrize("given", [{"max_pose_gap": 0.01}, {"image_tolerance": 0.2}])
def test_options_of_opening_that_move_points_change_all_frames(folder: Path, given: Any) -> None:
    before, default = identity(folder), identity(lp.open_scene(folder, max_pose_gap=1.0, image_tolerance=0.05))
    assert of_frames(default) == of_frames(before)
    after = identity(lp.open_scene(folder, **given))
    assert not set(of_frames(after).values()) & set(of_frames(before).values())


def test_frames_whose_sources_are_unknown_have_none(folder: Path) -> None:
    scene = lp.open_scene(folder)
    told = identity(replace(scene, frames=(replace(scene[0], sources=()), *scene.frames[1:])))
    assert told.fingerprint is None
    assert told.of_frame("9", SETTINGS) is None
    assert told.of_frame("10", SETTINGS) is not None


class TestWhatDiffers:
    """A refusal names what differs from the run that is there."""

    @pytest.fixture
    def manifest(self, folder: Path, tmp_path: Path) -> lp.Manifest:
        return lp.prepare(lp.open_scene(folder), lp.Recipe(), tmp_path / "out")

    def test_in_recipe_and_storage(self, folder: Path, manifest: lp.Manifest) -> None:
        assert identity(folder, lp.Recipe(precision=3, voxel=0.5)).differences_from(manifest) == [
            "precision was null and is 3",
            "voxel was null and is 0.5",
        ]
        based = identity(folder, storage=lp.StorageOptions(url_base="https://data.example.com"))
        assert based.differences_from(manifest) == ['url_base was null and is "https://data.example.com"']

    def test_file_by_file_where_the_recording_changed(self, folder: Path, manifest: lp.Manifest) -> None:
        touch(folder / "pointcloud/9.ply")
        (folder / "pointcloud/10.ply").write_bytes(b"12345")
        (said,) = identity(folder).differences_from(manifest)
        size = manifest.frames[1].sources[0].bytes
        assert said == (
            f"files of the recording have changed: pointcloud/9.ply (modified), pointcloud/10.ply ({size} bytes, now 5)"
        )
        (folder / "radar_points/11.txt").unlink()
        (said,) = identity(folder).differences_from(manifest)
        assert said.endswith("radar_points/11.txt (is not used any more)")
        for path in folder.rglob("*.jpg"):
            touch(path)
        (said,) = identity(folder).differences_from(manifest)
        assert said.endswith(", … (9 in all)")

    def test_in_frames_and_poses(self, folder: Path, manifest: lp.Manifest) -> None:
        (said,) = identity(replace(lp.open_scene(folder), frames=lp.open_scene(folder).frames[:2])).differences_from(
            manifest
        )
        assert said == "its 3 frames are others than the 2 of this run"
        pose = folder / "poses/10.json"
        pose.write_text(pose.read_text().replace("20.0", "20.5"))
        (said,) = identity(folder).differences_from(manifest)
        assert said.startswith("poses, calibration or times of the recording")

    def test_in_versions(self, folder: Path, manifest: lp.Manifest) -> None:
        assert identity(folder).differences_from(manifest.model_copy(update={"lidarprep": "0.2"})) == [
            "it was made by lidarprep 0.2"
        ]
        assert identity(folder).differences_from(manifest.model_copy(update={"settings": None})) == [
            "it was made by lidarprep 0.1"
        ]


def test_clouds_of_several_lidars_depend_on_what_puts_them_together(tmp_path: Path) -> None:
    recording = bag(tmp_path)
    before = identity(open_bag(recording))
    assert identity(open_bag(recording, layout="ros2")).fingerprint == before.fingerprint
    apart = identity(open_bag(recording, image_tolerance=0.001))
    assert not set(of_frames(apart).values()) & set(of_frames(before).values())
    scene = open_bag(recording)
    assert scene.trajectory is not None
    moved = replace(scene.trajectory, translations=np.add(scene.trajectory.translations, 1.0))
    assert not set(of_frames(identity(replace(scene, trajectory=moved))).values()) & set(of_frames(before).values())
