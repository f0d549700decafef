"""A writer goes on after the frames that another one has written, from plain JSON and the file that it left."""

from __future__ import annotations

import json
import os
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.attachments.sensor_fusion_scene import ScenePart, SceneWriter, count_sound, encode_scene
from lidarprep.scene import Frame, GpsPose
from tests.attachments.sensor_fusion_scene.scenes import PNG, T0, cloud, frame, picture, radar, scenes


def through_json(part: ScenePart) -> ScenePart:
    found = ScenePart.from_json(json.loads(json.dumps(part.to_json(), allow_nan=False)))
    assert found == part
    assert found is not None
    return found


def written(frames: list[Frame], room: int = 0) -> tuple[BytesIO, list[ScenePart]]:
    spool = BytesIO()
    writer = SceneWriter(spool, header_room=room)
    return spool, [through_json(writer.add(one)) for one in frames]


def several(count: int = 4) -> list[Frame]:
    """Frames with every kind of array, a repeated picture, and more to note from frame to frame."""
    still = picture("rear", 1, content=lambda: PNG, timestamp=T0, path=Path(os.fsdecode(b"rear/\xff.png")))
    return [
        frame(
            cloud(50, seed=index, intensity=True, device=True, colour=True),
            index=index,
            radar=radar(index + 1),
            gps=GpsPose(1, 2, 3) if index % 2 else None,
            images=(picture(content=lambda: PNG, timestamp=T0 + index * 10**8 + 1001), still),
        )
        for index in range(count)
    ]


@given(scenes(), st.booleans())
def test_a_scene_that_another_writer_goes_on_with_after_any_frame_has_the_same_bytes(
    frames: list[Frame], odometry: bool
) -> None:
    for done in range(len(frames) + 1):
        spool, parts = written(frames[:done])
        spool.seek(0)
        writer = SceneWriter(spool, odometry=odometry, parts=parts)
        writer.add_all(frames[done:])
        out = BytesIO()
        writer.finish(out)
        assert out.getvalue() == encode_scene(frames, odometry=odometry)


def test_notes_and_repeated_pictures_are_counted_on() -> None:
    frames = several()
    whole = SceneWriter(BytesIO())
    whole.add_all(frames)
    spool, parts = written(frames[:2])
    spool.seek(0)
    resumed = SceneWriter(spool, parts=parts)
    resumed.add_all(frames[2:])
    assert resumed.notes == whole.notes
    assert any("shows the picture of an earlier frame again (3 times)" in note for note in resumed.notes)


@pytest.mark.parametrize("room", [0, 20_000])
def test_a_file_that_was_finished_in_place_can_be_gone_on_with(room: int) -> None:
    frames = several()
    spool, parts = written(frames[:3], room)
    expected = BytesIO()
    writer = SceneWriter(expected, header_room=room)
    writer.add_all(frames)
    size = writer.finish_in_place()
    spool.seek(0)
    again = SceneWriter(spool, parts=parts)
    if room:
        again.finish_in_place()
        assert count_sound(spool, parts) == 3
        spool.seek(0)
        again = SceneWriter(spool, parts=parts)
    again.add(frames[3])
    assert again.finish_in_place() == size
    assert spool.getvalue() == expected.getvalue()


def test_what_was_written_behind_the_parts_is_cut_off() -> None:
    frames = several()
    spool, parts = written(frames)
    spool.seek(0)
    SceneWriter(spool, parts=parts[:2])
    assert len(spool.getvalue()) == parts[1].start + parts[1].size
    spool.seek(0)
    SceneWriter(spool)
    assert len(spool.getvalue()) == 4


def test_parts_are_sound_up_to_the_first_byte_that_is_missing_or_another() -> None:
    spool, parts = written(several(), 100)
    data = spool.getvalue()
    ends = [part.start + part.size for part in parts]
    assert count_sound(BytesIO(data), parts) == 4
    assert count_sound(BytesIO(data + b"more"), parts) == 4
    for at in range(0, len(data), 7):
        sound = sum(end <= at for end in ends)
        assert count_sound(BytesIO(data[:at]), parts) == sound
        turned = data[:at] + bytes([data[at] ^ 128]) + data[at + 1 :]
        assert count_sound(BytesIO(turned), parts) == (4 if at < parts[0].start else sound)


def test_a_part_is_sound_only_after_those_that_it_was_written_after() -> None:
    """Frame 1 is another one, as long as the one before it was: what was recorded of frame 2 does not hold any more."""
    frames = several(3)
    other = frame(cloud(50, seed=9, intensity=True, device=True, colour=True), index=1)
    _, old = written(
        [frames[0], frame(cloud(50, seed=8, intensity=True, device=True, colour=True), index=1), frames[2]]
    )
    spool, new = written([frames[0], other, frames[2]])
    assert count_sound(spool, [*new[:2], old[2]]) == 2
    assert count_sound(spool, [old[0], *new[1:]]) == 3
    assert count_sound(spool, [new[1], new[0]]) == 1


@pytest.mark.parametrize("values", [None, [], {}, "part", {"record": {}}, 3])
def test_what_is_no_part_is_none(values: object) -> None:
    assert ScenePart.from_json(values) is None


def test_a_part_with_a_piece_missing_or_of_another_kind_is_none() -> None:
    values = written(several(1))[1][0].to_json()
    for name in values:
        assert ScenePart.from_json({key: value for key, value in values.items() if key != name}) is None
        assert ScenePart.from_json(values | {name: "?"}) is None
    values["record"]["clouds"][0][1]["positions"]["dtype"] = "text"
    assert ScenePart.from_json(values) is None
