"""A list of spans of recordings, a row each: what of a fleet's recordings is to become scenes, such as its events.

The list is CSV or Parquet with the columns `recording`, `start` and `end`, and `tag` if wanted; others are not read.
An end is written as in `lidarprep.scene.span`; an empty one is left out. In Parquet it may also be a time with a time
zone.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from os import PathLike, fspath
from typing import Any

from lidarprep.datasets.split import key_name, recording_name, span_name
from lidarprep.errors import FormatError, MissingExtraError, naming
from lidarprep.remote import as_path, is_url
from lidarprep.remote.options import AccessOptions
from lidarprep.scene.span import Span

_NEEDED, _TAG = ("recording", "start", "end"), "tag"


@dataclass(frozen=True)
class ListedSpan:
    """A row of the list.

    Args:
        recording: What names the recording: its path or URL, the last parts of it, its name without the suffix; with
            *, ? and [] any of these of several recordings. A URL may hold a signature: `shown` is without it.
        span: The part of it.
        tag: A word of the user's own; "" for none.
        place: Where the row is: "line 7".
    """

    recording: str = field(repr=False)
    span: Span
    tag: str
    place: str

    @property
    def shown(self) -> str:
        """What names the recording, without what is secret in a URL."""
        return str(as_path(self.recording)) if is_url(self.recording) else self.recording


@dataclass(frozen=True)
class SelectedSpan:
    """A part of a recording that a list selects.

    Args:
        name: RECORDING-START or RECORDING-START-TAG, as `span_name` writes a start: unique in the list.
        recording: The recording's name.
        span: The part of it.
        tag: The row's tag; "" for none.
    """

    name: str
    recording: str
    span: Span
    tag: str


def read_spans(path: str | PathLike[str], access: AccessOptions | None = None) -> tuple[ListedSpan, ...]:
    """Read a list of spans, `.csv` or `.parquet`.

    Args:
        path: The file, or its URL.
        access: How a store is reached.

    Raises:
        FormatError: It cannot be read, a column is missing, there are no rows, or one is no span.
        MissingExtraError: It is Parquet, and pyarrow is not installed.
        StorageError: The store cannot be reached.
    """
    name = fspath(path)
    with naming(name):
        content = as_path(path, access).read_bytes()
    rows = _parquet_rows(content, name) if name.lower().endswith(".parquet") else _csv_rows(content, name)
    found = tuple(_listed(row, place, name) for place, row in rows)
    if not found:
        raise FormatError(name, found="no rows", expected="a row for each span")
    return found


def select(
    listed: Sequence[ListedSpan], recordings: Mapping[str, str | PathLike[str]], source: str | PathLike[str]
) -> tuple[SelectedSpan, ...]:
    """Find the recordings that a list's rows name.

    Args:
        listed: The rows.
        recordings: The path or URL of each recording, by its name.
        source: The list, for errors.

    Returns:
        The parts, in the order of the rows; one that names several recordings by a pattern gives a part of each.

    Raises:
        FormatError: A row names no recording, or several without a pattern; two rows give parts of one name.
    """
    known = _Recordings(recordings)
    places: dict[str, str] = {}
    found = []
    for row in listed:
        for name in known.named(row, source):
            label = "-".join([key_name(name), span_name(row.span), *([key_name(row.tag)] if row.tag else [])])
            if label.lower() in places:
                raise FormatError(
                    source,
                    place=row.place,
                    found=f"a second part named {label}, the first is in {places[label.lower()]}",
                    expected="one row for each recording, start and tag",
                    fix="Leave one of them out, or give them different tags.",
                )
            places[label.lower()] = row.place
            found.append(SelectedSpan(label, name, row.span, row.tag))
    return tuple(found)


# ---- rows ------------------------------------------------------------------------------------------------------------


def _csv_rows(content: bytes, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True, skipinitialspace=True)
        header = [cell.strip().lower() for cell in next(reader, [])]
        _require_columns(header, name)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            place = f"line {reader.line_num}"
            if len(cells) != len(header):
                raise FormatError(name, place=place, found=f"{len(cells)} values", expected=f"{len(header)}, as line 1")
            yield place, dict(zip(header, cells, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(name, found=f"no CSV ({error})"[:200]) from None


def _parquet_rows(content: bytes, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        import pyarrow as arrow
        from pyarrow import compute, parquet
    except ImportError:
        raise MissingExtraError(f"the Parquet file {name}", "tables") from None
    try:
        table = parquet.read_table(io.BytesIO(content))
        header = [column.strip().lower() for column in table.column_names]
        _require_columns(header, name)
        columns = dict(zip(header, table.columns, strict=True))
        for end in ("start", "end"):
            kind = columns[end].type
            if arrow.types.is_timestamp(kind) and kind.tz is not None:
                columns[end] = compute.cast(columns[end], arrow.timestamp("ns", "UTC")).cast(arrow.int64())
            elif not (arrow.types.is_integer(kind) or arrow.types.is_null(kind) or _is_text(kind)):
                raise FormatError(
                    name,
                    place=f"column {end}",
                    found=str(kind),
                    expected="text, whole numbers, or times with a time zone",
                )
    except (arrow.ArrowInvalid, OSError) as error:
        raise FormatError(name, found=f"no Parquet ({error})"[:200]) from None
    wanted = {column: columns[column].to_pylist() for column in (*_NEEDED, _TAG) if column in columns}
    for row, values in enumerate(zip(*wanted.values(), strict=True), start=1):
        yield f"row {row}", dict(zip(wanted, values, strict=True))


def _is_text(kind: Any) -> bool:
    import pyarrow as arrow

    return bool(arrow.types.is_string(kind) or arrow.types.is_large_string(kind) or arrow.types.is_dictionary(kind))


def _require_columns(header: Sequence[str], name: str) -> None:
    missing = [column for column in _NEEDED if column not in header]
    if missing or len(set(header)) < len(header):
        raise FormatError(
            name,
            place="the header",
            found=f"the columns {', '.join(header) or 'of an empty file'}"[:200],
            expected="recording,start,end or recording,start,end,tag, each once",
        )


def _listed(row: Mapping[str, Any], place: str, source: str) -> ListedSpan:
    recording, start, end, tag = (
        "" if row.get(column) is None else str(row[column]).strip() for column in (*_NEEDED, _TAG)
    )
    if not recording:
        raise FormatError(source, place=place, found="no recording", expected="its path, URL or name")
    with naming(source, place):
        return ListedSpan(recording, Span.of(start, end), tag, place)


# ---- recordings ------------------------------------------------------------------------------------------------------


class _Recordings:
    """Recordings, found by what a row names them by."""

    def __init__(self, locations: Mapping[str, str | PathLike[str]]) -> None:
        self._parts = {name: _whole(fspath(location)) for name, location in locations.items()}
        self._stems = {name: recording_name(fspath(location)) for name, location in locations.items()}
        self._by_last: dict[str, list[str]] = {}  # by what the last part of a name can be, if it is no pattern
        for name, parts in self._parts.items():
            for last in {name, parts[-1], self._stems[name]}:
                self._by_last.setdefault(last, []).append(name)

    def named(self, row: ListedSpan, source: str | PathLike[str]) -> list[str]:
        """Return the names of the recordings that a row names.

        Raises:
            FormatError: There are none, or several and the row has no pattern.
        """
        wanted = row.shown.rstrip("/")
        is_pattern = any(sign in wanted for sign in "*?[")
        written, whole = tuple(wanted.split("/")), _whole(wanted)
        found = dict.fromkeys(self._by_last.get(written[-1], []) + self._by_last.get(whole[-1], []))
        candidates = self._parts if is_pattern else found
        names = [name for name in candidates if self._has(name, wanted, written, whole)]
        if len(names) > 1 and not is_pattern:
            raise FormatError(
                source,
                place=row.place,
                found=f"{wanted!r}, which {len(names)} recordings are named: {', '.join(names[:6])}",
                expected="one recording",
                fix="Give more of its path, or a pattern such as */NAME.",
            )
        if not names:
            raise FormatError(
                source,
                place=row.place,
                found=f"the recording {wanted!r}, which is none of the {len(self._parts)} that are there",
                expected="its path or URL, the last parts of it, or its name without the suffix",
            )
        return names

    def _has(self, name: str, wanted: str, *ends: tuple[str, ...]) -> bool:
        """Tell whether a recording is of that name, or its path ends so."""
        if name == wanted or _fits(self._stems[name], wanted):
            return True
        parts = self._parts[name]
        return any(len(parts) >= len(end) and all(map(_fits, parts[-len(end) :], end)) for end in ends)


def _whole(location: str) -> tuple[str, ...]:
    """Return the parts of a whole path or URL; links stay as they are named."""
    whole = location if is_url(location) else os.path.abspath(location)  # noqa: PTH100
    return tuple(whole.rstrip("/").split("/"))


def _fits(text: str, pattern: str) -> bool:
    return text == pattern or fnmatchcase(text, pattern)
