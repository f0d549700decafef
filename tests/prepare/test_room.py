"""A run sees beforehand, and while it goes on, whether what is left fits on the disk; one that fits is not refused."""

from __future__ import annotations

import hashlib
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from lidarprep.pipeline.room import FRAMES_TO_GO_BY

import lidarprep as lp
from tests.scenes import write_ply, write_toolkit_scene

FRAMES = 30


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toolkit_scene(tmp_path_factory.mktemp("room") / "scene", frames=FRAMES, points=200, cameras=("front",))


def bytes_in(folder: Path) -> int:
    """What a disk gives for a folder: names of files that have another name elsewhere cost nothing."""
    status = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum(one.st_size for one in status if one.st_nlink == 1)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A disk of a size, on which there is nothing but the folder `out`."""
    disk = SimpleNamespace(out=tmp_path / "out", size=10**12)

    def usage(_: object) -> SimpleNamespace:
        used = bytes_in(disk.out)
        return SimpleNamespace(total=disk.size, used=used, free=disk.size - used)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    return disk


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_disk_without_room_for_the_pictures_is_refused_before_any_frame(
    recording: Path, disk: SimpleNamespace
) -> None:
    pictures = sum(path.stat().st_size for path in recording.rglob("*.jpg"))
    disk.size = pictures - 1
    with pytest.raises(lp.StorageError, match=r"MB left, and about .* MB are to be stored there") as refused:
        lp.prepare(lp.open_scene(recording), lp.Recipe(), disk.out)
    assert refused.value.fix is not None
    assert "Make room for" in refused.value.fix
    assert not disk.out.exists()


def test_a_run_that_will_not_fit_ends_early_and_goes_on_when_there_is_room(
    recording: Path, disk: SimpleNamespace, tmp_path: Path
) -> None:
    lp.prepare(lp.open_scene(recording), lp.Recipe(), tmp_path / "whole")
    expected = files(tmp_path / "whole")
    pictures = sum(path.stat().st_size for path in recording.rglob("*.jpg"))
    disk.size = pictures + (bytes_in(tmp_path / "whole") - pictures) // 2
    with pytest.raises(lp.StorageError, match="are to be stored there") as stopped:
        lp.prepare(lp.open_scene(recording), lp.Recipe(), disk.out, workers=1)
    assert stopped.value.fix is not None
    assert "Make room for" in stopped.value.fix
    assert f"of {FRAMES} frames are done and kept: run the same command again to go on" in stopped.value.fix
    stored = list(disk.out.rglob("frame-*.json"))
    assert FRAMES_TO_GO_BY <= len(stored) < FRAMES
    assert bytes_in(disk.out) < disk.size
    disk.size = 10**12
    lp.prepare(lp.open_scene(recording), lp.Recipe(), disk.out)
    assert files(disk.out) == expected


@pytest.mark.parametrize("attachments", ["json", "protobuf", "sfs"])
def test_a_run_that_just_fits_is_not_refused(
    recording: Path, disk: SimpleNamespace, tmp_path: Path, attachments: str
) -> None:
    recipe = lp.Recipe(format=attachments)
    lp.prepare(lp.open_scene(recording), recipe, tmp_path / "whole")
    disk.size = bytes_in(tmp_path / "whole") + 100_000  # journal and lock
    lp.prepare(lp.open_scene(recording), recipe, disk.out)
    assert files(disk.out) == files(tmp_path / "whole")


@pytest.mark.parametrize("seed", range(3))
def test_a_run_whose_frames_become_smaller_and_smaller_is_not_refused(
    disk: SimpleNamespace, tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    recording = write_toolkit_scene(tmp_path / "scene", frames=FRAMES, points=10, cameras=(), seed=seed)
    for n in range(9, 9 + FRAMES):
        points = int(3000 * rng.uniform(0.5, 1)) if n < 9 + FRAMES // 2 else int(rng.integers(1, 30))
        xyz = rng.uniform(-40, 40, (points, 3)).astype(np.float32)
        write_ply(recording / f"pointcloud/{n}.ply", xyz, rng.integers(0, 256, points))
    lp.prepare(lp.open_scene(recording), lp.Recipe(), tmp_path / "whole")
    disk.size = bytes_in(tmp_path / "whole") + 100_000
    lp.prepare(lp.open_scene(recording), lp.Recipe(), disk.out, workers=1)
    assert files(disk.out) == files(tmp_path / "whole")


def test_a_run_that_drops_points_is_warned_of_but_not_ended_since_the_frames_left_may_be_empty(
    disk: SimpleNamespace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    recording = write_toolkit_scene(tmp_path / "scene", frames=FRAMES, points=10, cameras=())
    for n in range(9, 9 + FRAMES):
        xyz = rng.uniform(-1, 1, (2000, 3)).astype(np.float32) + (0 if n < 9 + FRAMES // 2 else 500)
        write_ply(recording / f"pointcloud/{n}.ply", xyz.astype(np.float32), rng.integers(0, 256, 2000))
    recipe = lp.Recipe(region_of_interest_3d=lp.RegionOfInterest3D((0.0, 0.0, 0.0), 200.0, 200.0))
    lp.prepare(lp.open_scene(recording), recipe, tmp_path / "whole")
    disk.size = bytes_in(tmp_path / "whole") + 100_000
    with caplog.at_level(logging.WARNING):
        lp.prepare(lp.open_scene(recording), recipe, disk.out, workers=1)
    assert files(disk.out) == files(tmp_path / "whole")
    (warning,) = [record.getMessage() for record in caplog.records if "MB left" in record.getMessage()]
    assert "going by the first" in warning
    assert "can go on later" in warning


def test_pictures_that_become_links_need_no_room_but_in_a_scene_that_holds_them(
    recording: Path, disk: SimpleNamespace, tmp_path: Path
) -> None:
    recording = shutil.copytree(recording, tmp_path / "scene")
    for path in recording.rglob("*.jpg"):
        path.write_bytes(path.read_bytes() + bytes(20_000))
    lp.prepare(lp.open_scene(recording), lp.Recipe(format="protobuf"), tmp_path / "whole")
    pictures = sum(path.stat().st_size for path in recording.rglob("*.jpg"))
    disk.size = bytes_in(tmp_path / "whole") - pictures + 60_000
    assert disk.size < pictures, "the trial shows nothing"
    linked = lp.StorageOptions(link_images=True)
    with pytest.raises(lp.StorageError, match="are to be stored there"):
        lp.prepare(lp.open_scene(recording), lp.Recipe(format="sfs"), disk.out, storage=linked)
    with pytest.raises(lp.StorageError, match="are to be stored there"):
        lp.prepare(lp.open_scene(recording), lp.Recipe(format="protobuf"), disk.out)
    lp.prepare(lp.open_scene(recording), lp.Recipe(format="protobuf"), disk.out, storage=linked)
    assert files(disk.out) == files(tmp_path / "whole")


def test_a_disk_that_does_not_say_how_much_room_it_has_is_not_refused(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: object) -> SimpleNamespace:
        return SimpleNamespace(total=0, used=0, free=0)

    def unasked(_: object) -> SimpleNamespace:
        raise OSError(38, "Function not implemented")

    for number, usage in enumerate((unknown, unasked)):
        monkeypatch.setattr(shutil, "disk_usage", usage)
        lp.prepare(lp.open_scene(recording), lp.Recipe(), tmp_path / str(number))
