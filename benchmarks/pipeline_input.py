"""The recordings that the pipeline is measured on: few frames, repeated under new numbers, each at its own pose."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

METRES_A_FRAME = 0.5


def write_recording(source: Path, folder: Path, frames: int) -> Path:
    """Writes a toolkit folder of so many frames, those of `source` in turns, and gives it.

    The files are hard links to copies that lie beside it, so that 500 frames take the disk of a few; every frame still
    has a pose and a name of its own, and is read, prepared, encoded and stored for itself.
    """
    kept = folder.parent / "frames"
    if not kept.exists():
        shutil.copytree(source, kept)
        for path in (kept, *kept.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
    numbers = sorted(int(path.stem) for path in (kept / "pointcloud").iterdir())
    for path in (path for path in kept.rglob("*") if path.is_dir()):
        (folder / path.relative_to(kept)).mkdir(parents=True)
    for path in (path for path in kept.rglob("*") if path.is_file()):
        inner = path.relative_to(kept)
        if not path.stem.isdigit():  # intrinsics and extrinsics
            os.link(path, folder / inner)
            continue
        first = numbers.index(int(path.stem))
        for row in range(first, frames, len(numbers)):
            target = (folder / inner).with_stem(str(row + 1))
            if inner.parts[0] == "poses":
                target.write_text(json.dumps(_moved(json.loads(path.read_text()), row)))
            else:
                os.link(path, target)
    return folder


def _moved(pose: dict[str, Any], row: int) -> dict[str, Any]:
    x, y, z = pose["position"]
    moved = pose | {"position": [x + METRES_A_FRAME * row, y, z]}
    return moved if "timestamp" not in pose else moved | {"timestamp": row * 100_000_000}


def size_of(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
