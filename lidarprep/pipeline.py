"""The story of one run: a scene's frames are prepared, encoded and stored, and the manifest says what became of them.

Frames run in threads, since kernels, files and hashes release the GIL. Memory is bounded by the frames in flight: one
is taken up only when an earlier one is stored, and a frame's points live no longer than its turn.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike, fspath
from typing import Protocol, TypeVar

from lidarprep.attachments import get_format
from lidarprep.errors import RecipeError, SceneError
from lidarprep.recipe import DEFAULT_HEIGHT_BAND, Recipe, StorageOptions
from lidarprep.scene import CameraImage, Frame, PointCloud, Scene
from lidarprep.steps import Step, StepReport
from lidarprep.steps.intensity import NormaliseIntensity, guess_intensity_scale
from lidarprep.steps.recentre import LARGEST_COORDINATE_M, scene_offset
from lidarprep.steps.sampling import labelled_rows, select_frames
from lidarprep.storage import Manifest, Store, StoredObject, open_store
from lidarprep.storage.manifest import AttachmentRecord, DroppedPoints, FrameRecord, ImageRecord
from lidarprep.storage.store import MANIFEST_KEY, KeyMaker, content_type_of

Job = TypeVar("Job")
Result = TypeVar("Result")


class Progress(Protocol):
    """Told how a run goes on, from the thread that runs it."""

    def start(self, frames: int) -> None:
        """So many frames are to be prepared."""

    def advance(self, frame: FrameRecord) -> None:
        """One more is stored."""


class NoProgress:
    """Keeps quiet."""

    def start(self, frames: int) -> None:
        """Does nothing."""

    def advance(self, frame: FrameRecord) -> None:
        """Does nothing."""


@dataclass(frozen=True)
class StoredFrame:
    """What the manifest says of one frame that is stored."""

    frame: FrameRecord
    attachment: AttachmentRecord
    images: list[ImageRecord]
    notes: dict[str, str]


@dataclass(frozen=True)
class FrameJob:
    """One frame that is to be prepared, and under which keys it is to be stored."""

    frame: Frame
    key: str
    image_keys: tuple[str, ...]
    labelled: bool


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
        RecipeError: The recipe does not fit the scene, or keeps none of its points.
        SceneError, FormatError: The recording is not sound.
        EncodingError: The format cannot hold a value of it.
        StorageError: `out` cannot be stored at. Whatever is raised, what this run has stored is deleted again.
    """
    options = storage or StorageOptions()
    store = open_store(fspath(out), **options.model_dump())
    return Preparation(scene, recipe, store, progress or NoProgress(), options.presign_hours).run(
        overwrite=overwrite, workers=workers or os.cpu_count() or 1, executor=executor
    )


class Preparation:
    """One run of `prepare`."""

    def __init__(
        self, scene: Scene, recipe: Recipe, store: Store, progress: Progress, presign_hours: float | None
    ) -> None:
        self.scene = scene if recipe.points_frame is None else scene.with_points_in(recipe.points_frame)
        self.recipe = recipe
        self.store = store
        self.progress = progress
        self.presign_hours = presign_hours
        self.format = get_format(recipe.format)
        self.notes = list(scene.notes)
        self.stored_keys: list[str] = []
        self.steps: list[Step] = []
        self.offset = (0.0, 0.0, 0.0)

    def run(self, *, overwrite: bool, workers: int, executor: Executor | None) -> Manifest:
        """Selects the frames, settles what holds for all of them, then prepares, encodes and stores one by one."""
        jobs = self.plan()
        self.claim_destination(overwrite)
        self.settle([job.frame for job in jobs])
        self.progress.start(len(jobs))
        stored: list[StoredFrame] = []
        with self.discarding_on_failure(), _threads(executor, workers) as pool:
            for result in _in_order(pool, self.store_frame, jobs, in_flight=workers + 1):
                stored.append(result)
                self.progress.advance(result.frame)
            return self.finish(stored)

    def plan(self) -> list[FrameJob]:
        """The frames to prepare, in time order, which of them Scale labels, and where each is to be stored."""
        if not len(self.scene):
            raise SceneError(f"{self.scene.source} has no frames")
        frames = select_frames(self.scene.frames, self.recipe.frames)
        rows = labelled_rows(len(frames), self.recipe.labeling_sample_rate or 1)
        labelled = set(rows)
        keys = KeyMaker()
        return [
            FrameJob(
                frame=frames[row],
                key=keys.key(f"frame-{frames[row].id}", suffix=self.format.suffix),
                image_keys=tuple(
                    keys.key("images", image.camera.name, frames[row].id, suffix=_suffix(image))
                    for image in frames[row].images
                ),
                labelled=row in labelled,
            )
            for row in (rows if self.recipe.only_labelled else range(len(frames)))
        ]

    def claim_destination(self, overwrite: bool) -> None:
        """Sees that the destination can be stored at, and holds no other run's manifest."""
        self.store.check()
        if self.store.exists(MANIFEST_KEY):
            if not overwrite:
                raise RecipeError(
                    f"{self.store.location(MANIFEST_KEY)} is there already, from an earlier run to this destination",
                    fix="Choose another destination, or replace what is there with --overwrite.",
                )
            # First of all: a manifest must never speak of attachments that have changed since.
            self.store.discard([MANIFEST_KEY])

    def settle(self, frames: Sequence[Frame]) -> None:
        """Settles what must be the same for all frames: the scale of the intensities and the offset of the world.

        Where the recipe or the poses leave it open, the first, the middle and the last frame are looked at.
        """
        from lidarprep.steps.world import HeightBand, ToWorld  # brings Numba

        recipe = self.recipe
        in_world = self.scene.points_frame == "world"
        samples: list[PointCloud] = []
        if recipe.intensity_scale is None or in_world:
            samples = [frames[row].points() for row in sorted({0, len(frames) // 2, len(frames) - 1})]
        self.offset = scene_offset(frames, samples)
        if any(self.offset):
            self.notes.append(
                f"coordinates reach beyond {LARGEST_COORDINATE_M:g}: {self.offset} metres are taken from all of them"
            )
        if in_world and any(frame.world_from_ego is None for frame in frames):
            self.notes.append("some frames have no pose: their device is put at the origin of the world")
        height = None
        if recipe.device_height is not None:
            height = HeightBand(recipe.device_height, *(recipe.height_band or DEFAULT_HEIGHT_BAND))
        self.steps = [
            ToWorld(recipe.region_of_interest_3d, height, self.offset),
            NormaliseIntensity(self.settle_intensity(samples)),
        ]

    def settle_intensity(self, samples: Sequence[PointCloud]) -> float:
        """The intensity that becomes 1: the recipe's, or a guess, which is said."""
        if self.recipe.intensity_scale is not None:
            return self.recipe.intensity_scale
        scale, reason = guess_intensity_scale(samples)
        if any(cloud.intensity is not None for cloud in samples):
            self.notes.append(f"intensity {scale:g} is taken as 1, since {reason}")
        return scale

    def store_frame(self, job: FrameJob) -> StoredFrame:
        """Prepares, encodes and stores one frame and its pictures."""
        report = StepReport()
        frame = job.frame
        for step in self.steps:
            frame = step(frame, report)
        pictures = [self.store_image(*pair, frame.id) for pair in zip(frame.images, job.image_keys, strict=True)]
        frame = replace(frame, images=tuple(image for image, _ in pictures))
        data = self.format.encode(frame, precision=self.recipe.precision)
        stored = self.recorded(self.store.put(job.key, data, self.format.content_type))
        points = frame.points()
        return StoredFrame(
            frame=FrameRecord(
                id=frame.id,
                index=frame.index,
                timestamp=frame.timestamp,
                points_in=report.points_in,
                points_out=len(points),
                dropped=DroppedPoints(**report.dropped),
                labelled=job.labelled,
            ),
            attachment=AttachmentRecord(url=stored.url, bytes=stored.bytes, sha256=stored.sha256, frames=[frame.id]),
            images=[record for _, record in pictures],
            notes=report.notes | self.format.losses(points, frame.id),
        )

    def store_image(self, image: CameraImage, key: str, frame_id: str) -> tuple[CameraImage, ImageRecord]:
        """Stores one picture; gives it back with its URL, and its record."""
        if image.path is None:
            raise SceneError(f"frame {frame_id}: the picture of {image.camera.name} has no file")
        stored = self.recorded(self.store.put_file(key, image.path, content_type_of(image.path)))
        record = ImageRecord(
            frame=frame_id, camera=image.camera.name, url=stored.url, bytes=stored.bytes, sha256=stored.sha256
        )
        return replace(image, url=self.store.fetch_url(key)), record

    def finish(self, stored: Sequence[StoredFrame]) -> Manifest:
        """Writes the manifest, last of all: where it stands, everything that it names is stored."""
        if not any(result.frame.points_out for result in stored):
            raise RecipeError(_why_nothing_is_left(stored))
        manifest = Manifest(
            source=self.scene.source,
            format=self.recipe.format,
            recipe=self.recipe.model_dump(mode="json"),
            world_offset=self.offset,
            attachments=[result.attachment for result in stored],
            frames=[result.frame for result in stored],
            images=[image for result in stored for image in result.images],
            presign_hours=self.presign_hours,
            notes=self.notes + _notes_of(stored),
        )
        self.recorded(self.store.put(MANIFEST_KEY, manifest.to_json(), "application/json"))
        return manifest.at(self.store.location(MANIFEST_KEY))

    def recorded(self, stored: StoredObject) -> StoredObject:
        """Remembers that this run has stored it."""
        self.stored_keys.append(stored.key)
        return stored

    @contextmanager
    def discarding_on_failure(self) -> Iterator[None]:
        """Deletes what this run has stored if it does not come to its end."""
        try:
            yield
        except BaseException:
            self.store.discard(self.stored_keys)
            raise


def _why_nothing_is_left(stored: Sequence[StoredFrame]) -> str:
    total = sum(result.frame.points_in for result in stored)
    reasons = {
        "outside the region of interest": sum(result.frame.dropped.region for result in stored),
        "outside the height band": sum(result.frame.dropped.height for result in stored),
        "not finite": sum(result.frame.dropped.not_finite for result in stored),
    }
    dropped = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
    return f"no point of {len(stored)} frames is kept: of {total} points, {dropped or 'none were there'}"


def _notes_of(stored: Sequence[StoredFrame]) -> list[str]:
    """What the frames have to say: each kind of finding once, with how many frames share it."""
    first: dict[str, str] = {}
    frames: dict[str, int] = {}
    for result in stored:
        for kind, note in result.notes.items():
            first.setdefault(kind, note)
            frames[kind] = frames.get(kind, 0) + 1
    notes = [note if frames[kind] == 1 else f"{note} ({frames[kind]} frames)" for kind, note in first.items()]
    empty = [result.frame.id for result in stored if not result.frame.points_out]
    if empty:
        notes.append(f"{len(empty)} of {len(stored)} frames keep no point, the first is {empty[0]}")
    return notes


def _suffix(image: CameraImage) -> str:
    return image.path.suffix.lower() if image.path is not None else ""


@contextmanager
def _threads(executor: Executor | None, workers: int) -> Iterator[Executor]:
    """The caller's executor, left open; or a pool of our own, closed at the end."""
    if executor is not None:
        yield executor
        return
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="lidarprep") as pool:
        yield pool


def _in_order(
    pool: Executor, work: Callable[[Job], Result], jobs: Iterable[Job], *, in_flight: int
) -> Iterator[Result]:
    """The results in the order of the jobs, with no more than `in_flight` of them taken up at once."""
    waiting: deque[Future[Result]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(work, job))
            if len(waiting) >= in_flight:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # After a failure nothing of this run may still be writing when it is cleaned up.
        for future in waiting:
            future.cancel()
        for future in waiting:
            if not future.cancelled():
                future.exception()
