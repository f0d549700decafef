"""KEY=VALUE at a terminal becomes a typed parameter."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.api import parse_param, parse_params
from lidarprep.errors import ParameterError

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON_VALUES)
def test_any_json_value_is_read_as_it_is(value: object) -> None:
    assert parse_param(f"key={json.dumps(value)}") == ("key", value)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ('labels=["car", "van"]', "labels", ["car", "van"]),
        ("priority=30", "priority", 30),
        ("polygons_enabled=true", "polygons_enabled", True),
        ("project=street", "project", "street"),
        ("project=", "project", ""),
        ("callback_url=https://example.com/?a=b", "callback_url", "https://example.com/?a=b"),
        ("note=NaN", "note", "NaN"),
        ("note={not json", "note", "{not json"),
        (" labels =[]", "labels", []),
    ],
)
def test_what_is_no_json_is_a_string(text: str, key: str, value: object) -> None:
    assert parse_param(text) == (key, value)


@pytest.mark.parametrize("text", ["labels", "=car", " =car", ""])
def test_what_is_not_key_and_value_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="is not KEY=VALUE"):
        parse_param(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("project=2024", "2024"),
        ("unique_id=true", "true"),
        ('unique_id="7"', "7"),
        ("priority=10", 10),
        ("tags=[1]", [1]),
    ],
)
def test_text_parameters_of_a_known_type_need_no_quotes(text: str, value: object) -> None:
    assert parse_param(text, "multistage")[1] == value


@pytest.mark.parametrize(
    ("text", "task_type", "value"),
    [
        ("phone_number=5055006865", "phonecall", "5055006865"),
        ("attachment=42", "categorization", "42"),
        ("attachment=https://example.com/a.png", "lidartopdown", "https://example.com/a.png"),
        ('fields={"title": "7"}', "transcription", {"title": "7"}),
        ("verbatim=true", "audiotranscription", True),
        ("deviceHeight=1.8", "lidartopdown", 1.8),
    ],
)
def test_what_has_to_be_text_depends_on_the_task_type(text: str, task_type: str, value: object) -> None:
    assert parse_param(text, task_type)[1] == value


def test_many_parameters_become_one_mapping() -> None:
    assert parse_params(["project=1", "tags=[]"], "multistage") == {"project": "1", "tags": []}


def test_a_parameter_given_twice_is_refused() -> None:
    with pytest.raises(ParameterError, match="priority is given twice"):
        parse_params(["priority=10", "priority=20"])
