"""The container is what the reference package writes and reads."""

from __future__ import annotations

from io import BytesIO, RawIOBase
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import scale_json_binary
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lidarprep.attachments.sensor_fusion_scene._container import BlockWriter, header_of, read_container
from lidarprep.errors import EncodingError

DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
DTYPES += ["float16", "float32", "float64"]
arrays = st.sampled_from(DTYPES).flatmap(
    lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=5).filter(lambda key: key != "$items")
numbers = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1)


def documents(keys: st.SearchStrategy[str], plain: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    values = st.recursive(
        plain | arrays,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=8,
    )
    return st.dictionaries(keys, values, max_size=4)


any_documents = documents(keys, numbers | st.floats(-1e6, 1e6) | st.text(max_size=4))
# Both JSON libraries spell these alike: they differ in slashes, non-ASCII characters and the exponents of floats.
letters = st.text('abcXYZ 019_"\\', max_size=5)
alike_documents = documents(letters, numbers | st.floats(1e-3, 1e6) | letters)


def written(document: dict[str, Any], out: BinaryIO | None = None) -> bytes:
    body = BytesIO()
    blocks = BlockWriter(out or body)

    def with_specs(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return blocks.append(value.dtype.name, value.shape, [value])
        if isinstance(value, dict):
            return {key: with_specs(part) for key, part in value.items()}
        if isinstance(value, list):
            return [with_specs(part) for part in value]
        return value

    header = header_of(with_specs(document))
    assert out is not None or len(body.getvalue()) == blocks.size
    return header + body.getvalue()


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, np.ndarray):
        assert isinstance(found, np.ndarray)
        assert (found.dtype.name, found.shape) == (expected.dtype.name, expected.shape)
        assert found.tobytes() == expected.tobytes()
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert (type(found), found) == (type(expected), expected)


@given(any_documents)
def test_the_reference_package_reads_what_we_write(document: dict[str, Any]) -> None:
    assert_same(scale_json_binary.loads(written(document)), document)


@given(any_documents)
def test_we_read_what_the_reference_package_writes(document: dict[str, Any]) -> None:
    assert_same(read_container(scale_json_binary.dumps(document)), document)


@given(alike_documents)
def test_the_bytes_are_those_of_the_reference_package(document: dict[str, Any]) -> None:
    assert written(document) == scale_json_binary.dumps(document)


def test_the_header_ends_in_a_space_and_each_block_in_a_zero_even_where_no_padding_is_needed() -> None:
    for extra in range(5):
        data = written({"a": "x" * extra, "b": np.full(4 + extra, 7, np.uint8)})
        header = data[: data.index(0)]
        assert len(header) % 4 == 0
        assert header.endswith(b" ")
        assert not header.endswith(b" " * 5)
        assert data[len(header) :].rstrip(b"\0") == b"\0" * 4 + b"\x07" * (4 + extra)
        assert len(data) % 4 == 0
        assert data.endswith(b"\0")


def test_arrays_are_read_only_views_of_the_file() -> None:
    data = written({"a": np.arange(6, dtype=np.float32).reshape(2, 3)})
    array = read_container(data)["a"]
    assert not array.flags.owndata
    assert not array.flags.writeable
    assert np.shares_memory(array, np.frombuffer(data, dtype=np.uint8))


def test_a_memory_map_and_a_bytearray_are_read_as_bytes_are(tmp_path: Path) -> None:
    data = written({"a": np.arange(3)})
    path = tmp_path / "scene.sfs"
    path.write_bytes(data)
    with path.open("rb") as file:
        mapped = mmap(file.fileno(), 0, access=ACCESS_READ)
    for buffer in (data, bytearray(data), memoryview(data), mapped):
        assert read_container(buffer)["a"].tolist() == [0, 1, 2]


class DribblingFile(RawIOBase):
    """Takes three bytes at a time, as an unbuffered file may."""

    def __init__(self) -> None:
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.taken += bytes(data[:3])
        return min(3, len(data))


def test_a_file_that_takes_a_part_at_a_time_gets_all() -> None:
    document = {"a": np.arange(10, dtype=np.uint8)}
    out = DribblingFile()
    header = written(document, out)  # type: ignore[arg-type]
    assert header + out.taken == written(document)


@pytest.mark.parametrize("pieces", [[], [np.zeros(3, np.uint8)], [np.zeros(4, np.uint8)] * 2])
def test_pieces_that_do_not_add_up_to_the_shape_are_refused(pieces: list[Any]) -> None:
    with pytest.raises(ValueError, match="4 bytes, but"):
        BlockWriter(BytesIO()).append("uint8", (4,), pieces)


@pytest.mark.parametrize("value", [object(), 2**70, "\ud800", {1: 2}])
def test_a_document_that_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(EncodingError, match="cannot hold it"):
        header_of({"a": value})
