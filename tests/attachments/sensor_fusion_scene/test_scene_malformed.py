"""Scenes that were damaged: a scene or a FormatError, never anything else."""

from __future__ import annotations

import contextlib

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.errors import FormatError
from tests.attachments.frames import encode_scene
from tests.attachments.sensor_fusion_scene.scenes import T0, camera_image, cloud, decoded, frame, radar

points = cloud(3, intensity=True, device=True, colour=True, timestamp=T0 + np.arange(3) * 1000)
SEED = encode_scene([frame(points, images=(camera_image(),), radar=radar(2))], odometry=True)
HEADER = SEED[: SEED.index(0)]


def use(data: bytes) -> None:
    """Reads all that a scene has to give."""
    with contextlib.suppress(FormatError):
        for one in decoded(data):
            one.points()
            one.radar()
            for image in one.images:
                image.content()


def test_a_scene_cut_anywhere_is_refused() -> None:
    for end in range(len(SEED)):
        with pytest.raises(FormatError):
            decoded(SEED[:end])


@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_bytes_that_change_make_a_scene_or_a_format_error(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SEED)
    for at, byte in changes:
        data[at] = byte
    use(bytes(data))


@given(st.integers(0, len(HEADER)), st.integers(0, 12), st.binary(max_size=12) | st.sampled_from([b"9" * 30, b"[{"]))
def test_a_piece_that_is_replaced_makes_a_scene_or_a_format_error(at: int, length: int, piece: bytes) -> None:
    header = (HEADER[:at] + piece + HEADER[at + length :]).rstrip()
    use(header + b" " * (4 - len(header) % 4) + SEED[len(HEADER) :])


odd = st.sampled_from([None, True, -1, 0, 1, 2**31, 2**63, 1e308, 0.5, "", "x", [], {}, [0], [[]], {"": ""}])


@given(st.data())
def test_a_value_of_the_header_that_is_swapped_makes_a_scene_or_a_format_error(data: st.DataObject) -> None:
    header = orjson.loads(HEADER)
    place = header
    for _ in range(data.draw(st.integers(0, 7))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        inner = [key for key in keys if isinstance(place[key], dict | list) and place[key]]
        if not inner:
            break
        place = place[data.draw(st.sampled_from(inner))]
    key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else list(range(len(place)))))
    if data.draw(st.booleans()):
        place[key] = data.draw(odd)
    else:
        del place[key]
    text = orjson.dumps(header)
    use(text + b" " * (4 - len(text) % 4) + SEED[len(HEADER) :])


@given(st.binary(max_size=200))
def test_bytes_that_are_no_scene_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        decoded(data)
