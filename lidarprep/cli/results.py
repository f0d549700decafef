"""`lidarprep results TASK --out DIR`, and of a whole batch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.cli import options as o
from lidarprep.cli.console import counted, plain, print_error, print_json, print_notes, say, say_how_to_go_on
from lidarprep.errors import LidarprepError, RecipeError

if TYPE_CHECKING:
    from lidarprep.api import ScaleClient
    from lidarprep.results import WrittenResults
    from lidarprep.storage import StorageOptions

Out = Annotated[str, typer.Option("--out", metavar="DIR", help="Folder to write to; of a batch, a folder a task.")]
ManifestOption = Annotated[
    str | None,
    typer.Option("--manifest", metavar="M", help="The manifest it was made of, if it is not where it was submitted."),
]
Format = Annotated[
    str,
    typer.Option("--format", metavar="FORMAT", help="json, parquet, csv, kitti, nuscenes, openlabel, semantickitti."),
]
InFrame = Annotated[
    str,
    typer.Option(
        "--frame",
        metavar="world|ego|attachment",
        help="The recording's own world, the device at each frame, or as Scale had it.",
    ),
]


@o.takes(o.BUCKET)
def command(
    out: Out,
    task: Annotated[str | None, typer.Argument(metavar="[TASK]", help="The task's id.")] = None,
    batch: Annotated[
        str | None, typer.Option(metavar="B", help="All completed tasks of a batch, in place of one.")
    ] = None,
    manifest: ManifestOption = None,
    format: Format = "json",
    frame: InFrame = "world",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that no earlier call has written.")
    ] = False,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
    **flags: Any,
) -> None:
    """Fetch the labels of completed tasks, bring them back to the recording, and write them as files.

    Labels of points are carried to all points of the recording. The same command again writes what is missing.
    """
    from lidarprep.api import ScaleClient
    from lidarprep.recipe import StorageOptions

    if (task is None) == (batch is None):
        raise RecipeError("give a task's id, or --batch")
    storage = o.storage_from(StorageOptions(), flags)
    settings: dict[str, Any] = {
        "manifest": manifest,
        "format": format,
        "frame": o.require_frame(frame, "--frame"),
        "overwrite": overwrite,
    }
    with ScaleClient(api_url=api_url) as client, say_how_to_go_on():
        if task is not None:
            done = [write(client, task, Path(out), storage, **settings)]
        else:
            done = _of_batch(client, str(batch), Path(out), storage, settings)
    if json:
        told = [{"task": one.task.id, "folder": str(one.folder), "files": list(one.files)} for one in done]
        print_json(told[0] if task is not None else told)


def _of_batch(
    client: ScaleClient, batch: str, out: Path, storage: StorageOptions, settings: dict[str, Any]
) -> list[WrittenResults]:
    """Write the results of the completed tasks of a batch, each to a folder of its own.

    A task whose result cannot be read is told, and the others are written all the same.
    """
    done, failed, others = [], 0, 0
    for one in client.iter_tasks(batch=batch):
        if one.status != "completed":
            others += 1
            continue
        try:
            done.append(write(client, one.id, out / one.id, storage, **settings))
        except LidarprepError as error:
            print_error(f"task {plain(one.id)}: {error}")
            failed += 1
    say(f"{counted(len(done), 'task')} written; {others} not completed, {failed} failed")
    if failed:
        raise typer.Exit(1)
    return done


def write(
    client: ScaleClient,
    task: str,
    out: Path,
    storage: StorageOptions | None = None,
    *,
    manifest: str | None = None,
    format: str = "json",
    frame: Any = "world",
    overwrite: bool = False,
) -> WrittenResults:
    """Write the result of one task, and say what there is."""
    from lidarprep.results import write_results

    done = write_results(
        task, out, manifest, client=client, format=format, frame=frame, storage=storage, overwrite=overwrite
    )
    labels = done.labels
    print_notes(labels.notes)
    kinds = (("cuboid", labels.cuboids), ("box", labels.boxes), ("shape", labels.shapes))
    found = [
        f"{len(columns):,} boxes" if noun == "box" else counted(len(columns), noun)
        for noun, columns in kinds
        if columns is not None
    ]
    if labels.points is not None:
        frames = sum(values is not None for values in labels.points.values)
        found.append(f"labels of the points of {counted(frames, 'frame')}")
    what = "nothing to do: they are there" if not done.written else f"{counted(len(done.written), 'file')} written"
    say(f"task {plain(done.task.id)}: {', '.join(found)}; in {out}: {what}")
    return done
