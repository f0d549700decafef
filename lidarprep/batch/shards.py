"""Which scenes of a batch are one machine's, by its number among the machines: of its scheduler, or as a user says it.

Shard i of n takes every n-th scene of the list, from the i-th. So shards are equal to within one scene, even where
there are as many as scenes; by hashes of names a third of those would get none. Each machine makes the list itself.
If recordings come while the machines start, the lists differ. A scene may then be prepared by two, which does no harm,
or by none. The ledger has it as waiting, and the same command without a shard prepares what is left.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from lidarprep.errors import RecipeError

Item = TypeVar("Item")

_HOW = "Write it i/n, from 0/n to n-1/n; or auto, or auto/n in a job array of n."


@dataclass(frozen=True)
class Shard:
    """A part of a list.

    Args:
        index: Its number, from 0.
        count: How many there are.

    Raises:
        RecipeError: There is no such part.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise RecipeError(f"there is no shard {self.index} of {self.count}", fix=_HOW)

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] = os.environ) -> Self:
        """Read "3/8", "auto", or "auto/8", whose number is the scheduler's.

        Raises:
            RecipeError: It is none of these, or no scheduler has set its variables.
        """
        match = re.fullmatch(r"(auto|[0-9]{1,9})(?:/([0-9]{1,9}))?", text)
        if match is None or (match[1] != "auto" and match[2] is None):
            raise RecipeError(f"{text!r} is not a shard", fix=_HOW)
        if match[1] != "auto":
            return cls(int(match[1]), int(match[2]))
        return cls(*_of_scheduler(environment, None if match[2] is None else int(match[2])))

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return the items of this part, in their order."""
        return items[self.index :: self.count]


def _of_scheduler(environment: Mapping[str, str], count: int | None) -> tuple[int, int]:
    """Return a job's number in its array, from 0, and how many jobs that has.

    AWS Batch: https://docs.aws.amazon.com/batch/latest/userguide/job_env_vars.html.
    Slurm: https://slurm.schedmd.com/job_array.html.
    Kubernetes: https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode; it tells no count.
    """

    def number(name: str) -> int | None:
        text = environment.get(name)
        if text is None:
            return None
        if not text.isascii() or not text.isdigit():
            raise RecipeError(f"the environment variable {name} is {text!r}; expected a number")
        return int(text)

    if (index := number("AWS_BATCH_JOB_ARRAY_INDEX")) is not None:
        count = count or number("AWS_BATCH_JOB_ARRAY_SIZE")
    elif (index := number("SLURM_ARRAY_TASK_ID")) is not None:
        if count is None:
            index, count = _of_slurm(index, number)
    elif (index := number("JOB_COMPLETION_INDEX")) is None:
        raise RecipeError(
            "no scheduler has said which job of an array this is: none of AWS_BATCH_JOB_ARRAY_INDEX, "
            "SLURM_ARRAY_TASK_ID and JOB_COMPLETION_INDEX is set",
            fix="Say it: --shard i/n.",
        )
    if count is None:
        raise RecipeError(
            "the scheduler does not say how many jobs the array has", fix="Say it: --shard auto/n for n jobs."
        )
    return index, count


def _of_slurm(task: int, number: Callable[[str], int | None]) -> tuple[int, int | None]:
    """Return the number of a task among those of an array like 0-7, 1-8 or 10-80:10, and their count.

    Raises:
        RecipeError: It is a part of such an array: numbers of a part would be those of other shards.
    """
    first, last = number("SLURM_ARRAY_TASK_MIN"), number("SLURM_ARRAY_TASK_MAX")
    count, step = number("SLURM_ARRAY_TASK_COUNT"), number("SLURM_ARRAY_TASK_STEP") or 1
    if first is None or last is None or count is None:
        return task, count
    if last != first + (count - 1) * step:
        raise RecipeError(
            f"Slurm's array has {count} of the tasks {first} to {last}: it does not say which shards they were",
            fix="Start the whole array, or say of how many: --shard auto/n, for tasks from 0 to n-1.",
        )
    return (task - first) // step, count
