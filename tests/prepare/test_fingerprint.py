"""What a run depends on is told by its recipe and its recording, whatever layout that has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lidarprep.pipeline.fingerprint import Fingerprint, differences, files_that_differ, fingerprint_of

import lidarprep as lp
from tests.datasets.generated import Recording, generated
from tests.datasets.test_every_layout import LAYOUTS, Layout
from tests.scenes import write_toolkit_scene


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return generated(tmp_path_factory.mktemp("generated"), frames=3)


def told(
    scene: lp.Scene, recipe: lp.Recipe | None = None, storage: lp.StorageOptions | None = None, url_base: str = ""
) -> Fingerprint | None:
    return fingerprint_of(
        scene, recipe or lp.Recipe(), storage or lp.StorageOptions(), list(scene.frames), url_base=url_base
    )


def value(scene: lp.Scene, **options: Any) -> str:
    fingerprint = told(scene, **options)
    assert fingerprint is not None
    return fingerprint.value


def touch(path: Path) -> None:
    """Another time of change, and nothing else."""
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_recordings_of_every_layout_have_one_that_stays_and_changes_with_their_files(
    layout: Layout, recording: Recording, tmp_path: Path
) -> None:
    path = layout.write(recording, tmp_path / "recording")
    before = told(lp.open_scene(path))
    assert before is not None
    assert len(set(before.files)) == len(recording.frames)
    assert value(lp.open_scene(path)) == before.value
    for file in (tmp_path / "recording").rglob("*"):
        if file.is_file():
            touch(file)
    after = told(lp.open_scene(path))
    assert after is not None
    assert files_that_differ(before.files, after.files) == list(before.files)
    assert differences(before.parts, after.parts) == []


@pytest.mark.parametrize("format", ["json", "protobuf", "sfs"])
def test_so_have_attachments(recording: Recording, tmp_path: Path, format: Any) -> None:
    scene = lp.open_scene(LAYOUTS["toolkit"].write(recording, tmp_path / "recording"))
    manifest = lp.prepare(scene, lp.Recipe(format=format), tmp_path / "out")
    file = tmp_path / "out" / manifest.attachments[0].url
    before = value(lp.open_scene(file))
    assert value(lp.open_scene(file)) == before
    touch(file)
    assert value(lp.open_scene(file)) != before


def test_a_recording_that_is_moved_keeps_it(tmp_path: Path) -> None:
    folder = write_toolkit_scene(tmp_path / "recording", frames=2, points=5)
    before = told(lp.open_scene(folder))
    shutil.move(folder, tmp_path / "elsewhere")
    after = told(lp.open_scene(tmp_path / "elsewhere"))
    assert before is not None
    assert after is not None
    assert (before.files, before.value) == (after.files, after.value)


@pytest.mark.parametrize(
    "file", ["pointcloud/9.ply", "cameras/front/9.jpg", "cameras/front/intrinsics.json", "radar_points/9.txt"]
)
def test_it_changes_with_each_file_that_a_frame_is_made_of(tmp_path: Path, file: str) -> None:
    folder = write_toolkit_scene(tmp_path / "recording", frames=2, points=5)
    before = told(lp.open_scene(folder))
    path = folder / file
    if path.suffix == ".json":
        path.write_text(path.read_text().replace("501", "502"))  # which opening reads
    else:
        touch(path)
    after = told(lp.open_scene(folder))
    assert before is not None
    assert after is not None
    assert before.value != after.value
    assert files_that_differ(before.files, after.files) == ([] if path.suffix == ".json" else ["9"])


def test_frames_that_are_not_prepared_may_change(tmp_path: Path) -> None:
    folder = write_toolkit_scene(tmp_path / "recording", frames=3, points=5)
    scene = lp.open_scene(folder)

    def of_two() -> Any:
        return fingerprint_of(scene, lp.Recipe(), lp.StorageOptions(), scene.frames[:2], url_base="")

    before = of_two()
    touch(folder / "pointcloud/11.ply")
    assert of_two() == before


class TestWhatDiffers:
    """is said by name."""

    @pytest.fixture
    def scene(self, tmp_path: Path) -> lp.Scene:
        return lp.open_scene(write_toolkit_scene(tmp_path / "recording", frames=2, points=5))

    def between(self, scene: lp.Scene, before: dict[str, Any], now: dict[str, Any]) -> list[str]:
        one, two = told(scene, **before), told(scene, **now)
        assert one is not None
        assert two is not None
        assert one.value != two.value or before == now
        return differences(one.parts, two.parts)

    @pytest.mark.parametrize(
        ("before", "now", "said"),
        [
            ({}, {}, []),
            ({}, {"recipe": lp.Recipe(precision=3)}, ["precision was null and is 3"]),
            ({}, {"url_base": "s3://b/"}, ["URLs began with '' and begin with 's3://b/'"]),
            (
                {"storage": lp.StorageOptions(presign_hours=2)},
                {"storage": lp.StorageOptions(presign_hours=3)},
                ["storage option presign_hours was 2.0 and is 3.0"],
            ),
        ],
    )
    def test_of_recipe_and_storage(
        self, scene: lp.Scene, before: dict[str, Any], now: dict[str, Any], said: list[str]
    ) -> None:
        assert self.between(scene, before, now) == said

    def test_not_how_a_store_is_reached(self, scene: lp.Scene) -> None:
        reached = lp.StorageOptions(endpoint_url="https://s3.example.com", profile="mine", region="eu-west-1")
        assert value(scene, storage=reached) == value(scene)

    @pytest.mark.parametrize("change", [{"index": 7}, {"timestamp": 7}, {"world_from_ego": None}, {"images": ()}])
    def test_of_what_the_recording_says(self, scene: lp.Scene, change: dict[str, Any]) -> None:
        frames = (scene[0], replace(scene[1], **change))
        one, two = told(scene), told(replace(scene, frames=frames))
        assert one is not None
        assert two is not None
        (said,) = differences(one.parts, two.parts)
        assert said.startswith("the recording's frames, poses or cameras are others")


def read_beside(points: Any, _: Any = None) -> lp.PointCloud:
    return lp.PointCloud(np.zeros((1, 3), dtype=np.float32), "ego")


@pytest.mark.parametrize(
    "reader",
    [
        lambda: read_beside(None),
        partial(read_beside, 7),  # no file
        partial(read_beside, Path("x"), object()),
        partial(read_beside, Path("x"), lambda: None),
        partial(read_beside, Path("x"), np.zeros(1 << 18)),  # data, and no parameter
        partial(read_beside, Path("x"), np.array([object()])),
    ],
)
def test_what_could_read_anything_has_none(tmp_path: Path, reader: Callable[[], lp.PointCloud]) -> None:
    scene = lp.open_scene(write_toolkit_scene(tmp_path / "recording", frames=2, points=5))
    assert told(replace(scene, frames=(scene[0], replace(scene[1], read_points=reader)))) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, 2), ((1, 2),)),
        ("ab", b"ab"),
        (("a", "b"), ("ab",)),
        ({"a": 1}, {"a": 2}),
        (1, 1.0),
        (1, True),
        (None, "None"),
        (np.zeros(2), np.zeros(2, dtype=np.float32)),
        (np.zeros((2, 1)), np.zeros((1, 2))),
        (lp.Pose.identity(), lp.Pose(np.eye(3), np.array([0.0, 0.0, 1e-9]))),
        (Path("a"), "a"),
    ],
)
def test_unlike_parameters_of_a_reader_are_told_apart(tmp_path: Path, one: Any, other: Any) -> None:
    scene = lp.open_scene(write_toolkit_scene(tmp_path / "recording", frames=1, points=5))
    values = [
        value(replace(scene, frames=(replace(scene[0], read_points=partial(read_beside, Path("x"), item)),)))
        for item in (one, other)
    ]
    assert values[0] != values[1]
