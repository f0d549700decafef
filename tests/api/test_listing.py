"""Lists of tasks: filters, pages, and the iterator over all of them. Of both clients."""

from datetime import UTC, date, datetime, timedelta, timezone
from urllib.parse import parse_qsl

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.api._listing import TaskPage, task_query
from lidarprep.errors import ParameterError, ServerError


def task(number: int) -> dict[str, str]:
    return {"task_id": f"{number:024x}", "status": "pending"}


def page(*numbers: int, **fields: object) -> httpx.Response:
    return httpx.Response(200, json={"docs": [task(number) for number in numbers], "limit": 2, **fields})


def queries(api) -> list[list[tuple[str, str]]]:
    return [parse_qsl(request.url.query.decode(), keep_blank_values=True) for request in api.requests]


MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=-7)))


@pytest.mark.parametrize(
    ("filters", "query"),
    [
        ({}, []),
        ({"status": None, "limit": None}, []),
        ({"start_time": MOMENT}, [("start_time", "2026-01-02T03:04:05-07:00")]),
        ({"end_time": date(2026, 1, 2)}, [("end_time", "2026-01-02")]),
        ({"completed_after": "2021-04-25"}, [("completed_after", "2021-04-25")]),
        ({"completed_before": "2021-04-25T03:14:15-07:00"}, [("completed_before", "2021-04-25T03:14:15-07:00")]),
        ({"updated_after": "2021-04-25T03:14:15Z"}, [("updated_after", "2021-04-25T03:14:15Z")]),
        ({"updated_before": MOMENT.astimezone(UTC)}, [("updated_before", "2026-01-02T10:04:05+00:00")]),
        ({"status": "completed"}, [("status", "completed")]),
        ({"status": ["pending", "error"]}, [("status", "pending"), ("status", "error")]),
        (
            {"customer_review_status": "accepted,fixed"},
            [("customer_review_status", "accepted"), ("customer_review_status", "fixed")],
        ),
        ({"type": "lidarannotation", "project": "a b", "batch": "ü&=?"}, None),
        ({"unique_id": ("s3://b/1", "x")}, [("unique_id", "s3://b/1"), ("unique_id", "x")]),
        ({"tags": {"one,two"}}, [("tags", "one,two")]),
        ({"include_attachment_url": True, "limit": 1}, [("include_attachment_url", "true"), ("limit", "1")]),
        ({"include_attachment_url": False, "limit": 100}, [("include_attachment_url", "false"), ("limit", "100")]),
    ],
)
def test_filters_are_sent_as_the_reference_writes_them(api, call, filters, query) -> None:
    api.answers = [page()]
    call("list_tasks", **filters)
    assert queries(api) == [list(filters.items()) if query is None else query]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"start_time": datetime(2026, 1, 2)}, "start_time is 2026-01-02T00:00:00 without a time zone"),
        ({"end_time": "yesterday"}, "end_time is 'yesterday'; it must be a time"),
        ({"completed_after": 7}, "completed_after is 7"),
        ({"status": "cancelled"}, "status is 'cancelled'; it must be one of pending, completed, canceled"),
        ({"status": []}, "status is empty"),
        ({"customer_review_status": ["accepted", "good"]}, "customer_review_status is 'good'"),
        ({"type": ""}, "type is ''"),
        ({"project": ["a"]}, "project is"),
        ({"unique_id": 7}, "unique_id is 7"),
        ({"tags": ["a", ""]}, "tags is ''"),
        ({"tags": {"a": 1}}, "tags is"),
        ({"limit": 0}, "limit is 0; it must be a whole number from 1 to 100"),
        ({"limit": 101}, "limit is 101"),
        ({"limit": True}, "limit is True"),
        ({"limit": "10"}, "limit is '10'"),
        ({"include_attachment_url": "true"}, "include_attachment_url is 'true'"),
        ({"tag": "a"}, "there is no filter tag; did you mean tags"),
    ],
)
@pytest.mark.parametrize("method", ["list_tasks", "iter_tasks"])
def test_a_filter_that_makes_no_sense_is_refused_and_named(api, call, method, filters, message) -> None:
    with pytest.raises(ParameterError, match=message):
        call(method, **filters)
    assert api.requests == []


def test_a_page_tells_how_many_there_are_and_how_to_go_on(api, call) -> None:
    api.answers = [page(1, 2, total=5, has_more=True, next_token="to/ken+=")]
    first = call("list_tasks", limit=2)
    assert [found.id for found in first.tasks] == [task(1)["task_id"], task(2)["task_id"]]
    assert (first.total, first.limit, first.has_more, first.next_token) == (5, 2, True, "to/ken+=")
    call("list_tasks", limit=2, next_token=first.next_token)
    assert queries(api)[1] == [("limit", "2"), ("next_token", "to/ken+=")]


def test_the_iterator_follows_the_tokens_with_the_same_filters(api, call) -> None:
    api.answers = [
        page(1, 2, has_more=True, next_token="a"),
        httpx.Response(503),
        page(3, 4, has_more=True, next_token="b"),
        page(5, has_more=False),
    ]
    found = call("iter_tasks", tags=["x", "y"], limit=2)
    assert [int(one.id, 16) for one in found] == [1, 2, 3, 4, 5]
    same = [("tags", "x"), ("tags", "y"), ("limit", "2")]
    assert queries(api) == [
        same,
        [*same, ("next_token", "a")],
        [*same, ("next_token", "a")],
        [*same, ("next_token", "b")],
    ]


def test_a_filter_that_can_be_read_but_once_holds_for_every_page(api, call) -> None:
    api.answers = [page(2, has_more=True, next_token="t"), page(1)]
    assert len(call("iter_tasks", tags=(tag for tag in ["a", "b"]), limit=1)) == 2
    filters = [("tags", "a"), ("tags", "b"), ("limit", "1")]
    assert queries(api) == [filters, [*filters, ("next_token", "t")]]


def test_half_a_character_is_refused_as_a_filter(api, call) -> None:
    with pytest.raises(ParameterError, match="can't be sent"):
        call("list_tasks", tags="\ud800")
    assert api.requests == []


def test_the_iterator_follows_offsets_where_the_api_has_no_tokens(api, call) -> None:
    # Text 003, the older reference.
    api.answers = [
        page(1, 2, offset=0, has_more=True),
        page(3, 4, offset=2, has_more=True),
        page(5, offset=4, has_more=False),
    ]
    assert [int(one.id, 16) for one in call("iter_tasks")] == [1, 2, 3, 4, 5]
    assert queries(api) == [[], [("offset", "2")], [("offset", "4")]]


def test_an_empty_page_ends_a_list_that_says_it_goes_on(api, call) -> None:
    api.answers = [page(has_more=True)]
    assert call("iter_tasks") == []


def test_a_page_that_is_followed_by_itself_ends_in_an_error(api, call) -> None:
    api.answers = [page(1, has_more=True, next_token="a")]
    with pytest.raises(ServerError, match="followed by itself"):
        call("iter_tasks")
    assert len(api.requests) == 2


def test_the_iterator_asks_for_a_page_only_once_it_is_needed(api, client) -> None:
    api.answers = [page(1, 2, has_more=True, next_token="a"), page(3, has_more=False)]
    tasks = client.iter_tasks()
    assert api.requests == []
    next(tasks)
    next(tasks)
    assert len(api.requests) == 1
    assert int(next(tasks).id, 16) == 3


@pytest.mark.parametrize("answer", [{}, {"docs": {}}, {"docs": [7]}, {"docs": [{"status": "pending"}]}])
def test_an_answer_that_is_no_page_is_a_server_error(api, call, answer) -> None:
    api.answers = [httpx.Response(200, json=answer)]
    with pytest.raises(ServerError, match="without a list of tasks"):
        call("list_tasks")


@given(st.lists(st.text(min_size=1), min_size=1))
def test_any_text_survives_as_a_tag(tags: list[str]) -> None:
    assert task_query({"tags": tags}) == tuple(("tags", tag) for tag in tags)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("docs", "total", "limit", "has_more", "next_token"), JSON)))
def test_no_answer_breaks_the_reading_of_a_page(answer: dict[str, object]) -> None:
    found = TaskPage.from_api(answer)
    assert found is None or len(found.tasks) == len(answer["docs"])  # type: ignore[arg-type]
