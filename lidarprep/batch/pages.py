"""The page of each scene of a batch, beside its manifest: what `lidarprep report` writes, of the recording itself."""

from __future__ import annotations

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

from lidarprep.report.page import write_report
from lidarprep.report.views import SceneView
from lidarprep.scene import Scene
from lidarprep.storage import Manifest, store_of
from lidarprep.storage.options import StorageOptions

PAGE_KEY = "report.html"

# Thousands of pages are looked at one by one, and are stored.
_SIZE_MB = 5.0


def has_page(manifest: Manifest, storage: StorageOptions) -> bool:
    """Tell whether a page lies beside a manifest.

    Raises:
        StorageError: The store cannot be reached.
    """
    return PAGE_KEY in store_of(manifest, storage).sizes(PAGE_KEY)


def write_page(scene: Scene, manifest: Manifest, storage: StorageOptions) -> None:
    """Write the page of a scene beside its manifest; one that is there is replaced. All frames are read again.

    Args:
        scene: The recording, opened as it was for the run.
        manifest: What the run stored.
        storage: How its store is reached.

    Raises:
        SceneError, FormatError: None of the frames can be read.
        StorageError: The page cannot be stored.
    """
    with TemporaryDirectory(prefix="lidarprep-") as folder:
        file = Path(folder) / PAGE_KEY
        view = SceneView.of_prepared(scene, manifest)
        write_report(view, file, findings=manifest.findings, size_mb=_SIZE_MB)
        data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    store_of(manifest, storage).put(PAGE_KEY, data, "text/html; charset=utf-8", sha256=digest)
