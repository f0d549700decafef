"""Every reader takes or refuses what fuzzing starts from and what it found, with a FormatError and in little memory."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from tests.fuzz.explore import changed
from tests.fuzz.seeds import FOUND, found, seeds
from tests.fuzz.targets import TARGETS

# Beside a multiple of the file: what reading anything at all takes.
SMALL_BYTES = 2_000_000


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_findings_are_read_or_refused(name: str) -> None:
    files = [*seeds(name), *found(name)]
    for data in files:
        TARGETS[name](data)
    assert files


@pytest.mark.parametrize("name", TARGETS)
def test_changed_and_cut_files_are_read_or_refused(name: str) -> None:
    files = [*seeds(name), *found(name)]
    rng = random.Random(11)
    for _ in range(400):
        TARGETS[name](changed(rng, files))
    for data in files[:8]:
        for _ in range(40):
            TARGETS[name](data[: rng.randrange(len(data) + 1)])


@pytest.mark.parametrize("name", TARGETS)
def test_memory_is_a_small_multiple_of_the_file(name: str) -> None:
    files = [*seeds(name)[:8], *found(name)]
    TARGETS[name](files[0])  # loads libraries, compiles
    for data in files:
        tracemalloc.start()
        TARGETS[name](data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100 * len(data) + SMALL_BYTES


def test_every_finding_belongs_to_a_target() -> None:
    if FOUND.is_dir():
        assert {path.name for path in FOUND.iterdir() if path.is_dir()} <= set(TARGETS)
