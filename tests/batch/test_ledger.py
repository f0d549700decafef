"""The ledger: joined by any number of writers, in any order; made again from the manifests."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lidarprep as lp
from lidarprep.batch import STATES, Ledger, SceneRecord, Totals, records_of
from lidarprep.batch.record import joined, later, of_line, to_line
from lidarprep.storage.folder import FolderStore
from tests.batch.fleet import QUICK, assert_ledger_equals_manifests, ledger_lines, write_drives

RECORDS = st.builds(
    SceneRecord,
    name=st.sampled_from(["a", "b"]),
    recording=st.just("x"),
    state=st.sampled_from(STATES),
    attempts=st.integers(0, 2),
    frames=st.integers(0, 2),
    when=st.sampled_from([0.0, 1.5]),
    findings=st.sampled_from([{}, {"note": 2}]),
    codes=st.sampled_from([(), ("no-poses",)]),
    error=st.sampled_from(["", 'two "lines"\nof text']),
)


# ---- records ---------------------------------------------------------------------------------------------------------


@given(RECORDS)
def test_a_record_is_a_line_of_json_and_back(record: SceneRecord) -> None:
    line = to_line(record)
    assert line.count(b"\n") == 1
    whole = json.loads(json.dumps(asdict(record)))
    assert whole | json.loads(line) == whole
    assert of_line(line) == record


@given(st.lists(RECORDS, max_size=6))
def test_whoever_joins_records_in_whatever_order_gets_the_same(records: list[SceneRecord]) -> None:
    expected = joined(records)
    for order in list(permutations(records))[:40]:
        assert joined(order) == expected
        assert joined(order[:2], joined(order[2:]).values(), order[:3]) == expected


def test_the_later_try_counts_and_of_one_try_what_got_further() -> None:
    done = SceneRecord("a", "x", "done", attempts=1, when=5.0)
    assert later(done, replace(done, state="failed", when=9.0)) == done
    assert later(done, replace(done, state="failed", attempts=2, when=1.0)).state == "failed"
    assert later(done, replace(done, state="submitted", when=1.0)).state == "submitted"


def test_a_ledger_of_a_later_version_can_be_read() -> None:
    assert of_line(b'{"name":"a","recording":"x","state":"done","colour":"red"}') == SceneRecord("a", "x", "done")


# ---- the file --------------------------------------------------------------------------------------------------------


def test_many_writers_lose_no_record(tmp_path: Path) -> None:
    def write(writer: int) -> None:
        ledger = Ledger(str(tmp_path / "out"))
        for row in range(5):
            ledger.add(SceneRecord(f"{writer}-{row}", "x", "done", 1))
            ledger.flush()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(write, range(6)))
    assert ledger_lines(tmp_path / "out").keys() == {f"{writer}-{row}" for writer in range(6) for row in range(5)}


def test_it_is_not_written_for_each_scene(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    ledger.flush()
    for row in range(100):
        ledger.add(SceneRecord(f"{row}", "x", "done", 1))
    assert not (tmp_path / "batch.jsonl").exists()
    ledger.flush()
    assert len(ledger_lines(tmp_path)) == 100


def test_a_store_that_fails_does_not_end_the_batch_and_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "out"
    blocked.write_text("a file")
    ledger = Ledger(str(blocked))
    ledger.add(SceneRecord("a", "x", "done", 1))
    with caplog.at_level(logging.WARNING):
        ledger.flush()
    assert "batch.jsonl is not up to date" in caplog.text
    blocked.unlink()
    ledger.flush()
    assert ledger_lines(blocked).keys() == {"a"}


def test_a_machine_that_others_are_always_faster_than_goes_on_with_its_scenes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(self: Any, key: str, data: bytes, *, if_version: str | None) -> None:
        raise lp.ManifestConflictError(key)

    ledger = Ledger(str(tmp_path))
    ledger.add(SceneRecord("a", "x", "done", 1))
    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "replace", late)
        ledger.flush(patience_s=0.0)
    assert "other machines write" in caplog.text
    ledger.finish()
    assert ledger_lines(tmp_path).keys() == {"a"}


BAD_LINES = [
    b'{"name":"a","reco',
    b'{"name":"a","recording":"x","state":"archived"}',
    b'{"name":"a","recording":"x","state":"done","attempts":"x"}',
    b'{"name":"a","recording":"x","state":"done","codes":5}',
    b'{"name":"../a","recording":"x","state":"done"}',
    b"\xff",
]


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_line_takes_no_other_with_it(tmp_path: Path, caplog: pytest.LogCaptureFixture, line: bytes) -> None:
    good = SceneRecord("good", "x", "submitted", 1, task="task-1", batch="fleet-0001")
    (tmp_path / "batch.jsonl").write_bytes(line + b"\n" + to_line(good))
    ledger = Ledger(str(tmp_path))
    ledger.begin([lp.BatchScene(name="a", scene="x", out="out")])
    assert "batch.jsonl: 1 of its lines are passed over" in caplog.text
    assert "line 1: " in caplog.text
    assert ledger.records == {"good": good, "a": SceneRecord("a", "x")}
    assert ledger_lines(tmp_path).keys() == {"good", "a"}


def test_a_ledger_that_cannot_be_written_at_the_end_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    ledger = Ledger(str(tmp_path / "out"))
    ledger.add(SceneRecord("a", "x", "submitted", 1, task="task-1"))
    with pytest.raises(lp.StorageError, match="lacks 1 of the scenes of this command") as error:
        ledger.finish()
    assert "same command again" in str(error.value.fix)


# ---- made again ------------------------------------------------------------------------------------------------------


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Two drives that are done and one that failed; the folder of drives and out."""
    write_drives(tmp_path / "drives", 2)
    (tmp_path / "drives/empty").mkdir()
    list(lp.prepare_many([str(tmp_path / "drives/*")], QUICK, f"{tmp_path}/out/{{name}}"))
    return tmp_path


def derived(records: list[SceneRecord]) -> dict[str, Any]:
    """Records without what no manifest tells."""
    return {one.name: replace(one, attempts=0, seconds=0.0, when=0.0) for one in records if one.state == "done"}


@pytest.mark.parametrize("damage", ["deleted", "cut"])
def test_a_ledger_that_is_gone_or_has_no_record_is_made_again_from_the_manifests(
    fleet: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    out = fleet / "out"
    before = records_of(str(out))
    ledger = out / "batch.jsonl"
    ledger.unlink() if damage == "deleted" else ledger.write_bytes(ledger.read_bytes()[:9])
    after = records_of(str(out))
    assert ("passed over" in caplog.text) == (damage == "cut")
    assert derived(after) == derived(before)
    assert {one.name for one in after} == {"drive-0", "drive-1"}
    assert_ledger_equals_manifests(out)


def test_with_the_batch_scenes_that_nobody_began_are_waiting(fleet: Path) -> None:
    (fleet / "out/batch.jsonl").unlink()
    batch = lp.BatchFile(scenes=[str(fleet / "drives/*")], out=f"{fleet}/out/{{name}}").batch()
    assert [(one.name, one.state) for one in records_of(batch)] == [
        ("drive-0", "done"),
        ("drive-1", "done"),
        ("empty", "waiting"),
    ]


def test_what_manifests_do_not_tell_outlives_a_rebuild(fleet: Path) -> None:
    out = fleet / "out"
    before = {one.name: one for one in records_of(str(out))}
    submitted = replace(before["drive-0"], state="submitted", task="task-1", batch="week-9")
    ledger = Ledger(str(out))
    ledger.add(submitted)
    ledger.flush()
    after = {one.name: one for one in records_of(str(out), rebuild=True)}
    assert after == before | {"drive-0": submitted}
    assert after["empty"].error


def test_a_rebuild_notices_another_manifest_and_one_that_is_gone(fleet: Path) -> None:
    out = fleet / "out"
    (out / "drive-0/manifest.json").unlink()
    scene = lp.open_scene(fleet / "drives/drive-1")
    lp.prepare(scene, lp.Recipe(checks="quick", frames="0:1"), out / "drive-1", overwrite=True)
    after = {one.name: one for one in records_of(str(out), rebuild=True)}
    assert after["drive-0"].state == "waiting"
    assert (after["drive-1"].state, after["drive-1"].frames, after["drive-1"].attempts) == ("done", 1, 2)
    assert_ledger_equals_manifests(out)


def test_a_rebuild_looks_where_the_batch_says_and_keeps_tasks_that_it_finds_no_manifest_of(fleet: Path) -> None:
    out = fleet / "out"
    before = {one.name: one for one in records_of(str(out))}
    submitted = replace(before["drive-0"], state="submitted", task="task-1", batch="week-9")
    ledger = Ledger(str(out))
    ledger.add(submitted)
    ledger.finish()
    entries: Any = [{"recording": str(fleet / "drives/drive-0"), "out": str(fleet / "moved")}]
    batch = lp.BatchFile(scenes=entries, out=f"{out}/{{name}}").batch()
    (lost,) = records_of(batch, rebuild=True)
    assert (lost.state, lost.task, lost.batch) == ("waiting", "task-1", "week-9")
    assert lost.fingerprint == submitted.fingerprint
    (out / "drive-0").rename(fleet / "moved")
    (found,) = records_of(batch, rebuild=True)
    assert (found.state, found.task, found.batch) == ("submitted", "task-1", "week-9")


def test_destinations_inside_a_scenes_folder_are_found_by_their_template(fleet: Path) -> None:
    template = f"{fleet}/deep/run-{{name}}/v2"
    list(lp.prepare_many([str(fleet / "drives/drive-0")], QUICK, template))
    assert (fleet / "deep/run-drive-0/v2/manifest.json").exists()
    (fleet / "deep/batch.jsonl").unlink()
    assert [(one.name, one.state) for one in records_of(template)] == [("drive-0", "done")]
    # By now the ledger says where its manifest is.
    assert [one.state for one in records_of(str(fleet / "deep"), rebuild=True)] == ["done"]


# ---- totals ----------------------------------------------------------------------------------------------------------


def test_the_time_left_is_that_of_the_pace_of_the_last_minutes() -> None:
    done = [SceneRecord(f"{n}", "x", "done", 1, frames=3, seconds=10.0, when=1000.0 + 5 * n) for n in range(1, 21)]
    waiting = [SceneRecord(f"w{n}", "x") for n in range(40)]
    totals = Totals.of([*done, *waiting], now=1100.0)
    # 20 scenes in the 105 s since the first began.
    assert totals.seconds_left == pytest.approx(40 * 105 / 20)
    assert (totals.scenes, totals.frames, totals.seconds) == (60, 60, 200.0)
    assert totals.states == {"waiting": 40, "done": 20}
    assert Totals.of([*done, *waiting], now=9000.0).seconds_left is None
    assert Totals.of(done, now=1100.0).seconds_left is None
