"""Long recordings cut into parts, compared with what a loop over all parts and frames gives."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lidarprep as lp
from lidarprep.datasets.split import Part, recording_name, split
from tests.scene.test_span import MARCH, SECOND, scene

MILLISECOND = 10**6

# Frames up to a second apart, with pauses of minutes among them.
STEPS = st.lists(st.one_of(st.integers(1, 1000), st.integers(60_000, 200_000)), min_size=0, max_size=60)


def recorded(steps_ms: list[int]) -> lp.Scene:
    times = [MARCH]
    for step in steps_ms:
        times.append(times[-1] + step * MILLISECOND)
    return scene(list(times))


def held(whole: lp.Scene, parts: tuple[Part, ...]) -> list[list[int]]:
    """The numbers of the frames of each part, by the parts as they are opened."""
    return [[frame.index for frame in whole.part(str(part.span))] for part in parts]


@given(STEPS, st.one_of(st.integers(1, 90).map(lambda s: f"{s}s"), st.integers(1, 25)))
def test_without_overlap_every_frame_is_in_exactly_one_part_in_order(steps: list[int], length: str | int) -> None:
    whole = recorded(steps)
    parts = split(whole, length)
    frames = held(whole, parts)
    assert [index for part in frames for index in part] == list(range(len(whole)))
    assert [part.frames for part in parts] == [len(part) for part in frames]
    assert all(frames)
    if isinstance(length, int):
        assert [len(part) for part in frames[:-1]] == [length] * (len(frames) - 1)


@given(STEPS, st.integers(2, 90), st.integers(0, 88), st.booleans())
def test_parts_are_those_of_a_loop_that_have_a_frame_of_their_own(
    steps: list[int], length: int, overlap: int, by_time: bool
) -> None:
    overlap = min(overlap, length - 1)
    whole = recorded(steps)
    unit, suffix = (SECOND, "s") if by_time else (1, "")
    parts = split(whole, f"{length}{suffix}", f"{overlap}{suffix}")
    places = [frame.timestamp - MARCH if by_time and frame.timestamp else frame.index for frame in whole]
    expected, seen, start = [], set[int](), 0
    while len(seen) < len(whole):
        inside = {row for row, place in enumerate(places) if start <= place < start + length * unit}
        if inside - seen:
            expected.append(sorted(inside))
        seen |= inside
        start += (length - overlap) * unit
    assert held(whole, parts) == expected


@given(STEPS, st.integers(2, 60), st.integers(1, 59))
def test_consecutive_parts_share_exactly_the_frames_of_the_overlap(steps: list[int], length: int, overlap: int) -> None:
    overlap = min(overlap, length - 1)
    whole = recorded(steps)
    parts = split(whole, f"{length}s", f"{overlap}s")
    for (one, frames), (other, following) in pairwise(zip(parts, held(whole, parts), strict=True)):
        begin, end = other.span.start or 0, one.span.end or 0
        shared = [frame.index for frame in whole if frame.timestamp is not None and begin <= frame.timestamp < end]
        assert sorted(set(frames) & set(following)) == shared


@given(STEPS, st.integers(2, 40), st.integers(0, 10), st.integers(1, 4), st.booleans())
def test_names_are_unique_and_say_where_a_part_starts_however_it_is_cut(
    steps: list[int], length: int, overlap: int, times: int, by_time: bool
) -> None:
    whole, suffix = recorded(steps), "s" if by_time else ""
    step = max(1, length - min(overlap, length - 1))
    fine = split(whole, f"{step}{suffix}")
    coarse = split(whole, f"{times * step}{suffix}")
    for parts in (fine, coarse):
        names = [part.name.lower() for part in parts]
        assert len(set(names)) == len(names)
        assert names == sorted(names)
        assert all(re.fullmatch(r"drive-\d{8}T\d{6}\.\d{3}Z", part.name) for part in parts)
    by_start = {part.span.start: part.name for part in fine}
    assert all(by_start.get(part.span.start, part.name) == part.name for part in coarse)


def test_a_part_is_named_by_the_time_that_it_starts_at() -> None:
    whole = scene([MARCH + row * SECOND // 2 for row in range(130)])
    by_time, by_number = split(whole, "30s"), split(whole, 60)
    expected = [f"drive-20260301T1015{s}.000Z" for s in ("00", "30")] + ["drive-20260301T101600.000Z"]
    assert [part.name for part in by_time] == [part.name for part in by_number] == expected
    assert datetime.strptime(by_time[1].name[6:], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC).timestamp() == (
        MARCH / 1e9 + 30
    )
    assert [part.frames for part in by_time] == [60, 60, 10]  # the last one is short, and kept
    assert str(by_time[1].span) == "2026-03-01T10:15:30Z..2026-03-01T10:16:00Z"
    assert str(by_number[1].span) == "60..120"


@pytest.mark.parametrize("times", [[None] * 5, [MARCH] * 5, [MARCH, None, MARCH + SECOND, MARCH + 2 * SECOND, None]])
def test_frames_without_times_of_their_own_give_names_by_their_numbers(times: list[int | None]) -> None:
    assert [part.name for part in split(scene(times), 2)] == ["drive-000000", "drive-000002", "drive-000004"]


def test_a_part_of_a_recording_is_split_by_the_recording_s_numbers() -> None:
    part = scene([None] * 100).part("30..50")
    assert [str(one.span) for one in split(part, 8, 2, name="a b/ü")] == ["30..38", "36..44", "42..50"]
    assert split(part, 8, name="a b/ü")[0].name == "a_b_-000030"


def test_a_clock_that_is_wrong_by_years_costs_nothing() -> None:
    whole = scene([0, SECOND, MARCH, MARCH + SECOND])
    assert [part.frames for part in split(whole, "0.01s")] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("length", "overlap", "message"),
    [
        ("30", "5s", "the overlap is '5s', and the length is of the other kind"),
        ("30s", 5, "the overlap is 5, and the length is of the other kind"),
        ("30s", "30s", "make no progress"),
        (10, 12, "make no progress"),
        ("0s", 0, "the length is '0s'"),
        ("1min", 0, "the length is '1min'"),
        (-5, 0, "the length is -5"),
        ("0.0005s", 0, "make no progress"),
    ],
)
def test_lengths_that_make_no_sense_are_refused(length: str | int, overlap: str | int, message: str) -> None:
    with pytest.raises(lp.SceneError, match=message):
        split(scene([MARCH, MARCH + SECOND]), length, overlap)


def test_frames_without_timestamps_are_not_split_by_seconds() -> None:
    with pytest.raises(lp.SceneError, match="1 of the 2 frames of drive have no timestamp") as caught:
        split(scene([MARCH, None]), "30s")
    assert "number of frames" in str(caught.value.fix)
    with pytest.raises(lp.SceneError, match="has no frames"):
        split(scene([]), 10)


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("/data/drive.mcap", "drive"),
        ("s3://bucket/day/drive.7/", "drive.7"),
        ("https://host/a/2026.03.bag", "2026.03"),
        ("..", ".."),
    ],
)
def test_a_recording_is_named_by_its_path_without_a_suffix(location: str, name: str) -> None:
    assert recording_name(location) == name
