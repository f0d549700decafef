"""docs/scale-api.md has every row of the reference, and what it names is there."""

import inspect
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from lidarprep import api, callbacks
from lidarprep.api import AsyncScaleClient, ScaleClient, parameters
from lidarprep.api._listing import TaskFilters
from lidarprep.api._responses import ERRORS_BY_STATUS
from lidarprep.api._task_types import TASK_TYPES
from lidarprep.api.parameters._base import PYTHON_NAMES
from lidarprep.errors import ServerError
from lidarprep.sandbox._endpoints import ROUTES
from lidarprep.sandbox._fake_results import fake_result
from tests.api.reference_tables import (
    AUDIT,
    ENDPOINTS,
    NESTED,
    RESPONSES,
    RULES,
    STATUSES,
    TASK_LIST,
    TASK_OBJECT,
    TASKS,
)

# Parameters that a response answers to.
EXAMPLES: dict[str, dict[str, Any]] = {
    "categorization": {"categories": ["red", "blue"]},
    "transcription": {"fields": {"title": "Title"}},
    "phonecall": {"fields": {"email": "Address"}, "choices": ["yes", "no"]},
    "comparison": {"fields": {"difference": "What differs"}, "choices": ["yes", "no"]},
    "annotation": {"objects_to_annotate": ["cow"]},
    "datacollection": {"fields": {"hiring_page": "URL"}},
    "audiotranscription": {},
}

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "scale-api.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    """The text under a heading, up to the next of its level or above."""
    level = heading.split(" ")[0]
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", DOC, re.MULTILINE | re.DOTALL)
    assert found, f"no section {heading!r}"
    return found[1]


def rows_of(text: str) -> list[list[str]]:
    """The rows of all tables in a text, heads included, without the marks of code."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip().strip("`") for cell in line.strip("| ").split(" | ")] for line in lines]


@cache
def names_of_tests() -> frozenset[str]:
    files = (ROOT / "tests").rglob("test_*.py")
    return frozenset(name for file in files for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("task_type", sorted(TASKS))
def test_each_row_of_a_task_types_table_is_a_field_and_a_row_of_the_page(task_type: str) -> None:
    model, endpoint = TASK_TYPES[task_type].parameters, TASKS[task_type]
    text = section(f"### {task_type}")
    assert f"`{endpoint.verb} {endpoint.path}`: `{model.__name__}`" in text
    assert endpoint.path == f"/v1{TASK_TYPES[task_type].path}"
    documented = {row[0]: row[1:] for row in rows_of(text)}
    for row in endpoint.rows:
        field = PYTHON_NAMES.get(row.name, row.name)
        assert field in model.model_fields
        assert model.wire_name(field) == row.name
        kind, required, code, test = documented[row.name]
        assert (kind, required) == (row.type, "yes" if row.required else "")
        assert code == f"{model.__name__}.{field}"
        assert test in names_of_tests()


def test_every_task_type_has_its_table() -> None:
    assert set(TASKS) == set(TASK_TYPES)


def test_each_key_within_parameters_is_a_field_and_a_row_of_the_page() -> None:
    documented = {(row[2], row[0]): row[1] for row in rows_of(section("## Within parameters")) if len(row) == 4}
    for name, rows in NESTED.items():
        for row in rows:
            assert row.name in getattr(parameters, name).model_fields
            assert documented[f"{name}.{row.name}", row.name] == row.type


def test_each_endpoint_has_a_method_of_both_clients_and_a_route_of_the_sandbox() -> None:
    routes = {f"{method} {path}" for method, path, _ in ROUTES}
    documented = {row[0]: row[1:] for row in rows_of(section("## Endpoints").split("### ")[0])}
    for name, endpoint in {**{f"Create {name}": task for name, task in TASKS.items()}, **ENDPOINTS}.items():
        printed, method, route, test = documented[name]
        assert printed == f"{endpoint.verb} {endpoint.path}"
        if name != "Callback":
            for client in (ScaleClient, AsyncScaleClient):
                assert callable(getattr(client, method.removeprefix("ScaleClient.")))
            assert route in routes
        assert test in names_of_tests()


def test_each_parameter_of_an_endpoint_is_a_row_of_the_page() -> None:
    documented = {(row[0], row[1]): row[2:] for row in rows_of(section("### Their parameters"))}
    for name, endpoint in ENDPOINTS.items():
        for row in endpoint.rows:
            kind, code, test = documented[name, row.name]
            assert kind == row.type
            assert_is_there(code)
            assert test in names_of_tests()


def assert_is_there(code: str) -> None:
    """Code as the page names it: `method(argument)` of the client, `TaskFilters.name`, or a name of some module."""
    if found := re.fullmatch(r"(\w+)\((\w+)\)", code):
        assert found[2] in inspect.signature(getattr(ScaleClient, found[1])).parameters
    elif code.startswith("TaskFilters."):
        assert code.removeprefix("TaskFilters.") in TaskFilters.__annotations__
    elif code.startswith("lidarprep."):
        module, _, name = code.rpartition(".")
        assert hasattr(import_module(module), name)
    else:
        owner, _, name = code.partition(".")
        known: Any = getattr(callbacks if owner == "Callback" else api, owner)
        assert name in getattr(known, "__dataclass_fields__", ()) or hasattr(known, name)


def test_each_field_of_a_task_is_a_row_of_the_page() -> None:
    documented = {row[0]: row[1:] for row in rows_of(section("## The task object"))}
    for row in TASK_OBJECT:
        kind, code, test = documented[row.name]
        assert kind == row.type
        assert_is_there(code)
        assert test in names_of_tests()


def test_each_field_of_an_audit_and_of_a_list_is_a_row_of_the_page() -> None:
    documented = {row[0]: row[1:] for row in rows_of(section("## Lists and audits"))}
    for name in (*TASK_LIST, *(f"audits[].{name}" for name in AUDIT)):
        code, test = documented[name]
        assert_is_there(code)
        assert test in names_of_tests()


def test_each_field_of_a_response_is_a_row_of_the_page_and_in_a_response_of_the_sandbox() -> None:
    documented = {(row[0], row[1]): row[2] for row in rows_of(section("## Responses"))}
    names = [(task_type, name) for task_type, fields in RESPONSES.items() for name in fields]
    assert set(names) <= set(documented)
    for task_type, name in names:
        assert documented[task_type, name] in names_of_tests()
        if name != "error":  # what comes of things that go well has none
            params = {**EXAMPLES[task_type], "category_ids": {"1": "red"}, "with_labels": True}
            response = fake_result({"task_id": "a", "type": task_type, "params": params}, lambda _: "")
            held, _, within = name.partition("[].")
            assert within in response[held][0] if within else held in response


def test_each_rule_is_a_row_of_the_page() -> None:
    documented = {row[0]: row[1:] for row in rows_of(section("## Rules"))}
    for rule in RULES:
        code, test = documented[rule]
        assert_is_there(code)
        assert test in names_of_tests()


def test_each_status_is_a_row_of_the_page() -> None:
    rows = {row[0]: row[1:] for row in rows_of(section("## Statuses"))}
    assert {str(status) for status in STATUSES} <= set(rows)
    for status in STATUSES[1:]:
        code, test = rows[str(status)]
        assert code == (ERRORS_BY_STATUS.get(status, ServerError)).__name__
        assert test in names_of_tests()


def test_every_test_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", DOC))
    assert len(named) > 80
    assert not named - names_of_tests()


def test_every_model_that_the_page_names_is_there() -> None:
    for name, field in re.findall(r"`([A-Z]\w+)\.(\w+)`", DOC):
        if hasattr(parameters, name):
            assert field in getattr(parameters, name).model_fields
        else:
            assert_is_there(f"{name}.{field}")
