"""The identity of the files that a frame is read from, for `Frame.sources`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from lidarprep.scene import CameraImage, SourceFile


def source_file(path: Path) -> SourceFile:
    """Return a file's path, size and modification time; without the latter two if it cannot be looked at."""
    location = os.fspath(path)
    try:
        status = os.stat(location)  # noqa: PTH116  # called for thousands of files
    except OSError:
        return SourceFile(location)
    return SourceFile(location, status.st_size, str(status.st_mtime_ns))


def source_files(paths: Iterable[Path], images: Iterable[CameraImage] = ()) -> tuple[SourceFile, ...]:
    """Return the identity of each file and of each image's file, once, in the order given."""
    files = dict.fromkeys(paths) | dict.fromkeys(image.path for image in images if image.path is not None)
    return tuple(map(source_file, files))
