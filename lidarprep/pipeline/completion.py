"""The part of a run that stores: the frames that are missing, then the manifest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from lidarprep.attachments import FrameFormat, SceneFormat, get_format
from lidarprep.errors import LidarprepError, RecipeError, StorageError
from lidarprep.pipeline.delivery import Delivery, DoneFrame, Progress
from lidarprep.pipeline.flow import Flow
from lidarprep.pipeline.frame_work import BYTES_A_POINT, FrameJob, FramePreparer, SkippedFrame
from lidarprep.pipeline.place import Place
from lidarprep.pipeline.plan import keys_of
from lidarprep.pipeline.records import Header, committing_record, frame_record, scene_record
from lidarprep.pipeline.resuming import Unfinished
from lidarprep.pipeline.room import RoomWatch
from lidarprep.pipeline.settling import Settling
from lidarprep.pipeline.storing import FrameStorer, StoredFrame
from lidarprep.pipeline.whole_scene import StoredScene, WholeScene, WrittenOrSkipped
from lidarprep.recipe import Recipe
from lidarprep.scene import Scene
from lidarprep.storage import Manifest
from lidarprep.storage.copies import TakesFiles
from lidarprep.storage.journal import Journal, Record
from lidarprep.storage.lock import Lock
from lidarprep.storage.store import MANIFEST_KEY
from lidarprep.stored import recorded


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
        stored: The one attachment that holds all of them, once it is stored.
        taken_up: How many frames were taken up.
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
    done: dict[str, DoneFrame] = field(default_factory=dict)
    stored: StoredScene | None = None
    taken_up: int = 0

    def __post_init__(self) -> None:
        self.destination = self.place.destination
        self.journal: Journal = self.place.journal
        self.files = {} if self.place.fingerprint is None else self.place.fingerprint.files
        self.restored = 0
        self.recorded: list[int] = []  # frames of each record
        self.format = get_format(self.recipe.format)

    def restore(self, unfinished: Unfinished) -> None:
        """Takes over what is done already."""
        settled = unfinished.header.settled
        if settled is not None:
            self.settling.restore(settled.offset, settled.intensity_scale, settled.notes)
        self.begun = True
        if isinstance(self.format, SceneFormat):
            whole, written = self.whole_scene(self.format), unfinished.written()
            ids = [job.frame.id for job in self.jobs]
            if unfinished.scene is not None and set(ids) <= set(written) and whole.is_stored_as(unfinished.scene):
                self.stored, self.done = unfinished.scene, {**written}
            else:
                self.done = {**whole.still_held(written, ids)}
            self.restored = len(self.done)
            return
        keys_of = {job.frame.id: [*job.keys[1:], job.key] for job in self.jobs}
        sizes, gzip = self.destination.open_staged().sizes, self.destination.options.gzip
        self.done = unfinished.stored(sizes, keys_of, compressed=gzip)
        self.restored = len(self.done)

    def to_its_end(self, workers: int, executor: Executor | None) -> Manifest:
        """Prepares and delivers the frames that are missing, then writes the manifest."""
        steps = self.settling.steps([job.frame for job in self.jobs])
        destination = self.destination if executor is None else self.destination.shown()
        preparer = FramePreparer(steps, self.recipe, destination)
        missing = [job for job in self.jobs if job.frame.id not in self.done]
        if isinstance(self.place.store, TakesFiles):  # on a disk, which may be full
            store, recipe = self.place.store, self.recipe
            self.progress = RoomWatch(self.progress, store, recipe, missing, taken_up=lambda: self.taken_up)
        self.progress.start(len(self.jobs), len(self.jobs) - len(missing))
        flow = Flow(workers, executor, expected=self.expected_in_memory(), on_stop=self.stop)
        with self.kept_on_failure():
            if not self.begun:
                self.journal.begin(self.header.model_dump(mode="json"))
            return self.finish(self.deliver(preparer, missing, flow))

    def deliver(self, preparer: FramePreparer, missing: Sequence[FrameJob], flow: Flow) -> Delivery:
        """Prepares the frames side by side, and stores each; or writes them to one scene, in their order."""
        if isinstance(self.format, FrameFormat):
            storer = FrameStorer(preparer, self.format)
            with flow.stored(storer, self.taken(missing), on_done=self.keep) as stored:
                return Delivery.of(self.in_turn(stored))
        if self.stored is not None:
            delivery = Delivery.of(self.in_turn(iter(())))
            delivery.add_scene(self.stored)
            return delivery
        whole = self.whole_scene(self.format)
        with flow.prepared(preparer, self.taken(missing)) as prepared, whole.open(self.done.values()) as scene:
            delivery = Delivery.of(self.in_turn(scene.write(prepared)))
            delivery.add_scene(scene.finish())
            return delivery

    def taken(self, missing: Sequence[FrameJob]) -> Iterator[FrameJob]:
        """The frames, each with its points if they were read for a look, as they are taken up."""
        for job in missing:
            self.taken_up += 1
            yield replace(job, points=self.settling.samples.pop(job.frame.id, None))

    def expected_in_memory(self) -> int | None:
        """About what a frame takes, by those that were looked at, or done before; None where none was."""
        if any(job.frame.read_chunks is not None for job in self.jobs):
            return None
        points = [len(points) for points in self.settling.samples.values()]
        points += [frame.record.points_in for frame in self.done.values() if not isinstance(frame, SkippedFrame)]
        return max(points) * BYTES_A_POINT if points else None

    def whole_scene(self, attachment_format: SceneFormat) -> WholeScene:
        """The one attachment that is to hold all frames."""
        store = self.destination.open_staged()
        return WholeScene(
            attachment_format,
            key=self.jobs[0].key,
            frames=len(self.jobs),
            pictures=sum(len(job.frame.images) for job in self.jobs),
            lidars=len(self.scene.lidars),
            odometry=self.recipe.odometry,
            skip_bad_frames=self.recipe.skip_bad_frames,
            store=store,
            lasts=store.keeps_spools and self.header.fingerprint is not None,
            keep=self.keep_written,
        )

    def stop(self) -> None:
        """Lets what is under way come to an early end: nothing that fails from now on is tried again."""
        self.destination.stop()
        self.place.store.stop()

    def in_turn(self, fresh: Iterator[DoneFrame]) -> Iterator[DoneFrame]:
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
        self.record(frame_record(frame, self.files.get(frame_id, "")), 1)
        self.done[frame_id] = frame

    def keep_written(self, frames: Sequence[WrittenOrSkipped], scene: StoredScene | None) -> None:
        """Records that frames are in the scene that is to hold all, and the scene once it is stored."""
        self.record(scene_record(frames, scene, self.files), len(frames))
        self.done.update({frame.record.id: frame for frame in frames})

    def record(self, record: Record, frames: int) -> None:
        """Adds a record of so many frames to the journal; of a run that nobody could take up, nothing."""
        self.lock.check()
        if self.header.fingerprint is not None:
            self.recorded.append(frames)  # before, since what raises may be an earlier one's failure
            self.journal.append(record)

    def count_kept(self) -> int:
        """How many frames another run will find done: those of which the record is on the disk for certain."""
        return self.restored + sum(self.recorded[: self.journal.durable])

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
            storage=recorded(self.destination.options),
            fingerprint=self.place.fingerprint_value,
            notes=[*self.scene.notes, *self.settling.notes, *delivery.notes()],
        )
        staged = self.destination.open_staged()
        sizes = self.place.sizes_of_staged(keys, delivery.sizes_by_url(), self.header)
        self.journal.flush()
        self.lock.check()
        sizes[MANIFEST_KEY] = staged.put(MANIFEST_KEY, manifest.to_json(), "application/json").bytes
        if staged.stages:  # else all stands by now
            self.journal.append(committing_record(sizes))
            self.journal.flush()
        return self.place.commit(keys, set(self.header.replaces))

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
                kept = f"{self.count_kept()} of {len(self.jobs)} frames are done and kept"
                _advise(failure, f"{kept}: run the same command again to go on.")
                raise
            try:
                self.lock.check()
                self.place.take_back(self.header)
            except StorageError as left:
                _advise(failure, f"What was stored before that could not be deleted: {left.message}")
            raise

    def can_be_taken_up(self, failure: BaseException) -> bool:
        """Whether there is something that the same run again could use."""
        if self.header.fingerprint is None or isinstance(failure, RecipeError):
            return False
        return self.count_kept() > 0


def _advise(failure: BaseException, advice: str) -> None:
    if isinstance(failure, LidarprepError):
        failure.fix = f"{failure.fix}\n{advice}" if failure.fix else advice
    else:
        failure.add_note(advice)
