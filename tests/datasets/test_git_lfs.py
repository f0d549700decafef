"""Git LFS pointers in place of files: every reader says what they are, whatever it took them for."""

from __future__ import annotations

from pathlib import Path

import pytest

import lidarprep as lp
from lidarprep.pointfiles import point_suffixes
from tests.datasets.generated import Recording, generated
from tests.datasets.test_every_layout import LAYOUTS, Layout

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345678\n"
)
ADVICE = r"a Git LFS pointer: the file itself was not downloaded\nRun git lfs pull"

OTHERS = (".bag", ".mcap", ".db3", ".json", ".pb", ".sfs", ".yaml", ".pcap", ".e57", ".jpg")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return generated(tmp_path_factory.mktemp("generated"), frames=2)


@pytest.mark.parametrize("suffix", [*point_suffixes(named=True), *OTHERS])
def test_a_pointer_alone_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(POINTER)
    with pytest.raises(lp.FormatError, match=ADVICE):
        lp.open_scene(path).frames[0].points()
    if suffix not in (".bag", ".mcap", ".db3", ".yaml", ".pcap", ".e57", ".jpg"):
        with pytest.raises(lp.FormatError, match=ADVICE):
            lp.convert(path, tmp_path / "b.npz")


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_pointer_among_a_recordings_files_is_named(layout: Layout, recording: Recording, tmp_path: Path) -> None:
    """One file of each suffix and folder at a time."""
    root = layout.write(recording, tmp_path / "recording")
    inside = sorted(path for path in ([root] if root.is_file() else root.rglob("*")) if path.is_file())
    first = {(path.suffix, path.parent): path for path in reversed(inside)}
    told = 0
    for path in first.values():
        content = path.read_bytes()
        path.write_bytes(POINTER)
        found: list[str] = []  # a damaged pose or image leaves its frame or itself out, and is a finding
        try:
            scene = lp.open_scene(root, layout=layout.name)
            found += [f"{finding.message} {finding.cure}" for finding in scene.findings]
            manifest = lp.prepare(scene, lp.Recipe(), tmp_path / "out", overwrite=True)
            found += [finding.message for finding in manifest.findings]
            told += any("Git LFS" in text for text in found)
        except lp.LidarprepError as error:
            assert "git lfs pull" in f"{error} {found}", f"{path}: {error}"  # noqa: PT017
            told += 1
        finally:
            path.write_bytes(content)
    # A map of nuScenes is not read.
    assert told >= len({path.suffix for path in first.values()} - {".png"})
