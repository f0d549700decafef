"""What is gone of a finished run, or damaged, is made again, and stored only if it is what the manifest says.

The frames are prepared once more, as the run did before it settled what holds for all of them. What is made is kept
aside until all is, or this is stopped; if the process is killed, the next mending finds it. The manifest stays as it
is: it is true at any time.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from lidarprep.attachments import SceneFormat, get_format
from lidarprep.errors import SceneError, StorageError
from lidarprep.pipeline.delivery import DoneFrame, Progress
from lidarprep.pipeline.destination import Destination
from lidarprep.pipeline.frame_work import FrameJob, FramePreparer, PreparedFrame, SkippedFrame
from lidarprep.pipeline.in_flight import InFlight
from lidarprep.pipeline.in_order import in_order
from lidarprep.pipeline.plan import planned
from lidarprep.pipeline.settling import Settling
from lidarprep.pipeline.storing import FrameStorer
from lidarprep.pipeline.whole_scene import WholeScene
from lidarprep.recipe import Recipe, StorageOptions
from lidarprep.scene import Scene
from lidarprep.storage import Manifest, Store, StoredObject
from lidarprep.storage.lock import Lock
from lidarprep.storage.manifest import AttachmentRecord, ImageRecord
from lidarprep.storage.store import StagedStore, describe, describe_file


def frames_of(record: AttachmentRecord | ImageRecord) -> list[str]:
    """Ids of the frames that an object holds, or the one that it is a picture of."""
    return [record.frame] if isinstance(record, ImageRecord) else record.frames


@dataclass(frozen=True)
class Mending:
    """Makes objects of a finished run again. Only who holds the destination's lock may.

    Args:
        manifest: What says how they were made, and what they are.
        scene: The recording, opened as it was for the run.
        store: Where they lie, which stores as the run did.
        lock: What keeps others off.
        keys: The objects.
    """

    manifest: Manifest
    scene: Scene
    store: Store
    lock: Lock
    keys: Collection[str]

    def require_possible(self) -> None:
        """Sees that they can become again what they were, and that there is room.

        Raises:
            StorageError: They held signed URLs, which no second run makes again; or there is no room.
        """
        records = {key: record for key, record in self.manifest.objects() if key in set(self.keys)}
        for key, record in records.items():
            if isinstance(record, AttachmentRecord) and record.unsigned_sha256 is not None:
                raise StorageError(
                    f"{self.store.location(key)} is gone or damaged; it held signed URLs of pictures, which cannot be "
                    "made a second time",
                    fix="Prepare again with --overwrite.",
                )
        self.store.check(sum(record.bytes for record in records.values()))

    def run(self, progress: Progress, *, workers: int | None = None) -> set[str]:
        """Makes them; the keys of those that are as the manifest says again.

        Args:
            progress: Told of each frame.
            workers: Frames worked on at once; as many as cores where it is None.

        Raises:
            SceneError, FormatError: The recording is not sound, or not the manifest's.
            StorageError: They cannot be stored, or not as they were.
        """
        self.require_possible()
        staged = self.store.staged(True)
        found = _OnlyAsRecorded(staged, self.manifest, self.keys)
        self._take_up(staged, found)
        wanted = set(self.keys) - found.restored
        frames = {name for key, record in self.manifest.objects() if key in wanted for name in frames_of(record)}
        try:
            if frames:
                self._make(frames, found, progress, workers or os.cpu_count() or 1)
        except BaseException as failure:
            if isinstance(failure, (KeyboardInterrupt, SystemExit)):
                failure.add_note("what was made again is kept: run the same command again to go on.")
            with suppress(StorageError):  # which must not hide why this ends; the next mending takes it up
                self._finish(staged, found)
            raise
        self._finish(staged, found)
        return found.restored

    def _finish(self, staged: StagedStore, found: _OnlyAsRecorded) -> None:
        """Lets what was made stand: each is what the manifest says, whatever became of the others."""
        self.lock.check()
        self._let_stand(staged, found.fresh)

    def _take_up(self, staged: StagedStore, found: _OnlyAsRecorded) -> None:
        """Lets what a mending that was killed has kept aside stand, where it is what it is to be."""
        left = [staged.measure(key) for key in staged.sizes(self.keys)]
        ready = {one.key for one in left if one is not None and found.sha256[one.key] == one.sha256}
        self._let_stand(staged, ready)
        found.restored |= ready

    def _let_stand(self, staged: StagedStore, keys: Collection[str]) -> None:
        if keys:
            staged.commit(sorted(keys))
        staged.roll_back([])

    def _make(self, frames: set[str], found: _OnlyAsRecorded, progress: Progress, workers: int) -> None:
        recipe = Recipe(**self.manifest.recipe)
        scene = self.scene if recipe.points_frame is None else self.scene.with_points_in(recipe.points_frame)
        jobs = planned(scene, recipe)
        unknown = sorted(frames - {job.frame.id for job in jobs})
        if unknown:
            raise SceneError(
                f"{scene.source} has no frame {unknown[0]} that the recipe would prepare",
                fix="Name the recording that the manifest was made of.",
            )
        steps = Settling(scene, recipe).steps([job.frame for job in jobs])
        destination = _Elsewhere(self.manifest.location, StorageOptions(), store=cast(StagedStore, found))
        preparer = FramePreparer(steps, recipe, destination)
        attachment_format = get_format(recipe.format)
        in_flight = InFlight(workers + 1)
        try:
            with ThreadPoolExecutor(workers, thread_name_prefix="lidarprep-mending") as pool:
                if isinstance(attachment_format, SceneFormat):
                    # It holds all frames, and is made of all of them.
                    prepared = in_order(
                        lambda job, _: pool.submit(preparer, job), jobs, in_flight, held=True, on_stop=destination.stop
                    )
                    self._make_scene(attachment_format, preparer, jobs, prepared, progress)
                    return
                wanted = [job for job in jobs if job.frame.id in frames]
                progress.start(len(jobs), len(jobs) - len(wanted))
                storer = FrameStorer(preparer, attachment_format)
                stored = in_order(lambda job, _: pool.submit(storer, job), wanted, in_flight, on_stop=destination.stop)
                with closing(stored):
                    for frame in stored:
                        _tell(progress, frame)
        finally:
            destination.forget()

    def _make_scene(
        self,
        attachment_format: SceneFormat,
        preparer: FramePreparer,
        jobs: Sequence[FrameJob],
        prepared: Generator[PreparedFrame | SkippedFrame],
        progress: Progress,
    ) -> None:
        progress.start(len(jobs), 0)
        whole = WholeScene(
            attachment_format,
            key=jobs[0].key,
            frames=len(jobs),
            pictures=sum(len(job.frame.images) for job in jobs),
            lidars=len(self.scene.lidars),
            odometry=preparer.recipe.odometry,
            skip_bad_frames=preparer.recipe.skip_bad_frames,
            store=preparer.destination.open_staged(),
            lasts=False,
            keep=lambda frames, scene: None,
        )
        with closing(prepared), whole.open(()) as growing:
            for frame in growing.write(prepared):
                _tell(progress, frame)
            growing.finish()


def _tell(progress: Progress, frame: DoneFrame) -> None:
    if isinstance(frame, SkippedFrame):
        progress.skip(frame.record)
    else:
        progress.advance(frame.record, frame.bytes)


@dataclass(frozen=True)
class _Elsewhere(Destination):
    """A destination whose frames are stored in a store that is given."""

    store: StagedStore = field(compare=False, kw_only=True)

    def open_staged(self) -> StagedStore:
        return self.store

    def stop(self) -> None:
        super().stop()
        self.store.stop()


class _OnlyAsRecorded:
    """What the frames are stored in: it stores what is asked for, if it is what the manifest says, and nothing else.

    Args:
        store: Where that goes.
        manifest: What it is to be; its URLs are those that stand in attachments.
        keys: What is asked for.
    """

    def __init__(self, store: StagedStore, manifest: Manifest, keys: Collection[str]) -> None:
        objects = manifest.objects()
        self.sha256: Mapping[str, str] = {key: record.sha256 for key, record in objects if key in set(keys)}
        self.restored: set[str] = set()
        self.fresh: set[str] = set()
        self._urls = {key: record.url for key, record in objects}
        self._store = store

    def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        made = describe(key, self.url(key), data)
        if self.sha256.get(key) == made.sha256:
            self._store.put(key, data, content_type)
            self._note(key)
        return made

    def spool(self, key: str) -> AbstractContextManager[BinaryIO]:
        return self._store.spool(key)

    def put_file(self, key: str, file: BinaryIO, content_type: str) -> StoredObject:
        file.flush()
        made = describe_file(key, self.url(key), file)
        if self.sha256.get(key) == made.sha256:
            self._store.put_file(key, file, content_type)
            self._note(key)
        return made

    def url(self, key: str) -> str:
        return self._urls.get(key, key)

    fetch_url = url

    def fetch_urls_expire_at(self) -> None:
        """Never: attachments that hold signed URLs are not made."""

    def stop(self) -> None:
        self._store.stop()

    def _note(self, key: str) -> None:
        self.restored.add(key)
        self.fresh.add(key)
