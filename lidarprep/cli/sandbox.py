"""`lidarprep sandbox`."""

from __future__ import annotations

from typing import Annotated

import typer

from lidarprep.cli.console import say


def command(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on loopback; 0 takes any free one.")] = 8080,
    database: Annotated[str, typer.Option(help="SQLite file that keeps the tasks.")] = ":memory:",
) -> None:
    """Serve a local sandbox of the Scale API on loopback, until Ctrl-C."""
    from lidarprep.sandbox import serve

    serve(port, database, on_start=lambda url: say(f"sandbox of the Scale API: {url} (Ctrl-C stops it)"))
