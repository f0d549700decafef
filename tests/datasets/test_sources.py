"""`Frame.sources`: a frame's sources change with each file that it is read from, and with no other frame's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.datasets.filenames import source_file
from tests.datasets.generated import Recording, generated
from tests.datasets.test_every_layout import LAYOUTS, Layout

# Each frame of a bag has the bag's files, which may be open already: tests of bags see to them.
BAGS = ("ros1", "ros2", "ros2-mcap", "mcap")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return generated(tmp_path_factory.mktemp("generated"), frames=3, columns=20)


def touch(path: Path) -> None:
    """Another time of change, and nothing else."""
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))


def changed_by_touching(file: Path, recording: Path, **options: Any) -> set[int]:
    """The frames whose sources change with the file, as the recording is opened again."""
    before = lp.open_scene(recording, **options)
    touch(file)
    after = lp.open_scene(recording, **options)
    return {one.index for one, other in zip(before, after, strict=True) if one.sources != other.sources}


def read_from(scene: lp.Scene, file: Path) -> set[int]:
    """The frames that cannot be read without the file, once the recording is open."""
    hidden = file.rename(file.with_name(f"{file.name}.hidden"))
    try:
        return {frame.index for frame in scene if not is_readable(frame)}
    finally:
        hidden.rename(file)


def is_readable(frame: lp.Frame) -> bool:
    try:
        frame.points()
        frame.radar()
    except (OSError, lp.FormatError):
        return False
    return all(image.path is None or image.path.is_file() for image in frame.images)


@pytest.mark.parametrize("layout", [pytest.param(one, id=name) for name, one in LAYOUTS.items() if name not in BAGS])
def test_touching_a_file_changes_the_frames_that_are_read_from_it(
    layout: Layout, recording: Recording, tmp_path: Path
) -> None:
    path = layout.write(recording, tmp_path / "recording")
    scene = lp.open_scene(path)
    files = sorted(file for file in (tmp_path / "recording").rglob("*") if file.is_file())
    found: set[int] = set()
    for file in files:
        readers = read_from(scene, file)
        if readers:
            assert changed_by_touching(file, path) == readers
        found |= readers
    assert found == {frame.index for frame in scene}


def test_sources_are_paths_as_the_recording_was_opened_by(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LAYOUTS["toolkit"].write(recording, tmp_path / "recording")
    monkeypatch.chdir(tmp_path)
    scene = lp.open_scene("recording")
    names = [source.location for source in scene[0].sources]
    assert names[0].startswith(os.path.join("recording", "pointcloud"))  # noqa: PTH118
    assert scene[0].sources == tuple(source_file(Path(name)) for name in names)
    file = Path(names[0])
    assert (scene[0].sources[0].bytes, scene[0].sources[0].version) == (
        file.stat().st_size,
        str(file.stat().st_mtime_ns),
    )


def test_extrinsics_of_lidars_are_sources_since_they_move_the_points(recording: Recording, tmp_path: Path) -> None:
    path = LAYOUTS["toolkit-lidars"].write(recording, tmp_path / "recording")
    extrinsics = next((path / "lidars").glob("*/extrinsics.json"))
    assert changed_by_touching(extrinsics, path) == {0, 1, 2}


@pytest.mark.parametrize("table", ["calibrated_sensor.json", "ego_pose.json"])
def test_tables_that_move_the_points_are_sources(recording: Recording, tmp_path: Path, table: str) -> None:
    path = LAYOUTS["nuscenes"].write(recording, tmp_path / "recording")
    assert changed_by_touching(next(path.rglob(table)), path) == {0, 1, 2}


def test_images_of_cameras_that_are_not_selected_are_not_sources(recording: Recording, tmp_path: Path) -> None:
    path = LAYOUTS["toolkit"].write(recording, tmp_path / "recording")
    chosen, other = recording.cameras[0].name, recording.cameras[1].name
    for name, changed in ((chosen, 1), (other, 0)):
        file = next((path / "cameras" / name).glob("*.jpg"))
        assert len(changed_by_touching(file, path, cameras=[chosen])) == changed


def test_a_point_file_is_the_source_of_its_frame(tmp_path: Path) -> None:
    file = tmp_path / "1.xyz"
    file.write_text("1 2 3\n")
    assert lp.open_scene(file)[0].sources == (source_file(file),)
    assert changed_by_touching(file, file) == {0}


@pytest.mark.parametrize("format", ["json", "protobuf", "sfs"])
@pytest.mark.parametrize("whole_folder", [True, False])
def test_attachments_and_the_images_beside_them_are_sources(
    recording: Recording, tmp_path: Path, format: Any, whole_folder: bool
) -> None:
    scene = lp.open_scene(LAYOUTS["toolkit"].write(recording, tmp_path / "recording"))
    manifest = lp.prepare(scene, lp.Recipe(format=format), tmp_path / "out")
    attachment = tmp_path / "out" / manifest.attachments[0].url
    path = tmp_path / "out" if whole_folder else attachment
    frames = set(range(len(scene))) if format == "sfs" else {0}
    assert changed_by_touching(attachment, path) == frames
    found = lp.open_scene(path)
    assert {source.location for source in found[0].sources} == {
        str(attachment),
        *(str(image.path) for image in found[0].images if image.path is not None),
    }
    if format != "sfs":
        assert len(found[0].sources) == 1 + len(recording.cameras)
