"""The command line: parses, prints, draws progress; decides nothing.

What a command is asked to show goes to stdout: what `inspect`, `findings` and the lists print, as tables or, with
`--json`, as JSON. What a command says of its work goes to stderr. A command's module is imported when the command is
named, and imports what it needs when the command runs, so that each starts at once.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import sys
from functools import cache
from importlib import import_module
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from lidarprep.cli.console import print_error
from lidarprep.errors import LidarprepError

EPILOG = """Worked examples:

\b
  lidarprep demo
  lidarprep inspect recording/
  lidarprep report recording/ --open
  lidarprep picture recording/ --frames 0:10 --color frame --out above.png
  lidarprep prepare recording/ --out out/ --roi 0,0,80,60 --device-height 1.8
  lidarprep prepare recording/ --out s3://bucket/scene-1 --format protobuf
  lidarprep batch 's3://bucket/drives/*' --out s3://bucket/fleet/{name} --workers 8
  lidarprep verify out/manifest.json
  lidarprep prune out/ --dry-run
  lidarprep whoami
  lidarprep submit out/manifest.json --type lidarannotation --params task.yaml --dry-run
  lidarprep tasks wait 5a99e20de50d4979ce6d291e
  lidarprep results 5a99e20de50d4979ce6d291e --out labels/ --format nuscenes
  lidarprep tasks list --status error --json
  lidarprep callbacks serve --store callbacks.db --exec ./take-in
"""


# Each command's module and function, or Typer app of several commands; and the first sentence of its help, so that the
# list of commands imports none of them.
_COMMANDS = {
    "demo": (
        "demo:demo",
        "Try the whole job: a generated recording is prepared, stored, and submitted to a local sandbox.",
    ),
    "sample": (
        "demo:sample",
        "Write a generated recording: a lidar, three cameras and a radar driven down a small street.",
    ),
    "inspect": (
        "recordings:inspect",
        "Show what a recording is: frames, points, fields, bounds, intensity, poses, cameras, and what looks odd.",
    ),
    "findings": (
        "findings:command",
        "Explain the findings of the checks: what each means, how it is measured, what to do.",
    ),
    "layouts": (
        "recordings:layouts",
        "List the layouts of recordings that can be opened, in the order in which they are tried.",
    ),
    "picture": (
        "picture:command",
        "Draw a recording, or what was prepared of it: from above, from the side, or over a camera's image.",
    ),
    "report": (
        "report:command",
        "Write a page that shows a recording, or what was prepared of it: one HTML file that works offline.",
    ),
    "prepare": (
        "prepare:command",
        "Prepare a recording: into one world frame, cropped and filtered, as attachments, and store them.",
    ),
    "verify": (
        "verify:command",
        "Check every object that a manifest names against its SHA-256 and size.",
    ),
    "prune": (
        "prune:command",
        "Delete what earlier runs left at a destination, and its manifest no longer names.",
    ),
    "convert": (
        "recordings:convert",
        "Convert one point file or attachment to another; what is dropped is named.",
    ),
    "export": (
        "export:command",
        "Export a recording to a file that Foxglove, Lichtblick or Rerun opens: points, images, poses, labels.",
    ),
    "submit": ("submit:command", "Submit what prepare stored as a task; the same again finds its task."),
    "run": ("run:command", "Prepare, store and submit as a recipe file says; flags override it."),
    "batch": (
        "batch_tasks:app",
        "Prepare many recordings, and submit them: a fleet's, on one machine or on many; and see how they stand.",
    ),
    "results": (
        "results:command",
        "Fetch the labels of completed tasks, bring them back to the recording, and write them as files.",
    ),
    "whoami": (
        "tasks:whoami",
        "Show whether the API key is a test or a live one, and whether the API takes it.",
    ),
    "warm-up": (
        "demo:warm_up",
        "Compile everything now, so that no later run has to: once a machine, or when an image is built.",
    ),
    "tasks": ("tasks:app", "Create tasks, look at them, wait for them and change them."),
    "projects": ("projects:projects", "Create projects, look at them, and set their parameters."),
    "batches": ("projects:batches", "Create batches of tasks, look at them, and have them worked on."),
    "files": ("projects:files", "Store files with Scale, to be attachments."),
    "sandbox": ("sandbox:app", "Serve a local sandbox of the Scale API, or complete tasks in one."),
    "callbacks": ("callbacks:app", "Receive the results that Scale posts when tasks are done."),
}


class _Commands(TyperGroup):
    """The group of all commands, each imported when it is named."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = cast(Any, dict.fromkeys(_COMMANDS))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command."""
        return _command(cmd_name) if cmd_name in _COMMANDS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, help) in _COMMANDS.items()])


@cache
def _command(name: str) -> Any:
    module, attribute = _COMMANDS[name][0].split(":")
    command = getattr(import_module(f"{__name__}.{module}"), attribute)
    alone = typer.Typer(add_completion=False)
    if isinstance(command, typer.Typer):
        alone.add_typer(command, name=name)
    else:
        alone.command(name)(command)
    return typer.main.get_group(alone).commands[name]


app = typer.Typer(
    name="lidarprep",
    cls=_Commands,
    rich_markup_mode=None,  # Rich takes longer to import than all else; the help of each command uses it
    help="Turn lidar recordings into the attachments and tasks that Scale labels.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("lidarprep"))
        raise typer.Exit


@app.callback()
def general_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Declare the options of every command; main() handles `--debug` itself, wherever it is given."""


def _spare_the_garbage_collector() -> None:
    """Collect garbage rarely, and not at all at the end.

    Nearly all objects that a command makes as it starts live until it ends, and searching them for garbage takes up to
    a fifth of a run with nothing to do. The data of frames is freed without the collector.
    """
    gc.set_threshold(250_000)
    atexit.register(gc.freeze)


def _end_when_asked() -> None:
    """End on SIGTERM and SIGHUP as on Ctrl-C: say what is kept and how to go on."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # A closed terminal sends SIGHUP; nohup ignores it.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _hang_up)


def _hang_up(*_: object) -> None:
    try:
        os.write(2, b"hung up: stopping\n")
    except OSError:  # the terminal is gone: what is still printed must not fail
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    sys.exit(129)


# Exit codes of a process that SIGHUP, SIGINT or SIGTERM has stopped.
_STOPPED = (129, 130, 143)


def _leave_at_once(code: int) -> None:
    """End the process without waiting for its threads: whatever moment that is, what is stored is whole."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process.

    Exit codes: 2 for wrong usage or input, 1 for what failed outside; 128 and the number of the signal that stopped it.
    """
    _end_when_asked()
    if arguments is None:
        _spare_the_garbage_collector()
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words  # before or after the command
    words = [word for word in words if word != "--debug"]
    try:
        app(words)  # ends the process itself, and says what is wrong with the words
    except SystemExit as stop:
        if stop.code in _STOPPED:
            _leave_at_once(int(stop.code))
        raise
    except LidarprepError as error:
        if debug:
            import traceback

            traceback.print_exc()
        else:
            print_error(str(error))
        sys.exit(error.exit_code)
