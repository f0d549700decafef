"""The story of one run: a scene's frames are prepared, encoded and stored, and the manifest says what became of them.

Frames run in threads, since kernels, files and hashes release the GIL; or wherever a caller's executor runs them.
Memory is bounded by what the frames in flight hold: another is taken up only when it fits beside them, and a frame's
points live no longer than until it is encoded.

A run may be stopped at any time. What is done is recorded in a journal, and kept; the same run again does what is
missing, and ends with the same bytes. The manifest comes last: where it stands, everything that it names does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

from lidarprep.errors import RecipeError, StorageError, place_name
from lidarprep.pipeline.completion import Completion
from lidarprep.pipeline.delivery import Progress
from lidarprep.pipeline.destination import Destination
from lidarprep.pipeline.fingerprint import fingerprint_of
from lidarprep.pipeline.frame_work import FrameJob
from lidarprep.pipeline.mending import Mending
from lidarprep.pipeline.nothing_kept import NothingKeptError, where_points_are
from lidarprep.pipeline.place import Place
from lidarprep.pipeline.plan import keys_of, planned
from lidarprep.pipeline.records import Header, Settled
from lidarprep.pipeline.settling import Settling
from lidarprep.recipe import Recipe, StorageOptions
from lidarprep.resigning import Resigning
from lidarprep.scene import Scene
from lidarprep.storage import Manifest
from lidarprep.storage.lock import Lock, locked
from lidarprep.storage.manifest import FrameRecord, SkippedRecord
from lidarprep.stored import gaps


class NoProgress:
    """Keeps quiet."""

    def start(self, frames: int, done: int) -> None:
        """Does nothing."""

    def advance(self, frame: FrameRecord, stored_bytes: int) -> None:
        """Does nothing."""

    def skip(self, frame: SkippedRecord) -> None:
        """Does nothing."""


def prepare(
    scene: Scene,
    recipe: Recipe,
    out: str | PathLike[str],
    *,
    storage: StorageOptions | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Prepares a scene as the recipe says, and stores its attachments, its pictures and the manifest.

    A run that was stopped is taken up where it was by the same call; one that is done already is returned at once.

    Args:
        scene: The recording; `open_scene` opens one.
        recipe: What is to be done with it.
        out: A folder, or s3://bucket/prefix.
        storage: How `out` is reached and named to Scale.
        overwrite: Whether to replace what another run has left at `out`, finished or not.
        workers: Frames worked on at once; as many as cores where it is None.
        executor: Runs the frames in place of a thread pool of our own.
        progress: Told of each frame that is stored; of nothing where nothing is to be done.

    Returns:
        The manifest, as it was stored.

    Raises:
        RecipeError: The recipe does not fit the scene, or keeps none of its points; `out` holds another run. Nothing
            of this one is kept.
        SceneError, FormatError: The recording is not sound; where bad frames are skipped, none of them is.
        EncodingError: The format cannot hold a value of it.
        StorageError: `out` cannot be stored at, or another run is at it. Whatever is raised but a RecipeError, and
            KeyboardInterrupt among it, the frames that are done are kept for the next run.
    """
    if workers is not None and workers < 1:
        raise RecipeError(f"workers is {workers}; it must be 1 or more")
    if "://" not in fspath(out) and Path(out).resolve() == Path(scene.source).resolve():
        raise RecipeError(f"{fspath(out)} is the recording itself", fix="Choose another destination.")
    destination = Destination(fspath(out), storage or StorageOptions())
    workers = workers or os.cpu_count() or 1
    return Preparation(scene, recipe, destination, progress or NoProgress()).run(
        overwrite=overwrite, workers=workers, executor=executor
    )


@dataclass
class Preparation:
    """One run of `prepare`.

    Args:
        scene: The recording.
        recipe: What is to be done with it.
        destination: Where to store.
        progress: Told of each frame that is stored.
    """

    scene: Scene
    recipe: Recipe
    destination: Destination
    progress: Progress

    def __post_init__(self) -> None:
        if self.recipe.points_frame is not None:
            self.scene = self.scene.with_points_in(self.recipe.points_frame)
        self.settling = Settling(self.scene, self.recipe)

    def run(self, *, overwrite: bool, workers: int, executor: Executor | None) -> Manifest:
        """Plans the frames, and does what is to be done, if anything is; no two runs at once do so in one place."""
        jobs = planned(self.scene, self.recipe)
        try:
            return self.done(jobs, overwrite=overwrite, workers=workers, executor=executor)
        finally:
            self.destination.forget()

    def done(self, jobs: Sequence[FrameJob], *, overwrite: bool, workers: int, executor: Executor | None) -> Manifest:
        """The manifest of a run that is done already, or else is done now."""
        store, options = self.destination.open(), self.destination.options
        frames = [job.frame for job in jobs]
        fingerprint = fingerprint_of(self.scene, self.recipe, options, frames, url_base=store.url(""))
        place = Place(self.destination, store, fingerprint)
        if not overwrite and not place.something_is_unfinished():
            standing = place.standing()
            if standing is not None and place.is_whole(standing):
                return standing
        store.check()
        with locked(store) as lock:
            try:
                store.probe()
                ready = self.completion(place, jobs, lock, overwrite)
                if isinstance(ready, Manifest):
                    self.mend(place, ready, lock, workers)
                    manifest = ready
                else:
                    manifest = ready.to_its_end(workers, executor)
                return Resigning(manifest, store, lock).run() if manifest.images_have_expired else manifest
            except NothingKeptError as error:
                error.fix = where_points_are(frames, self.recipe) or error.fix
                raise
            finally:
                self.destination.forget()

    def mend(self, place: Place, manifest: Manifest, lock: Lock, workers: int) -> None:
        """Makes again what is gone of a run that has ended.

        Raises:
            StorageError: It is not what it was.
        """
        missing = gaps(manifest, place.store)
        if not missing:
            place.destination = place.destination.keeping_aside(True)
            place.tidy(set())  # of what a mending has left that was killed at its end
            return
        restored = Mending(manifest, self.scene, place.store, lock, missing).run(self.progress, workers=workers)
        unlike = [key for key in missing if key not in restored]
        if unlike:
            raise StorageError(
                f"{place_name(place.store.location(unlike[0]))} is gone, and what is made in its place is not what the "
                "manifest says",
                fix="Prepare again with --overwrite.",
            )

    def completion(self, place: Place, jobs: Sequence[FrameJob], lock: Lock, overwrite: bool) -> Completion | Manifest:
        """What is left to do, once what an earlier run has left is taken up or removed; the manifest, if nothing is."""
        keys = keys_of(jobs)
        unfinished = place.unfinished(overwrite)
        place.store.sweep([*keys, *(() if unfinished is None else unfinished.header.keys)])
        if unfinished is not None and unfinished.committing is not None:
            manifest = place.commit(list(unfinished.committing), set(unfinished.header.replaces))
            if place.fingerprint is not None and manifest.fingerprint == place.fingerprint_value:
                return manifest
            unfinished = None
        standing = None if overwrite else place.standing()
        if standing is not None:
            if unfinished is not None:
                place.tidy_beside(standing, unfinished.header)
            return standing
        left: set[str] = set()
        if unfinished is not None and not place.can_take_up(unfinished, overwrite):
            left = place.take_back(unfinished.header)
            unfinished = None
        if unfinished is None:
            header = self.settled(place, jobs, keys, place.claim(keys, overwrite, left))
        else:
            header = place.take_up(unfinished, keys, overwrite)
        completion = Completion(self.scene, self.recipe, self.settling, place, self.progress, lock, jobs, header)
        if unfinished is not None:
            completion.restore(unfinished)
        return completion

    def settled(self, place: Place, jobs: Sequence[FrameJob], keys: list[str], replaces: set[str]) -> Header:
        """Settles what must be the same for all frames; what the journal is to say of the run."""
        frames = [job.frame for job in jobs]
        self.settling.steps(frames)
        self.settling.check(frames)
        files = {} if place.fingerprint is None else place.fingerprint.files
        looked_at = [*self.settling.looked_at, *self.settling.bad]
        self.settling.looked_at.clear()  # points, for the checks
        return Header(
            fingerprint=place.fingerprint_value,
            parts={} if place.fingerprint is None else dict(place.fingerprint.parts),
            settled=Settled(
                offset=self.settling.offset,
                intensity_scale=self.settling.scale,
                notes=self.settling.notes,
                looked_at={name: files[name] for name in looked_at if name in files},
            ),
            keys=keys,
            replaces=sorted(replaces),
            aside=place.destination.aside,
        )
