"""How a batch stands: its records, by a batch file or by its destination, and what they come to."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath

from lidarprep.batch.batch_file import SUFFIXES
from lidarprep.batch.expand import is_pattern
from lidarprep.batch.ledger import Ledger, destinations_below, destinations_of
from lidarprep.batch.record import STATES, SceneRecord, State
from lidarprep.batch.scenes import NAME, Batch, root_of
from lidarprep.errors import RecipeError
from lidarprep.remote import is_url
from lidarprep.storage.options import StorageOptions

# The pace is that of the last minutes. A batch that nothing was told of for longer has none.
_RECENT_S = 900.0


@dataclass(frozen=True)
class Totals:
    """What the records of a batch come to.

    Args:
        scenes: How many there are.
        states: How many are in each state.
        frames: Frames that are prepared.
        points: Points of their attachments.
        bytes: Size of their attachments and images.
        seconds: Time that preparing took, of all workers.
        findings: How many findings there are of each severity.
        codes: How many scenes have a finding of each code.
        seconds_left: How long the rest takes at the pace of the last minutes; None while nothing is under way.
    """

    scenes: int
    states: dict[State, int]
    frames: int
    points: int
    bytes: int
    seconds: float
    findings: dict[str, int]
    codes: dict[str, int]
    seconds_left: float | None

    @classmethod
    def of(cls, records: Collection[SceneRecord], now: float | None = None) -> Totals:
        """Count records.

        Args:
            records: One a scene.
            now: Seconds since the Unix epoch; by the clock where it is None.
        """
        counts = Counter(record.state for record in records)
        findings: Counter[str] = Counter()
        for record in records:
            findings.update(record.findings)
        return cls(
            scenes=len(records),
            states={state: counts[state] for state in STATES if counts[state]},
            frames=sum(record.frames for record in records),
            points=sum(record.points for record in records),
            bytes=sum(record.bytes for record in records),
            seconds=round(sum(record.seconds for record in records), 3),
            findings=dict(findings),
            codes=dict(Counter(code for record in records for code in set(record.codes)).most_common()),
            seconds_left=_seconds_left(records, counts["waiting"], time.time() if now is None else now),
        )


def _seconds_left(records: Collection[SceneRecord], waiting: int, now: float) -> float | None:
    """Return how long the scenes that are waiting take at the pace of those that ended in the last minutes."""
    recent = [record for record in records if record.when > now - _RECENT_S]
    if not waiting or not recent:
        return None
    begun = max(min(record.when - record.seconds for record in recent), now - _RECENT_S)
    return (now - begun) * waiting / len(recent)


def is_batch_file(text: str) -> bool:
    """Tell whether an argument names a batch file, and not a recording, a pattern or a destination."""
    name = text.partition("?")[0] if is_url(text) else text
    return PurePosixPath(name).suffix.lower() in SUFFIXES and not is_pattern(text)


def records_of(
    target: Batch | str, storage: StorageOptions | None = None, *, rebuild: bool = False
) -> list[SceneRecord]:
    """Return the records of a batch, in its order, or in that of its ledger.

    A ledger that is not there, or has no record that can be read, is made again from the manifests.

    Args:
        target: The batch; or its destination: the template, or the folder that the scenes' destinations lie in.
        storage: How a destination is reached.
        rebuild: Whether to make the ledger again in any case.

    Raises:
        RecipeError: There is neither a ledger nor a manifest at a destination.
        StorageError: The store cannot be read.
    """
    ledger = _ledger_of(target, storage)
    records = None if rebuild else ledger.read()
    if isinstance(target, Batch):
        records = records or ledger.rebuild(destinations_of(target))
        return [records.get(one.name) or SceneRecord(one.name, one.recording) for one in target]
    if not records:
        records = ledger.rebuild(destinations_below(_template(target), storage or StorageOptions()))
    return list(records.values())


def _ledger_of(target: Batch | str, storage: StorageOptions | None) -> Ledger:
    if isinstance(target, Batch):
        return Ledger(target.root, target.storage)
    return Ledger(root_of(_template(target)), storage)


def _template(target: str) -> str:
    return target if NAME in target else f"{target.rstrip('/')}/{NAME}"


def opened(
    target: Batch | str, storage: StorageOptions | None
) -> tuple[Ledger, list[SceneRecord], dict[str, StorageOptions]]:
    """Return a batch's ledger, its records, and how each scene's store is reached; no scene is added.

    Raises:
        RecipeError: There is no batch at a destination.
        StorageError: The ledger cannot be read.
    """
    records = records_of(target, storage)
    if not records:
        raise RecipeError(
            f"{target.root if isinstance(target, Batch) else target}: there is no batch",
            fix="Name the batch file, or the folder that its ledger is in.",
        )
    ledger = _ledger_of(target, storage)
    ledger.begin(())
    if isinstance(target, Batch):
        return ledger, records, {scene.name: scene.storage for scene in target}
    return ledger, records, {record.name: storage or StorageOptions() for record in records}
