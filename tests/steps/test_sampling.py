"""Which frames are prepared and which are labelled."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.errors import RecipeError
from lidarprep.scene import Frame, PointCloud
from lidarprep.steps.sampling import labelled_rows, parse_slice, select_frames

FRAMES = [Frame(str(n), n, lambda: PointCloud(np.empty((0, 3)))) for n in range(10)]


def counted_from_1(rows: list[int]) -> list[int]:
    return [row + 1 for row in rows]


def test_the_published_examples() -> None:
    assert counted_from_1(labelled_rows(20, 4)) == [1, 5, 9, 13, 17, 20]


@given(st.integers(1, 3000), st.integers(1, 4000))
def test_the_rule_holds_for_all_n_and_k(n: int, k: int) -> None:
    rows = counted_from_1(labelled_rows(n, k))
    assert set(rows) == {j * k + 1 for j in range((n - 1) // k + 1)} | {n}
    assert rows == sorted(set(rows))
    assert rows[0] == 1
    assert rows[-1] == n
    gaps = np.diff(rows)
    assert (gaps[:-1] == k).all()
    assert len(gaps) == 0 or 1 <= gaps[-1] <= k


def test_no_frames_and_one() -> None:
    assert labelled_rows(0, 3) == []
    assert labelled_rows(1, 3) == [0]


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_below_1_is_refused(rate: int) -> None:
    with pytest.raises(RecipeError, match=f"labeling_sample_rate is {rate}"):
        labelled_rows(5, rate)


part = st.none() | st.integers(-15, 15)


@given(part, part, st.none() | st.integers(1, 15), st.booleans())
def test_a_selection_is_pythons_slice(start: int | None, stop: int | None, step: int | None, short: bool) -> None:
    parts = [start, stop] if short and step is None else [start, stop, step]
    text = ":".join("" if value is None else str(value) for value in parts)
    assert parse_slice(text) == slice(start, stop, step)
    expected = list(range(10))[slice(start, stop, step)]
    if expected:
        assert [frame.index for frame in select_frames(FRAMES, text)] == expected
    else:
        with pytest.raises(RecipeError, match="keeps none of the recording's 10 frames"):
            select_frames(FRAMES, text)


def test_no_selection_keeps_all() -> None:
    assert select_frames(FRAMES, None) == FRAMES


@pytest.mark.parametrize("text", ["", "5", "a:b", "1:2:3:4", "1.5:2", "1-2", "0:10:x"])
def test_what_is_no_selection_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(repr(text))) as caught:
        parse_slice(text)
    assert "0:100:5" in str(caught.value)


@pytest.mark.parametrize("text", ["::0", "::-1", "5:0:-2"])
def test_a_step_that_goes_back_or_nowhere_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="time order"):
        parse_slice(text)
