"""Batches of scenes: a fleet's recordings, each with its own destination, manifest and record in a ledger.

A scene is prepared by `run`, as if it were alone; what is here makes the list, divides it, and keeps the account. Names
are imported when they are first used: `lidarprep batch status` loads nothing that prepares.
"""

from typing import TYPE_CHECKING

import lazy_loader  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from lidarprep.batch.batch_file import BatchFile, SceneEntry
    from lidarprep.batch.index import Index, write_index
    from lidarprep.batch.labels import SceneResults, wait_many, write_many_results
    from lidarprep.batch.ledger import Ledger
    from lidarprep.batch.many import prepare_many
    from lidarprep.batch.one import prepare_one
    from lidarprep.batch.record import STATES, SceneRecord, State
    from lidarprep.batch.scenes import LEDGER_KEY, Batch, BatchScene
    from lidarprep.batch.shards import Shard
    from lidarprep.batch.status import Totals, records_of
    from lidarprep.batch.tasks import Submission

__all__ = [
    "LEDGER_KEY",
    "STATES",
    "Batch",
    "BatchFile",
    "BatchScene",
    "Index",
    "Ledger",
    "SceneEntry",
    "SceneRecord",
    "SceneResults",
    "Shard",
    "State",
    "Submission",
    "Totals",
    "prepare_many",
    "prepare_one",
    "records_of",
    "wait_many",
    "write_index",
    "write_many_results",
]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "batch_file": ["BatchFile", "SceneEntry"],
        "index": ["Index", "write_index"],
        "labels": ["SceneResults", "wait_many", "write_many_results"],
        "ledger": ["Ledger"],
        "many": ["prepare_many"],
        "one": ["prepare_one"],
        "record": ["STATES", "SceneRecord", "State"],
        "scenes": ["LEDGER_KEY", "Batch", "BatchScene"],
        "shards": ["Shard"],
        "tasks": ["Submission"],
        "status": ["Totals", "records_of"],
    },
)
