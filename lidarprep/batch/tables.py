"""Tables of scenes: CSV or Parquet, a row a scene, columns named as the keys of a batch file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import Any

import orjson

from lidarprep.datasets.options import OpenOptions
from lidarprep.errors import MissingExtraError, RecipeError
from lidarprep.recipe import Recipe
from lidarprep.remote import AnyPath
from lidarprep.storage.options import StorageOptions

_OWN = ("recording", "name", "out", "layout", "split", "overlap")
_GROUPS = ("opening", "recipe", "storage", "task")


def rows_of(file: AnyPath) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each row's place and its values, the inner ones in mappings; an empty cell is no value.

    Raises:
        RecipeError: There is no column `recording`, or one that a scene does not know; or it is not such a file.
        MissingExtraError: Reading Parquet needs pyarrow, which is not installed.
        OSError: It cannot be read.
    """
    rows = _parquet_rows(file) if file.suffix.lower() == ".parquet" else _csv_rows(file)
    for place, row in rows:
        found: dict[str, Any] = {}
        for column, value in row.items():
            if value is not None and value != "":
                _set(found, _path_of(column), value)
        params = found.get("task", {}).get("params")
        if params and all(isinstance(value, str) for value in params.values()):
            from lidarprep.api import parse_params

            texts = [f"{key}={value}" for key, value in params.items()]
            found["task"]["params"] = parse_params(texts, found["task"].get("type"))
        yield place, found


def _csv_rows(file: AnyPath) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"the table is not UTF-8: {error}") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
        _require_columns(header)
        for cells in reader:
            place = f"line {reader.line_num}"
            if not any(cells):
                continue
            if len(cells) != len(header):
                raise RecipeError(f"{place} has {len(cells)} cells; the header has {len(header)}")
            yield place, {column: _cell(cell.strip()) for column, cell in zip(header, cells, strict=True)}
    except csv.Error as error:
        raise RecipeError(f"line {reader.line_num} is not CSV: {error}") from error


def _parquet_rows(file: AnyPath) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError:
        raise MissingExtraError(f"{file} is Parquet", "tables") from None
    with file.open("rb") as stream:
        try:
            table = parquet.read_table(stream)
        except ArrowInvalid as error:
            raise RecipeError(f"it is not Parquet: {error}") from error
    _require_columns(table.column_names)
    for number, row in enumerate(table.to_pylist(), 1):
        yield f"row {number}", row


def _require_columns(columns: list[str]) -> None:
    if "recording" not in columns:
        raise RecipeError(f"there is no column recording; there are {', '.join(columns) or 'none'}")
    if twice := {column for column in columns if columns.count(column) > 1}:
        raise RecipeError(f"there are two columns {', '.join(sorted(twice))}")
    for column in columns:
        _path_of(column)


@cache
def _path_of(column: str) -> tuple[str, ...]:
    """Return where a column's values belong: ("recipe", "voxel") of recipe.voxel, or of voxel.

    Raises:
        RecipeError: There is no such key, or several.
    """
    if column in _OWN:
        return (column,)
    group, dot, inner = column.partition(".")
    if dot and group in _GROUPS:
        below = inner.partition(".")
        return (group, "params", below[2]) if group == "task" and below[0] == "params" else (group, inner)
    groups = [name for name, keys in _keys().items() if column in keys]
    if len(groups) == 1:
        return (groups[0], column)
    if groups:
        raise RecipeError(f"the column {column} may be {' or '.join(f'{name}.{column}' for name in groups)}")
    raise RecipeError(
        f"a scene has no value {column!r}",
        fix=f"Columns are {', '.join(_OWN)}, recipe.…, opening.…, storage.…, task.type and task.params.…",
    )


def _keys() -> dict[str, tuple[str, ...]]:
    opening = tuple(one.name for one in fields(OpenOptions))
    return {
        "opening": opening,
        "recipe": tuple(Recipe.model_fields),
        "storage": tuple(StorageOptions.model_fields),
    }


def _cell(text: str) -> Any:
    """Return a cell's value: lists and mappings are written as JSON; of the rest the models make what they need."""
    if text[:1] in ("[", "{"):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    return text


def _set(target: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *groups, key = path
    for group in groups:
        target = target.setdefault(group, {})
    target[key] = value
