"""Scale's own Python client does against the sandbox all that it can do for the task types of lidar."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lidarprep.sandbox import running_sandbox

# In a process of its own: the client keeps its session for as long as its process lives.
PROGRAM = Path(__file__).with_name("official_client_child.py")


def test_the_official_client_does_all_it_can(tmp_path: Path) -> None:
    pytest.importorskip("scaleapi", reason="Scale's client is not installed")
    with running_sandbox(api_keys=["test_key"]) as sandbox:
        command = [sys.executable, str(PROGRAM), sandbox.url, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "done\n"
