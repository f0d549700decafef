"""Both clients against the sandbox, over HTTP: every endpoint, and bad days of the network."""

import asyncio
import random
from collections.abc import Iterator

import pytest

from lidarprep.api import AsyncScaleClient, ScaleClient
from lidarprep.errors import BadRequestError, ConflictError, ParameterError
from lidarprep.sandbox import Faults, running_sandbox

LIDAR = {"attachments": ["https://example.com/1.json"], "attachment_type": "json", "labels": ["car"]}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_sandbox() as sandbox:
        yield sandbox.url


@pytest.fixture
def client(url) -> Iterator[ScaleClient]:
    with ScaleClient("test_key", url) as client:
        yield client


def test_a_task_goes_through_all_that_can_be_done_with_it(client) -> None:
    task = client.create_lidar_annotation(**LIDAR, unique_id="all-1", tags=["a"], metadata={"k": 1})
    assert (task.status, task.is_test) == ("pending", True)
    assert task.add_tags(["b", "a"]).tags == ("a", "b")
    assert task.delete_tags("a").tags == ("b",)
    assert task.set_tags(["x", "y"]).tags == ("x", "y")
    assert task.set_metadata({"run": 7}).metadata == {"run": 7}
    assert task.set_unique_id("all-2").unique_id == "all-2"
    assert task.clear_unique_id().unique_id is None
    definition = {"type": "lidarsegmentation", "labels": ["road"], "instruction": "Each point."}
    assert client.set_dependent_options(task.id, [definition], require_audit=True).id == task.id
    with pytest.raises(BadRequestError):
        client.force_dependents(task.id)
    canceled = task.cancel()
    assert (canceled.status, canceled.cancel().status, task.wait().status) == ("canceled",) * 3
    with pytest.raises(ParameterError, match="is canceled: it has no annotations"):
        task.annotations()


def test_a_unique_id_finds_its_task_again_but_not_for_other_content(client) -> None:
    first = client.create_lidar_annotation(**LIDAR, unique_id="same (1), really")
    assert client.create_lidar_annotation(**LIDAR, unique_id="same (1), really").id == first.id
    with pytest.raises(ConflictError, match="labels") as conflict:
        client.create_lidar_annotation(**{**LIDAR, "labels": ["van"]}, unique_id="same (1), really")
    assert conflict.value.task_id == first.id
    first.cancel(clear_unique_id=True)
    assert client.create_lidar_annotation(**LIDAR, unique_id="same (1), really").id != first.id


@pytest.mark.parametrize(
    ("task_type", "parameters"),
    [
        ("lidarlinking", {"annotation_type": "annotation", "instruction": "Link."}),
        ("categorization", {"instruction": "?", "attachment_type": "text", "attachment": "car", "categories": ["a"]}),
        ("multistage", {"project": "p", "attachments": ["s3://b/1.sfs"], "scene_format": "sensor_fusion"}),
    ],
)
def test_defaults_that_the_api_fills_in_do_not_make_another_task(task_type, parameters) -> None:
    with running_sandbox() as sandbox, ScaleClient("test_key", sandbox.url) as client:
        if task_type == "lidarlinking":
            root = client.create_lidar_annotation(**LIDAR)
            sandbox.complete(root.id)
            parameters = {**parameters, "lidar_task": root.id}
        parameters = {**parameters, "callback_url": "https://example.com/callback", "unique_id": "x"}
        first = client.create_task(task_type, parameters)
        assert client.create_task(task_type, parameters).id == first.id


def test_listing_finds_what_was_made(client) -> None:
    made = [client.create_lidar_annotation(**LIDAR, tags=["listed"], unique_id=f"list-{n}").id for n in range(5)]
    assert [task.id for task in client.iter_tasks(tags="listed", limit=2)] == made[::-1]
    page = client.list_tasks(tags=["listed"], limit=2)
    assert (len(page.tasks), page.total, page.has_more) == (2, 5, True)
    assert {task.id for task in client.iter_tasks(unique_id=["list-1", "list-3"])} == {made[1], made[3]}
    assert client.whoami().answers


def test_a_sandbox_on_a_bad_day_ends_with_one_task_a_submission() -> None:
    submissions = 60

    async def submit_all(url: str) -> list[str]:
        pace = random.Random(7)

        async def sleep(_: float) -> None:
            await asyncio.sleep(pace.uniform(0, 0.01))

        async with AsyncScaleClient("test_key", url, retries=30, sleep=sleep, max_connections=20) as client:
            # Half with a unique_id, half with an Idempotency-Key alone.
            calls = (
                client.create_task("lidarannotation", {**LIDAR, **({"unique_id": f"s-{n}"} if n % 2 else {})})
                for n in range(submissions)
            )
            return [task.id for task in await asyncio.gather(*calls)]

    with running_sandbox(faults=Faults(rate=0.3, seed=7, latency_s=0.01, retry_after_s=0)) as sandbox:
        known = asyncio.run(submit_all(sandbox.url))
        sandbox.faults.set(Faults())
        with ScaleClient("test_key", sandbox.url) as client:
            made = [task.id for task in client.iter_tasks()]
    assert len(made) == submissions
    assert set(made) == set(known)


def test_annotations_of_a_completed_task_are_read_from_where_the_sandbox_has_them() -> None:
    with running_sandbox() as sandbox, ScaleClient("test_key", sandbox.url) as client:
        task = client.create_lidar_annotation(**LIDAR)
        sandbox.complete(task.id)
        done = task.wait(timeout=10)
        assert done.next_step.startswith("Read its annotations")
        (frame,) = done.annotations()
        assert frame.cuboids
        assert all(cuboid.label == "car" for cuboid in frame.cuboids)


@pytest.mark.parametrize("fault", ["cut-after", "error-after", "truncate", None])
def test_dependents_are_created_once_though_the_answer_is_lost(fault) -> None:
    with running_sandbox() as sandbox, ScaleClient("test_key", sandbox.url, sleep=lambda _: None) as client:
        task = client.create_lidar_annotation(**LIDAR)
        definition = {"type": "lidarsegmentation", "labels": ["road"], "instruction": "Each point."}
        client.set_dependent_options(task.id, [definition], require_audit=True)
        sandbox.complete(task.id)
        sandbox.faults.set(Faults(schedule=[fault]))
        assert client.force_dependents(task.id).id == task.id
        assert [made.type for made in client.iter_tasks()] == ["lidarsegmentation", "lidarannotation"]
        with pytest.raises(BadRequestError):
            client.force_dependents(task.id)
