"""Files whose names are numbers that count the rows of other files: 0000000007.bin belongs to the eighth."""

from __future__ import annotations

import os
from pathlib import Path

from lidarprep.datasets.numbered import visible
from lidarprep.errors import SceneError


def counted_files(folder: Path, *suffixes: str) -> tuple[dict[int, Path], list[str]]:
    """The files NUMBER.SUFFIX of a folder, by number, and a note on those of the suffix that have no number.

    Args:
        folder: Where to look; there may be no such folder.
        suffixes: How the names end, with their dots, in lower case.

    Raises:
        SceneError: Two files have one number, such as 7.bin and 07.bin.
    """
    found: dict[int, Path] = {}
    strange: list[str] = []
    for path in visible(folder) if folder.is_dir() else ():
        suffix = next((suffix for suffix in suffixes if path.name.lower().endswith(suffix)), None)
        if suffix is None:
            continue
        stem = path.name[: -len(suffix)]
        if not (stem.isascii() and stem.isdecimal() and len(stem) < 19):
            strange.append(path.name)
            continue
        number = int(stem)
        if number in found:
            raise SceneError(
                f"{found[number]} and {path} belong to the same frame", fix="Keep one of them in the folder."
            )
        found[number] = path
    place = f"{folder.parent.name}/{folder.name}"
    notes = [f"{place}: {len(strange)} files there have no number, such as {strange[0]}"] if strange else []
    return dict(sorted(found.items())), notes


def folders_in(path: Path) -> list[Path]:
    """The folders in a folder, by name, without a look at each of thousands of files there.

    Hidden ones don't count, nor do those that may not be looked into, such as the lost+found of a disk.
    """
    if not path.is_dir():
        return []
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    return [path / name for name in names if os.access(path / name, os.R_OK | os.X_OK)]
