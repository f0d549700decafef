"""A fleet's tasks: one a scene, whatever becomes of the list; in batches that are closed when they are full.

What was made is seen by plain HTTP requests.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

import lidarprep as lp
from lidarprep.api import ScaleClient
from lidarprep.batch import BatchFile, Ledger, records_of
from lidarprep.batch.labels import wait_many, write_many_results
from lidarprep.batch.scenes import root_of
from lidarprep.batch.tasks import Submission
from lidarprep.errors import (
    ApiError,
    BadRequestError,
    MissingKeyError,
    ParameterError,
    RecipeError,
    UniqueIdConflictError,
    WaitTimeoutError,
)
from lidarprep.recipe import TaskRecipe
from lidarprep.sandbox import Sandbox, SandboxOptions, running_sandbox
from lidarprep.task_batches import create_in_batch
from tests.scenes import write_toolkit_scene

QUICK = lp.Recipe(checks="quick")
PARAMS = {"project": "fleet", "callback_url": "https://example.com/c", "labels": ["car"], "instruction": "Label."}
TASK = TaskRecipe(type="lidarannotation", params=PARAMS)


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Five drives of a frame."""
    folder = tmp_path_factory.mktemp("drives")
    return [
        str(write_toolkit_scene(folder / name, frames=1, points=40, cameras=(), seed=seed))
        for seed, name in enumerate("abcde")
    ]


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox in which batches must be made before tasks are put into them."""
    with running_sandbox(options=SandboxOptions(strict_projects=True)) as sandbox:
        monkeypatch.setenv("SCALE_API_URL", sandbox.url)
        monkeypatch.setenv("SCALE_API_KEY", "test_key")
        asked(sandbox, "POST", "/projects", {"name": "fleet", "type": "lidarannotation"})
        yield sandbox


@pytest.fixture
def out(tmp_path: Path) -> str:
    return f"{tmp_path}/fleet/{{name}}"


def asked(sandbox: Sandbox, method: str, path: str, body: Any = None) -> Any:
    answer = httpx.request(method, sandbox.url + path, json=body, auth=("test_key", ""), trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.json()


def tasks(sandbox: Sandbox) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(sandbox, "GET", "/tasks")["docs"]
    return found


def scenes_with_tasks(sandbox: Sandbox) -> Counter[str]:
    """How many tasks each scene has, by the manifests that the tasks name."""
    return Counter(Path(task["metadata"]["lidarprep"]["manifest"]).parent.name for task in tasks(sandbox))


def batches(sandbox: Sandbox) -> dict[str, tuple[str, int]]:
    """The status of each batch, and how many tasks it has."""
    counts = Counter(task["batch"] for task in tasks(sandbox))
    found = asked(sandbox, "GET", "/batches")["docs"]
    return {one["name"]: (one["status"], counts[one["name"]]) for one in reversed(found)}


def submitted(scenes: list[str], out: str, task: TaskRecipe = TASK, **options: Any) -> dict[str, lp.SceneRecord]:
    records = lp.prepare_many(scenes, QUICK, out, task=task, submit=True, **{"batch_size": 2} | options)
    return {record.name: record for record in records}


def prepared(scenes: list[str], out: str) -> None:
    assert all(record.state == "done" for record in lp.prepare_many(scenes, QUICK, out))


# ---- one task a scene ----------------------------------------------------------------------------------------------


def test_each_scene_gets_a_task_in_batches_of_a_size_that_are_finalized_when_they_are_full(
    sandbox: Sandbox, drives: list[str], out: str, tmp_path: Path
) -> None:
    records = submitted(drives, out)
    assert all(record.state == "submitted" and record.task for record in records.values())
    assert scenes_with_tasks(sandbox) == dict.fromkeys("abcde", 1)
    found = batches(sandbox)
    assert [name[:10] for name in found] == ["fleet-0001", "fleet-0002", "fleet-0003"]
    # All of the last group's scenes have tasks, too: it is full with one.
    assert list(found.values()) == [("in_progress", 2), ("in_progress", 2), ("in_progress", 1)]
    ledger = [json.loads(line) for line in (tmp_path / "fleet/batch.jsonl").read_text().splitlines()]
    by_id = {task["task_id"]: task["batch"] for task in tasks(sandbox)}
    assert {line["task"]: line["batch"] for line in ledger} == by_id


def test_a_list_that_is_sorted_another_way_and_grown_pays_for_nothing_twice(
    sandbox: Sandbox, drives: list[str], out: str
) -> None:
    a, b, c, d, e = drives
    first = submitted([b, d, e], out)
    again = submitted([e, c, d, a, b], out)
    assert scenes_with_tasks(sandbox) == dict.fromkeys("abcde", 1)
    assert {name: again[name].task for name in "bde"} == {name: first[name].task for name in "bde"}
    assert all(status == "in_progress" for status, _ in batches(sandbox).values())


def test_without_its_ledger_a_fleet_still_pays_for_nothing_twice(
    sandbox: Sandbox, drives: list[str], out: str, tmp_path: Path
) -> None:
    first = submitted(drives[:3], out)
    (tmp_path / "fleet/batch.jsonl").unlink()
    again = submitted([*drives[3:], *reversed(drives[:3])], out, batch_size=3)
    assert scenes_with_tasks(sandbox) == dict.fromkeys("abcde", 1)
    assert {name: again[name].task for name in "abc"} == {name: first[name].task for name in "abc"}
    assert {name: again[name].batch for name in "abc"} == {name: first[name].batch for name in "abc"}


def test_two_submitters_at_once_make_one_task_a_scene(sandbox: Sandbox, drives: list[str], out: str) -> None:
    prepared(drives, out)
    root = out.removesuffix("/{name}")
    submissions = [Submission(root, TASK, batch_size=2) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda one: [record.task for record in one.run()], submissions))
    assert made[0] == made[1] == made[2]
    assert scenes_with_tasks(sandbox) == dict.fromkeys("abcde", 1)
    assert [status for status, _ in batches(sandbox).values()] == ["in_progress"] * 3


def test_shards_that_prepare_and_submit_at_once_share_batches(sandbox: Sandbox, drives: list[str], out: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda shard: submitted(drives, out, shard=shard), ("0/3", "1/3", "2/3", "1/3")))
    assert scenes_with_tasks(sandbox) == dict.fromkeys("abcde", 1)
    assert [status for status, _ in batches(sandbox).values()] == ["in_progress"] * 3


def test_other_parameters_make_no_other_task_of_a_scene_that_has_one(
    sandbox: Sandbox, drives: list[str], out: str
) -> None:
    first = submitted(drives[:1], out)
    other = TaskRecipe(type="lidarannotation", params=PARAMS | {"instruction": "Label well."})
    assert submitted(drives[:1], out, other)["a"].task == first["a"].task
    assert not Submission(out, other).pending
    assert scenes_with_tasks(sandbox) == {"a": 1}


def test_a_task_that_was_made_alone_is_the_same_in_a_batch(sandbox: Sandbox, drives: list[str], out: str) -> None:
    prepared(drives[:1], out)
    with ScaleClient() as client:
        alone = lp.submit(lp.load_manifest(out.format(name="a")), "lidarannotation", PARAMS, client)
    (record,) = Submission(out, TASK).run()
    assert (record.task, record.batch) == (alone.id, "")


# ---- batches at Scale ----------------------------------------------------------------------------------------------


def test_a_scene_that_failed_keeps_its_batch_open_until_it_is_retried(
    sandbox: Sandbox, drives: list[str], out: str, tmp_path: Path
) -> None:
    bad = write_toolkit_scene(tmp_path / "bad", frames=1, points=40, cameras=(), seed=9)
    pose = (bad / "poses/9.json").read_text()
    (bad / "poses/9.json").write_text("{")
    records = submitted([drives[0], str(bad)], out)
    assert (records["a"].state, records["bad"].state) == ("submitted", "failed")
    assert list(batches(sandbox).values()) == [("staging", 1)]
    (bad / "poses/9.json").write_text(pose)
    submitted([drives[0], str(bad)], out)
    assert list(batches(sandbox).values()) == [("in_progress", 2)]


def test_a_scene_whose_batch_is_finalized_already_goes_to_one_that_follows_it(
    sandbox: Sandbox, drives: list[str], out: str
) -> None:
    records = submitted(drives[:1], out)
    name = records["a"].batch
    assert batches(sandbox) == {name: ("in_progress", 1)}
    late = submitted(drives[:2], out)
    assert (late["a"].task, late["b"].batch) == (records["a"].task, f"{name}-2")
    assert batches(sandbox) == {name: ("in_progress", 1), f"{name}-2": ("in_progress", 1)}


def test_a_scene_that_left_the_list_keeps_no_batch_open(
    sandbox: Sandbox, drives: list[str], out: str, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    submitted([drives[0], str(tmp_path / "bad")], out)
    assert list(batches(sandbox).values()) == [("staging", 1)]
    submitted([drives[0]], out)
    assert list(batches(sandbox).values()) == [("in_progress", 1)]


def test_waiting_ends_where_all_that_is_left_is_in_batches_that_nobody_works_on(
    sandbox: Sandbox, drives: list[str], out: str, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    made = submitted([drives[0], drives[1], drives[2], str(tmp_path / "bad")], out)

    def complete(_: float) -> None:
        for name in "ab":  # their batch is full
            sandbox.lifecycle.complete(made[name].task)

    with ScaleClient() as client, pytest.raises(ApiError, match="1 of 3 tasks are not worked on") as error:
        wait_many(out, client, sleep=complete)
    assert made["c"].batch in str(error.value)
    assert "--finalize" in str(error.value.fix)
    assert {one.name: one.state for one in records_of(out)}["a"] == "labelled"


def test_batches_that_are_not_full_are_closed_when_that_is_asked_for(
    sandbox: Sandbox, drives: list[str], out: str, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    submitted([drives[0], str(tmp_path / "bad")], out)
    submission = Submission(out.removesuffix("{name}"), batch_size=2)
    ((name, scenes, missing),) = [(one.name, one.scenes, one.missing) for one in submission.open_batches()]
    assert (scenes, missing) == (("a",), ("bad",))
    assert submission.finalize([name]) == [name]
    assert batches(sandbox) == {name: ("in_progress", 1)}
    assert not submission.open_batches()


def test_without_a_project_there_are_no_batches(sandbox: Sandbox, drives: list[str], out: str, tmp_path: Path) -> None:
    alone = TaskRecipe(type="lidarannotation", params={**PARAMS, "project": None})
    with pytest.raises(ParameterError, match=r"belongs to a project, and the task has none"):
        submitted(drives, out, alone)
    assert not (tmp_path / "fleet").exists()


def test_a_batch_of_ones_own_is_left_to_oneself(sandbox: Sandbox, drives: list[str], out: str) -> None:
    records = submitted(drives[:2], out, TASK.model_copy(update={"batch": "mine"}), batch_size=1)
    assert {record.batch for record in records.values()} == {"mine"}
    assert batches(sandbox) == {"mine": ("staging", 2)}


# ---- what is refused -----------------------------------------------------------------------------------------------


def test_a_key_is_looked_for_before_anything_is_prepared(
    sandbox: Sandbox, drives: list[str], out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCALE_API_KEY")
    with pytest.raises(MissingKeyError):
        submitted(drives, out)
    assert not (tmp_path / "fleet").exists()


def test_one_unique_id_for_all_is_refused(sandbox: Sandbox, drives: list[str], out: str) -> None:
    with pytest.raises(ParameterError, match=r"5 scenes would have the unique_id 'mine'"):
        submitted(drives, out, TASK.model_copy(update={"unique_id": "mine"}))


def test_tasks_without_a_unique_id_are_refused(sandbox: Sandbox, drives: list[str], out: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no unique id"):
        submitted(drives, out, TASK.model_copy(update={"unique_id": "none"}))
    assert not (tmp_path / "fleet").exists()


def test_what_the_api_refuses_is_said_of_the_scene_and_submitted_again_alone(
    sandbox: Sandbox, drives: list[str], out: str
) -> None:
    elsewhere = TASK.model_copy(update={"params": {**PARAMS, "project": "nowhere"}})
    records = submitted(drives[:2], out, elsewhere)
    assert all(record.state == "done" and "nowhere" in record.error for record in records.values())
    made = list(Submission(out, TASK, batch_size=2).run())
    assert all(record.state == "submitted" and not record.error for record in made)
    assert scenes_with_tasks(sandbox) == {"a": 1, "b": 1}


def test_each_scene_has_parameters_of_its_own(sandbox: Sandbox, drives: list[str], out: str) -> None:
    own = {"recording": drives[0], "task": {"params": {"labels": ["bus"]}}}
    file = BatchFile(scenes=(own, drives[1]), out=out, recipe=QUICK, task=TASK)  # type: ignore[arg-type]
    list(lp.prepare_many(file, submit=True))
    assert sorted(task["params"]["labels"][0] for task in tasks(sandbox)) == ["bus", "car"]


# ---- to the labels -------------------------------------------------------------------------------------------------


def test_waiting_asks_for_pages_and_not_for_each_task(
    sandbox: Sandbox, drives: list[str], out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = submitted(drives, out, batch_size=3)
    paths: list[str] = []

    def complete(_: float) -> None:
        for record in made.values():
            sandbox.lifecycle.complete(record.task)

    with ScaleClient() as client:
        client._http.event_hooks["request"].append(lambda request: paths.append(request.url.path))
        records = wait_many(out, client, sleep=complete)
    assert {record.state for record in records} == {"labelled"}
    assert not [path for path in paths if "/task/" in path], paths
    assert paths.count("/v1/tasks") == 4  # two batches, twice
    assert {record.state for record in records_of(out)} == {"labelled"}


def test_waiting_ends_where_tasks_are_canceled_and_says_so(sandbox: Sandbox, drives: list[str], out: str) -> None:
    made = submitted(drives[:2], out)
    with ScaleClient() as client:
        client.cancel_task(made["a"].task)
        sandbox.lifecycle.complete(made["b"].task)
        records = {record.name: record for record in wait_many(out, client)}
    assert (records["a"].state, records["b"].state) == ("submitted", "labelled")
    assert "is canceled" in records["a"].error


def test_a_time_to_wait_passes(sandbox: Sandbox, drives: list[str], out: str) -> None:
    submitted(drives[:2], out)
    with ScaleClient() as client, pytest.raises(WaitTimeoutError, match=r"2 of 2 tasks are not done after 0 s"):
        wait_many(out, client, timeout=0)


def test_only_a_scene_whose_task_was_canceled_gets_another(sandbox: Sandbox, drives: list[str], out: str) -> None:
    made = submitted(drives[:2], out)
    with ScaleClient() as client:
        client.cancel_task(made["a"].task)
    (again,) = Submission(out, TASK, batch_size=2, resubmit=True).run()
    assert again.name == "a"
    assert again.task != made["a"].task
    assert scenes_with_tasks(sandbox) == {"a": 2, "b": 1}


def test_labels_of_each_scene_are_written_to_its_folder_and_bad_ones_stop_no_others(
    sandbox: Sandbox, drives: list[str], out: str, tmp_path: Path
) -> None:
    made = submitted(drives[:3], out, batch_size=3)
    for name in "ab":
        sandbox.lifecycle.complete(made[name].task)
    (tmp_path / "fleet/b/manifest.json").unlink()
    with ScaleClient() as client:
        found = {one.record.name: one for one in write_many_results(out, tmp_path / "labels", client)}
        lp.write_results(made["a"].task, tmp_path / "alone", client=client)
    assert found["b"].error is not None
    assert (found["c"].written, found["c"].error, found["c"].record.state) == (None, None, "submitted")
    alone = {path.name: path.read_bytes() for path in (tmp_path / "alone").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "labels/a").iterdir()} == alone


def test_scenes_that_share_a_task_each_keep_their_record_and_get_its_labels(
    sandbox: Sandbox, drives: list[str], out: str, tmp_path: Path
) -> None:
    twice: Any = [{"recording": drives[0], "name": name} for name in ("rain", "night")]
    list(lp.prepare_many(BatchFile(scenes=twice, out=out, recipe=QUICK, task=TASK.model_copy(), batch_size=2)))
    (record, other) = records_of(out)
    ledger = Ledger(root_of(out))
    with ScaleClient() as client:
        made = lp.submit(lp.load_manifest(record.manifest), TASK.type, PARAMS, client)
        for one in (record, other):
            ledger.add(one.with_task(made))
        ledger.finish()
        sandbox.lifecycle.complete(made.id)
        found = list(write_many_results(out, tmp_path / "labels", client))
    assert [one.record.name for one in found] == ["rain", "night"]
    assert {path.name for path in (tmp_path / "labels").iterdir()} == {"rain", "night"}
    assert {one.name: one.state for one in records_of(out)} == dict.fromkeys(("rain", "night"), "labelled")


def test_a_scene_that_failed_since_its_task_was_made_stays_failed_and_gets_its_labels(
    sandbox: Sandbox, drives: list[str], out: str, tmp_path: Path
) -> None:
    made = submitted(drives[:1], out)["a"]
    ledger = Ledger(root_of(out))
    ledger.add(replace(made, state="failed", error="there is no recording", exit_code=2, attempts=2))
    ledger.finish()
    sandbox.lifecycle.complete(made.task)
    with ScaleClient() as client:
        (waited,) = wait_many(out, client)
        (written,) = write_many_results(out, tmp_path / "labels", client)
    (left,) = records_of(out)
    assert (waited.state, left.state, left.error) == ("failed", "failed", "there is no recording")
    assert written.written is not None


def test_there_is_no_batch_where_nothing_was_prepared(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no batch"):
        Submission(str(tmp_path / "nothing"), TASK)


def test_a_task_that_is_there_is_found_although_its_batch_takes_no_more(sandbox: Sandbox) -> None:
    asked(sandbox, "POST", "/batches", {"project": "fleet", "name": "closed"})
    task = {**PARAMS, "attachments": ["https://example.com/1.json"], "attachment_type": "json", "unique_id": "one"}
    with ScaleClient() as client:
        made = client.create_task("lidarannotation", {**task, "batch": "closed"})
        client.finalize_batch("closed")
        assert client.create_task("lidarannotation", {**task, "batch": "closed"}).id == made.id
        with pytest.raises(BadRequestError, match="takes no more tasks"):
            client.create_task("lidarannotation", {**task, "batch": "closed", "unique_id": "two"})
    assert len(tasks(sandbox)) == 1


def test_only_a_fleet_takes_a_task_of_another_batch_for_its_own(sandbox: Sandbox) -> None:
    for name in ("one", "two"):
        asked(sandbox, "POST", "/batches", {"project": "fleet", "name": name})
    task = {**PARAMS, "attachments": ["https://example.com/1.json"], "attachment_type": "json", "unique_id": "mine"}
    with ScaleClient() as client:
        made = client.create_task("lidarannotation", {**task, "batch": "one"})
        with pytest.raises(UniqueIdConflictError, match="batch is 'one' there, 'two' here"):
            client.create_task("lidarannotation", {**task, "batch": "two"})
        assert create_in_batch(client, "lidarannotation", task, "two").id == made.id
