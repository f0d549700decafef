"""Start-up: what is compiled, when, and where it is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import laspy
import pytest

from lidarprep import cli
from lidarprep.kernels import jit
from tests.scenes import write_toolkit_scene


def main(words: list[str]) -> str:
    """A program that runs a command and goes on if it ends well."""
    return f"from lidarprep.cli import main\ntry: main({words!r})\nexcept SystemExit as ended: assert not ended.code\n"


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | environment
    )
    assert ended.returncode == 0, ended.stderr
    return ended


def test_the_first_run_says_that_it_compiles_what_it_uses_and_a_later_one_is_silent(tmp_path: Path) -> None:
    scene = write_toolkit_scene(tmp_path / "recording", frames=1, cameras=())
    said = []
    for out in ("a", "b"):
        words = ["prepare", str(scene), "--out", str(tmp_path / out), "--format", "protobuf"]
        said.append(run(main(words), NUMBA_CACHE_DIR=str(tmp_path / "cache")).stderr.count("first run: compiling"))
    assert said == [1, 0]
    compiled = {path.name.partition("-")[0] for path in (tmp_path / "cache").rglob("*.nbc")}
    outermost = {name for name in compiled if not name.partition(".")[2].startswith(("_", "store"))}
    assert outermost == {"select.transform_and_select", "select.all_within", "wire.write_points"}


def test_a_run_with_nothing_to_do_imports_only_what_it_takes_to_see_that(tmp_path: Path) -> None:
    scene = write_toolkit_scene(tmp_path / "recording", frames=2)
    words = ["prepare", str(scene), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        cli.main(words)
    again = run(f"{main(words)}import sys; print(*sys.modules)")
    assert "nothing to do" in again.stderr
    imported = set(again.stdout.split())
    assert "lidarprep.datasets.toolkit" in imported
    others = ("numba", "llvmlite", "boto3", "httpx", "tenacity", "rich", "yaml", "PIL", "google.protobuf", "scipy")
    ours = ("api", "kernels", "cli.tasks", "datasets.attachments", "datasets.folder", "datasets.nuscenes")
    assert imported.isdisjoint([*others, *(f"lidarprep.{name}" for name in ours)])


def test_help_and_import_are_light() -> None:
    def check(*heavy: str) -> str:
        return f"found = {set(heavy)} & set(sys.modules); assert not found, found\n"

    heavy = ("numba", "llvmlite", "boto3", "botocore", "httpx")
    run(
        f"import sys, lidarprep\n{main(['--help'])}{check(*heavy, 'numpy', 'pydantic', 'rich')}"
        f"lidarprep.Recipe(); lidarprep.open_scene\n{main(['prepare', '--help'])}{check(*heavy)}"
    )


def test_each_layout_is_imported_when_it_is_tried() -> None:
    told = "print(*(name for name in sys.modules if name.startswith('lidarprep.datasets.')))"
    program = f"import sys, lidarprep as lp\nlp.known_layouts(); {told}\ndict(lp.known_layouts()); {told}"
    listed, tried = run(program).stdout.splitlines()
    assert "datasets.kitti" not in listed
    assert "datasets.kitti_raw" in tried


def test_each_command_is_imported_when_it_is_named() -> None:
    told = "print('lidarprep.cli.prepare' in sys.modules, file=sys.stderr)\n"
    program = f"import sys\n{main(['--help'])}{main(['layouts', '--help'])}{told}{main(['prepare', '--help'])}{told}"
    assert run(program).stderr.split() == ["False", "True"]


@pytest.mark.parametrize("name", cli._COMMANDS)
def test_the_list_of_commands_says_of_each_what_its_own_help_begins_with(name: str) -> None:
    assert cli._command(name).get_short_help_str(limit=1000) == cli._COMMANDS[name][1]


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_a_package_that_cannot_be_written_to_keeps_its_machine_code_elsewhere(tmp_path: Path) -> None:
    program = (
        "import pathlib, tempfile, lidarprep.kernels.jit as jit\n"
        "real = tempfile.TemporaryFile\n"
        "def refusing(dir=None, **kwargs):\n"
        "    if str(dir).startswith(str(jit._HERE)): raise PermissionError(13, 'read-only')\n"
        "    return real(dir=dir, **kwargs)\n"
        "tempfile.TemporaryFile = refusing\n"
        "print(jit.cache_folder())\n"
        "import lidarprep.kernels.select\n"
    )
    environment = {"XDG_CACHE_HOME": str(tmp_path / "user")}
    assert run(program, **environment).stdout.startswith(str(tmp_path / "user" / "lidarprep"))
    (tmp_path / "user").joinpath("lidarprep").rename(tmp_path / "gone")
    (tmp_path / "user" / "lidarprep").write_text("a file, so that no folder can be made here")
    nowhere = run(program, **environment).stdout.strip()
    assert Path(nowhere).name.startswith("lidarprep-kernels-")
    assert not Path(nowhere).exists()  # kept for that process only


def test_threads_that_import_kernels_at_once_keep_their_machine_code_in_one_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []
    second = threading.Thread(target=lambda: jit.kernel(len))

    def slow_njit(**_: Any) -> Callable[[Any], Any]:
        if not seen:
            second.start()
            second.join(0.2)  # it would end here if it did not wait
        seen.append(jit.numba.config.CACHE_DIR)
        return lambda function: function

    before = jit.numba.config.CACHE_DIR
    monkeypatch.setattr(jit.numba, "njit", slow_njit)
    jit.kernel(len)
    second.join()
    assert seen == [str(jit.cache_folder())] * 2
    assert before == jit.numba.config.CACHE_DIR


def test_warming_up_compiles_all_that_reading_a_las_file_takes(tmp_path: Path) -> None:
    """And without laspy, which may not be installed: the one kind of arrays that any LAS file needs, once."""
    header = laspy.LasHeader(version="1.4", point_format=7)
    header.global_encoding.gps_time_type = laspy.header.GpsTimeType.STANDARD
    points = laspy.LasData(header, laspy.ScaleAwarePointRecord.zeros(3, header=header))
    points.gps_time[:] = points.red[:] = 5
    points.write(tmp_path / "a.las")
    program = (
        "import pathlib, sys\n"
        "sys.modules['laspy'] = None\n"
        "from lidarprep import read_points, warm_up\n"
        "from lidarprep.warm_up import _las_file\n"
        f"read_points(_las_file(pathlib.Path({str(tmp_path / 'warm.las')!r})))\n"
        "from lidarprep.kernels.las_records import unpack, unpack_colours, unpack_times\n"
        "def compiled(): return [len(kernel.signatures) for kernel in (unpack, unpack_colours, unpack_times)]\n"
        "before = compiled()\n"
        f"read_points({str(tmp_path / 'a.las')!r})\n"
        "print(before, compiled())\n"
    )
    assert run(program).stdout.strip() == "[1, 1, 1] [1, 1, 1]"
