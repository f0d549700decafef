"""The story of one run: plan, look up what is finished, process what is missing, write the manifest.

A run with nothing to do, a resumed run, a changed file, a lost object and a repair are the same code path: a frame
whose result is found, with all of its objects, is not processed again. The manifest comes last, by compare-and-swap:
where it is, everything that it names is.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from os import PathLike, fspath

from lidarprep.attachments import SceneFormat, get_format
from lidarprep.checks.codes import require_known
from lidarprep.errors import (
    EncodingError,
    FindingsError,
    FormatError,
    LidarprepError,
    ManifestConflictError,
    MissingExtraError,
    RecipeError,
    SceneError,
    StorageError,
    place_name,
)
from lidarprep.prepare.checking import KnownFindings, SceneChecks, checks_beside
from lidarprep.prepare.empty_result import EmptyResultError, explain_empty_result
from lidarprep.prepare.fingerprint import RunIdentity
from lidarprep.prepare.manifest_builder import OF_RESULTS, ManifestBuilder
from lidarprep.prepare.plan import FrameTask, plan
from lidarprep.prepare.prelabels import Prelabels
from lidarprep.prepare.process_frame import FrameProcessor
from lidarprep.prepare.processing import NoProgress, Processing, Progress
from lidarprep.recipe import Recipe
from lidarprep.remote import as_path
from lidarprep.scene import Scene
from lidarprep.scene.finding import gravest_first, refuse
from lidarprep.scene_settings import SceneSettings, steps_of
from lidarprep.signed_urls import renew
from lidarprep.storage import Manifest, Store, open_store
from lidarprep.storage.cache import FrameCache, missing_keys, missing_objects
from lidarprep.storage.manifest import AttachmentRecord, FrameResult, SettingsRecord
from lidarprep.storage.open import replace_manifest
from lidarprep.storage.options import StorageOptions
from lidarprep.storage.store import MANIFEST_KEY

log = logging.getLogger(__name__)


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
        out: A folder, or s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.
        storage: How `out` is reached and named to Scale.
        overwrite: Whether to replace the manifest of another run. Its objects stay: `prune` removes them.
        workers: Frames prepared at once; as many as cores where it is None.
        executor: Runs the frames in place of a thread pool of our own.
        progress: Told of each frame that is stored; of nothing where nothing is to be done.

    Returns:
        The manifest, as it was stored.

    Raises:
        RecipeError: The recipe does not fit the scene, or keeps none of its points; `out` holds another run.
        FindingsError: The checks found what would ruin a task, and the recipe does not accept it.
        SceneError, FormatError: The recording is not sound; where bad frames are skipped, none of them is.
        EncodingError: The format cannot hold a value of it.
        StorageError: `out` cannot be stored at.
        ManifestConflictError: Another run has ended at `out` meanwhile. Whatever is raised, KeyboardInterrupt among
            it, finished frames are kept for the next run of the same recipe.
    """
    if workers is not None and workers < 1:
        raise RecipeError(f"workers is {workers}; it must be 1 or more")
    if "://" not in fspath(out) and os.path.realpath(out) == os.path.realpath(scene.source):
        raise RecipeError(f"{fspath(out)} is the recording itself", fix="Choose another destination.")
    require_known(recipe.accept, scene.findings)
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
        self.processing: Processing | None = None
        self.added: list[str | None] = []  # fingerprints of the cache entries that this run has stored

    def execute(self, *, overwrite: bool) -> Manifest:
        """Execute the run; return its manifest."""
        current, version = self.current_manifest(overwrite=overwrite)
        self.tasks = plan(self.scene, self.recipe)
        prelabels = None
        if self.recipe.prelabels is not None:
            row_of = {frame.id: row for row, frame in enumerate(self.scene)}
            prepared = [row_of[task.frame.id] for task in self.tasks]
            labelled = [prepared[row] for row in self.recipe.labelled_rows(len(prepared))]
            path = as_path(self.recipe.prelabels, self.storage)
            prelabels = Prelabels.read(path, self.recipe.prelabels_frame, self.scene, (prepared, labelled))
            prelabels.notes(self.recipe.format)  # refuses what no attachment holds, before any work is done
        digest = "" if prelabels is None else prelabels.digest
        identity = RunIdentity.of(self.scene, self.recipe, self.storage, self.tasks, digest)
        if current is not None and not overwrite:
            self.require_same_run(current, identity)
        cache = FrameCache(self.store, current, distrusted=self.distrusted)
        settings = self.settings(current, identity)
        self.tasks = [task.with_fingerprint(identity.of_frame(task.frame.id, settings.record)) for task in self.tasks]
        results = cache.lookup(task.fingerprint for task in self.tasks)
        if overwrite or not self.recipe.skip_bad_frames:  # bad frames are read again
            results = {name: result for name, result in results.items() if result.skipped is None}
        whole_scene = self.stored_scene(current, results)
        if current is not None and identity.is_of(current) and self.is_complete(results, whole_scene):
            return renew(current, self.storage) if current.images_have_expired else current
        with self.advice_on_failure(settings.record), self.checks(current, identity, settings) as checks:
            builder = self.process(results, whole_scene, settings, checks, prelabels)
            findings = gravest_first([*builder.findings(), *checks.findings()])
            refuse(findings, accept=self.recipe.accept, strict=self.recipe.strict)
            manifest = builder.build(self.scene, self.recipe, self.storage, settings, identity, findings)
            if prelabels is not None:
                notes = [*manifest.notes, *prelabels.notes(self.recipe.format)]
                more = {"base_annotations": prelabels.base_annotations, "notes": notes}
                manifest = manifest.model_copy(update=more)
            self.require_stored(manifest)
            try:
                manifest = replace_manifest(self.store, manifest, version)
            except ManifestConflictError:
                manifest = self.manifest_of_equal_run(identity)
        self.drop_entries(cache, identity)
        # Attachments of an earlier run may be among them.
        return renew(manifest, self.storage) if manifest.images_have_expired else manifest

    def drop_entries(self, cache: FrameCache, identity: RunIdentity) -> None:
        """Delete the cache entries of frames that the manifest names; the run is complete whatever becomes of that."""
        try:
            cache.drop([task.fingerprint for task in self.tasks], added=self.added)
        except (KeyboardInterrupt, SystemExit) as stop:
            stop.add_note("the run is complete; only cache entries of it are left, which the same command deletes")
            raise
        except StorageError as failure:
            log.warning("the run is complete, but its cache entries stay: %s", failure.message)

    def current_manifest(self, *, overwrite: bool) -> tuple[Manifest | None, str | None]:
        """Return the manifest that is at the destination, and its version.

        Raises:
            RecipeError: It is not readable, and is not to be replaced.
        """
        found = self.store.read_current(MANIFEST_KEY)
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
        if other is None or not identity.is_of(other):
            raise ManifestConflictError(self.store.location(MANIFEST_KEY))
        return other

    def require_same_run(self, current: Manifest, identity: RunIdentity) -> None:
        """Refuse to replace another run's manifest.

        Raises:
            RecipeError: It is another run's, or that cannot be told; the message names what differs.
        """
        if identity.is_of(current):
            return
        what = f"{place_name(current.location)} is there already, from an earlier run to this destination"
        if identity.fingerprint is not None:
            what += f": {'; '.join(identity.differences_from(current))}"
        else:
            what += "; whether of the same recording cannot be told, since its frames name no source files"
        raise RecipeError(what, fix=_OTHER_RUN)

    def settings(self, current: Manifest | None, identity: RunIdentity) -> SceneSettings:
        """Return the settings of the scene: the manifest's, if it is of the same run, or estimated ones."""
        if current is not None and current.settings is not None and identity.is_of(current):
            return SceneSettings(current.settings)
        self.store.check()  # before any work is done
        return SceneSettings.estimate(self.scene, self.recipe, [task.frame for task in self.tasks])

    def checks(
        self, current: Manifest | None, identity: RunIdentity, settings: SceneSettings
    ) -> AbstractContextManager[SceneChecks]:
        """Return the checks of the recording: what the manifest says, if it is of the same run, or those that begin."""
        if current is not None and identity.is_of(current):
            return nullcontext(KnownFindings([one for one in current.findings if one.code not in OF_RESULTS]))
        return checks_beside(self.scene, self.recipe, settings)

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
        checks: SceneChecks,
        prelabels: Prelabels | None = None,
    ) -> ManifestBuilder:
        """Process the frames whose results are missing; return all results, in time order."""
        builder = ManifestBuilder()
        missing = [task for task in self.tasks if task.fingerprint not in results]
        fresh: dict[str, FrameResult] = {}
        steps = steps_of(self.scene, self.recipe, settings.record)
        processor = FrameProcessor(steps, self.recipe, self.scene.source, self.out, self.storage)
        self.processing = Processing(
            processor, self.store, self.workers, self.executor, self.progress, settings.points, watch=checks.watch
        )
        if isinstance(self.format, SceneFormat):
            if whole_scene is None:
                self.progress.start(len(self.tasks), 0)
                done, whole_scene = self.processing.scene(self.scene, self.tasks, prelabels, settings.record.offset)
                fresh = {task.frame.id: result for task, result in zip(self.tasks, done, strict=True)}
            builder.attachments += [] if whole_scene is None else [whole_scene]
        else:
            self.processing.finished = len(self.tasks) - len(missing)
            self.progress.start(len(self.tasks), self.processing.finished)
            has_points = any(result.frame is not None and result.frame.points_out for result in results.values())
            frames = self.processing.frames(missing, has_points=has_points)
            fresh = {task.frame.id: result for task, result in frames}
            self.added += [task.fingerprint for task in missing]
        for task in self.tasks:
            builder.add(fresh[task.frame.id] if task.frame.id in fresh else results[str(task.fingerprint)])
        builder.require_points()
        return builder

    def require_stored(self, manifest: Manifest) -> None:
        """Check that nothing that the manifest is to name has been deleted while the run lasted.

        Raises:
            StorageError: Something has.
        """
        if gone := missing_objects(manifest, self.store):
            raise StorageError(
                f"{place_name(self.store.location(min(gone)))} was deleted or changed while the run lasted",
                fix="Run the same command again.",
            )

    @contextmanager
    def advice_on_failure(self, settings: SettingsRecord) -> Iterator[None]:
        """Add to an error how to go on, and how much is kept."""
        try:
            yield
        except BaseException as failure:
            self.store.close()
            finished = 0 if self.processing is None else self.processing.finished
            if isinstance(failure, EmptyResultError):
                recipe = self.recipe.with_device_height(settings.device_height)
                failure.fix = explain_empty_result([task.frame for task in self.tasks], recipe) or failure.fix
            elif isinstance(failure, RecipeError):
                if finished:
                    _advise(failure, f"{finished} frames are stored already: `lidarprep prune --all` removes them.")
            elif finished:
                kept = f"{finished} of {len(self.tasks)} frames are done and kept"
                if isinstance(failure, ManifestConflictError | FindingsError):  # which say themselves how to go on
                    _advise(failure, f"{kept}.")
                elif isinstance(failure, _RECURRING):
                    _advise(failure, f"{kept}: once that is mended, run the same command again to go on.")
                else:
                    _advise(failure, f"{kept}: run the same command again to go on.")
            raise


# What the same command meets again, unless something is done about it.
_RECURRING = (FormatError, SceneError, EncodingError, MissingExtraError)

_OTHER_RUN = (
    "Choose another destination, or replace its manifest with --overwrite; `lidarprep prune` removes its objects."
)


def _advise(failure: BaseException, advice: str) -> None:
    if isinstance(failure, LidarprepError):
        failure.fix = f"{failure.fix}\n{advice}" if failure.fix else advice
    else:
        failure.add_note(advice)
