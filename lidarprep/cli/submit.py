"""`lidarprep submit MANIFEST --type TYPE`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import plain, print_findings, print_json, print_table, say, say_how_to_go_on
from lidarprep.cli.progress import progress

if TYPE_CHECKING:
    from lidarprep.api import ScaleClient, Task
    from lidarprep.submit import TaskRequest


@o.takes(o.BUCKET)
def command(
    manifest: Annotated[str, typer.Argument(help="The manifest.json that prepare wrote, its folder, or in a bucket.")],
    type: Annotated[
        str,
        typer.Option("--type", help="lidarannotation, lidarsegmentation, lidartopdown, multistage, sensorfusion, …"),
    ],
    params: o.Params = None,
    param: o.Param = None,
    unique_id: o.UniqueId = None,
    resubmit: o.Resubmit = False,
    coordinates: o.Coordinates = None,
    upload: o.Upload = None,
    accept: o.Accept = None,
    dry_run: o.DryRun = False,
    live: o.Live = False,
    yes: o.Yes = False,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
    **flags: Any,
) -> None:
    """Submit what prepare stored as a task; the same again finds its task. The API key comes from SCALE_API_KEY."""
    from lidarprep.api import ScaleClient, parse_params
    from lidarprep.recipe import StorageOptions
    from lidarprep.storage import load_manifest
    from lidarprep.submit import AUTO, submit, task_request
    from lidarprep.yaml_files import read_yaml

    storage = o.storage_from(StorageOptions(), flags)
    parameters = (read_yaml(params, "the parameter file") if params else {}) | parse_params(param or [], type)
    parameters |= {} if coordinates is None else {"coordinates": coordinates}
    loaded = load_manifest(manifest, storage)
    print_findings([one for one in loaded.findings if one.severity != "note"], [*loaded.accepted, *(accept or ())])
    unique_id = unique_id or AUTO
    if dry_run:
        request = task_request(loaded, type, parameters, unique_id=unique_id, upload=upload, accept=accept or ())
        sent = request.as_sent(api_url)
        show_request(request.summary(), "dry run: nothing is sent")
        print_json(sent)
        return
    with ScaleClient(api_url=api_url) as client:
        o.require_said(client, live=live, yes=yes)
        known: list[str | None] = []

        def on_request(request: TaskRequest) -> None:
            known.append(task_with(client, request.unique_id))
            show_request(request.summary(), client)

        with (
            say_how_to_go_on(),
            progress("submitting", "attachments renewed" if upload is None else "files uploaded") as bar,
        ):
            task = submit(
                loaded,
                type,
                parameters,
                client,
                unique_id=unique_id,
                resubmit=resubmit,
                upload=upload,
                accept=accept or (),
                storage=storage,
                progress=bar.reach,
                on_request=on_request,
            )
        say_if_known(task, known)
        show_task(task, client.api_url)
    say_next(task, api_url)
    if json:
        print_json(dict(task.raw))


def show_request(summary: list[tuple[str, str]], sent_by: ScaleClient | str) -> None:
    """Show what is about to be submitted, and whether it costs money."""
    rows = list(summary)
    if isinstance(sent_by, str):
        rows.append(("key", sent_by))
    else:
        mode = sent_by.key_mode or "of an unknown mode"
        costs = ": people do the task, and it costs money" if sent_by.requires_confirmation else ""
        rows += [("key", f"{mode}{costs}"), ("API", sent_by.api_url)]
    print_table("to submit", ("", "is"), [(plain(name), plain(value)) for name, value in rows])


def say_if_known(task: Task, known: list[str | None]) -> None:
    """Say that a task was there already, where it was found before anything was sent."""
    if task.id in known:
        say(f"this was submitted before: the unique id has its task already, {task.id}; no other was made")


def task_with(client: ScaleClient, unique_id: str | None) -> str | None:
    """Return the id of the task that has the unique id already, to tell it from a new one."""
    if unique_id is None:
        return None
    page = client.list_tasks(unique_id=unique_id)
    return next((task.id for task in page.tasks if task.unique_id == unique_id), None)


def say_next(task: Task, api_url: str | None) -> None:
    """Say what to do with the task next, as a command."""
    if not task.is_final:
        words = ["lidarprep", "tasks", "wait", task.id, *(["--api-url", api_url] if api_url else [])]
        say(f"next: {shlex.join(words)}")


def show_task(task: Task, api_url: str | None = None) -> None:
    """Show a task as a table."""
    rows = [("type", task.type or ""), ("status", task.status or "")]
    if task.problem:
        rows.append(("problem", task.problem))
    if api_url:
        rows.append(("API", api_url))
    for name, moment in (("created", task.created_at), ("completed", task.completed_at)):
        if moment is not None:
            rows.append((name, f"{moment:%Y-%m-%d %H:%M:%S %Z}".rstrip()))
    for name, text in (("project", task.project), ("batch", task.batch), ("unique id", task.unique_id)):
        if text:
            rows.append((name, text))
    if task.tags:
        rows.append(("tags", ", ".join(task.tags)))
    rows += [(f"metadata {key}", str(value)) for key, value in task.metadata.items()]
    if task.is_test is not None:
        rows.append(("test", "yes" if task.is_test else "no"))
    print_table(f"task {plain(task.id)}", ("", "is"), [(plain(name), plain(value)) for name, value in rows])
