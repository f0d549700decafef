"""The command line: parses, prints, draws progress; decides nothing.

What programs read goes to stdout, and only with `--json`; everything else goes to stderr. Each command imports what it
needs when it runs, and is itself imported only then, so that each starts at once.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import sys
import traceback
from typing import Annotated

import typer

from lidarprep.cli.commands import Commands
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
    cls=Commands,
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
def general_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Options that every command has; main() has taken `--debug` out before they are read."""


def _spare_the_garbage_collector() -> None:
    """Lets garbage be looked for more rarely, and not at all at the end.

    Nearly all that a command makes as it starts is needed until it ends: to look through it time and again takes as
    long as a fifth of a run that has nothing to do. What frames are made of is freed without the collector.
    """
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)


def _end_when_asked() -> None:
    """End on SIGTERM and SIGHUP as on Ctrl-C: say what is kept and how to go on."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # A terminal that is closed asks, too; but not what was started by nohup.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _hang_up)


def _hang_up(*_: object) -> None:
    try:
        os.write(2, b"hung up: stopping\n")
    except OSError:  # there is no terminal any more: what is still said must not fail
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
    debug = "--debug" in words  # wherever it stands, before or behind the command
    words = [word for word in words if word != "--debug"]
    try:
        app(words)  # ends the process itself, and says what is wrong with the words
    except SystemExit as stop:
        if stop.code in _STOPPED:
            _leave_at_once(int(stop.code))
        raise
    except LidarprepError as error:
        if debug:
            traceback.print_exc()
        else:
            print_error(str(error))
        sys.exit(error.exit_code)
