"""A run sees while it goes on whether what is left fits on the disk; one that fits is not refused."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import lidarprep as lp
from tests.prepare.runs import files, finished
from tests.scenes import write_ply, write_toolkit_scene

FRAMES = 80

# What cache entries take while a run lasts.
ENTRIES = 150_000


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toolkit_scene(tmp_path_factory.mktemp("disk") / "scene", frames=FRAMES, points=100, cameras=("front",))


def bytes_in(folder: Path) -> int:
    """What a disk gives for a folder: names of files that have another name elsewhere cost nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:  # a temporary name
            continue
        total += status.st_size if path.is_file() and status.st_nlink == 1 else 0
    return total


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A disk of a size, on which there is nothing but the folder `out`."""
    disk = SimpleNamespace(out=tmp_path / "out", size=10**12)

    def usage(_: object) -> SimpleNamespace:
        used = bytes_in(disk.out)
        return SimpleNamespace(total=disk.size, used=used, free=disk.size - used)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    return disk


def test_a_run_that_will_not_fit_ends_early_and_goes_on_when_there_is_space(
    recording: Path, disk: SimpleNamespace, tmp_path: Path
) -> None:
    lp.prepare(lp.open_scene(recording), lp.Recipe(), tmp_path / "whole")
    disk.size = bytes_in(tmp_path / "whole") // 3
    with pytest.raises(
        lp.StorageError, match=r"MB left, and about .* MB are still to be stored there, going by the f"
    ) as end:
        lp.prepare(lp.open_scene(recording), lp.Recipe(), disk.out, workers=1)
    assert end.value.fix is not None
    assert "Make room for" in end.value.fix
    assert f"of {FRAMES} frames are done and kept: run the same command again to go on" in end.value.fix
    assert 8 <= len(finished(disk.out)) < FRAMES
    disk.size = 10**12
    lp.prepare(lp.open_scene(recording), lp.Recipe(), disk.out)
    assert files(disk.out) == files(tmp_path / "whole")


@pytest.mark.parametrize("format", ["json", "protobuf", "sfs"])
def test_a_run_that_just_fits_is_not_refused(
    recording: Path, disk: SimpleNamespace, tmp_path: Path, format: str
) -> None:
    recipe = lp.Recipe(format=format)
    lp.prepare(lp.open_scene(recording), recipe, tmp_path / "whole")
    disk.size = bytes_in(tmp_path / "whole") + ENTRIES
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
    disk.size = bytes_in(tmp_path / "whole") + ENTRIES
    lp.prepare(lp.open_scene(recording), lp.Recipe(), disk.out, workers=1)
    assert files(disk.out) == files(tmp_path / "whole")


def test_a_run_that_may_not_fit_is_warned_of_once_and_goes_on(
    disk: SimpleNamespace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It drops points: the frames that are left may become small, as they do here."""
    rng = np.random.default_rng(0)
    recording = write_toolkit_scene(tmp_path / "scene", frames=FRAMES, points=10, cameras=())
    for n in range(9, 9 + FRAMES):
        xyz = rng.uniform(-1, 1, (2000, 3)) + (0 if n < 9 + FRAMES // 2 else 500)
        write_ply(recording / f"pointcloud/{n}.ply", xyz.astype(np.float32), rng.integers(0, 256, 2000))
    recipe = lp.Recipe(region_of_interest_3d=lp.RegionOfInterest3D((0.0, 0.0, 0.0), 200.0, 200.0))
    lp.prepare(lp.open_scene(recording), recipe, tmp_path / "whole")
    disk.size = bytes_in(tmp_path / "whole") + ENTRIES
    with caplog.at_level(logging.WARNING):
        lp.prepare(lp.open_scene(recording), recipe, disk.out, workers=1)
    assert files(disk.out) == files(tmp_path / "whole")
    (warning,) = [record.getMessage() for record in caplog.records if "MB left" in record.getMessage()]
    assert "going by the first" in warning
    assert "can go on later" in warning


def test_images_that_become_links_need_no_space(recording: Path, disk: SimpleNamespace, tmp_path: Path) -> None:
    recording = shutil.copytree(recording, tmp_path / "scene")
    for path in recording.rglob("*.jpg"):
        path.write_bytes(path.read_bytes() + bytes(60_000))
    recipe = lp.Recipe(format="protobuf")
    lp.prepare(lp.open_scene(recording), recipe, tmp_path / "whole")
    images = sum(path.stat().st_size for path in recording.rglob("*.jpg"))
    disk.size = bytes_in(tmp_path / "whole") - images + ENTRIES
    assert disk.size < images / 3, "the trial shows nothing"
    with pytest.raises(lp.StorageError, match="are still to be stored there"):
        lp.prepare(lp.open_scene(recording), recipe, disk.out, workers=1)
    shutil.rmtree(disk.out)
    linked = lp.StorageOptions(link_images=True)
    lp.prepare(lp.open_scene(recording), recipe, disk.out, storage=linked)
    assert files(disk.out) == files(tmp_path / "whole")


def test_a_disk_that_does_not_say_how_much_space_it_has_is_not_refused(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: object) -> SimpleNamespace:
        return SimpleNamespace(total=0, used=0, free=0)

    def unasked(_: object) -> SimpleNamespace:
        raise OSError(38, "Function not implemented")

    for number, usage in enumerate((unknown, unasked)):
        monkeypatch.setattr(shutil, "disk_usage", usage)
        lp.prepare(lp.open_scene(recording), lp.Recipe(), tmp_path / str(number))
