"""What is no Frame JSON is refused with a FormatError that says where, whatever is wrong with it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from lidarprep.attachments.frame_json import decode, encode
from lidarprep.errors import FormatError
from tests.attachments.test_frame_json_reading import POSITION, assert_as_json_reads, frame_with
from tests.attachments.valid import SMALL_FRAME

POINT = '{"x":1,"y":2,"z":3}'


def refused(data: bytes) -> FormatError:
    with pytest.raises(FormatError) as caught:
        decode(data, source="a.json")
    assert caught.value.path == "a.json"
    assert caught.value.place is not None
    return caught.value


def test_a_file_cut_anywhere_is_refused() -> None:
    data = encode(SMALL_FRAME)
    decode(data)
    for cut in range(len(data)):
        refused(data[:cut])


def test_a_cut_says_at_which_byte() -> None:
    data = encode(SMALL_FRAME)
    assert refused(data[:-3]).place == f"byte {len(data) - 3}"


@pytest.mark.parametrize(
    "points",
    [
        *['{"x":NaN,"y":2,"z":3}', '{"x":Infinity,"y":2,"z":3}', '{"x":-Infinity,"y":2,"z":3}'],
        *['{"x":1e39,"y":2,"z":3}', '{"x":1,"y":2,"z":3,"i":1e39}', '{"x":1e999,"y":2,"z":3}'],
        *['{"x":"1","y":2,"z":3}', '{"x":null,"y":2,"z":3}', '{"x":true,"y":2,"z":3}', '{"x":[1],"y":2,"z":3}'],
        *['{"x":01,"y":2,"z":3}', '{"x":1.,"y":2,"z":3}', '{"x":.5,"y":2,"z":3}', '{"x":+1,"y":2,"z":3}'],
        *['{"x":-,"y":2,"z":3}', '{"x":1e,"y":2,"z":3}', '{"x":1e+,"y":2,"z":3}', '{"x":0x10,"y":2,"z":3}'],
        *['{"x":1_0,"y":2,"z":3}', '{"x":1 0,"y":2,"z":3}', '{"x":,"y":2,"z":3}', '{"x","y":2,"z":3}'],
        *['{"y":2,"z":3}', '{"x":1,"z":3}', '{"x":1,"y":2}', "{}", f"{POINT},{{}}"],
        *['{"x":1,"x":1,"y":2,"z":3}', '{"x":1,"y":2,"z":3,"i":0,"i":0}', '{"x":1,"y":2,"z":3,"t":1,"t":1}'],
        *['{"x":1,"y":2,"z":3,"d":-1}', '{"x":1,"y":2,"z":3,"d":4294967296}', '{"x":1,"y":2,"z":3,"d":1.5}'],
        *['{"x":1,"y":2,"z":3,"t":9223372036854775808}', '{"x":1,"y":2,"z":3,"t":-9223372036854775809}'],
        *['{"x":1,"y":2,"z":3,"t":18446744073709551616}', '{"x":1,"y":2,"z":3,"t":"1"}'],
        *['{"x":1,"y":2,"z":3,"is_ground":1}', '{"x":1,"y":2,"z":3,"is_ground":null}'],
        *['{"x":1,"y":2,"z":3,"is_ground":tru}', '{"x":1,"y":2,"z":3,"is_ground":truely}'],
        *["[1,2,3]", "1", '"x"', "null", f"{POINT}{POINT}", f"{POINT},", f",{POINT}", f"{POINT},,{POINT}"],
        *['{"x":1,"y":2,"z":3,}', '{,"x":1,"y":2,"z":3}', '{"x":1 "y":2,"z":3}', '{"x":1,"y":2,"z":3]', "{x:1}"],
        *['{"x":1;"y":2,"z":3}', '{"x"=1,"y":2,"z":3}', "{'x':1,'y':2,'z':3}", f"{POINT}]", f"{POINT}}}", "]", "}"],
        *['{"x":1,"y":2,"z":3,"u":nonsense}', '{"x":1,"y":2,"z":3,"u":[1 2]}', '{"x":1,"y":2,"z":3,"u":[1}}'],
        *['{"x":1,"y":2,"z":3,"u":"\n"}', '{"x":1,"y":2,"z":3,"u":"\\q"}', '{"x":1,"y":2,"z":3,"u":NaN}'],
        *['{"x":1,"y":2,"z":3,"u":}', '{"x":1,"y":2,"z":3,"u":,}', '{"x":1,"y":2,"z":3,"u":01}'],
    ],
)
def test_a_malformed_point_is_refused(points: str) -> None:
    refused(frame_with(points))


@pytest.mark.parametrize("key", ["i", "d", "t"])
def test_a_column_that_only_some_points_have_is_refused_by_name(key: str) -> None:
    assert f"'{key}'" in refused(frame_with(f'{{"x":1,"y":2,"z":3,"{key}":1}},{POINT}')).found
    assert f"'{key}'" in refused(frame_with(f'{POINT},{{"x":1,"y":2,"z":3,"{key}":1}}')).found


@pytest.mark.parametrize(
    "text",
    [
        *["", " ", "null", "[]", "3", '"points"', "{", "{}", "}", "\x00"],
        *[f"{{{POSITION}}}", f'{{{POSITION},"points":null}}', f'{{{POSITION},"points":{{}}}}'],
        *[f'{{{POSITION},"points":"[]"}}', f'{{{POSITION},"points":0}}', f'{{{POSITION},"points":[],"points":[]}}'],
        *['{"points":[]}', f'{{{POSITION},"points":[]}}x', f'{{{POSITION},"points":[]}}{{}}'],
        *[f'{{{POSITION},"points":[],}}', f'{{,{POSITION},"points":[]}}', f'{{{POSITION} "points":[]}}'],
        *[f'{{{POSITION},"points":[]]}}', f'{{{POSITION},"points" []}}', f"{{{POSITION},points:[]}}"],
        *[f'{{{POSITION},"points":[],"a":NaN}}', f'{{{POSITION},"points":[],"a":1e999}}', f'[{POSITION},"points":[]]'],
        "\ufeff" + f'{{{POSITION},"points":[]}}',
    ],
)
def test_a_malformed_object_is_refused(text: str) -> None:
    refused(text.encode())


def around(**changes: Any) -> bytes:
    """A valid frame with some of its keys replaced."""
    described: dict[str, Any] = json.loads(encode(SMALL_FRAME))
    for path, value in changes.items():
        target: Any = described
        *way, last = (int(part) if part.isdigit() else part for part in path.split("__"))
        for part in way:
            target = target[part]
        target[last] = value
    return json.dumps(described).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *[("device_position", None), ("device_position", [0, 0, 0]), ("device_position__x", "1")],
        *[("device_heading", {"w": 1}), ("device_heading__w", 5), ("device_heading__w", True)],
        *[("device_gps_pose", 3), ("device_gps_pose__lat", None), ("timestamp", "now"), ("timestamp", 1.5)],
        *[("timestamp", 2**63), ("timestamp", 1e300), ("radar_points", {}), ("radar_points", None)],
        *[("radar_points__0", []), ("radar_points__0", {}), ("radar_points__0__position", None)],
        *[("radar_points__0__direction__y", "up"), ("radar_points__0__size", []), ("images", {}), ("images__0", 1)],
        *[("images__0__image_url", None), ("images__0__position", 1), ("images__0__heading", None)],
        *[("images__0__heading__w", 9), ("images__0__fx", 0), ("images__0__fx", "f"), ("images__0__k1", None)],
        *[("images__0__camera_model", "pinhole"), ("images__0__camera_model", 1), ("images__0__xi", 0.5)],
        *[("images__0__camera_index", 1.5), ("images__0__priority", "first"), ("images__0__scale_factor", 0)],
        *[("images__0__scale_factor", "2"), ("images__0__timestamp", "x"), ("images__0__metadata", [])],
    ],
)
def test_a_wrong_type_around_the_points_is_refused_by_its_key(path: str, value: Any) -> None:
    decode(around())
    described = str(refused(around(**{path: value})))
    assert path.split("__")[0] in described


@pytest.mark.parametrize("key", ["image_url", "position", "heading", "fx", "fy", "cx", "cy"])
def test_an_image_without_a_required_key_is_refused(key: str) -> None:
    described = json.loads(encode(SMALL_FRAME))
    del described["images"][0][key]
    assert key in str(refused(json.dumps(described).encode()))


def test_radar_points_that_differ_in_their_keys_are_refused() -> None:
    described = json.loads(encode(SMALL_FRAME))
    described["radar_points"].append({"position": {"x": 1, "y": 2, "z": 3}})
    assert refused(json.dumps(described).encode()).place == "radar_points"


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":['])
@pytest.mark.parametrize("depth", [65, 2000, 100_000])
def test_nesting_too_deep_is_refused(opening: str, depth: int) -> None:
    nested = opening * depth
    refused(f'{{{POSITION},"points":[],"deep":{nested}'.encode())
    refused(frame_with(f'{{"x":1,"y":2,"z":3,"deep":{nested}'))
    refused(f'{{{POSITION},"points":{nested}'.encode())
    refused(nested.encode())


def test_nesting_that_closes_again_is_read_up_to_its_limit() -> None:
    for depth, accepted in ((60, True), (64, False)):
        data = frame_with(f'{{"x":1,"y":2,"z":3,"deep":{"[" * depth}{"]" * depth}}}')
        if accepted:
            assert_as_json_reads(data)
        else:
            refused(data)


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\xaf"])
def test_what_is_not_utf8_is_refused_at_its_byte(bad: bytes) -> None:
    behind = b'{"points":[' + POINT.encode() + b"]," + POSITION.encode() + b',"note":"' + bad + b'"}'
    assert refused(behind).place == f"byte {behind.index(bad)}"
    within = b'{"points":[{"x":1,"y":2,"z":3,"note":"' + bad + b'"}],' + POSITION.encode() + b"}"
    assert refused(within).place == f"byte {within.index(bad)}"
    refused(b'{"points":[{"x":1,"y":2,"z":3,"' + bad + b'":1}],' + POSITION.encode() + b"}")
    refused(b'{"points":[{"x":' + bad + b',"y":2,"z":3}],' + POSITION.encode() + b"}")


def test_a_mistake_behind_letters_of_several_bytes_is_placed_by_byte() -> None:
    data = ('{"note":"äöü€","points":[' + POINT + "]," + POSITION + ',"a":1x}').encode()
    place = refused(data).place
    assert place is not None
    assert abs(int(place.removeprefix("byte ")) - data.index(b"1x")) <= 1


def fuzzed(count: int, seed: int) -> list[bytes]:
    """Valid files with a few bytes changed, taken out or put in."""
    rng = random.Random(seed)
    seeds = [
        encode(SMALL_FRAME),
        f'{{"points":[{POINT},{{"z":1e5,"x":-0.5,"ring":[1,{{}}],"y":12345678901234567890.5}}],{POSITION}}}'.encode(),
        frame_with('{"x":1,"y":2,"z":3,"i":0.5,"d":7,"t":-5,"is_ground":true}'),
    ]
    alphabet = [bytes([c]) for c in b'{}[]",:.-+eE0123456789 \\xyzidt\n\xc3\xff'] + [b"null", b"NaN", b'"x":', b"1e400"]
    made = []
    for _ in range(count):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data))
            data[at : at + rng.choice([0, 1, 1, 1, 5])] = rng.choice([b"", *alphabet])
        made.append(bytes(data))
    return made


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def test_changed_files_are_refused_or_read_as_json_reads_them() -> None:
    accepted = 0
    for data in fuzzed(4000, seed=1):
        try:
            decode(data)
        except FormatError:
            continue
        json.loads(data, parse_constant=refuse_constant)
        assert_as_json_reads(data)
        accepted += 1
    assert accepted > 100  # some changes leave a file valid


@pytest.mark.parametrize(
    "data",
    [
        rb'{"device_position":{"x":0,"y":0,"z":0},"points":[{"x":1,"y":2,"z":3,"\u0069":0.5}]}',
        rb'{"device_position":{"x":0,"y":0,"z":0},"points":[{"\u0078":1,"y":2,"z":3}]}',
        rb'{"device_position":{"x":0,"y":0,"z":0},"points":[],"p\u006fints":[]}',
    ],
)
def test_a_key_that_hides_in_escapes_is_refused_and_not_passed_over(data: bytes) -> None:
    assert "escapes" in str(refused(data))


@pytest.mark.parametrize("key", ["images", "radar_points"])
@pytest.mark.parametrize("value", ["5", '"text"', "{}", "[5]"])
def test_what_is_no_list_of_objects_is_refused(key: str, value: str) -> None:
    data = f'{{"device_position":{{"x":0,"y":0,"z":0}},"points":[],"{key}":{value}}}'
    assert key in str(refused(data.encode()))


def test_other_keys_may_have_escapes() -> None:
    data = (
        rb'{"h\u00f6he":1,"a\\\"b":2,"device_position":{"x":0,"y":0,"z":0},"points":[{"x":1,"y":2,"z":3,"\u00fc":4}]}'
    )
    assert len(decode(data).points()) == 1
