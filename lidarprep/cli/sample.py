"""`lidarprep sample OUT`."""

from __future__ import annotations

from typing import Annotated

import typer

from lidarprep.cli.console import say, tell_of_compiling
from lidarprep.cli.progress import progress


def command(
    out: Annotated[str, typer.Argument(help="Folder to write; must be new or empty.")],
    frames: Annotated[int, typer.Option(help="How many frames, at ten a second.")] = 10,
    seed: Annotated[int, typer.Option(help="Which street, and which noise.")] = 0,
) -> None:
    """Write a generated recording: a lidar, three cameras and a radar driven down a small street."""
    from lidarprep.sample import write_sample

    tell_of_compiling()
    with progress("ray-casting") as bar:
        summary = write_sample(out, frames=frames, seed=seed, on_frame=bar.reach)
    say(
        f"{summary.path}: {summary.frames} frames, {summary.points:,} points, cameras {', '.join(summary.cameras)}; "
        f"the lidar is {summary.device_height:g} m above the road"
    )
