"""Never twice, never lost: whatever happens on the way, one create call ends in one task, whose id the caller has."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.errors import ApiError, ConflictError, ServerError
from tests.api.faulty_api import FAULTS, SAVED_FAULTS, FaultyApi

MULTISTAGE = {"project": "street", "attachments": ["https://example.com/1.sfs"], "scene_format": "sensor_fusion"}


kinds = st.sampled_from(["sync", "async"])


@given(st.lists(st.sampled_from(FAULTS), max_size=10), kinds)
def test_passing_faults_end_in_exactly_one_task(faults: list[str], kind: str) -> None:
    api = FaultyApi(faults)
    task = api.create_task(kind, MULTISTAGE, retries=len(faults))
    assert [made["task_id"] for made in api.tasks] == [task.id]


@given(st.lists(st.sampled_from(FAULTS + SAVED_FAULTS), max_size=10), kinds)
def test_with_a_unique_id_not_even_a_saved_error_comes_in_the_way(faults: list[str], kind: str) -> None:
    api = FaultyApi(faults)
    task = api.create_task(kind, {**MULTISTAGE, "unique_id": "drive-7"}, retries=len(faults))
    assert [made["task_id"] for made in api.tasks] == [task.id]
    assert task.unique_id == "drive-7"


@given(st.lists(st.sampled_from(FAULTS + SAVED_FAULTS), max_size=10), kinds, st.booleans())
def test_there_are_never_two_tasks_even_where_the_call_fails(faults: list[str], kind: str, frees_itself: bool) -> None:
    extra = {"unique_id": "drive-7", "clear_unique_id_on_error": True} if frees_itself else {}
    api = FaultyApi(faults)
    try:
        task = api.create_task(kind, {**MULTISTAGE, **extra}, retries=3)
    except ApiError:
        assert len(api.tasks) <= 1
    else:
        assert [made["task_id"] for made in api.tasks] == [task.id]


@given(st.lists(st.lists(st.sampled_from(FAULTS + SAVED_FAULTS), max_size=3), max_size=5), kinds)
def test_runs_that_were_given_up_are_run_again_without_a_second_task(runs: list[list[str]], kind: str) -> None:
    api = FaultyApi([])
    for faults in runs:
        api.faults = faults
        with contextlib.suppress(ApiError):
            api.create_task(kind, {**MULTISTAGE, "unique_id": "drive-7"}, retries=0)
    api.faults = []
    task = api.create_task(kind, {**MULTISTAGE, "unique_id": "drive-7"}, retries=0)
    assert [made["task_id"] for made in api.tasks] == [task.id]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_error_that_is_saved_for_the_key_says_how_to_go_on(kind: str) -> None:
    api = FaultyApi(["500_saved_after"])
    with pytest.raises(ServerError, match="broke for 24 hours") as raised:
        api.create_task(kind, MULTISTAGE, retries=4)
    assert (len(api.saved), api.requests) == (1, 5)
    assert "list_tasks" in str(raised.value.fix)
    assert "unique_id" in str(raised.value.fix)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_cut_connection_keeps_the_key_so_that_the_saved_answer_comes(kind: str) -> None:
    api = FaultyApi(["cut_after"])
    api.create_task(kind, {**MULTISTAGE, "unique_id": "drive-7"}, retries=1)
    assert (len(api.saved), api.requests) == (1, 2)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_other_content_under_the_same_unique_id_names_the_task_and_the_difference(kind: str) -> None:
    api = FaultyApi([])
    first = api.create_task(kind, {**MULTISTAGE, "unique_id": "drive-7"}, retries=0)
    with pytest.raises(ConflictError) as conflict:
        api.create_task(kind, {**MULTISTAGE, "project": "motorway", "unique_id": "drive-7"}, retries=0)
    assert conflict.value.message == (
        f"the unique_id 'drive-7' is taken by task {first.id}, which is another task:"
        " project is 'street' there, 'motorway' here"
    )
    assert (conflict.value.task_id, conflict.value.status) == (first.id, 409)
    assert "clear_unique_id" in str(conflict.value.fix)
    assert len(api.tasks) == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_unique_id_that_frees_itself_does_not_allow_another_key(kind: str) -> None:
    # The task of the first try may have ended in an error and lost its unique_id: a new key could make a second one.
    api = FaultyApi(["500_saved"])
    with pytest.raises(ServerError):
        api.create_task(kind, {**MULTISTAGE, "unique_id": "drive-7", "clear_unique_id_on_error": True}, retries=2)
    assert (len(api.saved), api.requests) == (1, 3)
