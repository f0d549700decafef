"""Files that are no containers: one error each, with the place, and no more memory than the file has."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import orjson
import pytest
import scale_json_binary

from lidarprep.attachments.sensor_fusion_scene._container import read_container
from lidarprep.errors import FormatError

GOOD = scale_json_binary.dumps(
    {"a": {"b": [np.arange(4, dtype=np.float32), "text"]}, "c": np.arange(3, dtype=np.uint8)}
)


def with_header(header: Any, blocks: bytes = b"\0" * 32) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return text + b" " * (4 - len(text) % 4) + blocks


def with_item(**changes: Any) -> bytes:
    item = {"keys": ["a"], "length": 8, "offset": 4, "dtype": "uint8", "shape": [8]} | changes
    return with_header({"a": "", "l": ["", {"x": 1}], "$items": [{k: v for k, v in item.items() if v is not None}]})


def test_the_good_ones_are_read() -> None:
    assert read_container(GOOD)["c"].tolist() == [0, 1, 2]
    assert len(read_container(with_item())["a"]) == 8


def test_a_file_cut_anywhere_is_refused() -> None:
    for end in range(len(GOOD)):
        with pytest.raises(FormatError, match=r"cut\.sfs, "):
            read_container(GOOD[:end], "cut.sfs")


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"length": 7}, r"\$items\[0\]: 7 bytes for uint8 \[8\]; expected 8"),
        ({"length": 9, "shape": [9], "offset": 1 << 60}, r"\$items\[0\]: 9 bytes and padding at offset"),
        ({"length": 4_000_000_000, "shape": [1_000_000_000], "dtype": "float32"}, "but 32 follow the header"),
        ({"length": 2**80, "shape": [2**80]}, r"\$items\[0\]"),
        ({"length": -4}, r"length: -4"),
        ({"length": True}, r"length: True"),
        ({"length": None}, r"length: None"),
        ({"offset": 0}, "a multiple of 4, at least 4"),
        ({"offset": 5}, "a multiple of 4, at least 4"),
        ({"offset": -4}, r"offset: -4"),
        ({"offset": 4.0}, r"offset: 4\.0"),
        ({"offset": 24}, "a block within the file"),
        ({"dtype": "object"}, r"dtype: 'object'"),
        ({"dtype": "O"}, "dtype"),
        ({"dtype": "|S8"}, "dtype"),
        ({"dtype": ["f4"]}, "dtype"),
        ({"dtype": None}, "dtype: None"),
        ({"shape": [2, 2]}, "expected 4"),
        ({"shape": [-8]}, "shape"),
        ({"shape": [-2, -4]}, "shape"),
        ({"shape": 8}, "shape"),
        ({"shape": None}, "shape"),
        ({"shape": [1] * 40 + [8]}, "shape"),
        ({"shape": [0, 2**62, 2**62], "length": 0}, "shape"),
        ({"keys": []}, "keys"),
        ({"keys": None}, "keys"),
        ({"keys": "a"}, "keys"),
        ({"keys": [1.0]}, "keys"),
        ({"keys": ["a", "b"]}, "leads nowhere at 'b'"),
        ({"keys": ["missing"]}, "leads nowhere at 'missing'"),
        ({"keys": ["l", 2]}, "leads nowhere at 2"),
        ({"keys": ["l", -1]}, "leads nowhere at -1"),
        ({"keys": ["l", "0"]}, "leads nowhere at '0'"),
        ({"keys": ["l", True]}, "keys"),
        ({"keys": ["l"]}, "does not hold an empty string"),
        ({"keys": ["l", 1, "x"]}, "does not hold an empty string"),
        ({"keys": ["$items"]}, "leads nowhere"),
    ],
)
def test_an_item_that_lies_is_refused_with_its_place(changes: dict[str, Any], place: str) -> None:
    data = with_item(**changes)
    with pytest.raises(FormatError, match=place):
        read_container(data)


@pytest.mark.parametrize(
    ("header", "place"),
    [
        (b"", r"the header|malformed"),
        (b"[]", "a JSON object"),
        (b'{"a":1}', r"no list under '\$items'"),
        (b'{"$items":{}}', r"no list under '\$items'"),
        (b'{"$items":[3]}', r"\$items\[0\]: 3"),
        (b'{"a":NaN,"$items":[]}', "byte 5: malformed JSON"),
        (b'{"a":"\xff","$items":[]}', "byte 6: text that is not UTF-8"),
        ('{"ä":"'.encode() + b'\xff","$items":[]}', "byte 7: text that is not UTF-8"),
        (b'{"a":1,"b":{"x":1,"x":2},"$items":[]}', "the key 'x' twice"),
        (b'{"a":1,"\\u0061":2,"$items":[]}', "the key 'a' twice"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b',"$items":[]}', "malformed JSON"),
    ],
)
def test_a_header_that_is_malformed_is_refused_with_its_place(header: bytes, place: str) -> None:
    with pytest.raises(FormatError, match=place):
        read_container(with_header(header))


def test_keys_are_told_from_strings_that_look_like_them() -> None:
    header = {"a": 'b": {', "c": ["x", "y\\", '"'], 'd":"': {"a": ":", "e\n": "\\"}, "": {"": 1}, "$items": []}
    expected = {key: value for key, value in header.items() if key != "$items"}
    assert read_container(with_header(orjson.dumps(header, option=orjson.OPT_INDENT_2))) == expected


def test_a_header_whose_length_is_no_multiple_of_four_is_refused() -> None:
    with pytest.raises(FormatError, match="byte 13: a header of 13 bytes"):
        read_container(b'{"$items":[]}' + b"\0" * 7)


def test_a_file_without_zero_byte_is_refused() -> None:
    with pytest.raises(FormatError, match="the file ends within its header"):
        read_container(b'{"$items":[]}   ' * 10_000)


def test_a_file_whose_header_is_not_followed_by_four_zero_bytes_is_refused() -> None:
    with pytest.raises(FormatError, match="4 zero bytes after the header"):
        read_container(with_header({"$items": []}, b"\0\0\0\1"))


def test_blocks_that_share_bytes_are_refused() -> None:
    item = {"length": 8, "dtype": "uint8", "shape": [8]}
    items = [item | {"keys": ["a"], "offset": 4}, item | {"keys": ["b"], "offset": 8}]
    with pytest.raises(FormatError, match=r"\$items\[1\].offset: 8, within another block"):
        read_container(with_header({"a": "", "b": "", "$items": items}))


def test_two_arrays_for_one_place_are_refused() -> None:
    item = {"keys": ["a"], "length": 4, "dtype": "uint8", "shape": [4]}
    with pytest.raises(FormatError, match=r"\$items\[1\].keys"):
        read_container(with_header({"a": "", "$items": [item | {"offset": 4}, item | {"offset": 12}]}))


def test_an_empty_array_may_stand_where_another_does() -> None:
    empty = {"keys": ["a"], "length": 0, "dtype": "float32", "shape": [0, 3], "offset": 4}
    full = {"keys": ["b"], "length": 8, "dtype": "float32", "shape": [2], "offset": 4}
    document = read_container(with_header({"a": "", "b": "", "$items": [full, empty]}))
    assert (document["a"].shape, document["b"].shape) == ((0, 3), (2,))


def test_a_bool_is_0_or_1() -> None:
    item = {"keys": ["a"], "length": 2, "offset": 4, "dtype": "bool", "shape": [2]}
    with pytest.raises(FormatError, match="a bool of value 9"):
        read_container(with_header({"a": "", "$items": [item]}, b"\0\0\0\0\1\x09\0\0"))


def test_a_billion_points_announced_in_a_hundred_bytes_cost_no_memory() -> None:
    data = with_item(length=12_000_000_000, shape=[1_000_000_000, 3], dtype="float32")
    tracemalloc.start()
    with pytest.raises(FormatError):
        read_container(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000
