"""A scene from the side: heights above the ground along the device's own way."""

from __future__ import annotations

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.report.colours import FATES, OKABE_ITO
from lidarprep.report.side_view import BAND_COLOUR, GROUND_COLOUR, _axis_ahead
from lidarprep.report.views import Fate
from tests.report.scenes import box_at, frame_of, labels_of, scene_of
from tests.report.test_top_down import place_of, plot_of

BAND = lp.Recipe(device_height=2.0, height_band=(-1.0, 6.0))


def test_points_are_at_their_heights_between_the_lines_of_the_band() -> None:
    # Seen from devices that are far apart: each frame is in its own.
    heights = [-0.5, 2.0, 5.0]
    frames = [
        frame_of(
            [(10.0 * row + 10, 3.0, height - 2.0)],
            row,
            world_from_ego=lp.Pose.from_euler(0, 0, 0.9 * row, (50.0 * row, -20.0, 7.0 * row)),
        )
        for row, height in enumerate(heights)
    ]
    picture = lp.side_view(scene_of(frames), color="frame", recipe=BAND)
    assert picture.size == (1280, 640)
    plot = plot_of(picture)
    level = {}
    for name, colour in (("band", BAND_COLOUR), ("ground", GROUND_COLOUR)):
        whole = (plot == colour).all(axis=2).sum(axis=1) > 0.5 * plot.shape[1]
        rows = np.flatnonzero(whole)
        groups = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
        level[name] = [float(group.mean()) for group in groups]
    (ground,) = level["ground"]
    top, bottom = level["band"]
    per_metre = (bottom - top) / 7.0
    assert ground == pytest.approx(top + 6.0 * per_metre, abs=1.5)
    places = [place_of(picture, tuple(OKABE_ITO[row].tolist())) for row in range(3)]
    for place, height in zip(places, heights, strict=True):
        assert place[1] == pytest.approx(ground - height * per_metre, abs=2.0)
    columns = [place[0] for place in places]
    assert columns[1] - columns[0] == pytest.approx(columns[2] - columns[1], abs=1.5)


def test_what_is_dropped_by_height_is_grey() -> None:
    points = np.random.default_rng(0).uniform((-20, -5, -2), (20, 5, 12), (5000, 3))
    frame = frame_of(points, world_from_ego=lp.Pose.identity())
    plot = plot_of(lp.side_view(scene_of([frame]), color="intensity", recipe=BAND))
    rows, _ = np.nonzero((plot == FATES[Fate.HEIGHT]).all(axis=2))
    band = np.flatnonzero((plot == BAND_COLOUR).all(axis=2).sum(axis=1) > 0.5 * plot.shape[1])
    assert rows.size > 500
    assert rows.max() < band.min() + 2, "all of them are above the upper line"


@pytest.mark.parametrize(("heading", "axis"), [(0.0, "x"), (-np.pi / 2, "y"), (np.pi, "-x"), (np.pi / 2, "-y")])
def test_ahead_is_where_the_device_goes(heading: float, axis: str) -> None:
    from lidarprep.report.drawn import DrawnFrames

    poses = [lp.Pose.from_euler(0, 0, heading + 0.05 * row, (2.0 * row, 0.05 * row, 0.0)) for row in range(4)]
    frames = [frame_of((5, 1, 1), row, world_from_ego=pose) for row, pose in enumerate(poses)]
    assert _axis_ahead(DrawnFrames.read(scene_of(frames), None, None)) == axis
    standing = [frame_of((5, 1, 1), row, world_from_ego=poses[0]) for row in range(3)]
    assert _axis_ahead(DrawnFrames.read(scene_of(standing), None, None)) == "x"


def test_labels_and_nothing_at_all_are_drawn() -> None:
    labels = labels_of(box_at((5.0, 0.0, 1.0), (2.0, 2.0, 2.0)))
    frame = frame_of(np.random.default_rng(0).uniform(-9, 9, (300, 3)))
    plain, drawn = (plot_of(lp.side_view(scene_of([frame]), labels=one)) for one in (None, labels))
    height = min(len(plain), len(drawn))
    assert (plain[:height] != drawn[:height]).any(axis=2).sum() > 100
    assert lp.side_view(scene_of([frame_of(np.empty((0, 3)))]), size=(300, 200)).size == (300, 200)
