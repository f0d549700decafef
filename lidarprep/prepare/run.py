"""The story of one run: plan, look up what is finished, process what is missing, write the manifest.

A run with nothing to do, a resumed run, a changed file, a lost object and a repair are the same code path: a frame
whose result is found, with all of its objects, is not processed again. The manifest comes last, by compare-and-swap:
where it is, everything that it names is.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from pathlib import Path

from lidarprep.attachments import SceneFormat, get_format
from lidarprep.errors import (
    FormatError,
    LidarprepError,
    ManifestConflictError,
    RecipeError,
    StorageError,
    place_name,
)
from lidarprep.prepare.disk_space import DiskSpace
from lidarprep.prepare.empty_result import explain_empty_result
from lidarprep.prepare.fingerprint import RunIdentity
from lidarprep.prepare.manifest_builder import EmptyResultError, ManifestBuilder, require_points
from lidarprep.prepare.ordered_map import Admission, MemoryBudget, ordered_map
from lidarprep.prepare.plan import FrameTask, plan
from lidarprep.prepare.process_frame import (
    BYTES_A_POINT,
    EmptyFrame,
    FrameProcessor,
    PreparedFrame,
    store_in_worker,
)
from lidarprep.prepare.progress import NoProgress, Progress
from lidarprep.prepare.scene_file import SceneFileWriter
from lidarprep.prepare.settings import SceneSettings, steps_of
from lidarprep.recipe import Recipe
from lidarprep.scene import Scene
from lidarprep.signed_urls import renew
from lidarprep.storage import Manifest, Store, open_store
from lidarprep.storage.cache import FrameCache, missing_keys, put_entry
from lidarprep.storage.manifest import AttachmentRecord, FrameResult, SettingsRecord
from lidarprep.storage.options import StorageOptions
from lidarprep.storage.store import MANIFEST_KEY

log = logging.getLogger(__name__)

# Frames that are being stored side by side: a put is mostly waiting, for a network or for a disk.
_STORING = 14


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
    """Prepare a scene as the recipe says, and store its attachments, its images and the manifest.

    A run that was stopped goes on by the same call; one that is complete is returned at once.

    Args:
        scene: The recording; `open_scene` opens one.
        recipe: What is to be done with it.
        out: A folder, or s3://bucket/prefix.
        storage: How `out` is reached and named to Scale.
        overwrite: Whether to replace the manifest of another run. Its objects stay: `prune` removes them.
        workers: Frames prepared at once; as many as cores where it is None.
        executor: Runs the frames in place of a thread pool of our own.
        progress: Told of each frame that is stored; of nothing where nothing is to be done.

    Returns:
        The manifest, as it was stored.

    Raises:
        RecipeError: The recipe does not fit the scene, or keeps none of its points; `out` holds another run.
        SceneError, FormatError: The recording is not sound; where bad frames are skipped, none of them is.
        EncodingError: The format cannot hold a value of it.
        StorageError: `out` cannot be stored at.
        ManifestConflictError: Another run has ended at `out` meanwhile. Whatever is raised, KeyboardInterrupt among
            it, finished frames are kept for the next run of the same recipe.
    """
    if workers is not None and workers < 1:
        raise RecipeError(f"workers is {workers}; it must be 1 or more")
    if "://" not in fspath(out) and Path(out).resolve() == Path(scene.source).resolve():
        raise RecipeError(f"{fspath(out)} is the recording itself", fix="Choose another destination.")
    if recipe.points_frame is not None:
        scene = scene.with_points_in(recipe.points_frame)
    options = storage or StorageOptions()
    run = Run(
        scene,
        recipe,
        fspath(out),
        options,
        workers=workers or os.cpu_count() or 1,
        executor=executor,
        progress=progress or NoProgress(),
    )
    return run.execute(overwrite=overwrite)


@dataclass
class Run:
    """One run.

    Args:
        scene: The recording.
        recipe: What is to be done with it.
        out: Where to store.
        storage: How.
        workers: Frames prepared at once.
        executor: Runs the frames; a thread pool where it is None.
        progress: Told of each frame that is stored.
        distrusted: Keys of objects that are known to be damaged, and are stored again.
    """

    scene: Scene
    recipe: Recipe
    out: str
    storage: StorageOptions
    workers: int
    executor: Executor | None = None
    progress: Progress = field(default_factory=NoProgress)
    distrusted: Collection[str] = ()

    def __post_init__(self) -> None:
        self.store: Store = open_store(self.out, self.storage)
        self.format = get_format(self.recipe.format)
        self.tasks: list[FrameTask] = []
        self.finished = 0
        self.unstored_settings: tuple[str, SettingsRecord] | None = None

    def execute(self, *, overwrite: bool) -> Manifest:
        """Execute the run; return its manifest."""
        current, version = self.current_manifest(overwrite=overwrite)
        self.tasks = plan(self.scene, self.recipe)
        identity = RunIdentity.of(self.scene, self.recipe, self.storage, self.tasks)
        if current is not None and not overwrite:
            self.require_same_run(current, identity)
        cache = FrameCache(self.store, current, distrusted=self.distrusted)
        known = self.known_settings(current, identity, cache)
        free = None if known else self.store.check()  # before any work is done
        settings = known or self.estimated_settings(identity)
        if self.recipe.strict:
            settings.refuse_findings()
        self.tasks = [task.with_fingerprint(identity.of_frame(task.frame.id, settings.record)) for task in self.tasks]
        results = cache.lookup(task.fingerprint for task in self.tasks)
        whole_scene = self.stored_scene(current, results)
        if (
            current is not None
            and current.fingerprint == identity.fingerprint
            and self.is_complete(results, whole_scene)
        ):
            return renew(current, self.storage) if current.images_have_expired else current
        if known:
            free = self.store.check()
        builder = ManifestBuilder(self.tasks)
        with self.advice_on_failure():
            self.process(results, whole_scene, settings, builder, free)
            builder.require_points()
            manifest = builder.build(self.scene, self.recipe, self.storage, settings, identity)
            self.require_stored(manifest)
            try:
                self.store.write_manifest(manifest.to_json(), if_version=version)
            except ManifestConflictError:
                manifest = self.manifest_of_equal_run(identity)
        try:
            cache.drop([identity.fingerprint, *(task.fingerprint for task in self.tasks)])
        except StorageError as failure:
            log.warning("the run is complete, but its cache entries stay: %s", failure.message)
        return manifest.at(self.store.location(MANIFEST_KEY))

    def current_manifest(self, *, overwrite: bool) -> tuple[Manifest | None, str | None]:
        """Return the manifest that is at the destination, and its version.

        Raises:
            RecipeError: It is not readable, and is not to be replaced.
        """
        found = self.store.read_manifest()
        if found is None:
            return None, None
        data, version = found
        location = self.store.location(MANIFEST_KEY)
        try:
            return Manifest.from_json(data, location=location), version
        except FormatError as error:
            if overwrite:
                return None, version
            raise RecipeError(f"{error.message}: something else is there already", fix=_OTHER_RUN) from None

    def manifest_of_equal_run(self, identity: RunIdentity) -> Manifest:
        """Return the manifest that has been written meanwhile, if the run was equal to this one.

        Raises:
            ManifestConflictError: It was not.
        """
        other, _ = self.current_manifest(overwrite=True)
        if other is None or other.fingerprint is None or other.fingerprint != identity.fingerprint:
            raise ManifestConflictError(self.store.location(MANIFEST_KEY))
        return other

    def require_same_run(self, current: Manifest, identity: RunIdentity) -> None:
        """Refuse to replace another run's manifest.

        Raises:
            RecipeError: It is another run's, or that cannot be told; the message names what differs.
        """
        if identity.fingerprint is not None and current.fingerprint == identity.fingerprint:
            return
        what = f"{place_name(current.location)} is there already, from an earlier run to this destination"
        if identity.fingerprint is not None:
            what += f": {'; '.join(identity.differences_from(current))}"
        raise RecipeError(what, fix=_OTHER_RUN)

    def known_settings(
        self, current: Manifest | None, identity: RunIdentity, cache: FrameCache
    ) -> SceneSettings | None:
        """Return the settings that an earlier run of the same recording and recipe has estimated, if any."""
        if identity.fingerprint is None:
            return None
        if current is not None and current.settings is not None and current.fingerprint == identity.fingerprint:
            return SceneSettings(current.settings)
        record = cache.settings(identity.fingerprint)
        return None if record is None else SceneSettings(record)

    def estimated_settings(self, identity: RunIdentity) -> SceneSettings:
        """Estimate the settings of the scene; they are stored with its first frame, for a run that goes on."""
        settings = SceneSettings.estimate(self.scene, self.recipe, [task.frame for task in self.tasks])
        if identity.fingerprint is not None and not isinstance(self.format, SceneFormat):
            self.unstored_settings = (identity.fingerprint, settings.record)
        return settings

    def store_settings(self) -> None:
        """Store the settings of the scene, if that is still to be done."""
        if self.unstored_settings is not None:
            put_entry(self.store, *self.unstored_settings)
            self.unstored_settings = None

    def stored_scene(self, current: Manifest | None, results: dict[str, FrameResult]) -> AttachmentRecord | None:
        """Return the attachment of a Sensor Fusion Scene that is stored already, with all frames of this run."""
        if not isinstance(self.format, SceneFormat) or current is None or len(current.attachments) != 1:
            return None
        record = current.attachments[0]
        found = [results[task.fingerprint] for task in self.tasks if task.fingerprint in results]
        ids = [result.frame.id for result in found if result.frame is not None]
        has_all = len(found) == len(self.tasks) and ids == record.frames
        is_sound = record.key not in self.distrusted and not missing_keys(self.store, [record])
        return record if has_all and is_sound else None

    def is_complete(self, results: dict[str, FrameResult], whole_scene: AttachmentRecord | None) -> bool:
        """Tell whether nothing is to be processed."""
        has_scene = whole_scene is not None or not isinstance(self.format, SceneFormat)
        return has_scene and all(task.fingerprint in results for task in self.tasks)

    def process(
        self,
        results: dict[str, FrameResult],
        whole_scene: AttachmentRecord | None,
        settings: SceneSettings,
        builder: ManifestBuilder,
        free: int | None,
    ) -> None:
        """Process the frames whose results are missing, and add all results to the builder, in time order."""
        processor = FrameProcessor(
            steps_of(self.scene, self.recipe, settings.record),
            self.recipe,
            self.scene.source,
            self.out,
            self.storage,
        )
        if isinstance(self.format, SceneFormat):
            if whole_scene is None:
                self.process_scene(processor, settings, builder)
            else:
                for task in self.tasks:
                    builder.add(results[str(task.fingerprint)])
                builder.attachments.append(whole_scene)
            return
        missing = [task for task in self.tasks if task.fingerprint not in results]
        self.finished = len(self.tasks) - len(missing)
        self.progress.start(len(self.tasks), self.finished)
        fresh = {}
        has_points = any(result.frame is not None and result.frame.points_out for result in results.values())
        for task, result in self.process_frames(processor, missing, settings, free, has_points=has_points):
            fresh[task.frame.id] = result
        for task in self.tasks:
            builder.add(fresh[task.frame.id] if task.frame.id in fresh else results[str(task.fingerprint)])

    def process_frames(
        self,
        processor: FrameProcessor,
        tasks: Sequence[FrameTask],
        settings: SceneSettings,
        free: int | None,
        *,
        has_points: bool,
    ) -> Iterator[tuple[FrameTask, FrameResult]]:
        """Process frames side by side, and yield what became of each, in time order but for those without points.

        Frames that keep no point wait until one is met that does: a region in the wrong place stores nothing.

        Raises:
            EmptyResultError: No frame keeps a point.
        """
        disk = DiskSpace(self.store, tasks, free, self.recipe)
        empty: list[EmptyFrame] = []
        with self.thread_pool(self.workers + _STORING) as threads:

            def submit(task: FrameTask, admission: Admission) -> Future[FrameResult | EmptyFrame]:
                disk.begin(task)
                task = replace(task, points=settings.points.pop(task.frame.id, None))
                if self.executor is not None:
                    future = self.executor.submit(store_in_worker, processor, task, has_points)
                else:
                    future = threads.submit(
                        processor.store, task, self.store, store_empty=has_points, admission=admission
                    )
                future.add_done_callback(self.count_finished)
                return future

            for pending in (tasks, empty):
                todo = [one.task if isinstance(one, EmptyFrame) else one for one in pending]
                if has_points:
                    self.store_settings()
                if pending is empty and empty and not has_points:
                    require_points([one.record for one in empty])
                budget = MemoryBudget(self.workers + 1, self.workers + _STORING, expected=self.expected_bytes(settings))
                with closing(ordered_map(submit, todo, budget, on_error=self.store.close)) as done:
                    for task, result in zip(todo, done, strict=True):
                        if isinstance(result, EmptyFrame):
                            empty.append(result)
                            continue
                        has_points = has_points or (result.frame is not None and result.frame.points_out > 0)
                        if has_points:
                            self.store_settings()
                        self.tell(result)
                        disk.stored()
                        yield task, result

    def process_scene(self, processor: FrameProcessor, settings: SceneSettings, builder: ManifestBuilder) -> None:
        """Process all frames into one Sensor Fusion Scene, and store it."""
        self.progress.start(len(self.tasks), 0)
        kept: list[tuple[FrameTask, FrameResult, bytes | None]] = []
        with (
            self.thread_pool(self.workers) as threads,
            SceneFileWriter.open(self.scene, processor, self.store, self.tasks) as scene_file,
        ):
            executor = self.executor or threads

            def submit(task: FrameTask, admission: Admission) -> Future[PreparedFrame | FrameResult]:
                return executor.submit(
                    processor.prepare, replace(task, points=settings.points.pop(task.frame.id, None))
                )

            budget = MemoryBudget(self.workers + 1, 2 * self.workers + 1, expected=self.expected_bytes(settings))
            with closing(ordered_map(submit, self.tasks, budget, hold=_points_held, on_error=self.store.close)) as done:
                for task, prepared in zip(self.tasks, done, strict=True):
                    result = scene_file.add(task, prepared)
                    bits = prepared.kept if isinstance(prepared, PreparedFrame) and result.frame is not None else None
                    kept.append((task, result, bits))
                    del prepared
                    self.tell(result)
            frames = [result.frame for _, result, _ in kept if result.frame is not None]
            if frames:
                require_points(frames)
            records = list(threads.map(lambda one: processor.store_kept(one[0], self.store, one[2]), kept))
            if frames:
                builder.attachments.append(scene_file.store_scene([frame.id for frame in frames]))
            # Those of the scene are kept with its first frame, for a run that finds it finished.
            notes = {f"scene {number}": note for number, note in enumerate(scene_file.writer.notes)}
            for (_, result, _), record in zip(kept, records, strict=True):
                if result.frame is not None:
                    frame = result.frame.model_copy(update={"kept": record, "notes": result.frame.notes | notes})
                    result, notes = FrameResult(frame=frame), {}
                builder.add(result)

    @contextmanager
    def thread_pool(self, threads: int) -> Iterator[ThreadPoolExecutor]:
        """Open a thread pool; after a failure what is queued is cancelled, and a stop waits for nothing."""
        pool = ThreadPoolExecutor(threads, thread_name_prefix="lidarprep")
        try:
            yield pool
        except BaseException as failure:
            self.store.close()
            pool.shutdown(wait=isinstance(failure, Exception), cancel_futures=True)
            raise
        pool.shutdown()

    def tell(self, result: FrameResult) -> None:
        """Tell of a frame that is done."""
        if result.frame is not None:
            self.progress.advance(result.frame, result.bytes)
        elif result.skipped is not None:
            self.progress.skip(result.skipped)

    def count_finished(self, future: Future[FrameResult | EmptyFrame]) -> None:
        """Count a frame that another run will find finished."""
        if not future.cancelled() and future.exception() is None:
            result = future.result()
            self.finished += isinstance(result, FrameResult) and result.record.fingerprint is not None

    def expected_bytes(self, settings: SceneSettings) -> int | None:
        """Return about what a frame takes in memory, by those that were read; None where none was."""
        if any(task.frame.read_chunks is not None for task in self.tasks):
            return None
        return max((BYTES_A_POINT * len(points) for points in settings.points.values()), default=None)

    def require_stored(self, manifest: Manifest) -> None:
        """Check that nothing that the manifest is to name has been deleted while the run lasted.

        Raises:
            StorageError: Something has.
        """
        gone = missing_keys(self.store, [record for _, record in manifest.objects()])
        if gone:
            raise StorageError(
                f"{place_name(self.store.location(min(gone)))} was deleted or changed while the run lasted",
                fix="Run the same command again.",
            )

    @contextmanager
    def advice_on_failure(self) -> Iterator[None]:
        """Add to an error how to go on, and how much is kept."""
        try:
            yield
        except BaseException as failure:
            self.store.close()
            if isinstance(failure, EmptyResultError):
                failure.fix = explain_empty_result([task.frame for task in self.tasks], self.recipe) or failure.fix
            elif isinstance(failure, RecipeError):
                if self.finished:
                    _advise(failure, f"{self.finished} frames are stored already: `lidarprep prune` removes them.")
            elif self.finished:
                kept = f"{self.finished} of {len(self.tasks)} frames are done and kept"
                _advise(failure, f"{kept}: run the same command again to go on.")
            raise


_OTHER_RUN = (
    "Choose another destination, or replace its manifest with --overwrite; `lidarprep prune` removes its objects."
)


def _points_held(result: PreparedFrame | FrameResult) -> int:
    return result.in_memory if isinstance(result, PreparedFrame) else 0


def _advise(failure: BaseException, advice: str) -> None:
    if isinstance(failure, LidarprepError):
        failure.fix = f"{failure.fix}\n{advice}" if failure.fix else advice
    else:
        failure.add_note(advice)
