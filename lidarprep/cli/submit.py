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


@o.takes(o.BUCKET)
def command(
    manifest: Annotated[str, typer.Argument(help="The manifest.json that prepare wrote, or its folder, or on S3.")],
    type: Annotated[
        str, typer.Option("--type", help="lidarannotation, lidarsegmentation, lidartopdown, multistage, …")
    ],
    params: o.Params = None,
    param: o.Param = None,
    unique_id: o.UniqueId = None,
    accept: o.Accept = None,
    live: o.Live = False,
    yes: o.Yes = False,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
    **flags: Any,
) -> None:
    """Submit what prepare stored as a task. The API key comes from SCALE_API_KEY."""
    from lidarprep.api import ScaleClient, parse_params
    from lidarprep.recipe import StorageOptions
    from lidarprep.storage import load_manifest
    from lidarprep.submit import AUTO, submit, unique_id_of
    from lidarprep.yaml_files import read_yaml

    storage = o.storage_from(StorageOptions(), flags)
    parameters = (read_yaml(params, "the parameter file") if params else {}) | parse_params(param or [], type)
    loaded = load_manifest(manifest, storage)
    print_findings([one for one in loaded.findings if one.severity != "note"], [*loaded.accepted, *(accept or ())])
    with ScaleClient(api_url=api_url) as client:
        o.require_said(client, live=live, yes=yes)
        wanted = unique_id_of(loaded, type, parameters) if unique_id == AUTO else unique_id
        with say_how_to_go_on(), progress("submitting", "attachments renewed") as bar:
            known = _task_with(client, wanted or parameters.get("unique_id"))
            task = submit(
                loaded,
                type,
                parameters,
                client,
                unique_id=unique_id,
                accept=accept or (),
                storage=storage,
                progress=bar.reach,
            )
        if task.id == known:
            say(f"this was submitted before: the unique id has its task already, {task.id}; no other was made")
        show_task(task, client.api_url)
    say_next(task, api_url)
    if json:
        print_json(dict(task.raw))


def _task_with(client: ScaleClient, unique_id: Any) -> str | None:
    """Return the id of the task that has the unique id already, to tell it from a new one."""
    if not isinstance(unique_id, str) or not unique_id:
        return None  # there is none, or it is for the parameters' own check to refuse
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
