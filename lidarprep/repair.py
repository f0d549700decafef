"""Repair: the run of a manifest is executed again, for what is missing or damaged of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from lidarprep.errors import RecipeError, place_name
from lidarprep.prepare.processing import NoProgress, Progress
from lidarprep.prepare.run import Run
from lidarprep.recipe import Recipe, StorageOptions
from lidarprep.scene import Scene
from lidarprep.storage import Manifest
from lidarprep.storage.open import destination_of, options_of
from lidarprep.verify import DamagedObject, verify


@dataclass(frozen=True)
class Repair:
    """What became of what was damaged.

    Args:
        manifest: The manifest that is at the destination now.
        restored: Keys of the objects that are as the old manifest says again.
        replaced: Keys of damaged objects that the new manifest no longer names: attachments with signed URLs, which
            no second run makes again, have new objects.
    """

    manifest: Manifest
    restored: tuple[str, ...]
    replaced: tuple[str, ...]


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
        storage: How S3 is reached. How objects are stored is what the manifest says.
        findings: What `verify` has found; it is called where this is None.
        workers: Frames prepared at once; as many as cores where it is None.
        executor: Runs the frames in place of a thread pool of our own.
        progress: Told of each frame that is stored.

    Raises:
        RecipeError: The recording, or how it was opened, is not the run's; the storage options are not those that the
            run stored with; or the manifest is of lidarprep 0.1.
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
        return Repair(manifest, (), ())
    recipe = Recipe(**manifest.recipe)
    if recipe.points_frame is not None:
        scene = scene.with_points_in(recipe.points_frame)
    run = Run(
        scene,
        recipe,
        destination_of(manifest),
        options,
        workers=workers or os.cpu_count() or 1,
        executor=executor,
        progress=progress or NoProgress(),
        distrusted=damaged,
    )
    new = run.execute(overwrite=False)
    named = {key for key, _ in new.objects()}
    return Repair(new, tuple(key for key in damaged if key in named), tuple(key for key in damaged if key not in named))
