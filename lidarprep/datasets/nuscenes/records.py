"""nuScenes' tables as records: JSON lists of flat objects that name each other by tokens.

The tables of all of nuScenes hold millions of records, of which a scene needs thousands: a table is read in parts, and
what isn't wanted is dropped before the next part is read.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from math import isfinite
from pathlib import Path
from typing import Any

import orjson

from lidarprep.datasets.json_values import read_json
from lidarprep.errors import FormatError

Record = dict[str, Any]

PART_BYTES = 1 << 24

MICROSECOND_NS = 1000


def records(table: Path, key: str = "token", wanted: Container[str] | None = None) -> list[Record]:
    """The records of a table whose `key`, a string, is among those wanted; None: all.

    Raises:
        FormatError: There is no such table, it is no JSON list of objects, or a record lacks the key.
    """
    if not table.is_file():
        raise FormatError(
            table,
            found="the table is missing",
            expected="a JSON list of records",
            fix="Get the metadata again: each version's archive holds all tables of that version.",
        )
    try:
        return [record for part in _parts(table) for record in _matching(table, part, key, wanted)]
    except orjson.JSONDecodeError:  # a part is not whole where records hold objects; or the table is damaged
        return list(_matching(table, read_json(table), key, wanted))


def by_token(table: Path, tokens: Container[str]) -> dict[str, Record]:
    """The records of a table with these tokens, by token.

    Raises:
        FormatError: As for `records`.
    """
    return {record["token"]: record for record in records(table, "token", tokens)}


def check_found(table: Path, referring: Iterable[Record], key: str, found: Container[str], target: str) -> None:
    """Make sure that each token that the records of `table` have under `key` was found in the table `target`.

    Raises:
        FormatError: One points nowhere.
    """
    for record in referring:
        token = text(table, record, key)
        if token not in found:
            raise FormatError(
                table,
                place=place_of(record),
                found=f"{key} {token!r}",
                expected=f"the token of a record in {target}.json",
                fix="The tables belong to different versions, or one was cut: get the metadata again.",
            )


def place_of(record: Record) -> str:
    """Where in its table a record is, for errors."""
    return f"record {record.get('token', '(without a token)')}"


def text(table: Path, record: Record, key: str) -> str:
    """A string of a record.

    Raises:
        FormatError: It is missing, or no string.
    """
    value = _value(table, record, key)
    if not isinstance(value, str):
        raise _wrong(table, record, key, value, "a string")
    return value


def flag(table: Path, record: Record, key: str) -> bool:
    """True or false in a record.

    Raises:
        FormatError: It is missing, or something else.
    """
    value = _value(table, record, key)
    if not isinstance(value, bool):
        raise _wrong(table, record, key, value, "true or false")
    return value


def nanoseconds(table: Path, record: Record) -> int:
    """A record's timestamp, which is in microseconds since the Unix epoch: an integer, or a float in some exports.

    Raises:
        FormatError: It is missing, or no time.
    """
    value = _value(table, record, "timestamp")
    if not _is_number(value) or not 0 <= value < 2**63 // MICROSECOND_NS:
        raise _wrong(table, record, "timestamp", value, "microseconds since the Unix epoch")
    whole = int(value)  # apart from its fraction: a float holds no nanoseconds since the epoch
    fraction: float = value - whole
    return whole * MICROSECOND_NS + round(fraction * MICROSECOND_NS)


def numbers(table: Path, record: Record, key: str, count: int) -> list[float]:
    """A list of so many finite numbers.

    Raises:
        FormatError: It is missing, or something else.
    """
    value = _value(table, record, key)
    if not (isinstance(value, list) and len(value) == count and all(map(_is_number, value))):
        raise _wrong(table, record, key, value, f"{count} numbers")
    return [float(number) for number in value]


def matrix(table: Path, record: Record, key: str) -> list[list[float]]:
    """Three rows of three finite numbers.

    Raises:
        FormatError: It is missing, or something else.
    """
    value = _value(table, record, key)
    rows = value if isinstance(value, list) else []
    if len(rows) != 3 or not all(isinstance(row, list) and len(row) == 3 and all(map(_is_number, row)) for row in rows):
        raise _wrong(table, record, key, value, "3 rows of 3 numbers")
    return [[float(number) for number in row] for row in rows]


def _parts(table: Path) -> Iterator[Any]:
    """The table's records, some at a time.

    A part ends where one object ends and a comma follows. Should that be within a record, then neither part is JSON.
    """
    rest, first = b"", True
    with table.open("rb") as stream:
        while block := stream.read(PART_BYTES):
            rest += block
            end = rest.rfind(b"},")
            if end < 0:
                continue
            yield orjson.loads((b"" if first else b"[") + rest[: end + 1] + b"]")
            rest, first = rest[end + 2 :], False
    yield orjson.loads(rest if first else b"[" + rest)


def _matching(table: Path, part: Any, key: str, wanted: Container[str] | None) -> Iterator[Record]:
    if not isinstance(part, list):
        raise FormatError(table, found=f"a JSON {type(part).__name__}", expected="a list of records")
    for record in part:
        if not isinstance(record, dict):
            raise FormatError(table, found=f"a {type(record).__name__} in the list", expected="records, JSON objects")
        value = text(table, record, key)
        if wanted is None or value in wanted:
            yield record


def _value(table: Path, record: Record, key: str) -> Any:
    if key not in record:
        raise FormatError(table, place=place_of(record), found=f"no {key!r}", expected="one in each record")
    return record[key]


def _wrong(table: Path, record: Record, key: str, value: Any, expected: str) -> FormatError:
    return FormatError(table, place=f"{place_of(record)}, field {key!r}", found=repr(value)[:80], expected=expected)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
