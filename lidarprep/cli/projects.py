"""`lidarprep projects …`, `lidarprep batches …` and `lidarprep files …`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import plain, print_json, print_json_line, print_table, say

if TYPE_CHECKING:
    from lidarprep.api import Batch, Project, ScaleClient, StoredFile

projects = typer.Typer(no_args_is_help=True, help="Create projects, look at them, and set their parameters.")
batches = typer.Typer(no_args_is_help=True, help="Create batches of tasks, look at them, and have them worked on.")
files = typer.Typer(no_args_is_help=True, help="Store files with Scale, to be attachments.")

Name = Annotated[str, typer.Argument(metavar="NAME")]
ProjectName = Annotated[str, typer.Option("--project", metavar="NAME", help="The project it belongs to.")]
OfProject = Annotated[str | None, typer.Option("--project", metavar="NAME", help="The project it belongs to.")]
Reference = Annotated[
    str | None, typer.Option("--reference-id", metavar="ID", help="Id of your own that no other file may have.")
]
JsonLines = Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout, one a line.")]


@projects.command("create")
def create_project(
    name: Name,
    type: Annotated[str, typer.Option("--type", help="Type of its tasks: lidarannotation, …")],
    params: o.Params = None,
    param: o.Param = None,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
) -> None:
    """Create a project; its parameters are those of its tasks, where they are left out there."""
    with _client(api_url) as client:
        _show_project(client.create_project(name, type, _parameters(params, param, type)), json)


@projects.command("list")
def list_projects(api_url: o.ApiUrl = None, json: JsonLines = False) -> None:
    """List all projects."""
    with _client(api_url) as client:
        found = client.list_projects()
    if json:
        for project in found:
            print_json_line(dict(project.raw))
    else:
        print_table(
            "projects", ("project", "type"), [(plain(one.name), plain(one.type or "")) for one in found], stderr=False
        )


@projects.command("get")
def get_project(name: Name, api_url: o.ApiUrl = None, json: o.Json = False) -> None:
    """Show a project with its parameters."""
    with _client(api_url) as client:
        _show_project(client.get_project(name), json)


@projects.command("set")
def set_project(
    name: Name,
    params: o.Params = None,
    param: o.Param = None,
    replace: Annotated[bool, typer.Option("--replace", help="Drop the parameters that are not given.")] = False,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
) -> None:
    """Give a project parameters, for tasks that are created from now on."""
    with _client(api_url) as client:
        _show_project(client.set_project_params(name, _parameters(params, param), patch=not replace), json)


@batches.command("create")
def create_batch(
    name: Name,
    project: ProjectName,
    callback: Annotated[
        str | None, typer.Option(metavar="URL", help="E-mail address or URL to tell once it is complete.")
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="VALUE as JSON or as plain text. Repeatable.")
    ] = None,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
) -> None:
    """Create a batch. Its tasks are worked on once it is finalized."""
    from lidarprep.api import parse_params

    given = parse_params(metadata or []) or None
    with _client(api_url) as client:
        _show_batch(client.create_batch(project, name, callback=callback, metadata=given), json)


@batches.command("finalize")
def finalize_batch(
    name: Name, live: o.Live = False, yes: o.Yes = False, api_url: o.ApiUrl = None, json: o.Json = False
) -> None:
    """Have a batch's tasks worked on."""
    with _client(api_url) as client:
        o.require_said(client, live=live, yes=yes)
        _show_batch(client.finalize_batch(name), json)


@batches.command("get")
def get_batch(name: Name, api_url: o.ApiUrl = None, json: o.Json = False) -> None:
    """Show a batch."""
    with _client(api_url) as client:
        _show_batch(client.get_batch(name), json)


@batches.command("status")
def batch_status(name: Name, api_url: o.ApiUrl = None, json: o.Json = False) -> None:
    """Show how many of a batch's tasks have which status."""
    with _client(api_url) as client:
        found = client.batch_status(name)
    rows = [("status", plain(found.status or ""))]
    rows += [(plain(f"tasks {status}"), f"{count:,}") for status, count in found.tasks.items()]
    print_table(f"batch {plain(name)}", ("", "is"), rows)
    if json:
        print_json(dict(found.raw))


@batches.command("list")
def list_batches(
    project: OfProject = None,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="Only those: staging, in_progress or completed.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="The newest N.")] = 20,
    all: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    api_url: o.ApiUrl = None,
    json: JsonLines = False,
) -> None:
    """List batches, newest first."""
    found: list[Batch] = []
    with _client(api_url) as client:
        offset: int | None = 0
        while offset is not None:
            page = client.list_batches(project=project, status=status, limit=100 if all else limit, offset=offset)
            found += page.batches
            offset = page.next_offset if all else None
    if json:
        for batch in found:
            print_json_line(dict(batch.raw))
        return
    rows = [_texts(one.name, one.project, one.status, _minute(one)) for one in found]
    print_table("batches", ("batch", "project", "status", "created (UTC)"), rows, stderr=False)
    if page.next_offset is not None:
        say(f"there are more than these {limit}: --limit N or --all")


@files.command("upload")
def upload(
    paths: Annotated[list[str], typer.Argument(metavar="FILE…", help="At most 80 MB each.")],
    project: OfProject = None,
    reference_id: Reference = None,
    api_url: o.ApiUrl = None,
    json: JsonLines = False,
) -> None:
    """Upload files. Each gets a URL, scaledata://…, that a task takes as an attachment."""
    from lidarprep.errors import RecipeError

    if reference_id is not None and len(paths) > 1:
        raise RecipeError("--reference-id is of one file, and several are given", fix="Upload them one by one.")
    with _client(api_url) as client:
        for path in paths:
            _show_file(path, client.upload_file(path, project=project, reference_id=reference_id), json)


@files.command("import")
def import_file(
    url: Annotated[str, typer.Argument(metavar="URL")],
    project: OfProject = None,
    reference_id: Reference = None,
    api_url: o.ApiUrl = None,
    json: JsonLines = False,
) -> None:
    """Have Scale fetch a file and store it."""
    with _client(api_url) as client:
        _show_file(url.partition("?")[0], client.import_file(url, project=project, reference_id=reference_id), json)


def _client(api_url: str | None) -> ScaleClient:
    from lidarprep.api import ScaleClient

    return ScaleClient(api_url=api_url)


def _parameters(file: str | None, given: list[str] | None, task_type: str | None = None) -> dict[str, Any]:
    from lidarprep.api import parse_params
    from lidarprep.yaml_files import read_yaml

    return (read_yaml(file, "the parameter file") if file else {}) | parse_params(given or [], task_type)


def _minute(batch: Batch) -> str:
    return f"{batch.created_at:%Y-%m-%d %H:%M}" if batch.created_at else ""


def _texts(*cells: str | None) -> tuple[str, ...]:
    return tuple(plain(cell or "") for cell in cells)


def _show_project(project: Project, json: bool) -> None:
    rows = [("type", project.type or ""), ("version", "" if project.version is None else str(project.version))]
    rows += [(name, str(value)) for name, value in project.params.items()]
    print_table(f"project {plain(project.name)}", ("", "is"), [_texts(*row) for row in rows])
    if json:
        print_json(dict(project.raw))


def _show_batch(batch: Batch, json: bool) -> None:
    rows = [("project", batch.project), ("status", batch.status)]
    rows += [(f"metadata {key}", str(value)) for key, value in batch.metadata.items()]
    print_table(f"batch {plain(batch.name)}", ("", "is"), [_texts(*row) for row in rows])
    if json:
        print_json(dict(batch.raw))


def _show_file(name: str, file: StoredFile, json: bool) -> None:
    say(f"{plain(name)}: {plain(file.attachment_url)}")
    if json:
        print_json_line(dict(file.raw))
