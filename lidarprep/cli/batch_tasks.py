"""`lidarprep batch submit|wait|results TARGET`: from prepared scenes to their labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lidarprep.cli import options as o
from lidarprep.cli.batch import (
    BatchSize,
    Out,
    Target,
    api_urls_of,
    app,
    exit_by,
    read_target,
    require_said,
    target_of,
    task_of,
)
from lidarprep.cli.batch_tables import listed, plain_lines, print_records, say_open_batches
from lidarprep.cli.console import (
    counted,
    plain,
    print_error,
    print_json,
    print_json_line,
    print_table,
    say,
    say_how_to_go_on,
)
from lidarprep.cli.progress import progress
from lidarprep.cli.results import Format, InFrame
from lidarprep.errors import LidarprepError, RecipeError

if TYPE_CHECKING:
    from lidarprep.batch import Batch, SceneRecord
    from lidarprep.batch.tasks import Submission

__all__ = ["app"]

# Problems that are said at most.
_MOST_NAMED = 10


@app.command()
@o.takes(o.BUCKET)
def submit(
    target: Target,
    out: Out = None,
    type: Annotated[
        str | None, typer.Option("--type", help="Type of the tasks, in place of the file's: lidarannotation, …")
    ] = None,
    params: o.Params = None,
    param: o.Param = None,
    coordinates: o.Coordinates = None,
    upload: o.Upload = None,
    batch_size: BatchSize = None,
    accept: o.Accept = None,
    resubmit: Annotated[
        bool, typer.Option("--resubmit", help="Scenes whose task is canceled or in error get another.")
    ] = False,
    finalize: Annotated[
        bool, typer.Option("--finalize", help="Finalize the batches that are not full, too: nothing is waited for.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the requests as JSON Lines; nothing is sent.")
    ] = False,
    live: o.Live = False,
    yes: o.Yes = False,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
    **flags: Any,
) -> None:
    """Submit the task of each scene that is done and has none; batches at Scale are finalized once they are full."""
    from lidarprep.batch import Totals, records_of
    from lidarprep.batch.tasks import Submission
    from lidarprep.recipe import StorageOptions

    given = o.said({"type": type, "upload": upload, "api_url": api_url})
    found, task = read_target(target, out, flags), None
    if isinstance(found, str):
        task = task_of(None, given, params, param, coordinates) if type is not None or not finalize else None
        goal: Batch | str = found
    else:
        file = found.model_copy(update={"task": task_of(found.task, given, params, param, coordinates)})
        goal = file.batch_of(records_of(target_of(target, out, flags)[0], found.storage))
    if not dry_run:
        require_said({api_url} if isinstance(goal, str) else api_urls_of(goal) or {api_url}, live=live, yes=yes)
    submission = Submission(
        goal,
        task,
        storage=o.storage_from(StorageOptions(), flags),
        batch_size=batch_size,
        resubmit=resubmit,
        accept=accept or (),
        api_url=api_url,
    )
    if submission.without_task and not finalize:
        raise RecipeError(
            f"{submission.without_task[0].name} has no task to submit", fix="Say which: task: in the file, or --type."
        )
    _show_plan(submission, "dry run: nothing is sent" if dry_run else None)
    if dry_run:
        _print_requests(submission)
        return
    records: list[SceneRecord] = []
    with say_how_to_go_on(), progress("submitting", "tasks") as bar:
        for record in submission.run():
            records.append(record)
            bar.reach(len(records), len(submission.pending))
            if record.error:
                print_error(plain_lines(f"{record.name}: {record.error}"))
    failed = sum(record.error != "" for record in records)
    say(f"{counted(len(records) - failed, 'task')} submitted, {failed} failed")
    still_open = submission.open_batches()
    say_open_batches(still_open, how=not finalize)
    if finalize:
        for name in submission.finalize([one.name for one in still_open]):
            say(f"batch {plain(name)} is finalized")
    if json:
        print_records(Totals.of(records), records)
    exit_by(records)


def _show_plan(submission: Submission, said: str | None) -> None:
    """Show what is about to be submitted."""
    with_task = sum(record.task != "" for record in submission.records) - sum(
        one.record.task != "" for one in submission.pending
    )
    left = len(submission.records) - with_task - len(submission.pending)
    rows = [("tasks to make", f"{len(submission.pending):,}"), ("scenes that have one", f"{with_task:,}")]
    if left:
        rows.append(("scenes that are not done", f"{left:,}"))
    tasks = [one.task for one in submission.pending]
    for name, values in (
        ("type", {task.type for task in tasks}),
        ("project", {str(task.params["project"]) for task in tasks if task.params.get("project")}),
        ("batches", {task.batch for task in tasks if task.batch}),
    ):
        if values:
            rows.append((name, plain(listed(sorted(values)))))
    if said is not None:
        rows.append(("key", said))
    print_table("to submit", ("", "is"), rows)


def _print_requests(submission: Submission) -> None:
    errors = []
    for record, request in submission.requests():
        if isinstance(request, LidarprepError):
            print_error(plain_lines(f"{record.name}: {request}"))
            errors.append(request)
            continue
        print_json_line({"scene": record.name, **request.as_sent(submission.api_url)})
    if errors:
        raise typer.Exit(2 if all(error.exit_code == 2 for error in errors) else 1)


@app.command()
@o.takes(o.BUCKET)
def wait(
    target: Target,
    out: Out = None,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="S", help="Seconds to wait at most; else as long as it takes.")
    ] = None,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
    **flags: Any,
) -> None:
    """Wait until the tasks of all scenes are done. Ends with 1 where one is canceled or in error, or time is over."""
    from lidarprep.api import ScaleClient
    from lidarprep.batch import Totals
    from lidarprep.batch.labels import wait_many

    goal, storage, url = target_of(target, out, flags)
    with (
        ScaleClient(api_url=api_url or url) as client,
        say_how_to_go_on(),
        progress("waiting", "tasks done") as bar,
    ):

        def tell(records: list[SceneRecord]) -> None:
            bar.reach(sum(one.state == "labelled" or one.error != "" for one in records), len(records))

        records = wait_many(goal, client, storage=storage, timeout=timeout, on_poll=tell)
    for record in records:
        if record.error:
            print_error(plain_lines(f"{record.name}: {record.error}"))
    completed = sum(record.state == "labelled" for record in records)
    say(f"{counted(completed, 'task')} completed, {len(records) - completed} canceled or in error")
    if json:
        print_records(Totals.of(records), records)
    if completed < len(records):
        raise typer.Exit(1)


@app.command()
@o.takes(o.BUCKET)
def results(
    target: Target,
    to: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder to write to: a folder a scene.")],
    format: Format = "json",
    frame: InFrame = "world",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that no earlier call has written.")
    ] = False,
    api_url: o.ApiUrl = None,
    json: o.Json = False,
    **flags: Any,
) -> None:
    """Write the labels of each scene whose task is completed, as `lidarprep results` does; others are said."""
    from lidarprep.api import ScaleClient
    from lidarprep.batch.labels import write_many_results

    goal, storage, url = target_of(target, None, flags)
    done, waiting, failed = [], [], 0
    with (
        ScaleClient(api_url=api_url or url) as client,
        say_how_to_go_on(),
        progress("labels", "scenes") as bar,
    ):
        for number, one in enumerate(
            write_many_results(
                goal,
                Path(to),
                client,
                storage=storage,
                format=format,
                frame=o.require_frame(frame, "--frame"),
                overwrite=overwrite,
            ),
            1,
        ):
            bar.reach(number, number)
            if one.written is not None:
                done.append(one.written)
            elif one.error is not None or one.record.error:
                failed += 1
                print_error(plain_lines(f"{one.record.name}: {one.error or one.record.error}"))
            else:
                waiting.append(one.record.name)
    new = sum(bool(one.written) for one in done)
    said = f"labels of {counted(len(done), 'scene')} in {to}, {new} of them new or changed; {failed} failed"
    say(f"{said}; {len(waiting)} not done: {listed(waiting)}" if waiting else said)
    if json:
        print_json([{"task": one.task.id, "folder": str(one.folder), "files": list(one.files)} for one in done])
    if failed:
        raise typer.Exit(1)


@app.command()
@o.takes(o.BUCKET)
def report(
    target: Target,
    to: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page.")] = Path("index.html"),
    thumbnails: Annotated[
        bool, typer.Option("--thumbnails/--no-thumbnails", help="Pictures of the scenes: a frame of each is read once.")
    ] = True,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    json: o.Json = False,
    **flags: Any,
) -> None:
    """Write one HTML page of all scenes, with pictures and findings, that links to each one's page."""
    from lidarprep.batch.index import write_index

    goal, storage, _ = target_of(target, None, flags)
    with progress("drawing", "scenes") as bar:
        written = write_index(goal, to, storage=storage, thumbnails=thumbnails, progress=bar.reach)
    for problem in written.problems[:_MOST_NAMED]:
        say(plain(f"no picture of {problem}"))
    if len(written.problems) > _MOST_NAMED:
        say(f"… and {len(written.problems) - _MOST_NAMED:,} more have none")
    say(
        f"{written.path}: {written.bytes / 1e6:.1f} MB, {counted(written.scenes, 'scene')}, "
        f"{written.thumbnails:,} with a picture, {written.pages:,} with a page of their own"
    )
    if json:
        print_json({"index": str(written.path), "bytes": written.bytes, "scenes": written.scenes})
    if open_it:
        import webbrowser

        webbrowser.open(written.path.resolve().as_uri())
