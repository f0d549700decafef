"""`lidarprep convert IN OUT`."""

from __future__ import annotations

from typing import Annotated

import typer

from lidarprep.cli.console import print_notes, say, tell_of_compiling
from lidarprep.cli.options import IntensityScale, Precision
from lidarprep.cli.progress import progress


def command(
    source: Annotated[str, typer.Argument(metavar="IN", help="A point file or an attachment.")],
    target: Annotated[
        str,
        typer.Argument(metavar="OUT", help="Any point file or attachment, by its suffix."),
    ],
    intensity_scale: IntensityScale = None,
    precision: Precision = None,
    frame: Annotated[
        str | None, typer.Option(metavar="N|ID", help="Which frame of a .sfs: its id, or its number from 0.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT, if it is there.")] = False,
) -> None:
    """Convert one point file or attachment to another; what is dropped is named."""
    from lidarprep.conversion import convert

    tell_of_compiling()
    with progress("converting") as bar:
        conversion = convert(
            source,
            target,
            intensity_scale=intensity_scale,
            precision=precision,
            frame=frame,
            overwrite=overwrite,
            progress=bar.reach,
        )
    print_notes(conversion.notes)
    say(f"{target}: {conversion.points:,} points")
