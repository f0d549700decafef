"""`lidarprep batch FILE|GLOB… --out DEST`, and its sub-verbs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperGroup

from lidarprep.cli import options as o
from lidarprep.cli.batch_tables import (
    plain_lines,
    print_records,
    say_open_batches,
    show_plan,
    show_records,
    show_totals,
)
from lidarprep.cli.console import (
    counted,
    plain,
    print_error,
    say,
    say_how_to_go_on,
    tell_of_compiling,
)
from lidarprep.cli.progress import progress
from lidarprep.errors import ParameterError, RecipeError

if TYPE_CHECKING:
    from lidarprep.batch import Batch, BatchFile, SceneRecord, Shard, State
    from lidarprep.batch.cluster import Cluster
    from lidarprep.recipe import StorageOptions, TaskRecipe

_PREPARE = "prepare"


class _Group(TyperGroup):
    """Sub-verbs, and the command that prepares, which needs no name: `lidarprep batch drives/*`."""

    default_command = _PREPARE

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take what is no sub-verb for what is to be prepared."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = [self.default_command, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    help="Prepare and submit many recordings, on one machine or on many; and see how they stand. `lidarprep batch "
    "FILE|GLOB…` is short for `batch prepare`, whose options `lidarprep batch prepare --help` lists.",
)

Target = Annotated[
    str, typer.Argument(help="The batch file; or the destination: the folder with the ledger, or its template.")
]
Out = Annotated[
    str | None,
    typer.Option(metavar="DEST", help="Destination of each scene: a folder, or s3://bucket/prefix, with {name} in it."),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        metavar="N",
        min=0,
        help="Tasks in a batch at Scale, which is finalized once it is full; 0 for no batches; else 200.",
    ),
]

_STORAGE = {name: option for name, option in o.STORAGE.items() if name != "workers"}


def _preparing(only: Sequence[State] | None, help: str) -> Callable[..., None]:
    """Return the command that prepares scenes; only those that are in these states, or all that are not done."""

    @o.takes(o.RECIPE, o.OPENING, o.CHECKS, _STORAGE)
    def command(
        scenes: Annotated[
            list[str] | None,
            typer.Argument(
                metavar="FILE|GLOB…",
                help="A batch file (YAML, CSV, Parquet); or recordings, and patterns of them, in quotes.",
                show_default=False,
            ),
        ] = None,
        out: Out = None,
        split: Annotated[
            str | None,
            typer.Option(metavar="30s|200", help="Split recordings into scenes of so many seconds, or frames."),
        ] = None,
        overlap: Annotated[
            str | None, typer.Option(metavar="5s|20", help="How much of it a scene shares with the one before it.")
        ] = None,
        select: Annotated[
            str | None,
            typer.Option(
                metavar="FILE",
                help="Only these parts of the recordings, each a scene: CSV or Parquet with the columns recording, "
                "start, end and tag. Without FILE|GLOB…, the recordings are those that it names.",
            ),
        ] = None,
        recipe: Annotated[str | None, typer.Option(metavar="FILE", help="A recipe (YAML); flags override it.")] = None,
        workers: Annotated[
            int, typer.Option(metavar="N", min=1, help="Scenes prepared at once, each by a process of its own.")
        ] = 1,
        cluster: Annotated[
            str | None,
            typer.Option(
                metavar="URL|local",
                help="Prepare on a Dask cluster: tcp://scheduler:8786; or local: one of --workers processes here.",
            ),
        ] = None,
        shard: Annotated[
            str | None,
            typer.Option(
                metavar="I/N|auto",
                help="Only this part of the scenes, I from 0. auto: as a job array of AWS Batch or Slurm has it; "
                "auto/N: of Kubernetes.",
            ),
        ] = None,
        max_failures: Annotated[
            int | None, typer.Option(metavar="N", min=1, help="Begin no more scenes once so many have failed.")
        ] = None,
        dry_run: Annotated[
            bool,
            typer.Option(
                "--dry-run", help="Show the scenes and their destinations; --json prints them as a batch file."
            ),
        ] = False,
        report: Annotated[
            bool,
            typer.Option("--report", help="Write each scene's page beside its manifest; all frames are read again."),
        ] = False,
        submit: Annotated[bool, typer.Option("--submit", help="Submit each scene's task once it is prepared.")] = False,
        type: Annotated[
            str | None, typer.Option("--type", help="Type of the tasks, in place of the file's: lidarannotation, …")
        ] = None,
        params: o.Params = None,
        param: o.Param = None,
        coordinates: o.Coordinates = None,
        upload: o.Upload = None,
        batch_size: BatchSize = None,
        live: o.Live = False,
        yes: o.Yes = False,
        api_url: o.ApiUrl = None,
        json: o.Json = False,
        **flags: Any,
    ) -> None:
        from lidarprep._malloc import configure_malloc
        from lidarprep.batch import Shard, prepare_many

        configure_malloc()
        file = _batch_file(scenes or (), out, recipe, flags | {"split": split, "overlap": overlap, "select": select})
        given = o.said({"type": type, "upload": upload, "api_url": api_url})
        task = task_of(file.task, given, params, param, coordinates)
        batch = file.model_copy(update={"task": task} | o.said({"batch_size": batch_size})).batch()
        part = Shard.parse(shard) if shard is not None else Shard()
        if dry_run:
            show_plan(batch, part.of(batch.scenes), json=json)
            return
        if submit:
            require_said(api_urls_of(batch), live=live, yes=yes)
        begun = time.time()
        records: list[SceneRecord] = []
        if workers == 1 and cluster is None:
            tell_of_compiling()
        with (
            say_how_to_go_on(),
            progress("preparing", "scenes") as bar,
            _cluster(cluster, workers) as executor,
            closing(
                prepare_many(
                    batch,
                    submit=submit,
                    report=report,
                    executor=executor,
                    workers=workers,
                    shard=part,
                    only=only,
                    max_failures=max_failures,
                )
            ) as prepared,
        ):
            bar.reach(0, len(part.of(batch.scenes)) if only is None else _count(batch, part, only))
            for record in prepared:
                bar.end_scene(record, is_fresh=record.when >= begun)
                records.append(record)
                if record.error:
                    print_error(plain_lines(f"{record.name}: {record.error}"))
        _end(batch, records, json=json, submit=submit)

    command.__doc__ = help
    return command


def _cluster(address: str | None, workers: int) -> AbstractContextManager[Cluster | None]:
    """Return the cluster at an address, to be entered; nothing where there is none."""
    if address is None:
        return nullcontext()
    from lidarprep.batch.cluster import Cluster

    say("starting a cluster of this machine" if address == "local" else f"asking the scheduler at {plain(address)}")
    return Cluster.open(address, workers)


def _count(batch: Batch, part: Shard, only: Sequence[State]) -> int:
    """Return how many scenes of a part are in one of these states."""
    from lidarprep.batch import Ledger

    there = Ledger(batch.root, batch.storage).read() or {}
    return sum(scene.name in there and there[scene.name].is_among(only) for scene in part.of(batch.scenes))


def _end(batch: Batch, records: list[SceneRecord], *, json: bool, submit: bool) -> None:
    """Say what became of the scenes; exit by the failures."""
    from lidarprep.batch.status import Totals

    totals = Totals.of(records)
    show_totals(totals)
    say(f"ledger: {batch.ledger}")
    if json:
        print_records(totals, records)
    if any(record.error for record in records):
        failed = sum(record.error != "" for record in records)
        say(f"{counted(failed, 'scene')} failed; `lidarprep batch retry …` with the same words tries them again")
    if submit:
        from lidarprep.batch.task_groups import open_batches_of

        say_open_batches(open_batches_of(batch))
    exit_by(records)


def exit_by(records: Sequence[SceneRecord]) -> None:
    """End with the exit code of the scenes that went wrong, if any did."""
    if failed := [record for record in records if record.error]:
        raise typer.Exit(2 if all(record.exit_code == 2 for record in failed) else 1)


app.command(_PREPARE)(
    _preparing(
        None,
        "Prepare recordings, each at its own destination; those that are done are passed over. "
        "Exit code: 2 if scenes failed, all by bad input; 1 if one failed outside.",
    )
)
app.command("retry")(
    _preparing(("failed",), "Prepare the scenes that failed again; all else is as for `lidarprep batch`.")
)


@app.command()
@o.takes(o.BUCKET)
def status(
    target: Target,
    out: Out = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STATE", help="List scenes in this state: waiting, failed, done, submitted, labelled. Repeatable."
        ),
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the ledger again from the manifests.")] = False,
    json: o.Json = False,
    **flags: Any,
) -> None:
    """Show how a batch stands: how many scenes are done, what failed and why, and how long the rest takes."""
    from lidarprep.batch.status import Totals, records_of

    wanted = _states(state)
    goal, storage, _ = target_of(target, out, flags)
    file = read_target(target, out, flags) if rebuild else goal
    records = records_of(file if isinstance(file, str) else file.batch(), storage, rebuild=rebuild)
    if not records:
        raise RecipeError(
            f"{target}: there is no batch", fix="Name the batch file, or the folder that its scenes' folders are in."
        )
    totals = Totals.of(records)
    chosen = [record for record in records if state is None or record.is_among(wanted)]
    if json:
        print_records(totals, chosen)
        return
    show_totals(totals)
    show_records(chosen if state is not None else [record for record in records if record.error])


def _batch_file(scenes: Sequence[str], out: str | None, recipe: str | None, flags: dict[str, Any]) -> BatchFile:
    """Return the batch that a file or patterns describe, with what flags say in place of its defaults."""
    from lidarprep.batch import BatchFile, SceneEntry
    from lidarprep.batch.status import is_batch_file
    from lidarprep.recipe import Recipe, StorageOptions

    files = [text for text in scenes if is_batch_file(text)]
    if files and len(scenes) > 1:
        raise RecipeError(f"{files[0]} is a batch file; it comes alone", fix="List its scenes in it.")
    if files:
        base = BatchFile.read(files[0], o.storage_from(StorageOptions(), flags))
    else:
        base = BatchFile(scenes=tuple(SceneEntry(recording=text) for text in scenes))
    return base.model_copy(
        update={
            "out": out or base.out,
            "split": flags["split"] or base.split,
            "overlap": flags["overlap"] or base.overlap,
            "select": flags["select"] or base.select,
            "layout": flags["layout"] or base.layout,
            "opening": replace(base.opening, **o.opening_flags(flags)),
            "recipe": o.recipe_from(base.recipe if recipe is None else Recipe.from_yaml(recipe), flags),
            "storage": o.storage_from(base.storage, flags),
            "overwrite": flags["overwrite"] or base.overwrite,
        }
    )


def task_of(
    base: TaskRecipe | None,
    given: dict[str, Any],
    params: str | None,
    param: list[str] | None,
    coordinates: str | None,
) -> TaskRecipe | None:
    """Return the task that the flags describe, or the file's with what they say.

    Raises:
        ParameterError: There are parameters, and no type.
        RecipeError: The parameter file cannot be read.
    """
    from lidarprep.api import parse_params
    from lidarprep.recipe import TaskRecipe
    from lidarprep.yaml_files import read_yaml

    kind = given.get("type") or (None if base is None else base.type)
    if kind is None:
        if params or param or coordinates or given:
            raise ParameterError("parameters of a task are given, and no --type")
        return None
    own = read_yaml(params, "the parameter file") if params else {}
    own |= parse_params(param or [], kind) | o.said({"coordinates": coordinates})
    fields = {} if base is None else {name: getattr(base, name) for name in base.model_fields_set}
    return TaskRecipe(**(fields | {"type": kind} | given | {"params": fields.get("params", {}) | own}))


def api_urls_of(batch: Batch) -> set[str | None]:
    """Return the addresses of the API that the tasks go to."""
    return {scene.task.api_url for scene in batch if scene.task is not None}


def require_said(api_urls: Collection[str | None], *, live: bool, yes: bool) -> None:
    """Refuse a live key that is not meant, before anything is prepared or sent."""
    from lidarprep.api import ScaleClient

    for api_url in api_urls:
        with ScaleClient(api_url=api_url) as client:
            o.require_said(client, live=live, yes=yes)


def target_of(target: str, out: str | None, flags: dict[str, Any]) -> tuple[str, StorageOptions, str | None]:
    """Return a batch's destination, how that is reached, and the API of its tasks, if a file says it.

    A file's recordings are not looked for: they may be archived by now, and the ledger has its scenes.
    """
    from lidarprep.recipe import StorageOptions

    found = read_target(target, out, flags)
    if isinstance(found, str):
        return found, o.storage_from(StorageOptions(), flags), None
    if found.out is None:
        raise RecipeError(f"{target} has no destination", fix="Give it: out: s3://bucket/{name}, or --out.")
    tasks = [found.task.api_url] if found.task is not None else []
    urls = [*tasks, *(entry.task.get("api_url") for entry in found.scenes)]
    # A prefix of URLs has a field for each scene's name.
    return found.out, found.storage.model_copy(update={"url_base": None}), next(filter(None, urls), None)


def read_target(target: str, out: str | None, flags: dict[str, Any]) -> BatchFile | str:
    """Return a batch file as it is read, or the destination."""
    from lidarprep.batch import BatchFile
    from lidarprep.batch.status import is_batch_file
    from lidarprep.recipe import StorageOptions

    if not is_batch_file(target):
        if out is not None:
            raise RecipeError(f"{target} is the destination itself, and --out is given, too")
        return target
    file = BatchFile.read(target, o.storage_from(StorageOptions(), flags))
    return file.model_copy(update={"out": out or file.out, "storage": o.storage_from(file.storage, flags)})


def _states(given: Sequence[str] | None) -> Collection[State]:
    from lidarprep.batch import STATES

    if unknown := [state for state in given or () if state not in STATES]:
        raise RecipeError(f"{unknown[0]!r} is no state of a scene; states are {', '.join(STATES)}")
    return cast("Collection[State]", given or ())
