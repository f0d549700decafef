"""Repair: the frames of a manifest whose objects are missing or damaged are processed again.

What the manifest says of the recording's files is not compared, since a copy of a recording has other times: what is
made again is compared with the manifest by its hash.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from lidarprep.errors import RecipeError, place_name
from lidarprep.prepare.checking import KnownFindings
from lidarprep.prepare.plan import plan
from lidarprep.prepare.processing import NoProgress, Progress
from lidarprep.prepare.run import Run
from lidarprep.recipe import Recipe, StorageOptions
from lidarprep.scene import Scene
from lidarprep.scene_settings import SceneSettings
from lidarprep.storage import Manifest
from lidarprep.storage.cache import FrameCache
from lidarprep.storage.manifest import AttachmentRecord, first_expiry
from lidarprep.storage.open import current_version, destination_of, options_of, replace_manifest
from lidarprep.verify import DamagedObject, verify


@dataclass(frozen=True)
class Repair:
    """What became of what was damaged.

    Args:
        manifest: The manifest that is at the destination now.
        restored: Keys of the objects that are as the manifest said again.
        replaced: Keys of damaged attachments with signed URLs, which no second run makes again: the new manifest names
            new ones.
        unlike: Keys of objects that could not be restored: made again, they are not what the manifest says.
    """

    manifest: Manifest
    restored: tuple[str, ...]
    replaced: tuple[str, ...]
    unlike: tuple[str, ...]


def repair(
    manifest: Manifest,
    scene: Scene,
    storage: StorageOptions | None = None,
    *,
    findings: Sequence[DamagedObject] | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Repair:
    """Process the frames again whose objects are missing or damaged, and store them as the run did.

    Args:
        manifest: As it was loaded from beside its objects.
        scene: The recording, opened as it was for the run.
        storage: How the store is reached. How objects are stored is what the manifest says.
        findings: What `verify` has found; it is called where this is None.
        workers: Frames prepared at once; as many as cores where it is None.
        executor: Runs the frames in place of a thread pool of our own.
        progress: Told of each frame that is stored.

    Raises:
        RecipeError: The scene has not the manifest's frames; the storage options are not those that the run stored
            with; or the manifest is of lidarprep 0.1.
        SceneError, FormatError: The recording is not sound.
        StorageError: It cannot be stored.
        ManifestConflictError: Another run has ended there since the manifest was loaded.
    """
    if manifest.settings is None:
        raise RecipeError(
            f"{place_name(manifest.location)} is of lidarprep 0.1, and does not say what a repair needs",
            fix="Prepare again with --overwrite.",
        )
    options = options_of(manifest, storage, to_write=True)
    damaged = [finding.key for finding in (verify(manifest, storage).findings if findings is None else findings)]
    if not damaged:
        return Repair(manifest, (), (), ())
    recipe = Recipe(**manifest.recipe)
    run = Run(
        scene if recipe.points_frame is None else scene.with_points_in(recipe.points_frame),
        recipe,
        destination_of(manifest),
        options,
        workers=workers or os.cpu_count() or 1,
        executor=executor,
        progress=progress or NoProgress(),
        distrusted=damaged,
    )
    fingerprints = {result.record.id: result.record.fingerprint for result in manifest.results()}
    tasks = plan(run.scene, recipe)
    if [task.frame.id for task in tasks] != list(fingerprints):
        raise RecipeError(
            f"{scene.source} has not the frames of {place_name(manifest.location)}",
            fix="Name the recording that was prepared, opened by the same options.",
        )
    results = FrameCache(run.store, manifest, distrusted=damaged).lookup(fingerprints.values())
    # What is made again has no fingerprint: if it is not what it was, no other run may take it for that.
    run.tasks = [
        task.with_fingerprint(name if (name := fingerprints[task.frame.id]) in results else None) for task in tasks
    ]
    version = current_version(manifest, run.store)
    known = KnownFindings(manifest.findings)
    builder = run.process(results, run.stored_scene(manifest, results), SceneSettings(manifest.settings), known)
    made = manifest.model_copy(
        update={"attachments": builder.attachments, "images": builder.images, "frames": builder.frames}
    )
    return _outcome(run, manifest, version, damaged, made)


def _outcome(run: Run, manifest: Manifest, version: str, damaged: Sequence[str], made: Manifest) -> Repair:
    """Compare what was made with the manifest; write a new manifest where attachments have newly signed URLs."""
    before, made_keys = dict(manifest.objects()), {key for key, _ in made.objects()}
    by_frame = {record.frames[0]: record for record in made.attachments}
    replaced: dict[str, AttachmentRecord] = {}
    for key in damaged:
        record = before[key]
        if key not in made_keys and isinstance(record, AttachmentRecord) and record.unsigned_sha256 is not None:
            new = by_frame.get(record.frames[0])
            if new is not None and new.unsigned_sha256 == record.unsigned_sha256:
                replaced[key] = new
    if replaced:
        attachments = [replaced.get(record.key, record) for record in manifest.attachments]
        update = {"attachments": attachments, "images_expire_at": first_expiry(attachments)}
        manifest = replace_manifest(run.store, manifest.model_copy(update=update), version)
    return Repair(
        manifest,
        restored=tuple(key for key in damaged if key in made_keys),
        replaced=tuple(replaced),
        unlike=tuple(key for key in damaged if key not in made_keys and key not in replaced),
    )
