"""Form-encoded bodies: what curl's -d sends, as the models' types."""

from typing import Any
from urllib.parse import quote_plus

import httpx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lidarprep.api import TASK_TYPES, LidarAnnotation, LidarLinking
from lidarprep.sandbox._http import RequestError, read_form, typed_as

FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (b"", {}),
        (b"a=1", {"a": "1"}),
        (b"a=1&a=2", {"a": ["1", "2"]}),
        (b"a=", {"a": ""}),
        (b"a[]=1&a[]=2", {"a": ["1", "2"]}),
        (b"a[b]=1&a[c]=2", {"a": {"b": "1", "c": "2"}}),
        (b"a[1][x]=2&a[0][x]=1", {"a": [{"x": "1"}, {"x": "2"}]}),
        (b"a[1]=x", {"a": {"1": "x"}}),
        (b"a%5Bb%5D=c%26d+e", {"a": {"b": "c&d e"}}),
    ],
)
def test_brackets_nest_and_repeated_names_are_lists(text: bytes, fields: dict[str, Any]) -> None:
    assert read_form(text) == fields


@pytest.mark.parametrize(
    "text",
    [
        b"a",
        b"a[=1",
        b"a]b=1",
        b"[a]=1",
        b"a=1&a[b]=2",
        b"a[b]=1&a=2",
        b"a=1&a=2&a[b]=3",
        b"\xff=1",
        b"a" + b"[b]" * 9 + b"=1",
    ],
)
def test_a_form_that_contradicts_itself_is_refused(text: bytes) -> None:
    with pytest.raises(RequestError):
        read_form(text)


def test_a_form_of_too_many_fields_is_refused() -> None:
    with pytest.raises(RequestError, match="Max number of fields"):
        read_form(b"&".join(b"a=1" for _ in range(1001)))


names = st.text("abcdefgh", min_size=1, max_size=4)
values: Any = st.recursive(
    st.text(max_size=5),
    lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3) | st.lists(inner, min_size=2, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(names, values, max_size=4))
def test_what_is_written_with_brackets_is_read_back(fields: dict[str, Any]) -> None:
    def written(prefix: str, value: Any) -> list[str]:
        if isinstance(value, dict):
            return [pair for name, inner in value.items() for pair in written(f"{prefix}[{name}]", inner)]
        if isinstance(value, list):
            return [pair for number, inner in enumerate(value) for pair in written(f"{prefix}[{number}]", inner)]
        return [f"{quote_plus(prefix)}={quote_plus(value)}"]

    pairs = [pair for name, value in fields.items() for pair in written(name, value)]
    assume(all(pair.partition("=")[0].count("%5B") < 8 for pair in pairs))
    assert read_form("&".join(pairs).encode()) == fields


def test_texts_become_what_the_models_ask_for() -> None:
    form = {"labels": "car", "attachments": ["a.json"], "priority": "30", "polygons_enabled": "true", "project": "2024"}
    assert typed_as(LidarAnnotation, form) == {
        "labels": ["car"],
        "attachments": ["a.json"],
        "priority": 30,
        "polygons_enabled": True,
        "project": "2024",
    }
    form = {"paddingX": "5", "camera_ids": ["0", "2"], "can_add_annotations": "False", "unknown": "1"}
    assert typed_as(LidarLinking, form) == {
        "paddingX": 5,
        "camera_ids": [0, 2],
        "can_add_annotations": False,
        "unknown": "1",
    }


@pytest.mark.parametrize("name", TASK_TYPES)
def test_no_model_is_upset_by_a_form(name: str) -> None:
    """Whatever its fields' types are, what doesn't fit is left for the model to refuse."""
    model = TASK_TYPES[name].parameters
    for value in ("x", ["x", "y"], {"x": "y"}, [{"x": "y"}]):
        form = dict.fromkeys(model.model_fields, value)
        assert set(typed_as(model, form)) == set(form)


def test_a_wrong_value_in_a_form_is_refused_by_its_name(http: httpx.Client) -> None:
    response = http.post("/task/multistage", content=b"project=p&attachments=s3://b/a.sfs&scene_format=x", headers=FORM)
    assert response.status_code == 400
    assert "scene_format" in response.json()["error"]
    response = http.post("/task/multistage", content=b"project=p&attachments[=1", headers=FORM)
    assert "brackets" in response.json()["error"]
