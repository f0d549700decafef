"""Read a pickled pandas DataFrame of numbers as NumPy columns, from the description of what the pickle would build.

The pickle is not run (see `_inert_pickle`), and pandas is not needed. What pandas writes has changed over its versions:

| pandas   | the frame's state                                                                                 |
|----------|---------------------------------------------------------------------------------------------------|
| 0.14–1.0 | `_data`: a BlockManager, whose state holds axes and blocks under "0.14.1"                         |
| 1.1–1.2  | `_mgr`: the same                                                                                  |
| 1.3–3    | `_mgr`: BlockManager(blocks, axes), each block `_unpickle_block(values, placement, ndim)`         |

A block is an array (columns, rows), its placement the columns that it holds. The first axis has the names of the
columns: an array of Python strings, or since pandas 2.2 also an Arrow array.
"""

from __future__ import annotations

import zlib
from itertools import pairwise
from math import prod
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.pandaset._inert_pickle import Described, describe, kind_of
from lidarprep.errors import FormatError
from lidarprep.remote import AnyPath

# What pickles of such frames refer to, by version after version of pandas and NumPy.
_DATA_FRAME = {("pandas.core.frame", "DataFrame"), ("pandas", "DataFrame")}
_BLOCK_MANAGER = {("pandas.core.internals.managers", "BlockManager"), ("pandas.core.internals", "BlockManager")}
_BLOCK = {("pandas._libs.internals", "_unpickle_block")}
_INDEX_MAKER = {("pandas.core.indexes.base", "_new_Index")}
_INDEX = {
    ("pandas", "Index"),
    ("pandas", "RangeIndex"),
    ("pandas.core.indexes.base", "Index"),
    ("pandas.core.indexes.numeric", "Int64Index"),
    ("pandas.core.indexes.numeric", "UInt64Index"),
    ("pandas.core.indexes.numeric", "Float64Index"),
    ("pandas.core.indexes.range", "RangeIndex"),
}
_ARROW_STRINGS = {
    ("pandas.arrays", "ArrowStringArray"),
    ("pandas.core.arrays.string_arrow", "ArrowStringArray"),
    ("pandas.core.arrays.string_arrow", "ArrowStringArrayNumpySemantics"),
}
_ARROW_ARRAY = {("pyarrow.lib", "_restore_array")}
_STRINGS_MAKER = {("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked")}
_RECONSTRUCT = {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}
_FROM_BUFFER = {("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer")}
_DTYPE = {("numpy", "dtype")}
_SLICE = {("builtins", "slice"), ("__builtin__", "slice")}
_BYTES = {
    ("_codecs", "encode"),
    ("builtins", "bytearray"),
    ("__builtin__", "bytearray"),
    ("pyarrow.lib", "py_buffer"),
}
_NAMES = frozenset().union(
    *(_DATA_FRAME, _BLOCK_MANAGER, _BLOCK, _INDEX_MAKER, _INDEX, _ARROW_STRINGS, _ARROW_ARRAY, _STRINGS_MAKER),
    *(_RECONSTRUCT, _FROM_BUFFER, _DTYPE, _SLICE, _BYTES),
    {
        ("numpy", "ndarray"),
        ("pandas", "StringDtype"),
        ("pandas.arrays", "StringArray"),
        ("pandas.core.arrays.string_", "StringArray"),
        ("pandas.core.arrays.string_", "StringDtype"),
        ("pyarrow.lib", "type_for_alias"),
    },
)

# Point tables shrink to a half or so. What unpacks to more than both of these is refused.
LARGEST_RATIO = 100
LARGEST_UNPACKED_ANYWAY = 64 * 2**20

# How much of a packed file is unpacked at once, bytes.
PIECE = 32 * 2**10

_NUMBERS = {"f2", "f4", "f8", "b1", *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8))}


def read_frame(path: AnyPath) -> dict[str, NDArray[Any]]:
    """Return the columns of a pickled DataFrame by name: (N,) each, views of its blocks.

    Args:
        path: The pickle, plain or packed with gzip, whatever its name says.

    Raises:
        FormatError: It is not a pickled DataFrame of numbers, refers to anything that such a frame does not need, or
            its arrays do not fit together.
    """
    frame = describe(path, _unpacked(path), _NAMES)
    return _Frame(path).columns(frame)


def _unpacked(path: AnyPath) -> bytes | bytearray:
    """Return the file's content, without its compression if it has one."""
    packed = path.read_bytes()
    if packed[:2] != b"\x1f\x8b":
        return packed
    limit = max(LARGEST_UNPACKED_ANYWAY, LARGEST_RATIO * len(packed))
    # A gzip file ends in its unpacked size. Allocating that at once and unpacking by small pieces takes a third less
    # time than growing. Where the size is wrong, the buffer grows.
    unpacked = bytearray(min(limit, int.from_bytes(packed[-4:], "little")))
    filled = 0
    member = zlib.decompressobj(wbits=31)
    for start in range(0, len(packed), PIECE):
        piece = packed[start : start + PIECE]
        while piece:
            if member.eof:  # a gzip file may have several members, and zeros after them
                piece = piece.lstrip(b"\0")
                if not piece:
                    break
                member = zlib.decompressobj(wbits=31)
            try:
                part = member.decompress(piece, limit - filled + 1)
            except zlib.error as error:
                raise FormatError(
                    path, found=f"gzip data that cannot be unpacked ({error})", expected="gzip"
                ) from error
            if filled + len(part) > limit:
                raise FormatError(
                    path,
                    found=f"gzip data that unpacks to more than {LARGEST_RATIO} times its {len(packed)} bytes",
                    expected="a table of points, which shrinks to a half or so",
                )
            unpacked[filled : filled + len(part)] = part
            filled += len(part)
            piece = member.unused_data if member.eof else b""
    if not member.eof:
        raise FormatError(path, place=f"byte {len(packed)}", found="gzip data that ends in the middle")
    del unpacked[filled:]
    return unpacked


class _Frame:
    """Reader of the description of a DataFrame; errors name the file."""

    def __init__(self, path: AnyPath) -> None:
        self.path = path

    def fail(self, found: str, expected: str) -> FormatError:
        return FormatError(self.path, found=found, expected=expected, fix="Expected is a pickled pandas DataFrame.")

    def expect(self, value: Any, names: set[tuple[str, str]], what: str, *, arguments: int = 0) -> Described:
        if not _is(value, names) or len(value.arguments) < arguments:
            raise self.fail(kind_of(value), what)
        return value

    def columns(self, value: Any) -> dict[str, NDArray[Any]]:
        state = self.expect(value, _DATA_FRAME, "a DataFrame").state
        if not isinstance(state, dict):
            raise self.fail("a DataFrame without a state", "one with blocks")
        manager = self.expect(state.get("_mgr", state.get("_data")), _BLOCK_MANAGER, "a DataFrame's BlockManager")
        axes, blocks = self.axes_and_blocks(manager)
        if not (isinstance(axes, list | tuple) and len(axes) == 2):
            raise self.fail(f"{kind_of(axes)} for the axes", "two of them")
        names = self.labels(axes[0])
        columns: dict[int, NDArray[Any]] = {}
        for values, placement in blocks:
            block = self.array(values)
            places = self.places(placement, len(names))
            if block.ndim != 2 or len(block) != len(places):
                raise self.fail(f"a block of shape {block.shape}", f"one of {len(places)} columns")
            columns.update(zip(places, block, strict=True))
        lengths = sorted({len(column) for column in columns.values()})
        if len(columns) != len(names) or len(lengths) > 1:
            raise self.fail(
                f"{len(columns)} columns of {' and '.join(map(str, lengths)) or 'no'} rows",
                f"{len(names)} of equal length",
            )
        return {name: columns[k] for k, name in enumerate(names)}

    def axes_and_blocks(self, manager: Described) -> tuple[Any, list[tuple[Any, Any]]]:
        """Return the axes, and each block's values and placement."""
        if len(manager.arguments) >= 2:
            parts, axes = manager.arguments[:2]
            if not isinstance(parts, list | tuple):
                raise self.fail(f"{kind_of(parts)} for the blocks", "a tuple of them")
            blocks = [self.expect(part, _BLOCK, "a block", arguments=2) for part in parts]
            return axes, [(block.arguments[0], block.arguments[1]) for block in blocks]
        state = manager.state
        last = state[3] if isinstance(state, tuple) and len(state) >= 4 else None
        held = last.get("0.14.1") if isinstance(last, dict) else None
        if not (isinstance(held, dict) and isinstance(held.get("blocks"), list)):
            raise self.fail("a BlockManager without blocks", "them, as pandas since 0.14 writes them")
        if not all(isinstance(part, dict) and {"values", "mgr_locs"} <= part.keys() for part in held["blocks"]):
            raise self.fail("a block without values or mgr_locs", "both")
        return held.get("axes"), [(part["values"], part["mgr_locs"]) for part in held["blocks"]]

    def places(self, value: Any, count: int) -> list[int]:
        """Return which of the frame's columns a block holds."""
        if _is(value, _SLICE):
            bounds = value.arguments
            whole = [number is None or (isinstance(number, int) and abs(number) < 2**31) for number in bounds]
            if not (1 <= len(bounds) <= 3 and all(whole) and (len(bounds) < 3 or bounds[2] != 0)):
                raise self.fail("a block's placement that is not a slice of columns", "start, stop, step")
            return list(range(count))[slice(*bounds)]
        places = self.array(value)
        if places.dtype.kind not in "iu" or places.ndim != 1 or ((places < 0) | (places >= count)).any():
            raise self.fail("a block's placement beyond the columns", f"numbers from 0 to {count - 1}")
        return [int(place) for place in places]

    def labels(self, axis: Any) -> list[str]:
        """Return the names of the columns."""
        index = self.expect(axis, _INDEX_MAKER, "an Index of the columns' names", arguments=2)
        held = index.arguments[1]
        data: Any = held.get("data") if isinstance(held, dict) else None
        if _is(data, _ARROW_STRINGS):
            labels: Any = self.arrow_strings(data.state.get("_pa_array") if isinstance(data.state, dict) else None)
        else:
            if _is(data, _STRINGS_MAKER) and isinstance(data.state, tuple):  # (dtype, array), or the other way round
                data = next((part for part in data.state if _is(part, _RECONSTRUCT)), None)
            array = self.expect(data, _RECONSTRUCT, "the columns' names")
            labels = array.state[4] if isinstance(array.state, tuple) and len(array.state) == 5 else None
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise self.fail("columns whose names are not text", "x, y, z, …")
        if len(set(labels)) != len(labels):
            raise self.fail("two columns of one name", "one of each")
        return labels

    def arrow_strings(self, value: Any) -> list[str]:
        """Return the strings of an Arrow array: (validity, offsets, text) after Arrow's columnar format."""
        array = self.expect(value, _ARROW_ARRAY, "an Arrow array of strings", arguments=1).arguments[0]
        if not (isinstance(array, tuple) and len(array) >= 5 and isinstance(array[4], list) and len(array[4]) == 3):
            raise self.fail("an Arrow array without its buffers", "three")
        kind = array[0].arguments if isinstance(array[0], Described) else ()
        length, offset = array[1], array[3]
        widths: dict[Any, str] = {("string",): "<i4", ("large_string",): "<i8"}
        if not (len(kind) == 1 and isinstance(kind[0], str) and kind in widths) or not all(
            isinstance(n, int) and 0 <= n < 10_000 for n in (length, offset)
        ):
            raise self.fail("an Arrow array that is none of strings", "the columns' names")
        text = bytes(self.bytes_of(array[4][2]))
        buffer = self.bytes_of(array[4][1])
        ends = np.frombuffer(buffer[: len(buffer) // 8 * 8], dtype=widths[kind])[offset : offset + length + 1].tolist()
        if len(ends) != length + 1 or any(start > stop for start, stop in pairwise(ends)):
            raise self.fail("an Arrow array whose offsets do not fit", "one more than there are strings")
        if ends[0] < 0 or ends[-1] > len(text):
            raise self.fail("an Arrow array whose offsets lead beyond its text", "offsets within it")
        return [text[start:stop].decode("utf-8", "replace") for start, stop in pairwise(ends)]

    def bytes_of(self, value: Any) -> bytes | memoryview:
        """Return the bytes of a value or of a description of them: protocol 2 has no bytes, and writes text."""
        for _ in range(3):  # py_buffer(bytearray(bytes))
            if _is(value, _BYTES) and 1 <= len(value.arguments) <= 2:
                value = value.arguments[0]
        if isinstance(value, str):
            try:
                value = value.encode("latin-1")
            except UnicodeEncodeError:
                raise self.fail("text that holds no bytes", "an array's bytes") from None
        if not isinstance(value, bytes | memoryview):
            raise self.fail(f"{kind_of(value)} for an array's content", "bytes")
        return value

    def array(self, value: Any) -> NDArray[Any]:
        """Return a NumPy array of numbers, as a view of the pickle's bytes."""
        if _is(value, _FROM_BUFFER) and len(value.arguments) == 4:
            content, dtype, shape, order = value.arguments
        elif _is(value, _RECONSTRUCT) and isinstance(value.state, tuple) and len(value.state) == 5:
            _, shape, dtype, by_columns, content = value.state
            order = "F" if by_columns is True else "C"
        else:
            raise self.fail(f"{kind_of(value)} for a block's values", "a NumPy array")
        kind = self.dtype(dtype)
        if not (
            isinstance(shape, tuple) and len(shape) <= 2 and all(isinstance(n, int) and 0 <= n < 2**40 for n in shape)
        ):
            raise self.fail("an array whose shape is none", "one or two whole numbers")
        buffer = self.bytes_of(content)
        if prod(shape) * kind.itemsize != len(buffer):
            raise self.fail(f"an array of shape {shape} and {kind} with {len(buffer)} bytes", "as many as it takes")
        flat: NDArray[Any] = np.frombuffer(buffer, dtype=kind) if len(buffer) else np.empty(0, dtype=kind)
        return flat.reshape(shape, order="F" if order == "F" else "C")

    def dtype(self, value: Any) -> np.dtype[Any]:
        described = self.expect(value, _DTYPE, "a NumPy dtype", arguments=1)
        kind, state = described.arguments[0], described.state
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
        if not isinstance(kind, str) or kind not in _NUMBERS or order not in ("<", ">", "|", "="):
            named = f"of dtype {kind[:20]!r}" if isinstance(kind, str) else "of no dtype"
            raise self.fail(f"a column {named}", "numbers only")
        return np.dtype(f"{order}{kind}")


def _is(value: Any, names: set[tuple[str, str]]) -> TypeGuard[Described]:
    return isinstance(value, Described) and (value.name.module, value.name.name) in names
