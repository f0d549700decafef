"""Which scenes' tasks share a batch at Scale, and when that is finalized, without a coordinator.

Scenes are grouped by their order in the ledger, so many to a batch. All machines read the same order there, and it only
grows: a list that is sorted another way, or that has new scenes in its middle, changes no group. A batch is finalized
once each scene of its group has a task; scenes that are in the list no more don't count. The ledger is replaced by
compare-and-swap. So whoever writes the group's last task sees that it is full. Nothing depends on that: finalizing is
idempotent, and a later run does it, too.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lidarprep.batch.record import SceneRecord
from lidarprep.batch.scenes import LEDGER_KEY, Batch, BatchScene
from lidarprep.errors import ApiError
from lidarprep.recipe import TaskRecipe
from lidarprep.task_batches import finalize, is_finalized, require_project

if TYPE_CHECKING:
    from lidarprep.batch.ledger import Ledger

log = logging.getLogger(__name__)

_HASH_DIGITS = 8


@dataclass(frozen=True)
class _Group:
    """Scenes of the ledger, from row `first` on, whose tasks go to one batch of the API at `api_url`."""

    first: int
    api_url: str | None


class TaskGroups:
    """The batches at Scale of one fleet.

    Args:
        ledger: The fleet's ledger, which names all of its scenes.
        size: Tasks in a batch.
        scenes: Names of the scenes of the list. Others of the ledger are waited for by no batch.
    """

    def __init__(self, ledger: Ledger, size: int, scenes: Iterable[str]) -> None:
        self._ledger = ledger
        self._size = size
        self._listed = frozenset(scenes)
        self._names = list(ledger.records)
        self._rows = {name: row for row, name in enumerate(self._names)}
        folder = ledger.location.removesuffix(LEDGER_KEY).rstrip("/").rpartition("/")[2]
        self._fleet = re.sub(r"[^A-Za-z0-9._-]+", "-", folder).strip("-.") or "fleet"
        self._open: dict[str, _Group] = {}

    def placed(self, scene: str, task: TaskRecipe) -> TaskRecipe:
        """Return a scene's task with the batch that it goes to; as it is, if it names a batch itself.

        Raises:
            ParameterError: It has no project, which batches belong to.
        """
        if task.batch is not None or task.params.get("batch") is not None:
            return task
        row = self._rows[scene]
        first = row - row % self._size
        name = self._name(first, require_project(task.params))
        self._open[name] = _Group(first, task.api_url)
        return task.model_copy(update={"batch": name})

    def with_batch(self, scene: BatchScene) -> BatchScene:
        """Return a scene whose task is `placed`; as it is, if it has none."""
        if scene.task is None:
            return scene
        return scene.model_copy(update={"task": self.placed(scene.name, scene.task)})

    def finalize_full(self) -> None:
        """Finalize those of the batches that were handed out whose scenes all have a task, by the ledger.

        If the API fails, that is said, and tried again the next time.
        """
        records = list(self._ledger.records.values())
        for name, group in list(self._open.items()):
            members = records[group.first : group.first + self._size]
            if not self._missing(members):
                try:
                    finalize_all(_used(name, members), group.api_url)
                    del self._open[name]
                except ApiError as error:
                    log.warning("the batch %s is not finalized: %s", name, error.message)

    def still_open(self, api_url: str | None) -> list[OpenBatch]:
        """Return those of the batches in use that are not finalized.

        Raises:
            ApiError: The API cannot be asked.
        """
        from lidarprep.api import ScaleClient

        with ScaleClient(api_url=api_url) as client:
            return [one for one in self.used() if not is_finalized(client, one.name)]

    def _missing(self, members: Iterable[SceneRecord]) -> tuple[str, ...]:
        """Return the names of the scenes of the list that have no task."""
        return tuple(record.name for record in members if not record.task and record.name in self._listed)

    def used(self) -> list[OpenBatch]:
        """Return the batches that the tasks of the ledger are in and that were made for it, by their names."""
        records = list(self._ledger.records.values())
        own = re.compile(rf"{re.escape(self._fleet)}-[0-9]{{4,}}-[0-9a-f]{{{_HASH_DIGITS}}}(-[0-9]+)?")
        found: dict[str, OpenBatch] = {}
        for group in (records[first : first + self._size] for first in range(0, len(records), self._size)):
            missing = self._missing(group)
            for name in sorted({record.batch for record in group if own.fullmatch(record.batch)}):
                before = found.get(name, OpenBatch(name, (), ()))
                scenes = tuple(record.name for record in group if record.batch == name)
                found[name] = OpenBatch(name, before.scenes + scenes, before.missing + missing)
        return list(found.values())

    def _name(self, first: int, project: str) -> str:
        """Return a name that no other fleet's batch has, and that every machine makes alike."""
        told = json.dumps([self._ledger.location, self._size, project, self._names[first]])
        digest = hashlib.sha256(told.encode()).hexdigest()[:_HASH_DIGITS]
        return f"{self._fleet}-{first // self._size + 1:04}-{digest}"


@dataclass(frozen=True)
class OpenBatch:
    """A batch at Scale that was made for a fleet.

    Args:
        name: Its name.
        scenes: Scenes whose tasks are in it.
        missing: Scenes of its group that have no task.
    """

    name: str
    scenes: tuple[str, ...]
    missing: tuple[str, ...]


def open_batches_of(batch: Batch) -> list[OpenBatch]:
    """Return the batches at Scale that the tasks of a batch's scenes are in, and that are not finalized.

    Raises:
        StorageError: The ledger cannot be read.
        ApiError: The API cannot be asked.
    """
    from lidarprep.batch.ledger import Ledger

    if not batch.batch_size:
        return []
    ledger = Ledger(batch.root, batch.storage)
    ledger.begin(())
    api_url = next((scene.task.api_url for scene in batch if scene.task is not None and scene.task.api_url), None)
    return TaskGroups(ledger, batch.batch_size, [scene.name for scene in batch]).still_open(api_url)


def finalize_all(names: Iterable[str], api_url: str | None) -> list[str]:
    """Finalize batches; return the names of those that were not finalized before.

    Raises:
        ApiError: One cannot be.
    """
    from lidarprep.api import ScaleClient

    with ScaleClient(api_url=api_url) as client:
        return [name for name in names if finalize(client, name)]


def _used(name: str, members: list[SceneRecord]) -> list[str]:
    """Return the batches that a group's tasks are in: of this name, or what follows it."""
    return sorted({one.batch for one in members if re.fullmatch(rf"{re.escape(name)}(-[0-9]+)?", one.batch)})
