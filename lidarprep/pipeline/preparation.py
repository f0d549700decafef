"""The story of one run: a scene's frames are prepared, encoded and stored, and the manifest says what became of them.

Frames run in threads, since kernels, files and hashes release the GIL; or wherever a caller's executor runs them.
Memory is bounded by the frames in flight: one is taken up only when an earlier one is stored, or written to the scene
that holds it, and a frame's points live no longer than its turn.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path

from lidarprep.attachments import SceneFormat, get_format
from lidarprep.errors import FormatError, LidarprepError, RecipeError, SceneError, StorageError
from lidarprep.pipeline.delivery import Delivery, Progress, SceneAttachment, record_each
from lidarprep.pipeline.destination import Destination
from lidarprep.pipeline.frame_work import FrameJob, FramePreparer, FrameStorer, is_stored
from lidarprep.pipeline.in_order import in_order, threads
from lidarprep.pipeline.settling import Settling
from lidarprep.recipe import Recipe, StorageOptions
from lidarprep.scene import CameraImage, Frame, Scene
from lidarprep.steps.sampling import labelled_rows, select_frames
from lidarprep.storage import Manifest, Store
from lidarprep.storage.manifest import FrameRecord, SkippedRecord
from lidarprep.storage.store import MANIFEST_KEY, KeyMaker, is_key, picture_type

# Suffixes of pictures that have no file name, by media type.
_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png"}


class NoProgress:
    """Keeps quiet."""

    def start(self, frames: int) -> None:
        """Does nothing."""

    def advance(self, frame: FrameRecord) -> None:
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

    Args:
        scene: The recording; `open_scene` opens one.
        recipe: What is to be done with it.
        out: A folder, or s3://bucket/prefix.
        storage: How `out` is reached and named to Scale.
        overwrite: Whether to replace what an earlier run left at `out`.
        workers: Frames worked on at once; as many as cores where it is None.
        executor: Runs the frames in place of a thread pool of our own.
        progress: Told of each frame that is stored.

    Returns:
        The manifest, as it was stored.

    Raises:
        RecipeError: The recipe does not fit the scene, or keeps none of its points; `out` holds an earlier run.
        SceneError, FormatError: The recording is not sound; where bad frames are skipped, none of them is.
        EncodingError: The format cannot hold a value of it.
        StorageError: `out` cannot be stored at. Whatever is raised, what this run has stored is taken back.
    """
    if workers is not None and workers < 1:
        raise RecipeError(f"workers is {workers}; it must be 1 or more")
    if "://" not in fspath(out) and Path(out).resolve() == Path(scene.source).resolve():
        raise RecipeError(f"{fspath(out)} is the recording itself", fix="Choose another destination.")
    destination = Destination(fspath(out), storage or StorageOptions(), run=uuid.uuid4().hex[:12])
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
        self.suffixes: dict[str, str] = {}

    def run(self, *, overwrite: bool, workers: int, executor: Executor | None) -> Manifest:
        """Plans the frames, settles what holds for all of them, then prepares and delivers them one by one."""
        jobs = self.plan()
        self.destination.open().check()
        keys = _keys_of(jobs)
        replaced = self.claim(keys, overwrite)
        frames = [job.frame for job in jobs]
        preparer = FramePreparer(self.settling.steps(frames), self.recipe)
        self.settling.check(frames)
        self.progress.start(len(jobs))
        with self.taken_back_on_failure(keys, replaced), threads(executor, workers) as pool:
            delivery = self.deliver(preparer, jobs, pool, in_flight=workers + 1)
            left_out = {skipped.record.id for skipped in delivery.skipped}
            stored = _keys_of([job for job in jobs if job.frame.id not in left_out])
            manifest = self.finish(delivery, stored, replaced)
        # From here on the run stands, whatever becomes of what an earlier one has left.
        self.destination.open().discard(replaced - set(stored))
        return manifest

    def deliver(self, preparer: FramePreparer, jobs: Sequence[FrameJob], pool: Executor, *, in_flight: int) -> Delivery:
        """Prepares the frames side by side, and stores each; or gathers them, in their order, into one scene."""
        attachment_format = get_format(self.recipe.format)
        with_samples = (replace(job, points=self.settling.samples.pop(job.frame.id, None)) for job in jobs)
        if not isinstance(attachment_format, SceneFormat):
            storer = FrameStorer(preparer, attachment_format, self.destination)
            with closing(in_order(pool, storer, with_samples, in_flight=in_flight)) as stored:
                return record_each(stored, self.progress)
        attachment = SceneAttachment(
            attachment_format,
            key=jobs[0].key,
            frames=len(jobs),
            pictures=sum(len(job.frame.images) for job in jobs),
            odometry=self.recipe.odometry,
            skip_bad_frames=self.recipe.skip_bad_frames,
        )
        with closing(in_order(pool, preparer, with_samples, in_flight=in_flight)) as prepared:
            return attachment.gather(prepared, self.destination.open_staged(), self.progress)

    def plan(self) -> list[FrameJob]:
        """The frames to prepare, in time order, which of them Scale labels, and where each is to be stored."""
        ids = [frame.id for frame in self.scene]
        if not ids:
            raise SceneError(f"{self.scene.source} has no frames")
        if len(set(ids)) < len(ids):
            twice = next(frame_id for row, frame_id in enumerate(ids) if frame_id in ids[:row])
            raise SceneError(f"{self.scene.source} has two frames with the id {twice!r}")
        frames = select_frames(self.scene.frames, self.recipe.frames)
        rows = labelled_rows(len(frames), self.recipe.labeling_sample_rate or 1)
        labelled = set(rows)
        keys = KeyMaker()
        return [
            FrameJob(frames[row], *self.keys_of(frames[row], keys), labelled=row in labelled)
            for row in (rows if self.recipe.only_labelled else range(len(frames)))
        ]

    def keys_of(self, frame: Frame, keys: KeyMaker) -> tuple[str, tuple[str | None, ...]]:
        """Key of the attachment that is to hold a frame, and those of its pictures that are stored beside it.

        A picture of which only the URL is known has None.
        """
        attachment_format = get_format(self.recipe.format)
        if isinstance(attachment_format, SceneFormat):
            return keys.key("scene", suffix=attachment_format.suffix), ()
        pictures: list[str | None] = []
        for row, image in enumerate(frame.images):
            if not is_stored(image):
                pictures.append(None)
                continue
            # A camera that is faster than the lidar has several pictures in a frame.
            earlier = sum(other.camera.name == image.camera.name for other in frame.images[:row])
            name = f"{frame.id}.{earlier}" if earlier else frame.id
            pictures.append(keys.key("images", image.camera.name, name, suffix=self.suffix_of(image)))
        return keys.key(f"frame-{frame.id}", suffix=attachment_format.suffix), tuple(pictures)

    def suffix_of(self, image: CameraImage) -> str:
        """Suffix of a picture's key: its file's; or else by how the first picture of its camera begins.

        Reading one picture may be slow, in a bag; one camera's are all of a kind. A picture that cannot be read gets
        none here, and is refused when it is its turn.
        """
        if image.path is not None:
            return image.path.suffix.lower()
        if image.content is None:
            return ""
        name = image.camera.name
        if name not in self.suffixes:
            try:
                self.suffixes[name] = _SUFFIXES[picture_type(f"a picture of {name}", image.content())]
            except (FormatError, SceneError):
                return ""
        return self.suffixes[name]

    def claim(self, keys: Sequence[str], overwrite: bool) -> set[str]:
        """Sees that nothing stands at the destination that would be replaced unasked; what stands there if asked.

        That is what an earlier run's manifest names, too, so that nothing of it is left over.
        """
        store = self.destination.open()
        existing = store.existing(keys)
        if existing and not overwrite:
            what = MANIFEST_KEY if MANIFEST_KEY in existing else min(existing)
            raise RecipeError(
                f"{store.location(what)} is there already, from an earlier run to this destination",
                fix="Choose another destination, or replace what is there with --overwrite.",
            )
        return existing | _keys_of_earlier_run(store) if MANIFEST_KEY in existing else existing

    def finish(self, delivery: Delivery, keys: Sequence[str], replaced: set[str]) -> Manifest:
        """Writes the manifest, last of all: where it stands, everything that it names is stored."""
        delivery.label(self.recipe.labeling_sample_rate, only_labelled=self.recipe.only_labelled)
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
            notes=[*self.scene.notes, *self.settling.notes, *delivery.notes()],
        )
        staged = self.destination.open_staged()
        if staged.stages and not self.destination.open().existing(keys) <= replaced:
            raise StorageError(f"another run has stored at {self.destination.out} meanwhile", fix="Run one at a time.")
        staged.put(MANIFEST_KEY, manifest.to_json(), "application/json")
        staged.commit(keys)
        return manifest.at(staged.location(MANIFEST_KEY))

    @contextmanager
    def taken_back_on_failure(self, keys: Sequence[str], replaced: set[str]) -> Iterator[None]:
        """Takes back what this run has stored if it does not come to its end; nothing that stood there before."""
        staged = self.destination.open_staged()
        if not staged.stages:
            # What is put stands at once, where its manifest speaks of what was there: none is better than that one.
            staged.discard({MANIFEST_KEY} & replaced)
        try:
            yield
        except BaseException as failure:
            try:
                # The manifest last of all speaks of a whole run: no other may stand.
                staged.roll_back([key for key in keys if key not in replaced or key == MANIFEST_KEY])
            except StorageError as left:
                if isinstance(failure, LidarprepError):
                    advice = f"What was stored before that could not be deleted: {left.message}"
                    failure.fix = f"{failure.fix}\n{advice}" if failure.fix else advice
            raise
        finally:
            self.destination.forget()


def _keys_of(jobs: Sequence[FrameJob]) -> list[str]:
    """The keys of all that is stored for some frames, each once: a scene's share theirs. The manifest's comes last."""
    return [*dict.fromkeys(key for job in jobs for key in job.keys), MANIFEST_KEY]


def _keys_of_earlier_run(store: Store) -> set[str]:
    """The keys of what an earlier run's manifest names; none where it cannot be read any more."""
    try:
        manifest = Manifest.from_json(store.get(MANIFEST_KEY), location=store.location(MANIFEST_KEY))
    except LidarprepError:
        return set()
    base = store.url("")
    urls = [record.url for record in manifest.attachments] + [record.url for record in manifest.images]
    return {url.removeprefix(base) for url in urls if url.startswith(base) and is_key(url.removeprefix(base))}
