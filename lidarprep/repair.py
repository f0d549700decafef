"""What is missing or damaged at a destination is made again from the recording, and stored only if it is the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lidarprep.pipeline.mending import Mending
from lidarprep.recipe import StorageOptions
from lidarprep.scene import Scene
from lidarprep.storage import Manifest
from lidarprep.storage.lock import locked
from lidarprep.storage.manifest import FrameRecord, SkippedRecord
from lidarprep.stored import require_current, store_of
from lidarprep.verification import Finding


@dataclass(frozen=True)
class Repair:
    """What became of what was damaged.

    Args:
        restored: Keys of what is as the manifest says again.
        unlike: What could not be restored: made again, it is not what the manifest says.
    """

    restored: tuple[str, ...]
    unlike: tuple[Finding, ...]


def repair(
    manifest: Manifest,
    findings: Sequence[Finding],
    scene: Scene,
    storage: StorageOptions | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Repair:
    """Prepares the frames that `verify` has found something wrong with once more, and stores what is as it was.

    What then has not the SHA-256 that the manifest says, since the recording or lidarprep is another, is not stored.

    Args:
        manifest: As it was loaded from beside its objects; it stays as it is.
        findings: What is wrong.
        scene: The recording, opened as it was for the run.
        storage: How S3 is reached. What objects are stored with is what the manifest says; only where it does not, it
            is what stands here.
        workers: Frames worked on at once; as many as cores where it is None.
        progress: Told after each frame how many of how many are done.

    Raises:
        RecipeError: The storage options are not those that the run stored with.
        SceneError, FormatError: The recording is not sound, or not the manifest's.
        StorageError: It cannot be stored, another run is at it, or has been since the manifest was loaded; or an
            attachment is to be made that held signed URLs, which no second run makes again.
    """
    if not findings:
        return Repair((), ())
    store = store_of(manifest, storage, to_write=True)
    with locked(store) as lock:
        require_current(manifest, store)
        store.sweep([key for key, _ in manifest.objects()])
        keys = [finding.key for finding in findings]
        restored = Mending(manifest, scene, store, lock, keys).run(_Counting(progress), workers=workers)
    return Repair(
        tuple(key for key in keys if key in restored),
        tuple(finding for finding in findings if finding.key not in restored),
    )


class _Counting:
    """Counts the frames that it is told of.

    Args:
        progress: Told how many of how many are done.
    """

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress = progress
        self._done = self._total = 0

    def start(self, frames: int, done: int) -> None:
        """So many are to be made, but for those that need not."""
        self._total = frames - done

    def advance(self, frame: FrameRecord, stored_bytes: int) -> None:
        """One more is made."""
        self._done += 1
        self._progress(self._done, self._total)

    def skip(self, frame: SkippedRecord) -> None:
        """One more is bad, and left out."""
        self._done += 1
        self._progress(self._done, self._total)
