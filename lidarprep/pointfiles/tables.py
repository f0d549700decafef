"""Parquet, and Feather version 2, which is Arrow's file format: tables with a row a point and any column names.

Only columns with known names are decoded. A null coordinate is NaN, as in pandas. Any other column of integers, times
or booleans with nulls is named as ignored, since it has no number for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError, MissingExtraError
from lidarprep.pointfiles._files import appearing_whole, scalar_columns, storable
from lidarprep.pointfiles.fields import cloud_from_fields, is_known, is_time
from lidarprep.remote import AnyPath
from lidarprep.scene import PointCloud, ReferenceFrame

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import ipc
except ImportError:
    raise MissingExtraError("Parquet and Feather files", "tables") from None

# Names of columns that hold three coordinates a row, as lists of that fixed size.
POSITION_NAMES = ("position", "positions", "point", "points", "xyz")

_NUMBER_TYPES = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"b1", "f2", "f4", "f8"}

# Errors of pyarrow on a damaged file; OSError only without an errno, which a failing disk would set.
_ARROW_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError, MemoryError, NotImplementedError)


def read(path: AnyPath, frame: ReferenceFrame = "ego") -> PointCloud:
    """Read a .parquet, .feather or .arrow file.

    Coordinates are three columns of numbers, or else one of lists with a fixed size of 3, as `position` or `xyz`. Times
    of Arrow's own types keep their unit; naive ones are UTC. Dictionary columns are decoded.

    Returns:
        Positions (N, 3) float32 where all three are float32 or narrower, else float64.

    Raises:
        FormatError: The file is of another format, is cut, or lacks x, y and z of numbers.
    """
    source: Path | bytes
    if isinstance(path, Path):
        source = path
        with path.open("rb") as stream:  # errors of the system are raised here
            start = stream.read(6)
    else:  # pyarrow gets bytes: it takes an error of reading for damage
        source = path.read_bytes()
        start = source[:6]
    if not start:
        raise FormatError(path, found="an empty file", expected="a table")
    with _one_error(path):
        if path.suffix.lower() == ".parquet":
            table, unread = _read_parquet(path, source)
        else:
            table, unread = _read_feather(path, source, start)
    fields: dict[str, NDArray[Any]] = {}
    with _one_error(path):
        for name, column in zip(table.column_names, table.columns, strict=True):
            held = _fields_of(path, name, column)
            fields.update(held)
            unread.extend([] if held else [name])
    return cloud_from_fields(path, fields, frame, unread=unread)


def write(path: Path, cloud: PointCloud) -> tuple[str, ...]:
    """Write a Parquet or Feather file: a column each for x, y, z and what the cloud has, times as `timestamp_ns`.

    Returns:
        Names of the cloud's columns that are rounded: intensities wider than 64 bits.
    """
    columns, rounded = storable(scalar_columns(cloud), _NUMBER_TYPES)
    table = pa.table({name: pa.array(np.ascontiguousarray(column)) for name, column in columns.items()})
    with appearing_whole(path) as stream:
        if path.suffix.lower() == ".parquet":
            pq.write_table(table, stream)
        else:
            with ipc.new_file(stream, table.schema, options=ipc.IpcWriteOptions(compression="lz4")) as writer:
                writer.write_table(table)
    return tuple(rounded)


def _read_parquet(path: AnyPath, source: Path | bytes) -> tuple[Any, list[str]]:
    """Return the wanted columns, and the names of the others."""
    with pq.ParquetFile(source if isinstance(source, Path) else pa.BufferReader(source), pre_buffer=True) as file:
        wanted, unread = _choose(path, file.schema_arrow)
        return file.read(columns=[file.schema_arrow.names[k] for k in wanted]), unread


def _read_feather(path: AnyPath, source: Path | bytes, start: bytes) -> tuple[Any, list[str]]:
    """Return the wanted columns, mapped into memory where they are not compressed, and the names of the others."""
    if start != b"ARROW1":
        old = start[:4] == b"FEA1"
        raise FormatError(
            path,
            place="byte 0",
            found="Feather version 1, which pyarrow reads no longer" if old else f"{start!r}",
            expected="'ARROW1', which Feather version 2 and Arrow files begin with",
            fix="Write it again with pyarrow.feather.write_feather(table, path)." if old else None,
        )
    with pa.memory_map(str(source)) if isinstance(source, Path) else pa.BufferReader(source) as content:
        with ipc.open_file(content) as reader:
            wanted, unread = _choose(path, reader.schema)
        with ipc.open_file(content, options=ipc.IpcReadOptions(included_fields=wanted)) as reader:
            table = reader.read_all()
    # Lengths and offsets come from the file unchecked: without this, a damaged file would read foreign memory.
    table.validate(full=True)
    return table, unread


def _choose(path: AnyPath, schema: Any) -> tuple[list[int], list[str]]:
    """Return the indices of the columns to decode, and the names of the others.

    Raises:
        FormatError: A coordinate is not a number, or a wanted name occurs twice.
    """
    wanted: list[int] = []
    unread: list[str] = []
    by_axis = {"x", "y", "z"} <= {name.lower() for name in schema.names}
    for k, field in enumerate(schema):
        coordinate = field.name.lower() in ("x", "y", "z")
        if (is_known(field.name) and _is_readable(field.type)) or (_is_position(field) and not by_axis):
            wanted.append(k)
        elif coordinate:
            raise FormatError(path, place=f"column {field.name!r}", found=f"{field.type}", expected="numbers")
        else:
            unread.append(field.name)
    names = [schema.names[k] for k in wanted]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FormatError(path, found=f"more than one column {twice[0]!r}", expected="each name once")
    if not wanted:
        found = f"columns {', '.join(unread) or '(none)'}: no x, no y and no z"
        raise FormatError(path, place="the header", found=found, expected="x, y and z")
    return wanted, unread


def _is_readable(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return bool(number or pa.types.is_decimal(kind) or pa.types.is_timestamp(kind) or pa.types.is_duration(kind))


def _is_position(field: Any) -> bool:
    kind = field.type
    return (
        field.name.lower() in POSITION_NAMES
        and pa.types.is_fixed_size_list(kind)
        and kind.list_size == 3
        and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))
    )


def _fields_of(path: AnyPath, name: str, column: Any) -> dict[str, NDArray[Any]]:
    """Return the fields of one column, by the names that `fields.py` knows; none where nulls have no number."""
    if pa.types.is_fixed_size_list(column.type):
        positions = _positions(column)
        return {axis: positions[:, k] for k, axis in enumerate("xyz")}
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        if column.null_count or not is_time(name):
            return {}
        # The table's own unit replaces that of the name.
        return {f"timestamp_{kind.unit}": column.cast(pa.int64()).to_numpy()}
    if column.null_count and not pa.types.is_floating(column.type) and name.lower() not in ("x", "y", "z"):
        return {}
    return {name: column.to_numpy()}


def _positions(column: Any) -> NDArray[Any]:
    """Return (N, 3) of lists of three; a null list is three times NaN."""
    parts = []
    for chunk in column.chunks:
        values = chunk.values.slice(3 * chunk.offset, 3 * len(chunk)).to_numpy(zero_copy_only=False).reshape(-1, 3)
        if chunk.null_count:
            values = values.astype(values.dtype if values.dtype.kind == "f" else np.float64)
            values[chunk.is_null().to_numpy(zero_copy_only=False)] = np.nan
        parts.append(values)
    return np.concatenate(parts) if parts else np.zeros((0, 3), column.type.value_type.to_pandas_dtype())


@contextmanager
def _one_error(path: AnyPath) -> Iterator[None]:
    """Turn the errors of pyarrow on damaged files into FormatError."""
    try:
        yield
    except _ARROW_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        kind = "Parquet" if path.suffix.lower() == ".parquet" else "Feather (Arrow)"
        raise FormatError(
            path,
            found=f"not a readable {kind} file ({' '.join(str(error).split())[:200]})",
            expected="a whole table, as pyarrow or pandas writes it",
            fix="The file was cut while it was copied or written: get it again.",
        ) from error
