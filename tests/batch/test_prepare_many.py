"""Many scenes: each at its own destination, one bad one stopping no other, by any executor."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.batch import Shard, prepare_one
from lidarprep.batch.processes import WorkerProcesses
from tests.batch.calls import die, die_once
from tests.batch.fleet import QUICK, assert_ledger_equals_manifests, ledger_lines, write_drives
from tests.prepare.runs import files


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    """Four drives."""
    write_drives(tmp_path / "drives", 4)
    return tmp_path / "drives"


@pytest.fixture
def template(tmp_path: Path) -> str:
    return f"{tmp_path}/out/{{name}}"


def prepared(drives: Path, template: str, **options: Any) -> dict[str, lp.SceneRecord]:
    records = list(lp.prepare_many([str(drives / "*")], QUICK, template, **options))
    assert len({record.name for record in records}) == len(records)
    return {record.name: record for record in records}


def test_each_scene_is_prepared_as_if_it_were_alone(drives: Path, template: str, tmp_path: Path) -> None:
    records = prepared(drives, template)
    assert list(records) == [f"drive-{n}" for n in range(4)]
    for name in records:
        lp.prepare(lp.open_scene(drives / name), QUICK, tmp_path / "alone" / name)
        assert files(tmp_path / "out" / name) == files(tmp_path / "alone" / name)
    assert_ledger_equals_manifests(tmp_path / "out")


@pytest.mark.parametrize("side_by_side", [False, True])
def test_a_bad_scene_stops_no_other_and_is_in_the_ledger_with_its_error(
    drives: Path, template: str, tmp_path: Path, side_by_side: bool
) -> None:
    (drives / "drive-1/poses/9.json").write_text("{")
    (drives / "empty").mkdir()
    with ThreadPoolExecutor(2) as pool:
        records = prepared(drives, template, **({"executor": pool, "workers": 2} if side_by_side else {}))
    states = {name: record.state for name, record in records.items()}
    assert states == dict.fromkeys(("drive-0", "drive-2", "drive-3"), "done") | dict.fromkeys(
        ("drive-1", "empty"), "failed"
    )
    assert records["drive-1"].exit_code == 2
    lines = ledger_lines(tmp_path / "out")
    assert "frame 9 has no pose" in lines["drive-1"]["error"]
    assert "no recording that lidarprep knows" in lines["empty"]["error"]
    assert_ledger_equals_manifests(tmp_path / "out")


def test_the_same_again_does_what_is_left_and_changes_nothing_else(drives: Path, template: str, tmp_path: Path) -> None:
    bad = drives / "drive-1/poses/9.json"
    good = bad.read_text()
    bad.write_text("{")
    first = prepared(drives, template)
    before = files(tmp_path / "out")
    bad.write_text(good)
    again = prepared(drives, template)
    assert {name for name in again if again[name] != first[name]} == {"drive-1"}
    assert (again["drive-1"].state, again["drive-1"].attempts, again["drive-1"].error) == ("done", 2, "")
    after = files(tmp_path / "out")
    assert {name for name, data in before.items() if after[name] != data} == {"batch.jsonl"}


def test_a_recording_that_changed_is_noticed(drives: Path, template: str) -> None:
    prepared(drives, template)
    (drives / "drive-2/radar_points/9.txt").write_text("1, 2, 3, 0, 0, 0, 0")
    records = prepared(drives, template)
    assert "9.txt" in records["drive-2"].error
    assert [record.state for record in records.values()].count("done") == 3


def test_a_fault_of_our_own_is_a_record_too_and_shows_no_value(
    drives: Path, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lidarprep.batch import one

    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError("https://host/x?sig=secret")

    monkeypatch.setattr(one, "run", broken)
    records = prepared(drives, template)
    for record in records.values():
        assert (record.state, record.exit_code) == ("failed", 1)
        assert "ValueError in tests.batch" in record.error
        assert "secret" not in record.error


def test_whoever_stops_it_stops_it(
    drives: Path, template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lidarprep.batch import many

    def stopped(scene: lp.BatchScene, *rest: Any, **options: Any) -> lp.SceneRecord:
        if scene.name == "drive-2":
            raise KeyboardInterrupt
        return prepare_one(scene, *rest, **options)

    monkeypatch.setattr(many, "prepare_one", stopped)
    with pytest.raises(KeyboardInterrupt):
        prepared(drives, template)
    states = {name: line["state"] for name, line in ledger_lines(tmp_path / "out").items()}
    assert states == {"drive-0": "done", "drive-1": "done", "drive-2": "waiting", "drive-3": "waiting"}


@pytest.mark.parametrize("side_by_side", [False, True])
def test_no_more_scenes_are_begun_once_so_many_have_failed(tmp_path: Path, template: str, side_by_side: bool) -> None:
    drives = tmp_path / "drives"
    for n in range(12):
        (drives / f"bad-{n:02}").mkdir(parents=True)
    with ThreadPoolExecutor(1) as pool:
        records = prepared(
            drives, template, max_failures=3, **({"executor": pool, "workers": 1} if side_by_side else {})
        )
    # Beside the one that an executor works on, one may wait for it.
    assert 3 <= len(records) <= (5 if side_by_side else 3)
    lines = ledger_lines(tmp_path / "out")
    assert len(lines) == 12
    assert sum(line["state"] == "waiting" for line in lines.values()) == 12 - len(records)


def test_only_scenes_in_a_state_are_tried(drives: Path, template: str) -> None:
    (drives / "drive-1/poses/9.json").write_text("{")
    prepared(drives, template, shard="0/2")
    prepared(drives, template, shard=Shard(1, 4))
    assert list(prepared(drives, template, only=["failed"])) == ["drive-1"]
    assert list(prepared(drives, template, only=["waiting"])) == ["drive-3"]


def test_results_come_as_they_are_asked_for(drives: Path, template: str, tmp_path: Path) -> None:
    records = lp.prepare_many([str(drives / "*")], QUICK, template)
    next(records)
    assert not (tmp_path / "out/drive-1").exists()
    records.close()
    assert ledger_lines(tmp_path / "out")["drive-0"]["state"] == "done"


class _Counting(ThreadPoolExecutor):
    """Notes how many calls are begun or wait at most."""

    most = pending = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.pending += 1
        self.most = max(self.most, self.pending)
        future = super().submit(fn, *args, **kwargs)
        future.add_done_callback(self._end)
        return future

    def _end(self, _: Future[Any]) -> None:
        self.pending -= 1


def test_scenes_in_flight_are_bounded(tmp_path: Path, template: str) -> None:
    drives = tmp_path / "drives"
    for n in range(30):
        (drives / f"bad-{n:02}").mkdir(parents=True)
    with _Counting(2) as pool:
        assert len(prepared(drives, template, executor=pool, workers=2)) == 30
    assert pool.most <= 3


def test_an_executor_of_somebody_elses_that_breaks_is_said(drives: Path, template: str) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(die)
        with pytest.raises(BrokenExecutor):
            prepared(drives, template, executor=pool, workers=1)


class _Cloud(Executor):
    """An executor whose worker is lost with one scene."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if args[0].name == "drive-1":
            future.set_exception(RuntimeError("its worker was lost"))
        else:
            future.set_result(fn(*args, **kwargs))
        return future


def test_a_scene_whose_worker_is_lost_for_good_has_failed(drives: Path, template: str, tmp_path: Path) -> None:
    records = prepared(drives, template, executor=_Cloud(), workers=1)
    assert (records["drive-1"].state, records["drive-1"].exit_code) == ("failed", 1)
    assert "its worker was lost" in ledger_lines(tmp_path / "out")["drive-1"]["error"]
    assert sum(record.state == "done" for record in records.values()) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"max_failures": 0}, "max_failures is 0"),
        ({"shard": "2/2"}, "no shard 2 of 2"),
        ({"submit": True}, "drive-0 has no task to submit"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_prepared(
    drives: Path, template: str, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(lp.RecipeError, match=message):
        lp.prepare_many([str(drives / "*")], QUICK, template, **options)
    assert not (tmp_path / "out").exists()


def test_a_task_that_could_not_be_submitted_is_refused_before_anything_is_prepared(
    drives: Path, template: str, tmp_path: Path
) -> None:
    task = lp.TaskRecipe(type="lidarannotation", params={"project": 5})
    with pytest.raises(lp.ParameterError, match="project"):
        lp.prepare_many([str(drives / "*")], QUICK, template, task=task, submit=True)
    assert not (tmp_path / "out").exists()


# ---- worker processes ------------------------------------------------------------------------------------------------


def test_the_call_of_a_process_that_dies_is_made_again_and_others_are_not_disturbed(tmp_path: Path) -> None:
    with WorkerProcesses(2) as pool:
        futures = [pool.submit(die_once, tmp_path / "marker", 1), *(pool.submit(pow, n, 2) for n in range(20))]
        assert [future.result() for future in futures] == [1, *(n**2 for n in range(20))]


def test_a_call_that_kills_each_process_is_given_up(tmp_path: Path) -> None:
    with WorkerProcesses(1) as pool:
        with pytest.raises(lp.WorkerLostError, match="3 times"):
            pool.submit(die).result()
        assert pool.submit(pow, 2, 3).result() == 8


def test_an_error_of_a_call_is_raised_where_its_result_is_asked_for() -> None:
    with WorkerProcesses(1) as pool, pytest.raises(lp.SceneError) as error:
        pool.submit(lp.open_scene, "nowhere").result()
    assert "nowhere" in error.value.message


def test_a_call_that_cannot_be_sent_is_an_error_and_harms_no_other() -> None:
    with WorkerProcesses(1) as pool:
        with pytest.raises(Exception, match="pickle"):
            pool.submit(lambda: 1).result()
        assert pool.submit(pow, 2, 3).result() == 8


def test_records_of_processes_are_those_of_one_thread(drives: Path, template: str, tmp_path: Path) -> None:
    told = ("seconds", "when", "manifest")
    (drives / "empty").mkdir()
    by_one = prepared(drives, template)
    by_two = prepared(drives, f"{tmp_path}/two/{{name}}", workers=2)
    for name, record in by_one.items():
        other = by_two[name]
        assert replace(record, **{field: getattr(other, field) for field in told}) == other
    assert_ledger_equals_manifests(tmp_path / "two")


@pytest.mark.trial
def test_scenes_whose_workers_are_killed_are_done_all_the_same(tmp_path: Path, template: str) -> None:
    write_drives(tmp_path / "drives", 24)
    records = []
    for record in lp.prepare_many([str(tmp_path / "drives/*")], QUICK, template, workers=2):
        records.append(record)
        if len(records) % 4 == 0:
            # The older one: a scene whose process has just been replaced is not hit again and again.
            workers = [child for child in active_children() if child.name == "lidarprep-worker"]
            min(workers, key=lambda child: child.pid or 0).kill()
    assert {record.state for record in records} == {"done"}
    assert len(ledger_lines(tmp_path / "out")) == len(records) == 24
    assert_ledger_equals_manifests(tmp_path / "out")
    for drive in (tmp_path / "drives").iterdir():
        lp.prepare(lp.open_scene(drive), QUICK, tmp_path / "alone" / drive.name)
        assert files(tmp_path / "out" / drive.name) == files(tmp_path / "alone" / drive.name)
