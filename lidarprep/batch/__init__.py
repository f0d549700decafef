"""Batches of scenes: a fleet's recordings, each with its own destination, manifest and record in a ledger.

A scene is prepared by `run`, as if it were alone; what is here makes the list, divides it, and keeps the account.
"""

from lidarprep.batch.batch_file import BatchFile, SceneEntry
from lidarprep.batch.ledger import Ledger
from lidarprep.batch.many import prepare_many
from lidarprep.batch.one import prepare_one
from lidarprep.batch.record import STATES, SceneRecord, State
from lidarprep.batch.scenes import LEDGER_KEY, Batch, BatchScene
from lidarprep.batch.shards import Shard

__all__ = [
    "LEDGER_KEY",
    "STATES",
    "Batch",
    "BatchFile",
    "BatchScene",
    "Ledger",
    "SceneEntry",
    "SceneRecord",
    "Shard",
    "State",
    "prepare_many",
    "prepare_one",
]
