"""Which part of a batch is one machine's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lidarprep as lp
from lidarprep.batch import Shard


@given(st.lists(st.integers(), unique=True, max_size=50), st.integers(1, 20))
def test_every_scene_is_in_one_shard_and_shards_are_equal_to_within_one(scenes: list[int], count: int) -> None:
    shards = [Shard(index, count).of(scenes) for index in range(count)]
    assert sorted(one for shard in shards for one in shard) == sorted(scenes)
    sizes = [len(shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("text", "environment", "shard"),
    [
        ("3/8", {}, Shard(3, 8)),
        ("auto", {"AWS_BATCH_JOB_ARRAY_INDEX": "2", "AWS_BATCH_JOB_ARRAY_SIZE": "5"}, Shard(2, 5)),
        ("auto/9", {"AWS_BATCH_JOB_ARRAY_INDEX": "2", "AWS_BATCH_JOB_ARRAY_SIZE": "5"}, Shard(2, 9)),
        ("auto/4", {"JOB_COMPLETION_INDEX": "3"}, Shard(3, 4)),
        ("auto/8", {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "3"}, Shard(7, 8)),
    ],
)
def test_a_shard_is_said_or_found_in_the_environment(text: str, environment: dict[str, str], shard: Shard) -> None:
    assert Shard.parse(text, environment) == shard


def slurm(task: int, tasks: range | list[int]) -> dict[str, str]:
    """What Slurm sets for a task of an array, https://slurm.schedmd.com/job_array.html."""
    step = tasks.step if isinstance(tasks, range) else 1
    numbers = {"ID": task, "MIN": min(tasks), "MAX": max(tasks), "COUNT": len(tasks), "STEP": step}
    return {f"SLURM_ARRAY_TASK_{name}": str(number) for name, number in numbers.items()}


@pytest.mark.parametrize("tasks", [range(8), range(1, 9), range(10, 81, 10), range(5, 6)])
def test_the_tasks_of_a_slurm_array_are_all_shards_whatever_their_numbers(tasks: range) -> None:
    shards = [Shard.parse("auto", slurm(task, tasks)) for task in tasks]
    assert shards == [Shard(row, len(tasks)) for row in range(len(tasks))]


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("8/8", {}, "there is no shard 8 of 8"),
        ("0/0", {}, "there is no shard 0 of 0"),
        ("3", {}, "'3' is not a shard"),
        ("-1/8", {}, "'-1/8' is not a shard"),
        ("auto", {}, "no scheduler has said"),
        ("auto", {"JOB_COMPLETION_INDEX": "3"}, "how many jobs the array has"),
        ("auto", {"AWS_BATCH_JOB_ARRAY_INDEX": "2"}, "how many jobs the array has"),
        ("auto/4", {"JOB_COMPLETION_INDEX": "first"}, "JOB_COMPLETION_INDEX is 'first'"),
        ("auto", slurm(7, [3, 7]), "2 of the tasks 3 to 7"),
    ],
)
def test_what_is_no_shard_is_refused(text: str, environment: dict[str, str], message: str) -> None:
    with pytest.raises(lp.RecipeError, match=message):
        Shard.parse(text, environment)
