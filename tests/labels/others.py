"""Readers of other people, in a folder of their own: they pin libraries that the project has in other versions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Their dependencies that the tests' environment lacks; with --no-deps, so that its own are not replaced.
PACKAGES = (
    *("nuscenes-devkit==1.2.0", "pyquaternion", "cachetools", "descartes", "tqdm"),
    *(
        "scikit-learn",
        "joblib",
        "cloudpickle",
        "threadpoolctl",
        "narwhals",
        "matplotlib",
        "cycler",
        "kiwisolver",
        "contourpy",
    ),
    *("pyparsing", "python-dateutil", "fonttools", "six", "openlabel-checker==0.1.0", "kitti-aug==0.2"),
)


def install(folder: Path) -> Path:
    """Install them; skips the test where that cannot be done."""
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *PACKAGES]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=240)
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"readers of other people cannot be installed: {error}")
    if done.returncode:
        pytest.skip(f"readers of other people cannot be installed: {done.stderr[-300:]}")
    return folder


def run(folder: Path, script: str, *words: object) -> Any:
    """Run a script that uses them; return the JSON that it prints on its last line."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "MPLBACKEND": "Agg"}
    command = [sys.executable, "-W", "ignore", "-c", script, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
