"""Several runs to one destination at once, and a task that was submitted before its run was replaced."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import lidarprep as lp
from lidarprep.storage import open_store
from tests.trials.children import Bucket, Place, Runner, assert_one_clear_error

# Minutes on two cores: `scripts/test --all` runs them.
pytestmark = pytest.mark.trial


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, out: Path) -> Place:
    """An empty destination."""
    if request.param == "folder":
        return Place(str(out))
    return Bucket(request.getfixturevalue("server")).place()


def together(runner: Runner, place: Place, meeting: Path, commands: list[tuple[str, ...]]) -> list[int]:
    """Start runs that all know the same manifest, or none; return their exit codes."""
    meeting.mkdir()
    children = [runner.start(place, *options, meet=(meeting, len(commands))) for options in commands]
    codes = []
    for ended in [child.end() for child in children]:
        codes.append(ended.code)
        if ended.code:
            assert_one_clear_error(ended)
            assert "Run the command again" in ended.stderr
    return codes


def test_four_equal_runs_and_three_that_replace_it_in_different_ways(
    runner: Runner, place: Place, tmp_path: Path
) -> None:
    assert together(runner, place, tmp_path / "equal", [()] * 4) == [0] * 4
    first = place.manifest()
    assert first is not None
    place.assert_only_what_the_manifest_names()

    different = [("--overwrite", "--precision", str(digits)) for digits in (1, 2, 3)]
    codes = together(runner, place, tmp_path / "different", different)
    assert sorted(codes) == [0, 1, 1]
    manifest = place.manifest()
    assert manifest is not None
    assert manifest.recipe["precision"] == codes.index(0) + 1
    place.assert_only_what_the_manifest_names()

    # Who was late runs its command again.
    late = different[codes.index(1)]
    assert runner.prepared(place, *late).frames()
    place.assert_only_what_the_manifest_names()


@pytest.mark.trial
def test_again_and_again_at_moments_of_their_own(runner: Runner, place: Place, tmp_path: Path) -> None:
    commands = [(), (), ("--precision", "2"), ("--precision", "3"), ("--format", "sfs"), ("--format", "protobuf")]
    for _ in range(10):
        children = [runner.start(place, "--overwrite", *options) for options in commands]
        for ended in [child.end() for child in children]:
            if ended.code:
                assert_one_clear_error(ended)
                assert "Run the command again" in ended.stderr
        place.assert_only_what_the_manifest_names()


def test_a_task_that_was_submitted_before_its_run_was_replaced_finds_its_attachments(
    runner: Runner, place: Place
) -> None:
    runner.prepared(place)
    submitted = lp.load_manifest(place.out, place.storage)
    images = {record.key: record.sha256 for record in submitted.images}
    attachments = {record.key: record.sha256 for record in submitted.attachments}

    def found(objects: dict[str, str]) -> list[str | None]:
        store = open_store(place.out, place.storage)
        data = [store.get(key) for key in objects]
        return [None if one is None else hashlib.sha256(one).hexdigest() for one in data]

    for options in (("--precision", "1"), ("--format", "protobuf"), ("--format", "sfs")):
        runner.prepared(place, "--overwrite", *options)
        assert found(attachments | images) == list((attachments | images).values())
    assert not lp.prune(place.out, place.storage).keys  # nothing of it is an hour old
    assert found(attachments) == list(attachments.values())
    lp.prune(place.out, place.storage, everything=True)
    assert found(attachments | images) == [None] * len(attachments | images)
    place.assert_only_what_the_manifest_names()
