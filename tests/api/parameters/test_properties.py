"""Every model against its table: what the table forbids is refused, what it allows comes through unchanged."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lidarprep.api import parse_params
from lidarprep.api._task_types import TASK_TYPES, check_parameters, read_parameters
from lidarprep.api.parameters import Strictness
from lidarprep.errors import ParameterError
from tests.api.reference_tables import TASKS
from tests.api.task_examples import COMMON, EXAMPLES, LEAST, OPTIONAL, everything

ALL_TYPES = pytest.mark.parametrize("task_type", sorted(TASK_TYPES))
LENIENT = Strictness(unenforced_rules=False)

# Where the table's type is not what is taken, on purpose; docs/scale-api.md says why.
ODD = {
    ("lidarsegmentation", "unique_id"): "string",
    ("lidarlinking", "geometries"): "object",
    ("lidarlinking", "layers"): "array of objects",
    ("lidartopdown", "attachment"): "string or array",
    ("lidartopdown", "attachments"): "string or array",
    ("multistage", "attachments"): "string or array",
    ("sensorfusion", "attachments"): "string or array",
    ("lidartopdown", "links"): "object or array",
    ("lidartopdown", "deviceHeight"): "number",
    ("phonecall", "entity_name"): "string",
}

TEXTS = st.text(max_size=5)
NUMBERS = st.integers() | st.floats(allow_nan=False)
OBJECTS = st.dictionaries(TEXTS, TEXTS, max_size=2)
# What is no value of a type, by the type's name in the tables.
NOT = {
    "string": NUMBERS | st.booleans() | OBJECTS | st.lists(TEXTS, max_size=2),
    "boolean": NUMBERS | TEXTS | OBJECTS | st.lists(st.booleans(), max_size=2),
    "integer": st.booleans() | TEXTS | OBJECTS | st.floats().filter(lambda x: not x.is_integer()) | st.just([1]),
    "number": st.booleans() | TEXTS | OBJECTS | st.just(float("nan")) | st.just([1.0]),
    "object": NUMBERS | st.booleans() | TEXTS | st.lists(TEXTS, max_size=2),
    "array of strings": NUMBERS | st.booleans() | TEXTS | OBJECTS | st.lists(NUMBERS, min_size=1, max_size=3),
    "array of integers": NUMBERS | st.booleans() | TEXTS | OBJECTS | st.lists(TEXTS, min_size=1, max_size=3),
    "array of objects": NUMBERS | st.booleans() | TEXTS | OBJECTS | st.lists(TEXTS | NUMBERS, min_size=1, max_size=3),
    "string or array": NUMBERS | st.booleans() | OBJECTS | st.lists(NUMBERS, min_size=1, max_size=3),
    "object or array": NUMBERS | st.booleans() | TEXTS | st.lists(TEXTS | NUMBERS, min_size=1, max_size=3),
}
SAME = {
    "dictionary": "object",
    "array": "array of strings",
    "[string]": "array of strings",
    "[object]": "array of objects",
}
PARAMETERS = [(task_type, row.name, row.type) for task_type, endpoint in TASKS.items() for row in endpoint.rows]


def refusal(task_type: str, parameters: dict[str, Any], strictness: Strictness | None = None) -> str:
    with pytest.raises(ParameterError) as refused:
        check_parameters(task_type, parameters, strictness)
    return str(refused.value)


@pytest.mark.parametrize(("task_type", "name", "kind"), PARAMETERS)
@settings(max_examples=5)
@given(data=st.data())
def test_a_value_of_another_type_than_the_tables_is_refused(
    task_type: str, name: str, kind: str, data: st.DataObject
) -> None:
    value = data.draw(NOT[ODD.get((task_type, name), SAME.get(kind, kind))])
    named = {"deviceHeight": "device", "paddingX": "padding", "paddingY": "padding"}.get(name, name)
    for strictness in (Strictness(), LENIENT):
        assert named in refusal(task_type, {**everything(task_type), name: value}, strictness)


@ALL_TYPES
def test_each_parameter_that_must_be_there_is_missed_and_named(task_type: str) -> None:
    for name in LEAST[task_type]:
        short = {key: value for key, value in LEAST[task_type].items() if key != name}
        assert f"{name} is missing" in refusal(task_type, short)


MEDIA = ("text", "image", "video", "audio", "website", "pdf")
URGENCIES = ("immediate", "day", "week")
# The values that the tables list, by task type and parameter.
CHOICES: dict[tuple[str, str], tuple[str | int, ...]] = {
    ("lidarannotation", "attachment_type"): ("json", "protobuf"),
    ("lidarsegmentation", "attachment_type"): ("json", "protobuf"),
    ("lidarlinking", "annotation_type"): ("imageannotation", "annotation", "cuboidannotation", "polygonannotation"),
    ("lidarlinking", "default_geometry"): ("box", "cuboid", "polygon"),
    ("sensorfusion", "scene_format"): ("sensor_fusion",),
    ("multistage", "scene_format"): ("sensor_fusion", "split_base64"),
    ("categorization", "attachment_type"): MEDIA,
    ("transcription", "attachment_type"): ("image", "pdf", "website"),
    ("phonecall", "attachment_type"): MEDIA,
    ("comparison", "attachment_type"): MEDIA,
    ("annotation", "attachment_type"): ("image",),
    ("datacollection", "attachment_type"): ("text", "image", "website"),
    ("audiotranscription", "attachment_type"): ("audio",),
    **{
        (task_type, "urgency"): URGENCIES
        for task_type, endpoint in TASKS.items()
        if any(row.name == "urgency" for row in endpoint.rows)
    },
    **{(task_type, "priority"): (10, 20, 30) for task_type in TASKS},
}
WORDS = sorted({str(value) for values in CHOICES.values() for value in values})


@pytest.mark.parametrize(("task_type", "name"), CHOICES)
@settings(max_examples=6)
@given(data=st.data())
def test_of_what_the_table_lists_each_value_is_taken_and_no_other(
    task_type: str, name: str, data: st.DataObject
) -> None:
    allowed = CHOICES[task_type, name]
    numbers = isinstance(allowed[0], int)
    others = st.integers() if numbers else TEXTS | st.sampled_from(WORDS)
    other = data.draw(others.filter(lambda value: value not in allowed))
    assert f"{name} is" in refusal(task_type, {**everything(task_type), name: other}, LENIENT)
    value = data.draw(st.sampled_from(allowed))
    # What else is there may not go with it; it is fine by itself.
    assert f"{name} is {value!r}" not in told(task_type, {**everything(task_type), name: value})[0]


@given(NUMBERS | TEXTS | OBJECTS | st.lists(st.integers(max_value=-1) | TEXTS | st.booleans(), min_size=1))
def test_frames_to_take_are_a_list_of_indices(value: Any) -> None:
    parameters = {"labels": ["road"], "lidar_task": "abc"}
    assert "lidar_task_frames" in refusal("lidarsegmentation", {**parameters, "lidar_task_frames": value})
    body = check_parameters("lidarsegmentation", {**parameters, "lidar_task_frames": [0, 7]}).to_wire()
    assert body["lidar_task_frames"] == [0, 7]


@pytest.mark.parametrize("name", ["padding", "paddingX", "paddingY"])
@given(st.integers(max_value=-1))
def test_paddings_are_not_negative(name: str, value: int) -> None:
    assert "it must be at least 0" in refusal("lidarlinking", {**LEAST["lidarlinking"], name: value})


@pytest.mark.parametrize(
    "name", ["max_distance_meters", "meters_per_unit", "frames_per_second", "labeling_sample_rate"]
)
@given(st.integers(max_value=0))
def test_counts_and_whole_metres_begin_at_one(name: str, value: int) -> None:
    assert "it must be at least 1" in refusal("lidarannotation", {**LEAST["lidarannotation"], name: value})


@pytest.mark.parametrize("name", ["max_distance_meters", "meters_per_unit"])
@given(st.floats(0.001, 1000).filter(lambda x: not x.is_integer()))
def test_metres_that_are_integers_on_the_wire_are_refused_and_not_rounded(name: str, value: float) -> None:
    assert f"{name} is {value}: it must be a whole number" in refusal(
        "lidarannotation", {**LEAST["lidarannotation"], name: value}
    )


@ALL_TYPES
def test_the_example_of_the_reference_is_read_and_sent_as_it_is(task_type: str) -> None:
    sent = {name: value for name, value in EXAMPLES[task_type].items() if value is not None}
    assert read_parameters(task_type, EXAMPLES[task_type], LENIENT).to_wire() == sent
    if task_type not in ("lidartopdown", "lidarlinking"):  # those leave out what the reference itself requires
        assert check_parameters(task_type, EXAMPLES[task_type]).to_wire() == sent


def test_the_examples_that_leave_out_what_is_required_are_refused_for_just_that() -> None:
    assert refusal("lidarlinking", EXAMPLES["lidarlinking"]).splitlines()[1:] == [
        "  geometries is missing; annotation_type 'imageannotation' needs it",
        "  default_geometry is missing; annotation_type 'imageannotation' needs it",
    ]
    told = refusal("lidartopdown", EXAMPLES["lidartopdown"])
    assert "holds newKey, which is not a geometry" in told
    assert "project is missing" in told
    assert "attachment is given beside attachments" in told
    assert "region_of_interest_3d is missing" in told


@ALL_TYPES
@settings(max_examples=15)
@given(data=st.data())
def test_what_was_sent_is_read_back_and_sent_again_the_same(task_type: str, data: st.DataObject) -> None:
    optional = {**COMMON, **OPTIONAL[task_type]}
    chosen = data.draw(st.sets(st.sampled_from(sorted(optional))))
    extra = data.draw(st.dictionaries(st.sampled_from(["new", "newer"]), TEXTS | st.none()))
    body = {**LEAST[task_type], **{name: optional[name] for name in chosen}, **extra}
    try:
        sent = read_parameters(task_type, body, LENIENT).to_wire()
    except ParameterError:
        return  # some are taken only together; the other tests say which
    assert sent == body
    assert read_parameters(task_type, json.loads(json.dumps(sent)), LENIENT).to_wire() == sent


@ALL_TYPES
def test_lists_and_objects_of_the_users_own_keep_their_order(task_type: str) -> None:
    metadata = {"z": 1, "a": {"y": 1, "b": 2}}
    body = check_parameters(task_type, {**LEAST[task_type], "metadata": metadata, "tags": ["z", "a"]}).to_wire()
    assert json.dumps(body["metadata"]) == json.dumps(metadata)
    assert body["tags"] == ["z", "a"]


@ALL_TYPES
def test_parameters_typed_at_a_terminal_are_those_of_a_program(task_type: str) -> None:
    given_parameters = everything(task_type)
    typed = [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in given_parameters.items()
    ]
    assert parse_params(typed, task_type) == given_parameters
    assert check_parameters(task_type, parse_params(typed, task_type)).to_wire() == given_parameters


def _odd_values() -> list[Any]:
    endless_list: list[Any] = []
    endless_list += [endless_list, endless_list]
    endless: dict[str, Any] = {"choice": "a", "type": "lidarlinking"}
    endless |= {"subchoices": [endless, endless], "annotations": endless, "defs": [endless], "box": endless}
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]
    return [
        *(
            np.zeros(3),
            np.array(["a", "b"]),
            np.float32(2.5),
            np.datetime64("now"),
            b"bytes",
            {1, 2},
            1j,
            object(),
            int,
        ),
        *((n for n in ()), range(3), 10**5000, float("inf"), "\ud800", "\0", {None: 1}, {(1, 2): 3}, {"x": object()}),
        *(endless_list, endless, deep, [deep], {"type": deep}, [[]], [None], {"": ""}, [endless, endless_list]),
    ]


ODD_VALUES = _odd_values()


@pytest.mark.parametrize(("task_type", "name"), [(task_type, name) for task_type, name, _ in PARAMETERS])
def test_whatever_is_given_the_answer_is_a_refusal_or_json(task_type: str, name: str) -> None:
    for value in ODD_VALUES:
        message, carried = told(task_type, {**LEAST[task_type], name: value})
        assert carried is None
        assert len(message) < 3000


SECRET = "Zx81SecretSignature0123"
SECRETS = [
    f"https://example.com/1.json?X-Amz-Signature={SECRET}",
    f"bucket/1.json?X-Amz-Credential=a&X-Amz-Signature={SECRET}",
    f"ftp://user:{SECRET}@example.com/1.json",
    f"https://example.com#token={SECRET}",
    f"live_{SECRET}",
    f"see test_{SECRET} there",
]


def told(task_type: str, parameters: dict[str, Any]) -> tuple[str, BaseException | None]:
    """What a refusal says, and what it carries along; nothing where there is none."""
    try:
        json.dumps(check_parameters(task_type, parameters).to_wire(), allow_nan=False)
    except ParameterError as error:
        return str(error), error.__context__
    return "", None


@pytest.mark.parametrize("secret", SECRETS)
@ALL_TYPES
def test_no_refusal_shows_a_signature_or_a_key(task_type: str, secret: str) -> None:
    within = [secret, f"{secret}\n", [secret], {secret: 1}, {"choice": secret, "url": secret}, [{secret: [secret]}]]
    for name in {row.name for row in TASKS[task_type].rows} - set(COMMON) | {"tags", "api_key", "extra_params"}:
        for value in [*within, {"defs": within, "box": {secret: within}, "annotations": within}]:
            message, carried = told(task_type, {**LEAST[task_type], name: value})
            assert SECRET not in message, name
            assert carried is None
