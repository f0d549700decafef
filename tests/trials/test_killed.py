"""SIGKILL at any moment is safe: a manifest that is there is whole, and the same command goes on and ends well."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from tests.trials.child import Ended
from tests.trials.children import BUCKET, Bucket, Place, Runner
from tests.trials.conftest import OPTIONS

# What is run over what: nothing, or a run of other precision.
KINDS = {"fresh": (), "overwriting": ("--precision", "2", "--overwrite"), "sfs": ("--format", "sfs")}
KILLED = -9


@dataclass
class Trials:
    """Kills runs of one kind, each at a new place, and lets the same command go on.

    Args:
        runner: Starts them.
        places: Gives new places: as they were before the run.
        options: Of the run.
        old: The manifest that is replaced; None where there is none.
        new: The manifest of a run that was not disturbed.
        undisturbed: How that ended.
    """

    runner: Runner
    places: Iterator[Place]
    options: Sequence[str]
    old: lp.Manifest | None
    new: lp.Manifest
    undisturbed: Ended
    resumed: int = 0

    def kill(self, **fate: Any) -> None:
        """Let a run be killed by itself."""
        place = next(self.places)
        ended = self.runner.run(place, *self.options, **fate)
        assert ended.code in (KILLED, 0), (fate, ended.stderr)
        self.go_on(place, fate)

    def kill_at_random(self, draw: random.Random) -> None:
        """Kill a run at a random moment, and perhaps the next ones."""
        place = next(self.places)
        fates = []
        while not fates or draw.random() < 0.4:
            fates.append(draw.uniform(0, self.undisturbed.seconds))
            child = self.runner.start(place, *self.options)
            time.sleep(fates[-1])
            child.kill()
            assert child.end().code in (KILLED, 0)
        self.go_on(place, fates)

    def go_on(self, place: Place, fate: object) -> None:
        """Check what a killed run has left, and that the same command goes on with that and ends well."""
        left = place.manifest()
        assert left in (self.old, self.new), fate
        finished = place.finished()
        again = self.runner.run(place, *self.options)
        assert again.code == 0, (fate, again.stderr)
        assert not finished & set(again.frames()), (fate, "a finished frame was prepared again")
        assert left != self.new or not again.frames(), fate
        assert place.manifest() == self.new, fate
        self.resumed += bool(finished)


@pytest.fixture(params=["folder", "s3"])
def trials(request: pytest.FixtureRequest, runner: Runner, tmp_path: Path) -> Callable[[str], Trials]:
    """Gives trials of a kind of run."""
    if request.param == "folder":
        return lambda kind: folder_trials(kind, runner, tmp_path)
    bucket = Bucket(request.getfixturevalue("server"))
    return lambda kind: s3_trials(kind, runner, bucket)


def prepared_trials(kind: str, runner: Runner, old: Place, new: Place, places: Iterator[Place]) -> Trials:
    if kind == "overwriting":
        runner.prepared(old)
        copied = next(places)
        assert copied.manifest() == old.manifest()
        new = copied
    undisturbed = runner.prepared(new, *KINDS[kind])
    manifest = new.manifest()
    assert manifest is not None
    assert sorted(undisturbed.frames(), key=int) == ["9", "10", "11"]
    return Trials(runner, places, KINDS[kind], old.manifest(), manifest, undisturbed)


def folder_trials(kind: str, runner: Runner, tmp_path: Path) -> Trials:
    def places() -> Iterator[Place]:
        for number in range(10_000):
            out = tmp_path / f"{kind}-{number}"
            if kind == "overwriting":
                shutil.copytree(tmp_path / "old", out)
            yield Place(str(out))
            shutil.rmtree(out)

    return prepared_trials(kind, runner, Place(str(tmp_path / "old")), Place(str(tmp_path / "new")), places())


def s3_trials(kind: str, runner: Runner, bucket: Bucket) -> Trials:
    def places() -> Iterator[Place]:
        old = bucket.objects("old/") if kind == "overwriting" else {}
        for number in range(10_000):
            for key, data in old.items():
                bucket.client.put_object(Bucket=BUCKET, Key=f"{number}/{key}", Body=data)
            yield bucket.place(str(number))
            assert not bucket.uploads_under_way()

    # Attachments hold the URLs of images: these are to be the same at all places.
    runner = replace(runner, options=(*runner.options, "--url-base", "https://data.example.com"))
    return prepared_trials(kind, runner, bucket.place("old"), bucket.place("new"), places())


def some(points: Sequence[Any], count: int) -> Sequence[Any]:
    """So many of the points, all over the run."""
    return [points[round((row + 0.5) * len(points) / count - 0.5)] for row in range(count)]


def points(undisturbed: Ended) -> list[dict[str, int]]:
    """Before and after every operation of the store."""
    return [
        {moment: number}
        for number in range(1, undisturbed.count("operation") + 1)
        for moment in ("kill_before", "kill_after")
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_killed_before_and_after_some_operations_of_its_store(trials: Callable[[str], Trials], kind: str) -> None:
    some_trials = trials(kind)
    for fate in some(points(some_trials.undisturbed), 4):
        some_trials.kill(**fate)
    assert some_trials.resumed or kind == "sfs"


@pytest.mark.trial
@pytest.mark.parametrize("kind", KINDS)
def test_killed_before_and_after_every_operation_of_its_store(trials: Callable[[str], Trials], kind: str) -> None:
    every = trials(kind)
    for fate in points(every.undisturbed):
        every.kill(**fate)
    assert every.resumed > 5 or kind == "sfs"


@pytest.mark.trial
@pytest.mark.parametrize("kind", KINDS)
def test_killed_before_every_change_of_the_file_system(runner: Runner, tmp_path: Path, kind: str) -> None:
    every = folder_trials(kind, runner, tmp_path)
    assert every.undisturbed.count("event") > (15 if kind == "sfs" else 50)
    for number in range(1, every.undisturbed.count("event") + 1):
        every.kill(kill_at_event=number)


def test_killed_at_random_moments(trials: Callable[[str], Trials]) -> None:
    draw, some_trials = random.Random(1), trials("fresh")
    for _ in range(3):
        some_trials.kill_at_random(draw)


@pytest.mark.trial
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_many_random_moments(trials: Callable[[str], Trials], kind: str) -> None:
    """A hundred, of the three kinds, in a folder and in a bucket."""
    draw, many = random.Random(2), trials(kind)
    for _ in range(17):
        many.kill_at_random(draw)


def test_every_byte_is_on_the_disk_before_the_manifest_names_it(runner: Runner, out: Path) -> None:
    log = runner.prepared(out).log
    synced: set[str] = set()
    written = {"frames": 0, "images": 0, "kept": 0}
    for line in log:
        _, event, path = line.split(" ", 2) if line.startswith("event") else ("", "", "")
        if event == "os.fsync":
            synced.add(path)
        elif event == "os.rename" and path.startswith(f"{out}/") and ".lidarprep" not in path:
            assert path in synced
            written[path.removeprefix(f"{out}/").partition("/")[0]] += 1
        elif event == "os.link":  # the manifest's name
            assert {str(out), *(str(folder) for folder in out.rglob("*") if folder.is_dir()), path} <= synced
    assert written == {"frames": 3, "images": 3, "kept": 3}
    assert any(line.startswith("event os.link") for line in log)
    assert OPTIONS[0] == "--roi"
