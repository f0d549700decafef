"""The part of a run that stores: the frames that are missing, then the manifest."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

from lidarprep.attachments import SceneFormat, get_format
from lidarprep.errors import LidarprepError, RecipeError, StorageError
from lidarprep.pipeline.delivery import Delivery, Progress, SceneAttachment, record_each
from lidarprep.pipeline.frame_work import FrameJob, FramePreparer, FrameStorer, SkippedFrame, StoredFrame
from lidarprep.pipeline.in_order import in_order, threads
from lidarprep.pipeline.place import Place, sizes_by_url
from lidarprep.pipeline.plan import bytes_of_pictures, keys_of
from lidarprep.pipeline.resuming import Header, Unfinished, committing_record, frame_record, whole_record
from lidarprep.pipeline.settling import Settling
from lidarprep.recipe import Recipe
from lidarprep.scene import Scene
from lidarprep.storage import Manifest
from lidarprep.storage.journal import Journal, Record
from lidarprep.storage.lock import Lock
from lidarprep.storage.store import MANIFEST_KEY


@dataclass
class Completion:
    """The part of a run that stores.

    Args:
        scene: The recording.
        recipe: What is to be done with it.
        settling: What holds for all frames.
        place: Where it stores.
        progress: Told of each frame that is stored.
        lock: What keeps others off.
        jobs: Its frames.
        header: What its journal says of it.
        begun: Whether there is a journal already.
        done: What became of its frames so far, by their ids.
        whole: All of them, once they are stored as one scene.
    """

    scene: Scene
    recipe: Recipe
    settling: Settling
    place: Place
    progress: Progress
    lock: Lock
    jobs: Sequence[FrameJob]
    header: Header
    begun: bool = False
    done: dict[str, StoredFrame | SkippedFrame] = field(default_factory=dict)
    whole: Delivery | None = None

    def __post_init__(self) -> None:
        self.destination = self.place.destination
        self.journal: Journal = self.place.journal
        self.files = {} if self.place.fingerprint is None else self.place.fingerprint.files

    def restore(self, unfinished: Unfinished) -> None:
        """Takes over what is done already."""
        settled = unfinished.header.settled
        if settled is not None:
            self.settling.restore(settled.offset, settled.intensity_scale, settled.notes)
        self.begun = True
        staged = self.destination.open_staged()
        if unfinished.whole is not None:
            delivery = unfinished.whole[1]
            size = staged.sizes([self.jobs[0].key]).get(self.jobs[0].key)
            self.whole = delivery if size == delivery.attachments[0].bytes else None
            return
        keys_of = {job.frame.id: [*job.keys[1:], job.key] for job in self.jobs}
        self.done = unfinished.done(time.time(), staged.sizes, keys_of, compressed=self.destination.options.gzip)

    def to_its_end(self, workers: int, executor: Executor | None) -> Manifest:
        """Prepares and delivers the frames that are missing, then writes the manifest."""
        steps = self.settling.steps([job.frame for job in self.jobs])
        preparer = FramePreparer(steps, self.recipe, self.destination)
        missing = [job for job in self.jobs if job.frame.id not in self.done] if self.whole is None else []
        if self.place.store.stages:
            self.place.store.check(bytes_of_pictures(missing))
        self.progress.start(len(self.jobs), len(self.jobs) - len(missing))
        with self.kept_on_failure():
            if not self.begun:
                self.journal.begin(self.header.model_dump(mode="json"))
            if not self.place.store.stages:
                # What is put stands at once, where the manifest speaks of what was there: none is better than that.
                self.place.store.discard({MANIFEST_KEY} & set(self.header.replaces))
            with threads(executor, workers) as pool:
                delivery = self.deliver(preparer, missing, pool, in_flight=workers + 1)
            return self.finish(delivery)

    def deliver(
        self, preparer: FramePreparer, missing: Sequence[FrameJob], pool: Executor, *, in_flight: int
    ) -> Delivery:
        """Prepares the frames side by side, and stores each; or gathers them, in their order, into one scene."""
        attachment_format = get_format(self.recipe.format)
        with_samples = (replace(job, points=self.settling.samples.pop(job.frame.id, None)) for job in missing)
        if not isinstance(attachment_format, SceneFormat):
            storer = FrameStorer(preparer, attachment_format)
            fresh = in_order(
                pool,
                storer,
                with_samples,
                in_flight=in_flight,
                on_done=self.keep,
                on_stop=self.stop,
            )
            with self.stopped_with(fresh):
                return record_each(self.in_turn(fresh))
        if self.whole is not None:
            return self.whole
        attachment = SceneAttachment(
            attachment_format,
            key=self.jobs[0].key,
            frames=len(self.jobs),
            pictures=sum(len(job.frame.images) for job in self.jobs),
            odometry=self.recipe.odometry,
            skip_bad_frames=self.recipe.skip_bad_frames,
        )
        prepared = in_order(pool, preparer, with_samples, in_flight=in_flight, on_stop=self.stop)
        with self.stopped_with(prepared):
            delivery = attachment.gather(prepared, self.destination.open_staged(), self.progress)
        self.whole = delivery
        self.record(whole_record(delivery, {job.frame.id: self.files.get(job.frame.id, "") for job in self.jobs}))
        return delivery

    @contextmanager
    def stopped_with(self, results: Generator[object]) -> Iterator[None]:
        """Ends what is under way when this thread ends; soon, if the whole process is to."""
        with closing(results):
            try:
                yield
            except (KeyboardInterrupt, SystemExit, StorageError):
                self.stop()
                raise

    def stop(self) -> None:
        """Lets what is under way come to an early end: nothing that fails from now on is tried again."""
        self.destination.stop()
        self.place.store.stop()

    def in_turn(self, fresh: Iterator[StoredFrame | SkippedFrame]) -> Iterator[StoredFrame | SkippedFrame]:
        """All frames in time order, those that are done already among them."""
        before = dict(self.done)
        for job in self.jobs:
            if job.frame.id in before:
                yield before[job.frame.id]
                continue
            result = next(fresh)
            if isinstance(result, SkippedFrame):
                self.progress.skip(result.record)
            else:
                self.progress.advance(result.record, result.bytes)
            yield result

    def keep(self, frame: StoredFrame | SkippedFrame) -> None:
        """Records that a frame is done."""
        frame_id = frame.record.id
        self.record(frame_record(frame, self.files.get(frame_id, "")))
        self.done[frame_id] = frame

    def record(self, record: Record) -> None:
        """Adds to the journal; of a run that nobody could take up, nothing."""
        self.lock.check()
        if self.header.fingerprint is not None:
            self.journal.append(record)

    def finish(self, delivery: Delivery) -> Manifest:
        """Writes the manifest, last of all: where it stands, everything that it names is stored."""
        delivery.label(self.recipe.labeling_sample_rate, only_labelled=self.recipe.only_labelled)
        left_out = {skipped.record.id for skipped in delivery.skipped}
        keys = keys_of([job for job in self.jobs if job.frame.id not in left_out])
        manifest = Manifest(
            source=self.scene.source,
            format=self.recipe.format,
            recipe=self.recipe.model_dump(mode="json"),
            world_offset=self.settling.offset,
            attachments=delivery.attachments,
            frames=delivery.frames,
            images=delivery.images,
            skipped=[skipped.record for skipped in delivery.skipped],
            presign_hours=self.destination.options.presign_hours,
            images_expire_at=delivery.images_expire_at,
            fingerprint=self.place.fingerprint_value,
            notes=[*self.scene.notes, *self.settling.notes, *delivery.notes()],
        )
        staged = self.destination.open_staged()
        if staged.stages:
            if not self.place.store.existing(keys) <= set(self.header.replaces):
                raise StorageError(
                    f"somebody has stored at {self.destination.out} meanwhile", fix="Look at what is there."
                )
            self.require_staged(delivery, keys)
        self.journal.flush()
        self.lock.check()
        staged.put(MANIFEST_KEY, manifest.to_json(), "application/json")
        if staged.stages:
            self.journal.append(committing_record(keys))
        return self.place.commit(keys, set(self.header.replaces))

    def require_staged(self, delivery: Delivery, keys: Sequence[str]) -> None:
        """Sees that all is staged: what is not must not be taken for what an earlier run has left in its place.

        Raises:
            StorageError: Something is gone, or of another size.
        """
        staged = self.destination.open_staged()
        sizes = staged.sizes(keys)
        recorded = sizes_by_url(delivery.attachments, delivery.images)
        for key in keys:
            if key != MANIFEST_KEY and sizes.get(key) != recorded.get(staged.url(key)):
                raise StorageError(
                    f"somebody has changed {key}, which this run has stored", fix="Run the same command again."
                )

    @contextmanager
    def kept_on_failure(self) -> Iterator[None]:
        """Says how to go on where a run does not come to its end; takes it back where nothing of it is worth keeping.

        A recipe that does not fit the recording has to become another one, which can use nothing of this.
        """
        try:
            yield
        except BaseException as failure:
            if isinstance(failure, (KeyboardInterrupt, SystemExit, StorageError)):
                self.stop()
            with contextlib.suppress(StorageError):  # one that is not recorded is done again
                self.journal.flush()
            if self.can_be_taken_up(failure):
                done = len(self.jobs) if self.whole is not None else len(self.done)
                _advise(
                    failure,
                    f"{done} of {len(self.jobs)} frames are done and kept: run the same command again to go on.",
                )
                raise
            try:
                self.lock.check()
                self.place.take_back(self.header)
            except StorageError as left:
                _advise(failure, f"What was stored before that could not be deleted: {left.message}")
            raise

    def can_be_taken_up(self, failure: BaseException) -> bool:
        """Whether there is something that the same run again could use."""
        return (
            self.header.fingerprint is not None
            and bool(self.done or self.whole is not None)
            and not isinstance(failure, RecipeError)
        )


def _advise(failure: BaseException, advice: str) -> None:
    if isinstance(failure, LidarprepError):
        failure.fix = f"{failure.fix}\n{advice}" if failure.fix else advice
    else:
        failure.add_note(advice)
