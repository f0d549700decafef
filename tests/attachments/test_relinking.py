"""Other URLs of an attachment's images: nothing else of it changes, in either format."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.attachments import get_format
from lidarprep.errors import FormatError
from lidarprep.scene import Frame
from tests.attachments.frames import camera_image, frames, world_frame


def with_urls(frame: Frame, form: str) -> Frame:
    return replace(frame, images=tuple(replace(image, url=form.format(n)) for n, image in enumerate(frame.images)))


OLD = "https://bucket.example.com/images/{}.jpg?X-Amz-Signature=1"
NEW = "https://bucket.example.com/images/{}.jpg?X-Amz-Signature=\u00e9&X-Amz-Security-Token=much+longer+than+before"


@given(frames(), st.sampled_from([None, 0, 3, 8]))
def test_a_frame_json_with_other_urls_is_what_encoding_with_them_gives(frame: Frame, precision: int | None) -> None:
    json = get_format("json")
    before, after = (json.encode(with_urls(frame, form), precision=precision) for form in (OLD, NEW))
    assert json.relink(before, _new) == after
    assert json.relink(before, lambda url: url) == before


@given(frames())
def test_a_lidar_frame_with_other_urls_is_what_encoding_with_them_gives(frame: Frame) -> None:
    protobuf = get_format("protobuf")
    before, after = (protobuf.encode(with_urls(frame, form)) for form in (OLD, NEW))
    assert protobuf.relink(before, _new) == after
    assert protobuf.relink(before, lambda url: url) == before


def _new(url: str) -> str:
    number = url.removeprefix(OLD.partition("{}")[0]).partition(".")[0]
    assert url == OLD.format(number)
    return NEW.format(number)


def test_a_frame_json_that_another_has_written_is_refused() -> None:
    json = get_format("json")
    data = json.encode(replace(world_frame(), images=(replace(camera_image(), url="s3://a/b.jpg"),)))
    for other in (data.replace(b":", b": ", 1), b" " + data, b"{}", b""):
        with pytest.raises(FormatError):
            json.relink(other, lambda url: url + "?x")


def test_a_lidar_frame_that_another_has_written_is_refused() -> None:
    protobuf = get_format("protobuf")
    frame = replace(world_frame(), images=(replace(camera_image(), url="s3://a/b.jpg"),))
    data = protobuf.encode(frame)
    tail = data[data.rindex(b"s3://a/b.jpg") - 12 :]
    for other in (tail + data.removesuffix(tail), data[:-1], b"\x07"):
        with pytest.raises(FormatError):
            protobuf.relink(other, lambda url: url + "?x")
