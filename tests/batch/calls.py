"""Calls for worker processes to make: a module that takes no time to import."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(marker: Path, result: int) -> int:
    if not marker.exists():
        marker.touch()
        die()
    return result
