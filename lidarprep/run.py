"""A whole run: a recording is prepared and stored, and what was stored becomes a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lidarprep.datasets import open_scene
from lidarprep.prepare import Progress, prepare
from lidarprep.recipe import RunRecipe
from lidarprep.scene import Scene
from lidarprep.storage import Manifest
from lidarprep.submit import TaskRequest, check_task, submit, task_request

if TYPE_CHECKING:
    from lidarprep.api import ScaleClient, Task


@dataclass(frozen=True)
class RunResult:
    """What a run made.

    Args:
        manifest: What was stored.
        task: What was submitted, or None.
        request: What would be submitted, of a dry run; else None.
    """

    manifest: Manifest
    task: Task | None = None
    request: TaskRequest | None = None


def run(
    recipe: RunRecipe,
    *,
    scene: Scene | None = None,
    client: ScaleClient | None = None,
    progress: Progress | None = None,
    on_prepared: Callable[[Manifest], None] | None = None,
    on_request: Callable[[TaskRequest], None] = lambda request: None,
    resubmit: bool = False,
    dry_run: bool = False,
) -> RunResult:
    """Prepare, store and submit.

    The task is checked, and the key looked for, before anything is prepared.

    Args:
        recipe: What is to be done.
        scene: The recording, if it is open already.
        client: Where to submit; made from the recipe's address and SCALE_API_KEY where it is None.
        progress: Told of each frame that is stored.
        on_prepared: Told when everything is stored, before it is submitted.
        on_request: Told what will be submitted, before anything is sent.
        resubmit: Where the task that has the unique id is canceled or in error, free the id and make the task again.
        dry_run: Prepare and store, but submit nothing; no key is needed.

    Raises:
        LidarprepError: Whatever `open_scene`, `prepare` and `submit` raise.
    """
    if recipe.task is not None and client is None and not dry_run:
        from lidarprep.api import ScaleClient

        with ScaleClient(api_url=recipe.task.api_url) as made:
            return run(
                recipe,
                scene=scene,
                client=made,
                progress=progress,
                on_prepared=on_prepared,
                on_request=on_request,
                resubmit=resubmit,
            )
    if recipe.task is not None:
        check_task(recipe.recipe, recipe.task)
    manifest = prepare(
        open_recording(recipe) if scene is None else scene,
        recipe.recipe,
        recipe.out,
        storage=recipe.storage,
        overwrite=recipe.overwrite,
        workers=recipe.workers,
        progress=progress,
    )
    if on_prepared is not None:
        on_prepared(manifest)
    if recipe.task is None:
        return RunResult(manifest)
    if client is None or dry_run:
        task_of = task_request(
            manifest,
            recipe.task.type,
            recipe.task.params,
            unique_id=recipe.task.unique_id,
            upload=recipe.task.upload,
            batch=recipe.task.batch,
        )
        on_request(task_of)
        return RunResult(manifest, request=task_of)
    task = submit(
        manifest,
        recipe.task.type,
        recipe.task.params,
        client,
        unique_id=recipe.task.unique_id,
        resubmit=resubmit,
        upload=recipe.task.upload,
        batch=recipe.task.batch,
        storage=recipe.storage,
        on_request=on_request,
    )
    return RunResult(manifest, task)


def open_recording(recipe: RunRecipe) -> Scene:
    """Open the recording of a run.

    Raises:
        LidarprepError: Whatever `open_scene` raises.
    """
    opening = vars(recipe.opening) | {"points_frame": recipe.recipe.points_frame or recipe.opening.points_frame}
    return open_scene(recipe.scene, layout=recipe.layout, access=recipe.storage, **opening)
