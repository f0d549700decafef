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
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Protocol

from lidarprep.attachments import SceneFormat, get_format
from lidarprep.errors import LidarprepError, RecipeError, SceneError, StorageError
from lidarprep.pipeline.delivery import Delivery, SceneAttachment, record_each
from lidarprep.pipeline.destination import Destination
from lidarprep.pipeline.frame_work import FrameJob, FramePreparer, FrameStorer
from lidarprep.pipeline.in_order import in_order, threads
from lidarprep.recipe import DEFAULT_HEIGHT_BAND, Recipe, StorageOptions
from lidarprep.scene import CameraImage, Frame, PointCloud, Scene
from lidarprep.scene.points import LARGEST_EXACT_M
from lidarprep.steps import Step
from lidarprep.steps.intensity import NormaliseIntensity, guess_intensity_scale
from lidarprep.steps.recentre import scene_offset
from lidarprep.steps.sampling import labelled_rows, select_frames
from lidarprep.storage import Manifest, Store
from lidarprep.storage.manifest import FrameRecord
from lidarprep.storage.store import MANIFEST_KEY, KeyMaker, is_key


class Progress(Protocol):
    """Told how a run goes on, from the thread that runs it."""

    def start(self, frames: int) -> None:
        """So many frames are to be prepared."""

    def advance(self, frame: FrameRecord) -> None:
        """One more is stored, or written to the scene that is to hold all of them."""


class NoProgress:
    """Keeps quiet."""

    def start(self, frames: int) -> None:
        """Does nothing."""

    def advance(self, frame: FrameRecord) -> None:
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
        SceneError, FormatError: The recording is not sound.
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
    notes: list[str] = field(default_factory=list)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    samples: dict[str, PointCloud] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.recipe.points_frame is not None:
            self.scene = self.scene.with_points_in(self.recipe.points_frame)
        self.notes += self.scene.notes

    def run(self, *, overwrite: bool, workers: int, executor: Executor | None) -> Manifest:
        """Plans the frames, settles what holds for all of them, then prepares and delivers them one by one."""
        jobs = self.plan()
        self.destination.open().check()
        # Each key once: a scene's frames share theirs. The manifest comes last.
        keys = [*dict.fromkeys(key for job in jobs for key in (job.key, *job.image_keys)), MANIFEST_KEY]
        replaced = self.claim(keys, overwrite)
        preparer = FramePreparer(self.settle_steps([job.frame for job in jobs]), self.recipe)
        self.progress.start(len(jobs))
        with self.taken_back_on_failure(keys, replaced), threads(executor, workers) as pool:
            delivery = self.deliver(preparer, jobs, pool, in_flight=workers + 1)
            manifest = self.finish(delivery, keys, replaced)
        # From here on the run stands, whatever becomes of what an earlier one has left.
        self.destination.open().discard(replaced - set(keys))
        return manifest

    def deliver(self, preparer: FramePreparer, jobs: Sequence[FrameJob], pool: Executor, *, in_flight: int) -> Delivery:
        """Prepares the frames side by side, and stores each; or gathers them, in their order, into one scene."""
        attachment_format = get_format(self.recipe.format)
        with_samples = (replace(job, points=self.samples.pop(job.frame.id, None)) for job in jobs)
        if not isinstance(attachment_format, SceneFormat):
            storer = FrameStorer(preparer, attachment_format, self.destination)
            with closing(in_order(pool, storer, with_samples, in_flight=in_flight)) as stored:
                return record_each(stored, self.progress.advance)
        attachment = SceneAttachment(
            attachment_format,
            key=jobs[0].key,
            frames=len(jobs),
            pictures=sum(len(job.frame.images) for job in jobs),
            odometry=self.recipe.odometry,
        )
        with closing(in_order(pool, preparer, with_samples, in_flight=in_flight)) as prepared:
            return attachment.gather(prepared, self.destination.open_staged(), self.progress.advance)

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

    def keys_of(self, frame: Frame, keys: KeyMaker) -> tuple[str, tuple[str, ...]]:
        """Key of the attachment that is to hold a frame, and those of its pictures that are stored beside it."""
        attachment_format = get_format(self.recipe.format)
        if isinstance(attachment_format, SceneFormat):
            return keys.key("scene", suffix=attachment_format.suffix), ()
        pictures = []
        for row, image in enumerate(frame.images):
            # A camera that is faster than the lidar has several pictures in a frame.
            earlier = sum(other.camera.name == image.camera.name for other in frame.images[:row])
            name = f"{frame.id}.{earlier}" if earlier else frame.id
            pictures.append(keys.key("images", image.camera.name, name, suffix=_suffix(image)))
        return keys.key(f"frame-{frame.id}", suffix=attachment_format.suffix), tuple(pictures)

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

    def settle_steps(self, frames: list[Frame]) -> tuple[Step, ...]:
        """What the recipe asks for, as steps; what must be the same for all frames is settled here.

        Where the recipe leaves the scale of the intensities open, the first, the middle and the last frame are looked
        at; where the scene's poses leave its place in the world open, its first frame.
        """
        from lidarprep.steps.voxel import VoxelDownsample  # these two bring Numba
        from lidarprep.steps.world import HeightBand, ToWorld

        recipe = self.recipe
        self.offset = self.settle_offset()
        height = None
        if recipe.device_height is not None:
            height = HeightBand(recipe.device_height, *(recipe.height_band or DEFAULT_HEIGHT_BAND))
        steps: list[Step] = [
            ToWorld(recipe.region_of_interest_3d, height, self.offset),
            NormaliseIntensity(self.settle_intensity(frames)),
        ]
        if recipe.voxel is not None:
            steps.append(VoxelDownsample(recipe.voxel, recipe.voxel_keep))
        return tuple(steps)

    def settle_offset(self) -> tuple[float, float, float]:
        """The offset of the world, which depends on the whole scene and not on what is prepared of it."""
        first = self.scene[0]
        poses_say = self.scene.points_frame == "ego" and len(self.scene) > 1
        offset = scene_offset(self.scene.frames, None if poses_say else self.sample(first))
        if any(offset):
            self.notes.append(
                f"coordinates reach beyond {LARGEST_EXACT_M:g}: {offset} metres are taken from all of them"
            )
        if self.scene.points_frame == "world" and any(frame.world_from_ego is None for frame in self.scene):
            self.notes.append("some frames have no pose: their device is put at the origin of the attachments' world")
        return offset

    def settle_intensity(self, frames: Sequence[Frame]) -> float:
        """The intensity that becomes 1: the recipe's, or a guess, which is said."""
        if self.recipe.intensity_scale is not None:
            return self.recipe.intensity_scale
        samples = [self.sample(frames[row]) for row in sorted({0, len(frames) // 2, len(frames) - 1})]
        scale, reason = guess_intensity_scale(samples)
        if any(cloud.intensity is not None for cloud in samples):
            self.notes.append(f"intensity {scale:g} is taken as 1, since {reason}")
        return scale

    def sample(self, frame: Frame) -> PointCloud:
        """A frame's points, which are kept until its turn, so that no frame is read twice."""
        if frame.id not in self.samples:
            self.samples[frame.id] = frame.points()
        return self.samples[frame.id]

    def finish(self, delivery: Delivery, keys: Sequence[str], replaced: set[str]) -> Manifest:
        """Writes the manifest, last of all: where it stands, everything that it names is stored."""
        manifest = Manifest(
            source=self.scene.source,
            format=self.recipe.format,
            recipe=self.recipe.model_dump(mode="json"),
            world_offset=self.offset,
            attachments=delivery.attachments,
            frames=delivery.frames,
            images=delivery.images,
            presign_hours=self.destination.options.presign_hours,
            notes=self.notes + delivery.notes(),
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


def _keys_of_earlier_run(store: Store) -> set[str]:
    """The keys of what an earlier run's manifest names; none where it cannot be read any more."""
    try:
        manifest = Manifest.from_json(store.get(MANIFEST_KEY), location=store.location(MANIFEST_KEY))
    except LidarprepError:
        return set()
    base = store.url("")
    urls = [record.url for record in manifest.attachments] + [record.url for record in manifest.images]
    return {url.removeprefix(base) for url in urls if url.startswith(base) and is_key(url.removeprefix(base))}


def _suffix(image: CameraImage) -> str:
    return image.path.suffix.lower() if image.path is not None else ""
