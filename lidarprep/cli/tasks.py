"""`lidarprep whoami`, and `lidarprep tasks …`: look at tasks, wait for them and change them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import console, plain, print_error, print_json, print_json_line, print_table, say
from lidarprep.cli.submit import say_if_known, say_next, show_request, show_task, task_with
from lidarprep.errors import RecipeError

if TYPE_CHECKING:
    from lidarprep.api import ScaleClient, Task

app = typer.Typer(
    no_args_is_help=True,
    help="Create tasks, look at them, wait for them and change them.",
)

TaskId = Annotated[str, typer.Argument(metavar="ID", help="The task's id.")]
Time = Annotated[str | None, typer.Option(metavar="TIME", help="ISO 8601: 2021-04-25 or 2021-04-25T03:14:15-07:00.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout: a task a line, as they come.")]

MOST_TASKS_A_PAGE = 100


def whoami(api_url: o.ApiUrl = None, json: o.Json = False) -> None:
    """Show whether the API key is a test or a live one, and whether the API takes it. Never shows the key."""
    from lidarprep.api import ScaleClient

    with ScaleClient(api_url=api_url, retries=1) as client:
        found = client.whoami()
    mode = found.key_mode or "unknown"
    costs = "yes: add --live to submit" if found.costs_money else "no" if found.key_mode else "not known"
    rows = [("API", found.api_url), ("key", mode), ("tasks cost money", costs)]
    rows.append(("answers", "yes" if found.answers else "no"))
    if found.total_tasks is not None:
        rows.append(("tasks", f"{found.total_tasks:,}"))
    print_table("who am I", ("", "is"), rows)
    if json:
        print_json(
            {
                "api_url": found.api_url,
                "key_mode": found.key_mode,
                "costs_money": found.costs_money,
                "answers": found.answers,
                "total_tasks": found.total_tasks,
                "problem": found.problem.message if found.problem else None,
            }
        )
    if found.problem:
        print_error(str(found.problem))
        raise typer.Exit(found.problem.exit_code)


@app.command()
def create(
    type: Annotated[str, typer.Argument(metavar="TYPE", help="lidarlinking, lidarsegmentation, imageannotation, …")],
    params: o.Params = None,
    param: o.Param = None,
    unique_id: o.UniqueId = None,
    resubmit: o.Resubmit = False,
    dry_run: o.DryRun = False,
    live: o.Live = False,
    yes: o.Yes = False,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
) -> None:
    """Create a task of its parameters alone: of a finished lidar task, of an image, of any type. See also submit."""
    from lidarprep.api import parse_params
    from lidarprep.submit import TaskRequest
    from lidarprep.yaml_files import read_yaml

    parameters = (read_yaml(params, "the parameter file") if params else {}) | parse_params(param or [], type)
    request = TaskRequest.of(type, parameters, unique_id=unique_id or "auto")
    if dry_run:
        sent = request.as_sent(api_url)
        show_request(request.summary(), "dry run: nothing is sent")
        print_json(sent)
        return
    with _client(api_url) as client:
        o.require_said(client, live=live, yes=yes)
        request.as_sent(client.api_url)  # so that what is refused is not looked for before
        known = [task_with(client, request.unique_id)]
        show_request(request.summary(), client)
        task = client.create_task(type, request.parameters, resubmit=resubmit, id_is_content=request.id_is_content)
        say_if_known(task, known)
        _show(task, api_url, json)


@app.command()
def audit(
    task_id: TaskId,
    accept: Annotated[bool, typer.Option("--accept/--reject", help="Whether its result is good.", show_default=False)],
    comments: Annotated[str | None, typer.Option(metavar="TEXT", help="Why.")] = None,
    live: o.Live = False,
    yes: o.Yes = False,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
) -> None:
    """Accept or reject the result of a completed task; accepting creates the dependents that wait for it."""
    with _client(api_url) as client:
        o.require_said(client, live=live, yes=yes)
        _show(client.audit_task(task_id, accept, comments), api_url, json)


@app.command()
def get(task_id: TaskId, api_url: o.ApiUrl = None, json: o.Json = False) -> None:
    """Show a task."""
    with _client(api_url) as client:
        _show(client.get_task(task_id), api_url, json)


@app.command("list")
def list_(
    status: Annotated[
        list[str] | None,
        typer.Option(metavar="STATUS", help="pending, completed, canceled or error; repeatable: any of them."),
    ] = None,
    type: Annotated[str | None, typer.Option(help="A task type's name.")] = None,
    project: Annotated[str | None, typer.Option(help="The project they belong to.")] = None,
    batch: Annotated[str | None, typer.Option(help="The batch they belong to.")] = None,
    unique_id: Annotated[list[str] | None, typer.Option(metavar="ID", help="Repeatable: any of them.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Repeatable: any of them.")] = None,
    review_status: Annotated[
        list[str] | None,
        typer.Option(metavar="STATUS", help="Of your audit: accepted, fixed, commented, rejected or pending."),
    ] = None,
    created_after: Time = None,
    created_before: Time = None,
    completed_after: Time = None,
    completed_before: Time = None,
    updated_after: Time = None,
    updated_before: Time = None,
    attachment_urls: Annotated[
        bool, typer.Option("--attachment-urls", help="With presigned URLs of the attachments, for --json.")
    ] = False,
    limited: Annotated[
        bool, typer.Option("--limited", help="Without their parameters and responses, which may be megabytes.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The newest N.")] = 20,
    all: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    api_url: o.ApiUrl = None,
    json: JsonLines = False,
) -> None:
    """List tasks, newest first. What filters are given must all hold."""
    from lidarprep.api import task_query

    options = {
        "--status": ("status", status),
        "--type": ("type", type),
        "--project": ("project", project),
        "--batch": ("batch", batch),
        "--unique-id": ("unique_id", unique_id),
        "--tag": ("tags", tag),
        "--review-status": ("customer_review_status", review_status),
        "--created-after": ("start_time", created_after),
        "--created-before": ("end_time", created_before),
        "--completed-after": ("completed_after", completed_after),
        "--completed-before": ("completed_before", completed_before),
        "--updated-after": ("updated_after", updated_after),
        "--updated-before": ("updated_before", updated_before),
        "--limited": ("limited_response", limited or None),
        "--attachment-urls": ("include_attachment_url", attachment_urls or None),
    }
    filters: dict[str, Any] = {name: value for name, value in options.values() if value is not None}
    # Refused by the names that they have here, before the client would by the API's.
    task_query(filters, called={name: option for option, (name, _) in options.items()})
    # One more than is shown tells whether there are more.
    filters["limit"] = MOST_TASKS_A_PAGE if all else min(limit + 1, MOST_TASKS_A_PAGE)
    with _client(api_url) as client:
        tasks = client.iter_tasks(**filters)
        shown = tasks if all else islice(tasks, limit)
        if json:
            for task in shown:
                print_json_line(dict(task.raw))
        else:
            rows = [_row(task) for task in shown]
            columns = ("task", "type", "status", "created (UTC)", "project", "unique id", "tags")
            # The first four fit a terminal of 80 columns; of the others, those that have something to show.
            used = [n for n in range(len(columns)) if n < 4 or any(row[n] for row in rows)]
            table = [[row[n] for n in used] for row in rows]
            print_table("tasks", [columns[n] for n in used], table, stderr=False)
        if not all and next(tasks, None) is not None:
            say(f"there are more than these {limit}: --limit N or --all")


@app.command()
def wait(
    task_id: TaskId,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="S", help="Seconds to wait at most; else as long as it takes.")
    ] = None,
    results: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Write its labels to this folder once it is completed, as `results` does."),
    ] = None,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
) -> None:
    """Wait until a task is done. Ends with 1 where it is canceled or in error, or the time is over."""
    with _client(api_url) as client:
        with _waiting(task_id) as tell:
            task = client.wait(task_id, timeout, on_poll=lambda polled: tell(polled.status))
        _show(task, api_url, json)
        if task.status != "completed":
            raise typer.Exit(1)
        if results is not None:
            from lidarprep.cli.results import write

            write(client, task.id, Path(results))


@app.command()
def cancel(
    task_id: TaskId,
    clear_unique_id: Annotated[
        bool, typer.Option("--clear-unique-id", help="Free its unique id for another task.")
    ] = False,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
) -> None:
    """Cancel a task that is not completed."""
    with _client(api_url) as client:
        _show(client.cancel_task(task_id, clear_unique_id), api_url, json)


@app.command()
def tag(
    task_id: TaskId,
    tags: Annotated[list[str] | None, typer.Argument(metavar="TAG…")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="In place of the tags it has; with no TAG, none.")] = False,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
) -> None:
    """Add tags to a task, at most 5 in all."""
    with _client(api_url) as client:
        change = client.set_tags if replace else client.add_tags
        _show(change(task_id, tags or []), api_url, json)


@app.command()
def untag(
    task_id: TaskId,
    tags: Annotated[list[str], typer.Argument(metavar="TAG…")],
    api_url: o.ApiUrl = None,
    json: o.Json = False,
) -> None:
    """Take tags from a task."""
    with _client(api_url) as client:
        _show(client.delete_tags(task_id, tags), api_url, json)


@app.command()
def metadata(
    task_id: TaskId,
    pairs: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE…", help="VALUE as JSON or as plain text.")
    ] = None,
    file: Annotated[str | None, typer.Option(metavar="FILE", help="The pairs as YAML or JSON.")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Keep the keys that are not given.")] = False,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
) -> None:
    """Give a task these key/value pairs in place of what it has; with none, show what it has."""
    from lidarprep.api import parse_params
    from lidarprep.yaml_files import read_yaml

    given = (read_yaml(file, "the metadata file") if file else {}) | parse_params(pairs or [])
    with _client(api_url) as client:
        if not given and file is None:
            _show(client.get_task(task_id), api_url, json)
            return
        kept = dict(client.get_task(task_id).metadata) if merge else {}
        _show(client.set_metadata(task_id, kept | given), api_url, json)


@app.command()
def unique_id(
    task_id: TaskId,
    new: Annotated[str | None, typer.Argument(metavar="[NEW]", help="The id it gets.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Free its id for another task.")] = False,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
) -> None:
    """Give a task another unique id, or take it away; with neither, show it."""
    if clear and new is not None:
        raise RecipeError("give a new unique id or --clear, not both")
    with _client(api_url) as client:
        if clear:
            task = client.clear_unique_id(task_id)
        elif new is not None:
            task = client.set_unique_id(task_id, new)
        else:
            task = client.get_task(task_id)
        _show(task, api_url, json)


@app.command()
def dependents(
    task_id: TaskId,
    force: Annotated[
        bool,
        typer.Option("--force", help="Create them now, without waiting for the audit; the task must be completed."),
    ] = False,
    defs: Annotated[
        str | None, typer.Option(metavar="FILE", help="YAML or JSON: defs, a list of tasks, and maybe require_audit.")
    ] = None,
    require_audit: Annotated[
        bool | None,
        typer.Option(
            "--require-audit/--no-require-audit", help="Wait for your audit of the task first.", show_default=False
        ),
    ] = None,
    live: o.Live = False,
    yes: o.Yes = False,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
) -> None:
    """Change what tasks are created once a task is completed, or create them now."""
    from lidarprep.yaml_files import read_yaml

    changes = defs is not None or require_audit is not None
    if force == changes:
        raise RecipeError("give either --force, or --defs and --require-audit or one of them")
    options: dict[str, Any] = {}
    if defs is not None:
        options = read_yaml(defs, "the file of dependent tasks")
        if unknown := sorted(options.keys() - {"defs", "require_audit"}):
            raise RecipeError(f"{defs}: there is no key {unknown[0]!r}; known are defs and require_audit")
    if require_audit is not None:
        options["require_audit"] = require_audit
    with _client(api_url) as client:
        o.require_said(client, live=live, yes=yes)
        task = client.force_dependents(task_id) if force else client.set_dependent_options(task_id, **options)
        _show(task, api_url, json)


def _client(api_url: str | None) -> ScaleClient:
    from lidarprep.api import ScaleClient

    return ScaleClient(api_url=api_url)


def _show(task: Task, api_url: str | None, json: bool) -> None:
    show_task(task)
    if json:
        print_json(dict(task.raw))
    else:
        say_next(task, api_url)


def _row(task: Task) -> tuple[str, ...]:
    created = f"{task.created_at:%Y-%m-%d %H:%M}" if task.created_at else ""
    texts = (task.id, task.type, task.status, created, task.project, task.unique_id, ", ".join(task.tags))
    return tuple(plain(text or "") for text in texts)


@contextmanager
def _waiting(task_id: str) -> Iterator[Any]:
    """Show a task's status and the time waited for it on a line; nothing if stderr is not a terminal."""
    stderr = console()
    if not stderr.is_terminal:
        yield lambda status: None
        return
    start = time.monotonic()
    with stderr.status(f"waiting for task {plain(task_id)}") as line:

        def tell(status: str | None) -> None:
            waited_s = int(time.monotonic() - start)
            line.update(f"task {plain(task_id)}: {plain(status or '')}, {waited_s // 60} min {waited_s % 60:02} s")

        yield tell
