"""Layouts that other packages bring through the entry-point group `lidarprep.layouts`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lidarprep.datasets import open_scene
from lidarprep.datasets.layouts import installed_layouts, known_layouts
from lidarprep.errors import SceneError

LAYOUT = """
from lidarprep.scene import Scene

LOOKS_LIKE = "a file that begins with DIARY"


def detect(path):
    return "it begins with DIARY" if path.is_file() and path.read_bytes()[:5] == b"DIARY" else None


def open(path, options):
    return Scene(str(path), "diary", (), notes=(f"scene {options.scene}",))
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Makes a distribution with one module and one entry point, as pip leaves it on the path."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    made: list[str] = []

    def make(module: str, entry_point: str, source: str = LAYOUT) -> None:
        (site / f"{module}.py").write_text(source)
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[lidarprep.layouts]\n{entry_point}\n")
        importlib.invalidate_caches()
        installed_layouts.cache_clear()
        made.append(module)

    yield make
    installed_layouts.cache_clear()
    for module in made:
        sys.modules.pop(module, None)


def test_an_installed_layout_is_guessed_and_named_as_any_other(
    install: Callable[[str, str], None], tmp_path: Path
) -> None:
    install("diary_layout", "diary = diary_layout")
    path = tmp_path / "monday.ply"  # which a layout of lidarprep's own would take, too
    path.write_bytes(b"DIARY")
    scene = open_scene(path, scene="7")
    assert scene.notes == ("opened as diary: it begins with DIARY", "scene 7")
    assert open_scene(path, layout="diary").notes[0] == "opened as diary: as asked for"
    assert open_scene(path, layout="file").layout == "file"
    assert next(iter(known_layouts().items()))[0] == "diary"


@pytest.mark.parametrize(
    ("entry_point", "message"),
    [
        ("diary = diary_layout:missing", "the layout 'diary' .* cannot be imported"),
        ("diary = no_such_module_here", "the layout 'diary' .* cannot be imported"),
        ("diary = diary_layout:LOOKS_LIKE", "the layout 'diary' .* lacks LOOKS_LIKE, detect, open"),
    ],
)
def test_a_broken_installed_layout_is_named_with_what_to_do(
    install: Callable[[str, str], None], tmp_path: Path, entry_point: str, message: str
) -> None:
    install("diary_layout", entry_point)
    with pytest.raises(SceneError, match=message):
        open_scene(tmp_path)
