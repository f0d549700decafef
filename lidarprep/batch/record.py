"""What became of each scene: a line of the ledger, and how two lines of one scene are joined.

Workers tell of scenes in any order, some twice, and without a coordinator. So `later` is commutative, associative and
idempotent: whoever joins records, in whatever order, gets the same. It needs no clock that machines agree on: a record
of a later try counts, and of the same try the one that got further.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args

import orjson
from pydantic import TypeAdapter, ValidationError

from lidarprep.batch.names import require_name
from lidarprep.errors import LidarprepError, RecipeError, place_name
from lidarprep.storage import Manifest

if TYPE_CHECKING:
    from lidarprep.api import Task

State = Literal["waiting", "failed", "done", "submitted", "labelled"]

# In the order in which a scene passes them: of two records of one try, the one that got further counts.
STATES: tuple[State, ...] = get_args(State)

_FINGERPRINT_DIGITS = 16


@dataclass(frozen=True, slots=True)
class SceneRecord:
    """One scene of a batch.

    Args:
        name: Its name in the batch.
        recording: Path or URL of its recording; without what is secret in a URL.
        state: waiting: not begun, or not finished. failed: `error` says why. done: prepared. submitted: there is a
            task, too. labelled: that is completed.
        attempts: Runs that have tried it.
        frames: Frames that are prepared.
        points: Points of their attachments.
        bytes: Size of their attachments and images.
        seconds: How long the last try took that prepared something.
        findings: How many findings there are of each severity.
        codes: Their codes, each once.
        manifest: Where its manifest is, or was before it could not be found; "" where there was none.
        fingerprint: The first digits of the manifest's, which tells two manifests apart; "" where it has none.
        task: Id of its task.
        batch: Name of the task's batch at Scale.
        error: What went wrong, and what to do about it. A scene that is done has one if its task could not be made; one
            that is submitted, if nothing will come of its task.
        exit_code: Of that error, as the command line has it: 2 for bad input, 1 for what failed outside.
        when: When this was found, seconds since the Unix epoch; 0 in a ledger that was made of manifests.
    """

    name: str
    recording: str
    state: State = "waiting"
    attempts: int = 0
    frames: int = 0
    points: int = 0
    bytes: int = 0
    seconds: float = 0.0
    findings: Mapping[str, int] = field(default_factory=dict)
    codes: tuple[str, ...] = ()
    manifest: str = ""
    fingerprint: str = ""
    task: str = ""
    batch: str = ""
    error: str = ""
    exit_code: int = 0
    when: float = 0.0

    @classmethod
    def of_manifest(cls, name: str, manifest: Manifest) -> SceneRecord:
        """Return the record of a scene that is done, as far as its manifest tells."""
        return cls(
            name=name,
            recording=manifest.source,
            state="done",
            attempts=1,
            frames=len(manifest.frames),
            points=sum(frame.points_out for frame in manifest.frames),
            bytes=sum(one.bytes for one in (*manifest.attachments, *manifest.images)),
            findings=dict(sorted(Counter(one.severity for one in manifest.findings).items())),
            codes=tuple(sorted({one.code for one in manifest.findings})),
            manifest=place_name(manifest.location),
            fingerprint=(manifest.fingerprint or "")[:_FINGERPRINT_DIGITS],
        )

    def with_task_of(self, known: SceneRecord) -> SceneRecord:
        """Return the record with the task that an earlier record names, if that is of the same manifest."""
        if not known.task or self.task or not self.fingerprint or self.fingerprint != known.fingerprint:
            return self
        if known.state in ("submitted", "labelled"):
            told: dict[str, Any] = {"state": known.state, "error": known.error, "exit_code": known.exit_code}
        else:  # it failed since, or its manifest was not found
            told = {"state": "submitted"}
        return replace(self, task=known.task, batch=known.batch, **told)

    def is_among(self, states: Collection[State]) -> bool:
        """Tell whether it is in one of these states; one whose task went wrong counts as failed, too."""
        return self.state in states or (bool(self.error) and "failed" in states)

    def with_task(self, task: Task) -> SceneRecord:
        """Return the record with a task as it is now."""
        state: State = "labelled" if task.status == "completed" else "submitted"
        ended = ""
        if task.status in ("canceled", "error"):
            ended = f"task {task.id} is {'in error' if task.status == 'error' else task.status}. {task.next_step}"
        # Lists of tasks may be without their batches.
        batch = task.batch or (self.batch if task.id == self.task else "")
        changes: dict[str, Any] = {"state": state, "task": task.id, "batch": batch, "error": ended}
        found = replace(self, exit_code=1 if ended else 0, **changes)
        return self if found == self else replace(found, when=round(time.time(), 3))

    def with_error(self, error: LidarprepError) -> SceneRecord:
        """Return the record with what went wrong with its task; its state stays."""
        when = round(time.time(), 3)
        return replace(self, error=str(error), exit_code=error.exit_code, when=when)


_FIELDS: tuple[str, ...] = tuple(one.name for one in fields(SceneRecord))


def to_line(record: SceneRecord) -> bytes:
    """Return a record as a line of JSON, without what is left at its default."""
    values = ((name, getattr(record, name)) for name in _FIELDS)
    return orjson.dumps({name: value for name, value in values if value or name == "recording"}) + b"\n"


def of_line(line: bytes) -> SceneRecord:
    """Read a record from its line; fields of later versions are passed over.

    Raises:
        ValueError: It is not one.
    """
    try:
        record = _reader().validate_json(line, strict=True)
        require_name(record.name)  # it becomes part of paths
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise ValueError(": ".join([*map(str, first["loc"]), first["msg"]])) from None
    except RecipeError as error:
        raise ValueError(error.message) from None
    return record


@cache
def _reader() -> TypeAdapter[SceneRecord]:
    return TypeAdapter(SceneRecord)


def later(one: SceneRecord, other: SceneRecord) -> SceneRecord:
    """Return the one of two records of a scene that counts: of the later try, or that got further in the same."""
    ranks = _rank(one), _rank(other)
    if ranks[0] == ranks[1] and one != other:
        return max(one, other, key=to_line)  # any, but the same whoever asks
    return one if ranks[0] >= ranks[1] else other


def joined(*ledgers: Iterable[SceneRecord]) -> dict[str, SceneRecord]:
    """Join records of several ledgers, by the scenes' names, in the order in which these come first."""
    found: dict[str, SceneRecord] = {}
    for ledger in ledgers:
        for record in ledger:
            known = found.get(record.name)
            found[record.name] = record if known is None else later(known, record)
    return found


def _rank(record: SceneRecord) -> tuple[int, int, float]:
    return record.attempts, STATES.index(record.state), record.when
