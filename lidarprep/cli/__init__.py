"""The command line: parses, prints, draws progress; decides nothing.

What programs read goes to stdout, and only with `--json`; everything else goes to stderr. Each command imports what it
needs when it runs, so that `lidarprep --help` is quick.
"""

from __future__ import annotations

import signal
import sys
import traceback
from typing import Annotated

import typer

from lidarprep.cli import (
    callbacks,
    convert,
    demo,
    inspect,
    layouts,
    prepare,
    run,
    sample,
    sandbox,
    submit,
    tasks,
    verify,
    warm_up,
    whoami,
)
from lidarprep.cli.console import print_error
from lidarprep.errors import LidarprepError

EPILOG = """Worked examples:

\b
  lidarprep demo
  lidarprep inspect recording/
  lidarprep prepare recording/ --out out/ --roi 0,0,80,60 --device-height 1.8
  lidarprep prepare recording/ --out s3://bucket/scene-1 --format protobuf
  lidarprep verify out/manifest.json
  lidarprep whoami
  lidarprep submit out/manifest.json --type lidarannotation --params task.yaml --unique-id auto
  lidarprep tasks wait 5a99e20de50d4979ce6d291e
  lidarprep tasks list --status error --json
  lidarprep callbacks serve --store callbacks.db --exec ./take-in
"""

app = typer.Typer(
    name="lidarprep",
    help="Turns lidar recordings into the attachments and tasks that Scale labels.",
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
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Options that every command has; main() has taken `--debug` out before they are read."""


for _command in (demo, sample, inspect, layouts, prepare, verify, convert, submit, run, whoami, warm_up):
    app.command()(_command.command)
    app.registered_commands[-1].name = _command.__name__.rsplit(".", 1)[-1].replace("_", "-")
app.add_typer(tasks.app, name="tasks")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(callbacks.app, name="callbacks")


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and ends the process.

    Exit codes: 2 for wrong usage or input, 1 for what failed outside.
    """
    # A run that is asked to end keeps what is done, as it does for Ctrl-C, and says how to go on.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words  # wherever it stands, before or behind the command
    words = [word for word in words if word != "--debug"]
    try:
        app(words)  # ends the process itself, and says what is wrong with the words
    except LidarprepError as error:
        if debug:
            traceback.print_exc()
        else:
            print_error(str(error))
        sys.exit(error.exit_code)
