"""Says which batches at Scale are not finalized, and how to finalize them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lidarprep.cli.console import counted, plain, say

if TYPE_CHECKING:
    from lidarprep.batch.task_groups import OpenBatch

# Names that a line has at most.
_MOST_NAMED = 10


def say_open_batches(found: Sequence[OpenBatch], *, how: bool = True) -> None:
    """Say what batches that are not finalized wait for; and how to finalize them."""
    for one in found:
        waits = f"; {counted(len(one.missing), 'scene')} without a task: {listed(one.missing)}" if one.missing else ""
        say(f"batch {plain(one.name)} is not finalized: {counted(len(one.scenes), 'task')}{plain(waits)}")
    if found and how:
        say("next: if no more scenes come, finalize them all the same by `lidarprep batch submit … --finalize`")


def listed(names: Sequence[str]) -> str:
    """Return names as a line has them, the first of many."""
    shown = ", ".join(names[:_MOST_NAMED])
    return f"{shown} and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else shown
