"""Scale's own Python client does against the sandbox all that it can do for the task types of lidar."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from lidarprep.sandbox import running_sandbox

# Not imported: what it imports is in the other environment only.
PROGRAM = Path(__file__).with_name("official_client_child.py")
REQUIREMENT = "scaleapi>=2.18,<3"


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment of its own, which has Scale's client."""
    folder = tmp_path_factory.mktemp("official")
    try:
        venv.create(folder, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no environment can be made here: {error}")
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", "--retries", "1", "--timeout", "20", REQUIREMENT]
    try:
        installed = subprocess.run(command, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{REQUIREMENT} was not installed within 180 s")
    if installed.returncode:
        pytest.skip(f"{REQUIREMENT} can't be installed here: {installed.stderr.strip().splitlines()[-1]}")
    return python


def test_the_official_client_does_all_it_can(official: Path, tmp_path: Path) -> None:
    with running_sandbox(api_keys=["test_key"]) as sandbox:
        command = [str(official), str(PROGRAM), sandbox.url, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "done\n"
