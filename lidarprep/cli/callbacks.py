"""`lidarprep callbacks serve`, `handle` and `list`."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import plain, print_json_line, print_table, say
from lidarprep.errors import RecipeError

if TYPE_CHECKING:
    from lidarprep.callbacks import CallbackStore

app = typer.Typer(
    no_args_is_help=True,
    help="Receive the results that Scale posts when tasks are done.",
)

Store = Annotated[
    str,
    typer.Option("--store", metavar="FILE.db", help="SQLite file that keeps them."),
]
ExecTimeout = Annotated[
    float,
    typer.Option(min=0.001, max=1e6, metavar="S", help="Seconds after which a command is killed, as failed."),
]


@app.command()
def serve(
    store: Store,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes any free one.")] = 8090,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    path: Annotated[str, typer.Option(metavar="/PATH", help="Path that callbacks are posted to.")] = "/callback",
    exec: Annotated[
        str | None,
        typer.Option(
            "--exec", metavar="COMMAND", help="Run for each: the JSON on stdin, TASK_ID in the environment; no shell."
        ),
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, metavar="N", help="Number of commands that run at once.")] = 4,
    exec_timeout: ExecTimeout = 600.0,
    max_body: Annotated[
        float, typer.Option(min=0.001, max=1e6, metavar="MB", help="Largest callback, in megabytes.")
    ] = 16.0,
) -> None:
    """Receive callbacks until Ctrl-C; each is on disk before it is answered.

    The auth key comes from SCALE_CALLBACK_AUTH: the Live Callback Auth Key of your Scale dashboard. Several keys,
    separated by white space, are all accepted.

    A command that fails runs again after 10 s, 20 s, … up to an hour, and at the next start; callbacks handle runs it
    at once. So it may run twice for a callback.

    Listen at the loopback address, and have a proxy that speaks TLS pass on Scale's requests.
    """
    from lidarprep.callbacks import AUTH_VARIABLE, AuthKeys, Command, open_callback_store
    from lidarprep.callbacks import serve as serve_callbacks

    if not path.startswith("/") or {"{", "?", "#"} & set(path):
        raise RecipeError(f"--path is {path!r}; expected the path of a URL, like /callback")
    command = None if exec is None else Command(_words(exec), timeout_s=exec_timeout)
    keys = AuthKeys(os.environ.get(AUTH_VARIABLE, "").split())
    _log_to_stderr()
    with open_callback_store(store) as opened:
        serve_callbacks(
            opened,
            keys,
            command,
            host=host,
            port=port,
            path=path,
            on_start=lambda url: say(f"callbacks are received at {url} and kept in {store} (Ctrl-C stops it)"),
            at_once=at_once,
            max_body_bytes=round(max_body * 1e6),
        )


@app.command("list")
def list_(store: Store, json: o.Json = False) -> None:
    """List the callbacks of a store in order of arrival; --json prints one a line, as Scale posted it."""
    with _existing(store) as opened:
        if json:
            for callback in opened:
                print_json_line(callback.json_content)
            return
        waiting = set(opened.unhandled())
        rows = [
            (
                one.task_id,
                str(one.version),
                f"{one.received_at:%Y-%m-%d %H:%M:%S}",
                plain(str(one.task.get("type", ""))),
                plain(str(one.task.get("status", ""))),
                "" if (one.task_id, one.version) in waiting else "yes",
            )
            for one in opened
        ]
    print_table(
        f"callbacks in {store}", ("task", "result", "received (UTC)", "type", "status", "handled"), rows, stderr=False
    )


@app.command()
def handle(
    store: Store,
    exec: Annotated[
        str, typer.Option("--exec", metavar="COMMAND", help="Run for each, as callbacks serve does; no shell.")
    ],
    tasks: Annotated[
        list[str] | None, typer.Argument(metavar="[TASK_ID]...", help="Only those of these tasks.")
    ] = None,
    exec_timeout: ExecTimeout = 600.0,
) -> None:
    """Run a command for each callback that is not handled yet, one after the other; exit code 1 if one fails.

    A server on the same store goes on; both may run the command for the same callback.
    """
    from lidarprep.callbacks import Command, handle_unhandled

    command = Command(_words(exec), timeout_s=exec_timeout)
    with _existing(store) as opened:
        handled, failed = handle_unhandled(opened, command, tasks)
    for task_id, version, problem in failed:
        say(f"task {plain(task_id)}, result {version}: {problem}")
    say(f"{handled} callbacks handled, {len(failed)} failed")
    if failed:
        raise typer.Exit(1)


def _existing(store: str) -> CallbackStore:
    from lidarprep.callbacks import open_callback_store
    from lidarprep.errors import StorageError

    if not Path(store).exists():
        raise StorageError(f"{store}: there is no store of callbacks")
    return open_callback_store(store)


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise RecipeError(f"--exec is {command!r}: {error}") from None
    if not words:
        raise RecipeError("--exec names no command")
    if shutil.which(words[0]) is None:
        raise RecipeError(
            f"--exec: there is no command {words[0]!r}", fix="Name an executable file; it runs without a shell."
        )
    return words


def _log_to_stderr() -> None:
    """Log each callback as one line; the other commands log nothing."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in ("lidarprep.callbacks", "uvicorn.error"):
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.INFO if name.startswith("lidarprep") else logging.WARNING)
