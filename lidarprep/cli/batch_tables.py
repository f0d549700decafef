"""What the commands of batches print: scenes, totals, plans, and batches at Scale that are not finalized."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lidarprep.cli.console import counted, plain, print_error, print_json, print_table, say
from lidarprep.cli.progress import duration

if TYPE_CHECKING:
    from lidarprep.batch import Batch, BatchScene, SceneRecord
    from lidarprep.batch.status import Totals
    from lidarprep.batch.task_groups import OpenBatch

# Of more scenes than this, the table shows the first.
_MOST_SHOWN = 100

# Names that a line has at most.
_MOST_NAMED = 10


def show_plan(batch: Batch, scenes: Sequence[BatchScene], *, json: bool) -> None:
    """Show which scenes would be prepared; as JSON a batch file that lists them."""
    if json:
        print_json(replace(batch, scenes=tuple(scenes)).to_file())
        return
    print_table(
        f"{counted(len(scenes), 'scene')} to prepare",
        ("scene", "recording", "destination"),
        [(scene.name, scene.recording, scene.out) for scene in scenes],
    )


def show_totals(totals: Totals) -> None:
    """Show what the records of a batch come to."""
    states = ", ".join(f"{count:,} {state}" for state, count in totals.states.items())
    rows = [
        ("scenes", f"{totals.scenes:,}: {states}"),
        ("frames", f"{totals.frames:,}"),
        ("points", f"{totals.points:,}"),
        ("stored", f"{totals.bytes / 1e9:.2f} GB" if totals.bytes >= 1e9 else f"{totals.bytes / 1e6:.1f} MB"),
        ("work", duration(totals.seconds)),
    ]
    if totals.findings:
        rows.append(("findings", ", ".join(f"{count:,} of severity {name}" for name, count in totals.findings.items())))
        rows.append(("in scenes", ", ".join(f"{name} {count:,}" for name, count in totals.codes.items())))
    if totals.seconds_left is not None:
        rows.append(("time left", duration(totals.seconds_left)))
    print_table("batch", ("", "is"), rows)


def show_records(records: Sequence[SceneRecord]) -> None:
    """Show a table of scenes, the first of many, and what went wrong with each."""
    if not records:
        return
    shown = records[:_MOST_SHOWN]
    rows = [
        (
            record.name,
            record.state,
            f"{record.frames:,}",
            f"{record.points:,}",
            f"{record.bytes / 1e6:.1f}",
            f"{record.seconds:.1f}",
            f"{sum(record.findings.values())}",
            f"{record.attempts}",
        )
        for record in shown
    ]
    print_table("scenes", ("scene", "state", "frames", "points", "MB", "s", "findings", "tries"), rows)
    if len(records) > len(shown):
        say(f"… {len(records) - len(shown):,} more; --json has all")
    for record in shown:
        if record.codes:
            say(plain(f"{record.name}: {', '.join(record.codes)}"))
        if record.error:
            print_error(plain_lines(f"{record.name}: {record.error}"))


def plain_lines(text: str) -> str:
    """Return a text without what could steer the terminal; its lines stay."""
    return "\n".join(map(plain, text.splitlines()))


def print_records(totals: Totals, records: Sequence[SceneRecord]) -> None:
    """Print what the records of a batch come to, and some of them, as JSON."""
    import orjson  # there may be a hundred thousand

    data = orjson.dumps({"totals": totals, "scenes": records}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    sys.stdout.write(data.decode())
    sys.stdout.flush()


def say_open_batches(found: Sequence[OpenBatch], *, how: bool = True) -> None:
    """Say what batches that are not finalized wait for; and how to finalize them."""
    for one in found:
        waits = f"; {counted(len(one.missing), 'scene')} without a task: {listed(one.missing)}" if one.missing else ""
        say(f"batch {plain(one.name)} is not finalized: {counted(len(one.scenes), 'task')}{plain(waits)}")
    if found and how:
        say("next: mend what failed, and run the batch again; or finalize: `lidarprep batch submit … --finalize`")


def listed(names: Sequence[str]) -> str:
    """Return names as a line has them, the first of many."""
    shown = ", ".join(names[:_MOST_NAMED])
    return f"{shown} and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else shown
