"""`lidarprep sandbox`: serve a local Scale API, and complete tasks in it as labellers would."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from lidarprep.cli.console import plain, print_json, print_table, say
from lidarprep.errors import BadRequestError, ParameterError, RecipeError, StorageError

if TYPE_CHECKING:
    from lidarprep.sandbox import Lifecycle

DEFAULT_PORT = 8080
DEFAULT_KEY = "test_sandbox"  # the sandbox accepts any key unless it was given some

app = typer.Typer(
    help="Serve a local sandbox of the Scale API, or complete tasks in one.",
    invoke_without_command=True,
)

Port = Annotated[int, typer.Option(min=0, max=65535, help="Port on loopback; 0 takes any free one.")]
Database = Annotated[str, typer.Option("--database", "--db", help="SQLite file that keeps the tasks.")]
CompleteAfter = Annotated[
    float | None, typer.Option(min=0, metavar="SECONDS", help="Complete tasks by themselves after this time.")
]
CheckAttachments = Annotated[
    bool, typer.Option("--check-attachments", help="Read each attachment; a bad one ends its task in an error.")
]
CallbacksAnywhere = Annotated[
    bool, typer.Option("--callbacks-anywhere", help="Send callbacks to other machines too, not only to this one.")
]
CallbackKey = Annotated[
    str | None,
    typer.Option(envvar="SCALE_CALLBACK_AUTH", help="Sent with callbacks as scale-callback-auth; else random."),
]
CallbackPace = Annotated[
    float, typer.Option(min=0, help="Factor on the waits before retries of a callback; with 1, all 20 take 24 hours.")
]
StrictProjects = Annotated[
    bool, typer.Option("--strict-projects", help="Refuse tasks of projects and batches that were not created.")
]
Keys = Annotated[
    str | None, typer.Option(metavar="KEY,KEY,…", help="The API keys that are accepted; any key by default.")
]
FaultRate = Annotated[
    float, typer.Option(min=0, max=1, help="Share of requests that meet a fault: late, refused, cut off, …")
]
FaultSeed = Annotated[int | None, typer.Option(help="The same seed gives the same faults.")]
TaskId = Annotated[str, typer.Argument(metavar="TASK_ID")]
FileOfTasks = Annotated[
    Path | None, typer.Option("--db", "--database", help="SQLite file of the sandbox, running or not.")
]
ApiUrl = Annotated[
    str | None, typer.Option(help=f"Address of the running sandbox; else SCALE_API_URL, or port {DEFAULT_PORT}.")
]


@app.callback()
@app.command("serve")
def serve_until_interrupted(
    context: typer.Context,
    port: Port = DEFAULT_PORT,
    database: Database = ":memory:",
    complete_after: CompleteAfter = None,
    check_attachments: CheckAttachments = False,
    callbacks_anywhere: CallbacksAnywhere = False,
    callback_auth_key: CallbackKey = None,
    callback_pace: CallbackPace = 1.0,
    strict_projects: StrictProjects = False,
    keys: Keys = None,
    fault_rate: FaultRate = 0.0,
    fault_seed: FaultSeed = None,
) -> None:
    """Serve a local sandbox of the Scale API on loopback, until Ctrl-C.

    A request can ask for a fault itself, by the header X-Sandbox-Fault: cut-after, latency=0.5, rate-limit=2, …
    """
    if context.invoked_subcommand is not None:
        _refuse_options_of_serving(context, context.invoked_subcommand)
        return
    from lidarprep.sandbox import Faults, SandboxOptions, serve

    # `callbacks serve` accepts several keys in the same variable; the first is sent.
    auth_keys = (callback_auth_key or "").split()
    settings: dict[str, Any] = {"callback_auth_key": auth_keys[0]} if auth_keys else {}
    api_keys = None if keys is None else [key.strip() for key in keys.split(",") if key.strip()]
    if api_keys == []:
        raise ParameterError("--keys names no key", fix="For example: --keys test_mine,live_mine")
    try:
        options = SandboxOptions(
            complete_after_s=complete_after,
            check_attachments=check_attachments,
            callbacks_anywhere=callbacks_anywhere,
            callback_pace=callback_pace,
            strict_projects=strict_projects,
            **settings,
        )
    except ValueError as error:
        raise ParameterError(str(error)) from None

    def tell(url: str) -> None:
        say(f"sandbox of the Scale API: {url} (Ctrl-C stops it)")
        if not auth_keys:
            say(f"its callbacks carry scale-callback-auth: {options.callback_auth_key}")

    faults = Faults(rate=fault_rate, seed=fault_seed)
    serve(port, database, api_keys=api_keys, options=options, faults=faults, on_start=tell)


def _refuse_options_of_serving(context: typer.Context, verb: str) -> None:
    """Refuse options of `serve` before another command, where they would be ignored."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise RecipeError(
                f"--{name.replace('_', '-')} comes before {verb!r}, where it has no effect",
                fix=f"Put the options of {verb!r} behind it: lidarprep sandbox {verb} --help",
            )


@app.command("complete")
def complete_task(
    task_id: TaskId,
    response: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON file with the response; else one is invented.")
    ] = None,
    db: FileOfTasks = None,
    api_url: ApiUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the task as JSON on stdout.")] = False,
) -> None:
    """Complete a pending task, as labellers would; its callback is sent."""
    content = None if response is None else _read_response(response)
    body = {} if content is None else {"response": content}
    _show(_change(task_id, "complete", body, db, api_url, lambda tasks: tasks.complete(task_id, content)), as_json)


@app.command("error")
def fail_task(
    task_id: TaskId,
    message: Annotated[str, typer.Option(help="Reason; it becomes response.error.")] = "The task failed.",
    db: FileOfTasks = None,
    api_url: ApiUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the task as JSON on stdout.")] = False,
) -> None:
    """End a pending task in an error; its callback is sent."""
    task = _change(task_id, "error", {"error": message}, db, api_url, lambda tasks: tasks.fail(task_id, message))
    _show(task, as_json)


@app.command("audit")
def audit_task(
    task_id: TaskId,
    result: Annotated[str, typer.Option(help="accepted, fixed, commented or rejected.")] = "accepted",
    db: FileOfTasks = None,
    api_url: ApiUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the task as JSON on stdout.")] = False,
) -> None:
    """Audit a completed task, as its customer would; approval creates its dependent tasks."""
    task = _change(task_id, "audit", {"audit_result": result}, db, api_url, lambda tasks: tasks.audit(task_id, result))
    _show(task, as_json)


@app.command("status")
def show_status(
    db: FileOfTasks = None,
    api_url: ApiUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON on stdout.")] = False,
) -> None:
    """Show the number of a sandbox's tasks of each status, and of its jobs of each kind."""
    if db is None:
        status = _request("GET", "/sandbox/status", None, api_url, {"tasks", "jobs"})
    else:
        status = _in_file(db, lambda tasks: {"tasks": tasks.store.counts(), "jobs": tasks.store.jobs.counts()})
    if as_json:
        print_json(status)
        return
    rows = [("tasks", name, str(count)) for name, count in status["tasks"].items()]
    rows += [("jobs to do", name, str(count)) for name, count in status["jobs"].items()]
    print_table("sandbox", ("what", "which", "number"), rows, stderr=False)


def _change(
    task_id: str,
    verb: str,
    body: Mapping[str, Any],
    db: Path | None,
    api_url: str | None,
    in_file: Callable[[Lifecycle], dict[str, Any]],
) -> dict[str, Any]:
    if db is None:
        path = f"/sandbox/tasks/{quote(task_id, safe='')}/{verb}"
        return _request("POST", path, body, api_url, {"task_id", "type", "status"})
    return _in_file(db, in_file)


def _in_file(db: Path, work: Callable[[Lifecycle], dict[str, Any]]) -> dict[str, Any]:
    from lidarprep.sandbox import Lifecycle, SandboxError, SandboxOptions, SandboxStore

    if not db.is_file():
        raise StorageError(f"there is no sandbox database {db}", fix="Name the file that the sandbox was served with.")
    with SandboxStore(db) as store:
        try:
            return work(Lifecycle(store, SandboxOptions()))
        except SandboxError as error:
            raise BadRequestError(f"{db}: {error}") from None


def _request(
    method: str, path: str, body: Mapping[str, Any] | None, api_url: str | None, expected: Set[str]
) -> dict[str, Any]:
    """Return the answer of a running sandbox, which must have the expected fields."""
    import httpx

    from lidarprep.api import ApiKey, checked_api_url, is_loopback
    from lidarprep.errors import TransportError

    url = checked_api_url(api_url or os.environ.get("SCALE_API_URL") or f"http://127.0.0.1:{DEFAULT_PORT}/v1")
    if not is_loopback(url):
        raise ParameterError(f"{url} is not on this machine, so it is not a sandbox", fix="Name the sandbox's address.")
    key = ApiKey(os.environ.get("SCALE_API_KEY") or DEFAULT_KEY)
    try:
        answer = httpx.request(
            method, url.removesuffix("/v1") + path, json=body, auth=(key.reveal(), ""), trust_env=False, timeout=60
        )
        content = answer.json()
    except (httpx.HTTPError, ValueError):
        raise TransportError(f"no sandbox answers at {url}", fix="Serve one: lidarprep sandbox --port …") from None
    if not answer.is_success:
        error = content.get("error") if isinstance(content, dict) else None
        problem = plain(str(error or answer.status_code))
        raise BadRequestError(f"the sandbox at {url} refused: {problem}", status=answer.status_code)
    if not isinstance(content, dict) or not expected <= content.keys():
        raise TransportError(f"the server at {url} is not a sandbox", fix="Name the sandbox's address: --api-url …")
    return content


def _read_response(path: Path) -> dict[str, Any]:
    from lidarprep.sandbox import SandboxError, read_json

    try:
        content = read_json(path.read_bytes())
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror or error}") from None
    except SandboxError:
        raise ParameterError(f"{path} is not JSON") from None
    if not isinstance(content, dict):
        raise ParameterError(f"{path} does not hold a JSON object; a response is one")
    return content


def _show(task: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(task)
    else:
        say(f"{task['task_id']}  {task['type']}  {task['status']}")
