"""Thumbnails of scenes: one frame of what is stored of each, from above. One frame is decoded for each, once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from lidarprep.batch.record import SceneRecord
from lidarprep.datasets import open_scene
from lidarprep.errors import LidarprepError
from lidarprep.report.top_down import glance
from lidarprep.storage.files import move_file, temporary_file, writing
from lidarprep.storage.store import MANIFEST_KEY, in_threads

log = logging.getLogger(__name__)

# (width, height) pixels: twice those of the page's table, for dense screens.
SIZE = (256, 192)
_QUALITY, _METHOD = 55, 4

# Scenes that are drawn at once; each reads a frame.
_AT_ONCE = 2


@dataclass(frozen=True)
class Thumbnails:
    """The folder of a batch's thumbnails. Each is named by its scene and by what is stored of that.

    Args:
        folder: The folder.
    """

    folder: Path

    def path_of(self, record: SceneRecord) -> Path:
        """Return where a scene's thumbnail is."""
        return self.folder / f"{record.name}-{record.fingerprint[:8]}.webp"

    def draw(
        self, records: Iterable[SceneRecord], progress: Callable[[int, int], None] = lambda done, total: None
    ) -> list[str]:
        """Draw those that are not there yet; return why some could not be, for people.

        Raises:
            StorageError: The folder cannot be written to.
        """
        missing = [one for one in records if one.fingerprint and one.manifest and not self.path_of(one).exists()]
        if missing:
            self.folder.mkdir(parents=True, exist_ok=True)
        problems = []
        for done, problem in enumerate(in_threads(self._draw, missing, _AT_ONCE), 1):
            progress(done, len(missing))
            if problem is not None:
                problems.append(problem)
        return problems

    def _draw(self, record: SceneRecord) -> str | None:
        try:
            image = glance(open_scene(record.manifest.removesuffix(MANIFEST_KEY)), SIZE)
        except LidarprepError as error:
            return f"{record.name}: {error.message}"
        data = BytesIO()
        image.save(data, "WEBP", quality=_QUALITY, method=_METHOD)
        target = self.path_of(record)
        with temporary_file(target) as stream, writing(target):
            stream.write(data.getvalue())
            move_file(stream, target)
        return None
