"""Select the frames to prepare, and those of them that get labelled."""

from __future__ import annotations

from collections.abc import Sequence

from lidarprep.errors import RecipeError
from lidarprep.scene import Frame


def parse_slice(text: str) -> slice:
    """Parse a Python slice "start:stop:step"; each part is optional, negative ones count from the end.

    Raises:
        RecipeError: It is not such a slice, or its step is below 1: frames stay in time order.
    """
    parts = text.split(":")
    try:
        numbers = [int(part) if part.strip() else None for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3):
        raise RecipeError(f"frames is {text!r}; expected start:stop or start:stop:step, like 0:100:5")
    if len(numbers) == 3 and numbers[2] is not None and numbers[2] < 1:
        raise RecipeError(f"frames is {text!r}; its step must be 1 or more, so that frames stay in time order")
    return slice(*numbers)


def select_frames(frames: Sequence[Frame], selection: str | None) -> list[Frame]:
    """Select frames by "start:stop:step", in time order; all if it is None.

    Raises:
        RecipeError: The selection is malformed, or keeps no frame.
    """
    if selection is None:
        return list(frames)
    selected = list(frames[parse_slice(selection)])
    if not selected:
        raise RecipeError(f"frames {selection!r} keeps none of the recording's {len(frames)} frames")
    return selected


def labelled_rows(count: int, rate: int) -> list[int]:
    """Rows, from 0, of the frames out of `count` that get labelled at `labeling_sample_rate` `rate`.

    Scale's rule, counted from 1: 1, k+1, 2k+1, … floor((n−1)/k)·k+1, and always n.

    Raises:
        RecipeError: The rate is below 1.
    """
    if rate < 1:
        raise RecipeError(f"labeling_sample_rate is {rate}; it must be 1 or more")
    rows = list(range(0, count, rate))
    if count and rows[-1] != count - 1:
        rows.append(count - 1)
    return rows
