"""What is missing or damaged at a destination is made again from the recording, and stored only if it is the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lidarprep.attachments import SceneFormat, get_format
from lidarprep.errors import RecipeError, SceneError
from lidarprep.pipeline import prepare
from lidarprep.pipeline.destination import Destination
from lidarprep.pipeline.frame_work import FrameJob, FramePreparer, FrameStorer, SkippedFrame
from lidarprep.pipeline.plan import planned
from lidarprep.pipeline.settling import Settling
from lidarprep.recipe import Recipe, StorageOptions
from lidarprep.scene import Scene
from lidarprep.storage import LocalFolder, Manifest, Store
from lidarprep.storage.lock import locked
from lidarprep.storage.store import picture_type
from lidarprep.verification import Finding, frames_of, keys_of, records_of, store_of


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

    They are made in a folder for temporary files first. What then has not the SHA-256 that the manifest says, since the
    recording or lidarprep is another, is not stored.

    Args:
        manifest: As it was loaded from beside its objects; it stays as it is.
        findings: What is wrong.
        scene: The recording, opened as it was for the run.
        storage: How S3 is reached, and what objects are stored with.
        workers: Frames worked on at once; as many as cores where it is None.
        progress: Told after each frame how many of how many are done.

    Raises:
        RecipeError: The attachments hold signed URLs, which no second run makes again.
        SceneError, FormatError: The recording is not sound, or not the manifest's.
        StorageError: It cannot be stored, or another run is at it.
    """
    if manifest.images_expire_at is not None:
        raise RecipeError(
            "the attachments hold signed URLs of pictures, which cannot be made a second time",
            fix="Prepare again with --overwrite.",
        )
    if not findings:
        return Repair((), ())
    damaged = {finding.key: finding for finding in findings}
    sha256 = {key: record.sha256 for key, record in zip(keys_of(manifest), records_of(manifest), strict=True)}
    store = store_of(manifest, storage)
    restored: list[str] = []
    with TemporaryDirectory(prefix="lidarprep-") as scratch, locked(store):
        remade = _Remaking(manifest, scene, Path(scratch), frames_of(findings), workers or os.cpu_count() or 1)
        for done, made in enumerate(remade.objects(), start=1):
            for key, path in made.items():
                if key in damaged and _put_if_as(store, key, path, sha256[key], manifest.format):
                    restored.append(key)
            progress(done, remade.steps)
    unlike = tuple(finding for key, finding in damaged.items() if key not in set(restored))
    return Repair(tuple(restored), unlike)


def _put_if_as(store: Store, key: str, path: Path, sha256: str, attachments: str) -> bool:
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            return False
        attachment_format = get_format(attachments)
        if key.endswith(attachment_format.suffix) and "/" not in key:
            content_type = attachment_format.content_type
        else:
            file.seek(0)
            content_type = picture_type(path, file.read(16))
        file.seek(0)
        with store.spool(key) as spool:
            while piece := file.read(2**20):
                spool.write(piece)
            return store.put_file(key, spool, content_type).sha256 == sha256


@dataclass(frozen=True)
class _Remaking:
    """Makes frames of a manifest again, in a folder of its own, with the URLs that they had.

    Args:
        manifest: What says how.
        scene: The recording.
        scratch: The folder.
        frames: Ids of the frames.
        workers: Frames worked on at once.
    """

    manifest: Manifest
    scene: Scene
    scratch: Path
    frames: Sequence[str]
    workers: int

    @property
    def steps(self) -> int:
        """How many times `objects` yields."""
        return 1 if self._is_one else len(self.frames)

    @property
    def _is_one(self) -> bool:
        return isinstance(get_format(self.manifest.format), SceneFormat)

    def objects(self) -> Iterator[dict[str, Path]]:
        """For each frame the files that hold what is stored for it, by key; or for all of them, if they are one."""
        recipe = Recipe(**self.manifest.recipe)
        first = self.manifest.attachments[0].url
        options = StorageOptions(url_base=first.rpartition("/")[0] or None)
        destination = Destination(str(self.scratch), options)
        if self._is_one:
            made = prepare(self.scene, recipe, self.scratch, storage=options, workers=self.workers)
            yield {key: self.scratch / key for key in keys_of(made)}
            return
        # As the run did, before it settled what holds for all of its frames.
        scene = self.scene if recipe.points_frame is None else self.scene.with_points_in(recipe.points_frame)
        jobs = planned(scene, recipe)
        steps = Settling(scene, recipe).steps([job.frame for job in jobs])
        by_id = {job.frame.id: job for job in jobs}
        unknown = [name for name in self.frames if name not in by_id]
        if unknown:
            raise SceneError(
                f"{self.scene.source} has no frame {unknown[0]} that the recipe would prepare",
                fix="Name the recording that the manifest was made of.",
            )
        attachment_format = get_format(self.manifest.format)
        assert not isinstance(attachment_format, SceneFormat)  # noqa: S101  # it is one of the others
        storer = FrameStorer(FramePreparer(steps, recipe, destination), attachment_format)
        try:
            with ThreadPoolExecutor(self.workers) as pool:
                wanted = [by_id[name] for name in self.frames]
                for job, result in zip(wanted, pool.map(storer, wanted), strict=True):
                    yield {} if isinstance(result, SkippedFrame) else self._files(destination, job)
        finally:
            destination.forget()

    def _files(self, destination: Destination, job: FrameJob) -> dict[str, Path]:
        staged = destination.open_staged()
        assert isinstance(staged, LocalFolder)  # noqa: S101  # the scratch folder is one
        return {key: staged.path_of(key) for key in job.keys}
