"""What of a scene a picture is made of: some of its frames, read, and how their points are coloured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import LidarprepError, RecipeError
from lidarprep.recipe import Recipe
from lidarprep.report.canvas import Pixels, Plot
from lidarprep.report.colours import FATES, OKABE_ITO, VIRIDIS, Colouring, by_kind, by_value, of_frame
from lidarprep.report.legend import Bar, Block, Swatches
from lidarprep.report.views import Fate, FrameView, SceneView
from lidarprep.scene import Scene
from lidarprep.scene_settings import BAD_FRAME
from lidarprep.steps.sampling import select_frames
from lidarprep.storage import Manifest

# An aggregate is of so many frames at most, and of about so many points.
MOST_FRAMES, MOST_POINTS = 20, 4_000_000

# Of each frame, so many points at most are looked at for the range of what is coloured.
_LOOKED_AT = 10_000

# Drawn where a recording lacks what is to be coloured.
_PLAIN = np.array([[190, 198, 210]], dtype=np.uint8)

# The darkest shades would not be seen on a dark ground.
_DARK = 33
_SHADES = VIRIDIS[_DARK:]

# Dropped points are drawn below all others: their keys are less by this, metres.
_BELOW = 1e5


@dataclass(frozen=True, eq=False)
class DrawnFrames:
    """Frames that a picture is made of.

    Args:
        view: The scene.
        views: The frames, read; perhaps not all of their points.
        rows: Their rows in the view's frames.
        points: How many points they have, drawn or not.
        notes: What is to be known of them, a sentence each.
    """

    view: SceneView
    views: list[FrameView]
    rows: list[int]
    points: int
    notes: list[str]

    @classmethod
    def read(cls, source: Scene | Manifest | SceneView, frames: str | None, recipe: Recipe | None) -> DrawnFrames:
        """Read the frames of a picture; those that cannot be read are noted.

        Args:
            source: The scene.
            frames: Which of its frames, as a Python slice; all where it is None. Beyond 20 some are taken, evenly.
            recipe: How they are prepared; not heeded where `source` is a view.

        Raises:
            RecipeError: There are none of those frames, or the recipe does not fit.
            SceneError, FormatError: None of them can be read.
        """
        view = SceneView.of(source, recipe)
        row_of = {frame.id: row for row, frame in enumerate(view.frames)}
        selected = [row_of[frame.id] for frame in select_frames(view.frames, frames)]
        notes = []
        rows = selected
        if len(selected) > MOST_FRAMES:
            rows = [selected[at] for at in np.linspace(0, len(selected) - 1, MOST_FRAMES).round().astype(int)]
            notes.append(f"{MOST_FRAMES} of {len(selected)} frames are drawn, evenly spread")
        views, read, points = [], [], 0
        bad: list[LidarprepError] = []
        for row in rows:
            try:
                one = view.look(view.frames[row])
            except BAD_FRAME as error:
                notes.append(f"frame {view.frames[row].id} cannot be read: {error.message}")
                bad.append(error)
                continue
            points += len(one)
            views.append(_thinned(one, MOST_POINTS // len(rows)))
            read.append(row)
        if not views:
            raise bad[0]
        if note := view.note_of_lost([one.frame for one in views]):
            notes.append(note)
        if (drawn := sum(map(len, views))) < points:
            notes.append(f"{drawn / points:.0%} of the points are drawn")
        return cls(view, views, read, points, notes)

    @property
    def title(self) -> str:
        """Which frames of what."""
        return f"{self.view.scene.source}: {self.named_frames}"

    @property
    def named_frames(self) -> str:
        """Which frames."""
        first, last = self.views[0].frame, self.views[-1].frame
        if len(self.views) == 1:
            return f"frame {first.id}"
        return f"{len(self.views)} frames, {first.id} to {last.id}"


def _thinned(view: FrameView, most: int) -> FrameView:
    step = -(-len(view) // max(most, 1))
    return view if step <= 1 else view.take(np.arange(0, len(view), step))


def heights(view: FrameView) -> NDArray[np.floating[Any]]:
    """(N,) heights of points above the ground, metres; in the device's frame where its height is not known."""
    above = 0.0 if view.band is None else view.band.device_height
    pose = view.world_from_ego
    if pose is None:
        return view.positions[:, 2] + view.positions.dtype.type(above)
    number = view.positions.dtype.type
    with np.errstate(over="ignore", invalid="ignore"):  # absurd coordinates
        # Less the device's place first: float32 is exact enough near it. By columns, which is faster than by rows.
        parts = [
            (view.positions[:, axis] - number(pose.translation[axis])) * number(pose.rotation[axis, 2])
            for axis in range(3)
        ]
        height: NDArray[np.floating[Any]] = parts[0] + parts[1] + parts[2] + number(above)
    return height


# ---- colours ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Colours:
    """Colours of the points of some frames.

    Args:
        of: For each frame, (N, 3) uint8, or (1, 3) for all of its points.
        blocks: What they mean.
    """

    of: list[Pixels]
    blocks: list[Block]


def coloured(
    drawn: Sequence[FrameView],
    color: Colouring,
    view: SceneView | None,
    depths: Sequence[NDArray[np.float64]] | None = None,
) -> Colours:
    """Colour the points of some frames; dropped ones are greyed by their reason.

    Args:
        drawn: The frames.
        color: What they are coloured by.
        view: The scene, if it is known: it names lidars and the scale of intensities.
        depths: Metres from a camera, (N,) a frame, where they are coloured by depth.

    Raises:
        RecipeError: There is no such colouring for this picture.
    """
    choices = [name for name in get_args(Colouring) if name != "depth" or depths is not None]
    if color not in choices:
        raise RecipeError(f"color is {color!r}; known are {', '.join(choices)}")
    if color == "fate":
        return Colours([FATES[one.fate] for one in drawn], [_fates(drawn, "points", every=True)])
    if color == "frame":
        base = _by_frame(drawn)
    elif color == "device":
        base = _by_device(drawn, view)
    elif color == "height":
        known = any(one.band is not None for one in drawn)
        title = "height above ground, m" if known else "height in the device's frame, m"
        base = _by_figure(drawn, [heights(one) for one in drawn], title)
    elif color == "depth":
        base = _by_depth(drawn, list(depths or ()))
    elif color == "intensity":
        base = _by_intensity(drawn, view)
    else:
        base = _by_time(drawn)
    if not any(one.fate.any() for one in drawn):
        return base
    return Colours(
        [_greyed(colours, one) for colours, one in zip(base.of, drawn, strict=True)],
        [*base.blocks, _fates(drawn, "dropped", every=False)],
    )


def _greyed(colours: Pixels, view: FrameView) -> Pixels:
    dropped = np.flatnonzero(view.fate)
    if not dropped.size:
        return colours
    all_colours = np.array(np.broadcast_to(colours, (len(view), 3)))
    all_colours[dropped] = FATES[view.fate[dropped]]
    return all_colours


def _fates(drawn: Sequence[FrameView], title: str, *, every: bool) -> Swatches:
    counts = np.sum([np.bincount(one.fate, minlength=len(Fate)) for one in drawn], axis=0)
    total = max(int(counts.sum()), 1)
    rows = [
        (FATES[fate].tolist(), f"{fate.title} {counts[fate]:,} ({counts[fate] / total:.1%})")
        for fate in Fate
        if counts[fate] and (every or fate != Fate.KEPT)
    ]
    return Swatches(title, rows)


def _by_frame(drawn: Sequence[FrameView]) -> Colours:
    count = len(drawn)
    colours = [of_frame(row, count)[None] for row in range(count)]
    if count <= len(OKABE_ITO):
        rows = [(colour[0].tolist(), f"frame {one.frame.id}") for colour, one in zip(colours, drawn, strict=True)]
        return Colours(colours, [Swatches("coloured by frame", rows)])
    ticks = (drawn[0].frame.id, drawn[-1].frame.id)
    return Colours(colours, [Bar("coloured by frame", ticks, np.concatenate(colours))])


def _by_device(drawn: Sequence[FrameView], view: SceneView | None) -> Colours:
    numbers = sorted({int(number) for one in drawn if one.device is not None for number in np.unique(one.device)})
    if not numbers:
        return _lacking(drawn, "device", "points don't say their lidar")
    names = {} if view is None else {lidar.index: lidar.name for lidar in view.scene.lidars}
    known = np.array(numbers)
    colours = [_PLAIN if one.device is None else by_kind(np.searchsorted(known, one.device)) for one in drawn]
    shades = by_kind(np.arange(len(numbers)))
    rows = [
        (shade.tolist(), names.get(number, f"device {number}")) for shade, number in zip(shades, numbers, strict=True)
    ]
    return Colours(colours, [Swatches("coloured by device", rows)])


def _by_intensity(drawn: Sequence[FrameView], view: SceneView | None) -> Colours:
    if all(one.intensity is None for one in drawn):
        return _lacking(drawn, "intensity", "points have none")
    scale = None if view is None else view.intensity_scale
    middle, end = ("0.5", "1") if scale is None else (f"{scale / 2:.3g}", f"{scale:.4g}")
    guessed = view is not None and view.intensity_is_guessed
    note = "scale in doubt; taken to draw by" if guessed else "" if scale is None else f"{scale:.4g} is taken as 1"
    colours = [_PLAIN if one.intensity is None else _shaded(one.intensity, 0.0, 1.0) for one in drawn]
    return Colours(colours, [Bar("intensity", ("0", middle, end), _SHADES, note)])


def _by_time(drawn: Sequence[FrameView]) -> Colours:
    times = [_times(one) for one in drawn]
    known = [one for one in times if one is not None and one.size]
    if not known:
        return _lacking(drawn, "time", "neither points nor frames have any")
    first = min(int(one.min()) for one in known)
    values = [None if one is None else (one - first) / 1e6 for one in times]
    note = f"from {datetime.fromtimestamp(first / 1e9, UTC):%H:%M:%S.%f} UTC" if 10**17 < first < 4 * 10**18 else ""
    return _by_figure(drawn, values, "time, ms", share=0.1, note=note)


def _times(view: FrameView) -> NDArray[np.int64] | None:
    if view.timestamp is not None:
        return view.timestamp
    return None if view.frame.timestamp is None else np.array([view.frame.timestamp])


def _by_depth(drawn: Sequence[FrameView], depths: list[NDArray[np.float64]]) -> Colours:
    with np.errstate(invalid="ignore", divide="ignore"):
        logarithms = [np.log(depth) for depth in depths]
    lowest, highest = _range(logarithms, 1.0)
    # Near points are bright: they are drawn over the far ones.
    colours = [_shaded(-one, -highest, -lowest) for one in logarithms]
    ticks = [f"{np.exp(value):.3g}" for value in (lowest, (lowest + highest) / 2, highest)]
    return Colours(colours, [Bar("depth, m (logarithmic)", ticks, _SHADES[::-1])])


def _by_figure(
    drawn: Sequence[FrameView],
    values: Sequence[NDArray[Any] | None],
    title: str,
    *,
    share: float = 1.0,
    note: str = "",
) -> Colours:
    """Colour by a figure of each point, from dark to bright but for a share (percent) at either end."""
    kept = [
        value if value is None or not one.fate.any() or len(value) != len(one) else value[one.fate == Fate.KEPT]
        for value, one in zip(values, drawn, strict=True)
    ]
    looked_at = kept if any(value is not None and value.size for value in kept) else values
    lowest, highest = _range(looked_at, share)
    colours = [_PLAIN if value is None else _shaded(value, lowest, highest) for value in values]
    digits = max(0, min(3, 1 - int(np.floor(np.log10(max(highest - lowest, 1e-3))))))
    ticks = [f"{value:z.{digits}f}" for value in (lowest, (lowest + highest) / 2, highest)]
    return Colours(colours, [Bar(title, ticks, _SHADES, note)])


def _shaded(values: NDArray[Any], lowest: float, highest: float) -> Pixels:
    """Colour figures by _SHADES."""
    return by_value(values, lowest - _DARK / (256 - _DARK) * (highest - lowest), highest)


def _range(values: Iterable[NDArray[Any] | None], share: float) -> tuple[float, float]:
    some = [value[:: max(1, len(value) // _LOOKED_AT)] for value in values if value is not None]
    known = np.concatenate(some).astype(np.float64) if some else np.empty(0)
    known = known[np.isfinite(known)]
    if not known.size:
        return 0.0, 1.0
    lowest, highest = np.percentile(known, (share, 100 - share))
    return (float(lowest), float(highest)) if highest > lowest else (float(lowest) - 0.5, float(lowest) + 0.5)


def _lacking(drawn: Sequence[FrameView], what: str, why: str) -> Colours:
    return Colours([_PLAIN] * len(drawn), [Swatches(f"no {what}", [(_PLAIN[0].tolist(), why)])])


def draw_frames(
    plot: Plot,
    drawn: Sequence[FrameView],
    colours: Sequence[Pixels],
    view: NDArray[np.float64],
    size: int,
    *,
    place: Callable[[FrameView], NDArray[np.floating[Any]]] = lambda one: one.positions,
) -> int:
    """Draw the points of frames, the dropped ones below all others; return how many are within the plot.

    Args:
        plot: What they are drawn into.
        drawn: The frames.
        colours: Of their points.
        view: (3, 4): column, row and key.
        size: Pixels across.
        place: Returns the (N, 3) points of a frame that `view` is of.
    """
    below = view.copy()
    below[2, 3] -= _BELOW
    within = 0
    for one, shades in zip(drawn, colours, strict=True):
        points = place(one)
        if not one.fate.any():
            within += plot.points(points, view, shades, size)
            continue
        for rows, matrix in ((one.fate != Fate.KEPT, below), (one.fate == Fate.KEPT, view)):
            chosen = np.flatnonzero(rows)
            within += plot.points(points[chosen], matrix, shades if len(shades) == 1 else shades[chosen], size)
    return within
