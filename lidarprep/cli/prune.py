"""`lidarprep prune DEST`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import counted, print_json, print_table, say
from lidarprep.cli.progress import progress

# Keys that are listed one by one; of more, the first.
_LISTED = 20


@o.takes(o.BUCKET)
def command(
    out: Annotated[str, typer.Argument(metavar="DEST", help="Folder, or s3:// gs:// az://bucket/prefix.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing; only list what would be.")] = False,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also what unfinished runs have left, of any age. Only while no run is under way."),
    ] = False,
    json: o.Json = False,
    **flags: Any,
) -> None:
    """Delete what earlier runs left at a destination, and its manifest no longer names.

    Only objects that lidarprep named are deleted, and only those older than an hour.

    A task that was submitted before an --overwrite loses its attachments: prune when it is done.
    """
    from lidarprep.prune import prune
    from lidarprep.recipe import StorageOptions

    storage = o.storage_from(StorageOptions(), flags)
    with progress("pruning", "objects"):
        done = prune(out, storage, dry_run=dry_run, everything=everything)
    if done.keys and dry_run:
        rest = len(done.keys) - _LISTED
        rows = [(key,) for key in done.keys[:_LISTED]] + ([(f"… and {rest} more",)] if rest > 0 else [])
        print_table("would be deleted", ("object",), rows)
    what = "would be deleted" if dry_run else "deleted"
    young = f", {done.young} of them unnamed but less than an hour old" if done.young else ""
    say(f"{counted(len(done.keys), 'object')}, {done.bytes / 1e6:.1f} MB {what}; {done.kept} stay{young}")
    if json:
        print_json(asdict(done) | {"dry_run": dry_run})
