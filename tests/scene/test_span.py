"""Spans: how they are written and read, which frames they hold, and what a part of a recording keeps of it."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lidarprep as lp
from lidarprep.scene.span import iso_time

MARCH = int(datetime(2026, 3, 1, 10, 15, tzinfo=UTC).timestamp()) * 10**9
SECOND = 10**9


def scene(times: list[int | None], **more: object) -> lp.Scene:
    """A recording of frames at these times, which cannot be read; the device goes 1 m a frame."""
    frames = tuple(
        lp.Frame(f"f{row}", row, lambda: pytest.fail("no point is read"), timestamp=time,
                 world_from_ego=lp.Pose.from_euler(0, 0, 0.01 * row, (row, 0, 0)))
        for row, time in enumerate(times)
    )  # fmt: skip
    return lp.Scene("drive", "made", frames, **more)  # type: ignore[arg-type]


# ---- text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("12.5s..42.5s", lp.Span("seconds", 12_500_000_000, 42_500_000_000)),
        ("0.000000001s..", lp.Span("seconds", 1, None)),
        ("..200", lp.Span("frames", None, 200)),
        ("200 .. 400", lp.Span("frames", 200, 400)),
        ("2026-03-01T10:15:00Z..2026-03-01T10:15:30Z", lp.Span("time", MARCH, MARCH + 30 * SECOND)),
        ("2026-03-01T11:15+01:00..", lp.Span("time", MARCH, None)),
        ("20260301T101500.000Z..", lp.Span("time", MARCH, None)),
        ("2026-03-01 10:15:00.123456789z..", lp.Span("time", MARCH + 123_456_789, None)),
        (f"{MARCH}..2026-03-01T10:15:00.5Z", lp.Span("time", MARCH, MARCH + SECOND // 2)),
    ],
)  # fmt: skip
def test_a_span_is_written_as_start_and_end(text: str, span: lp.Span) -> None:
    assert lp.Span.parse(text) == span


@given(
    st.sampled_from(["time", "seconds", "frames"]),
    st.one_of(st.none(), st.integers(0, 10**9 - 1), st.integers(10**17, 2 * 10**18)),
    st.integers(1, 10**12),
)
def test_what_a_span_is_written_as_is_read_as_the_same_span(unit: str, start: int | None, length: int) -> None:
    if unit == "frames":
        start, length = None if start is None else start % 10**6, length % 10**6 + 1
    span = lp.Span(unit, start, (start or 0) + length)  # type: ignore[arg-type]
    assert lp.Span.parse(str(span)) == span


@given(st.integers(0, 2**63 - 1))
def test_times_are_written_exactly(time: int) -> None:
    assert pd.Timestamp(iso_time(time)).value == time


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("12.5s", "'12.5s' is no span"),
        ("..", "has a start, an end or both"),
        ("5..5", "the span 5..5 does not end after it starts"),
        ("42s..12.5s", "the span 42s..12.5s does not end after it starts"),
        ("1s..400", "ends of different kinds"),
        ("12.5..42.5", "'12.5' is no end of a span"),
        ("-5..", "'-5' is no end of a span"),
        ("1772360100000000..", "'1772360100000000' is no end of a span"),  # microseconds
        ("2026-03-01T10:15:00..", "does not say in which time zone"),
        ("2026-02-30T10:15:00Z..", "'2026-02-30T10:15:00Z' is no end of a span"),
        ("2026-03-01Z..", "is no end of a span"),
    ],
)
def test_what_is_no_span_is_refused_with_what_one_is(text: str, message: str) -> None:
    with pytest.raises(lp.SceneError, match=message) as caught:
        lp.Span.parse(text)
    assert caught.value.exit_code == 2


# ---- parts ----------------------------------------------------------------------------------------------------------


def test_a_part_has_the_frames_of_the_span_with_the_ids_and_numbers_of_the_recording() -> None:
    whole = scene([MARCH + row * SECOND for row in range(10)])
    for span in ("3..6", "3s..6s", "2026-03-01T10:15:03Z..2026-03-01T10:15:06Z"):
        part = whole.part(span)
        assert [(frame.id, frame.index) for frame in part] == [("f3", 3), ("f4", 4), ("f5", 5)]
        assert part.notes == (f"{span} of the recording: 3 of its 10 frames, numbers 3 to 5",)
    assert [frame.index for frame in whole.part("..2")] == [0, 1]
    assert [frame.index for frame in whole.part("8s..")] == [8, 9]


def test_seconds_and_numbers_of_a_part_of_a_part_count_from_the_recording_s_beginning() -> None:
    part = scene([MARCH + row * SECOND for row in range(10)]).part("3..8")
    assert [frame.index for frame in part.part("4s..6s")] == [4, 5]
    assert [frame.index for frame in part.part("4..6")] == [4, 5]
    assert sorted(frame.index for frame in part.part("4..6").left_out) == [0, 1, 2, 3, 6, 7, 8, 9]
    assert part.part("4..6").notes[-1] == "4..6 of the recording: 2 of its 10 frames, numbers 4 to 5"


def test_an_empty_span_is_refused_with_what_the_recording_has() -> None:
    with pytest.raises(lp.SceneError, match=r"drive has no frame in 5s\.\.6s") as caught:
        scene([MARCH, MARCH + 4_500_000_000]).part("5s..6s")
    assert caught.value.fix == (
        "It has 2 frames, numbers 0 to 1, from 2026-03-01T10:15:00Z to 2026-03-01T10:15:04.5Z, 4.5 s later."
    )
    with pytest.raises(lp.SceneError, match="numbers 0 to 1, without timestamps"):
        scene([None, None]).part("2..")


def test_frames_without_timestamps_are_named_by_number_only() -> None:
    with pytest.raises(lp.SceneError, match=r"its frames have no timestamps, and 0s\.\.1s is a span of time") as caught:
        scene([None, None]).part("0s..1s")
    assert "0..200" in str(caught.value.fix)
    assert len(scene([None, None]).part("0..1")) == 1
    some = scene([MARCH, None, MARCH + SECOND]).part("0s..")
    assert [frame.index for frame in some] == [0, 2]
    assert some.notes[-1] == "1 frames have no timestamp, and so are in no span of time"


@pytest.mark.parametrize("dense", [True, False])
def test_a_part_keeps_the_device_s_path_a_little_beyond_its_ends(dense: bool) -> None:
    times = [MARCH + row * SECOND // 10 for row in range(300)]
    path = None
    if dense:
        path = lp.Trajectory.from_poses(
            [MARCH + row * SECOND // 100 for row in range(3000)],
            [lp.Pose.from_euler(0.1, 0.2, 0.001 * row, (0.1 * row, 0, 0)) for row in range(3000)],
        )
    whole = scene(times, trajectory=path)
    part, full = whole.part("10s..12s").device_path(), whole.device_path()
    assert part is not None
    assert full is not None
    begin, end = part.timestamps[0], part.timestamps[-1]
    assert MARCH + 7 * SECOND < begin <= MARCH + 8 * SECOND
    assert MARCH + 13 * SECOND <= end < MARCH + 15 * SECOND
    rows = np.isin(full.timestamps, part.timestamps)
    assert rows.sum() == len(part)
    np.testing.assert_array_equal(full.quaternions[rows], part.quaternions)  # to the last bit
    np.testing.assert_array_equal(full.translations[rows], part.translations)
    assert len(pickle.dumps(part)) < 0.3 * len(pickle.dumps(full))
