"""`lidarprep run RECIPE`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import print_json, say_how_to_go_on, tell_of_compiling
from lidarprep.cli.prepare import show_manifest
from lidarprep.cli.progress import progress
from lidarprep.cli.submit import say_if_known, say_next, show_request, show_task, task_with

if TYPE_CHECKING:
    from lidarprep.submit import TaskRequest


@o.takes(o.RECIPE, o.OPENING, o.CHECKS, o.STORAGE)
def command(
    recipe: Annotated[str, typer.Argument(help="A YAML file: scene, out, recipe, storage, task.")],
    scene: Annotated[str | None, typer.Option(help="Another recording than the file's.")] = None,
    out: Annotated[str | None, typer.Option(metavar="DEST", help="Another destination than the file's.")] = None,
    param: o.Param = None,
    unique_id: o.UniqueId = None,
    resubmit: o.Resubmit = False,
    coordinates: o.Coordinates = None,
    upload: o.Upload = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Prepare and store, and print the task's request as JSON; submit nothing.")
    ] = False,
    live: o.Live = False,
    yes: o.Yes = False,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
    **flags: Any,
) -> None:
    """Prepare, store and submit as a recipe file says; flags override it."""
    from lidarprep._malloc import configure_malloc
    from lidarprep.recipe import RunRecipe, TaskRecipe
    from lidarprep.run import run as run_recipe

    configure_malloc()
    base = RunRecipe.from_yaml(recipe)
    merged = o.recipe_from(base.recipe, flags)
    storage = o.storage_from(base.storage, flags)
    task = base.task
    if task is not None:
        from lidarprep.api import parse_params

        task = TaskRecipe(
            type=task.type,
            params=task.params
            | parse_params(param or [], task.type)
            | ({} if coordinates is None else {"coordinates": coordinates}),
            unique_id=unique_id or task.unique_id,
            upload=upload or task.upload,
            api_url=api_url or task.api_url,
        )
    whole = RunRecipe(
        scene=scene or base.scene,
        out=out or base.out,
        layout=flags["layout"] or base.layout,
        opening=replace(base.opening, **o.opening_flags(flags)),
        recipe=merged,
        storage=storage,
        task=task,
        workers=flags["workers"] or base.workers,
        overwrite=flags["overwrite"] or base.overwrite,
    )
    with ExitStack() as stack:
        client = None
        known: list[str | None] = []
        if task is not None and not dry_run:
            from lidarprep.api import ScaleClient

            client = stack.enter_context(ScaleClient(api_url=task.api_url))
            o.require_said(client, live=live, yes=yes)

        def on_request(request: TaskRequest) -> None:
            if client is not None:
                known.append(task_with(client, request.unique_id))
            show_request(request.summary(), client or "dry run: nothing is submitted")

        with say_how_to_go_on(), progress("preparing", on_start=tell_of_compiling) as bar:
            result = run_recipe(
                whole,
                client=client,
                progress=bar,
                on_prepared=lambda manifest: show_manifest(manifest, processed=bar.started),
                on_request=on_request,
                resubmit=resubmit,
                dry_run=dry_run,
            )
    if task is not None and result.task is not None:
        say_if_known(result.task, known)
        show_task(result.task)
        say_next(result.task, task.api_url)
    if result.request is not None:
        print_json(result.request.as_sent(None if task is None else task.api_url))
    elif json:
        made: dict[str, Any] = {"manifest": result.manifest.model_dump(mode="json")}
        print_json(made if result.task is None else made | {"task": dict(result.task.raw)})
