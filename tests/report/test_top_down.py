"""A scene from above: places by the scale of the picture, the path, the region, what is dropped, labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import lidarprep as lp
from lidarprep.errors import FormatError, RecipeError
from lidarprep.report.canvas import GROUND, INK, STRIP
from lidarprep.report.colours import FATES, OKABE_ITO
from lidarprep.report.drawn import heights
from lidarprep.report.views import Fate, SceneView
from lidarprep.scene.labels import LabelsFrame
from tests.report.scenes import box_at, frame_of, labels_of, pixels_of, scene_of

FRAME_COLOURS = [tuple(colour) for colour in OKABE_ITO.tolist()]


def plot_of(picture: Image.Image) -> NDArray[np.int64]:
    """The plot alone: what is above the strip, by the colour of that at the lower edge."""
    pixels = pixels_of(picture)
    strip = np.flatnonzero((pixels[:, 1] == STRIP).all(axis=1))
    return pixels[: strip[0] - 1]


def place_of(picture: Image.Image, colour: tuple[int, ...]) -> NDArray[np.float64]:
    rows, columns = np.nonzero((plot_of(picture) == colour).all(axis=2))
    assert rows.size, f"nothing is drawn in {colour}"
    return np.array([columns.mean(), rows.mean()])


def scale_of(picture: Image.Image) -> float:
    """Pixels of the scale bar: the longest row of the ink's colour."""
    ink = (plot_of(picture) == INK).all(axis=2)
    return float(max(ink[row].sum() for row in range(ink.shape[0])))


def test_points_are_where_the_scale_and_the_axes_say() -> None:
    places = np.array([(0.0, 0.0, 0.5), (30.0, 0.0, 1.0), (0.0, 18.0, 2.0), (-8.0, 5.0, -3.0)])
    scene = scene_of([frame_of(place, row) for row, place in enumerate(places)])
    picture = lp.top_down(scene, color="frame", size=(800, 600))
    assert (picture.mode, picture.size) == ("RGB", (800, 600))
    found = np.array([place_of(picture, colour) for colour in FRAME_COLOURS[:4]])
    per_metre = (found[1, 0] - found[0, 0]) / 30.0
    assert per_metre > 5
    for place, pixel in zip(places, found, strict=True):
        expected = found[0] + place[:2] * (per_metre, -per_metre)
        np.testing.assert_allclose(pixel, expected, atol=1.5)
    # The bar is of a round number of metres.
    metres = scale_of(picture) / per_metre
    nearest = min((1, 2, 5, 10, 20, 50), key=lambda length: abs(length - metres))
    assert metres == pytest.approx(nearest, abs=2 / per_metre)


def test_the_highest_of_points_at_one_place_is_seen() -> None:
    scene = scene_of([frame_of([(0, 0, 5), (9, 9, 0)], 0), frame_of([(0, 0, 1), (9, 9, 1), (-9, 0, 0)], 1)])
    picture = plot_of(lp.top_down(scene, color="frame", size=(640, 480)))
    first, second = ((picture == FRAME_COLOURS[row]).all(axis=2).sum() for row in (0, 1))
    assert 0 < first < second


def test_dropped_points_are_grey_by_reason_below_what_is_kept() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform((-20, -20, -1.5), (20, 20, -1.4), (4000, 3))
    high = low + np.array([0, 0, 30])
    frame = frame_of(np.vstack((low, high)), world_from_ego=lp.Pose.identity())
    recipe = lp.Recipe(
        device_height=1.5, height_band=(-1, 8), region_of_interest_3d=lp.RegionOfInterest3D((0, 0, 0), 24, 24)
    )
    picture = plot_of(lp.top_down(scene_of([frame]), color="intensity", recipe=recipe, size=(700, 640)))
    counts = {fate: (picture == FATES[fate]).all(axis=2).sum() for fate in Fate}
    assert counts[Fate.REGION] > 1000
    assert counts[Fate.HEIGHT] == 0, "they are above points that are kept, and yet below them"
    # Where the region is: its outline, whose edges are smooth, is as long as its side, in metres.
    yellow = (picture[..., 0] > 120) & (picture[..., 1] > 115) & (picture[..., 2] < 90)
    assert yellow.sum() > 500
    rows, columns = np.nonzero(yellow)
    grey = np.argwhere((picture == FATES[Fate.REGION]).all(axis=2))
    assert np.ptp(columns) / np.ptp(grey[:, 1]) == pytest.approx(24 / 40, abs=0.02)
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=3)


@pytest.mark.parametrize("color", ["height", "frame", "intensity", "device", "time", "fate"])
def test_every_colouring_draws_what_a_recording_lacks_all_the_same(color: str) -> None:
    bare = scene_of([frame_of(np.random.default_rng(0).uniform(-9, 9, (500, 3)))])
    picture = lp.top_down(bare, color=color, size=(320, 240))  # type: ignore[arg-type]
    assert (plot_of(picture) != GROUND).any(axis=2).sum() > 300


def test_a_colouring_that_there_is_not_is_refused() -> None:
    for color in ("depth", "colour"):
        with pytest.raises(RecipeError, match="known are frame, height"):
            lp.top_down(scene_of([frame_of((1, 2, 3))]), color=color)  # type: ignore[arg-type]


def test_a_bad_frame_is_left_out_and_only_bad_ones_are_an_error() -> None:
    def broken() -> lp.PointCloud:
        raise FormatError("points.bin", found="nothing")

    good, bad = frame_of([(0, 0, 1), (5, 5, 5)], 0), replace(frame_of((0, 0, 1), 1), read_points=broken)
    picture = lp.top_down(scene_of([good, bad]), color="frame", size=(320, 240))
    assert place_of(picture, FRAME_COLOURS[0]).size
    with pytest.raises(FormatError, match=r"points\.bin"):
        lp.top_down(scene_of([good, bad]), frames="1:2", recipe=lp.Recipe(recentre=False))


def test_what_is_not_finite_or_absurd_does_no_harm() -> None:
    points = np.random.default_rng(0).uniform(-10, 10, (2000, 3))
    points[:4] = ((np.nan, 0, 0), (np.inf, 1, 1), (1e300, 1e300, 1e300), (-1e30, 5, 5))
    scene = scene_of([frame_of(points, world_from_ego=lp.Pose.identity())])
    picture = plot_of(lp.top_down(scene, size=(400, 300)))
    _, columns = np.nonzero((picture != GROUND).any(axis=2))
    assert np.ptp(columns) > 150, "the extent is of nearly all points, not of the worst"
    empty = lp.top_down(scene_of([frame_of(np.full((3, 3), np.nan))]), size=(320, 240))
    assert empty.size == (320, 240)


def test_labels_are_boxes_with_their_front() -> None:
    ground = np.random.default_rng(0).uniform((-20, -20, 0), (20, 20, 0.1), (3000, 3))
    scene = scene_of([frame_of(ground, row) for row in (0, 1)])
    labels = labels_of(box_at((5.0, -4.0, 1.0), (6.0, 2.0, 1.5), frame=1, track="0123456789"))  # it looks along +x
    without = lp.top_down(scene, frames="0:1", labels=labels, size=(800, 640))
    drawn = lp.top_down(scene, frames="1:2", labels=labels, size=(800, 640))
    assert without.tobytes() != drawn.tobytes()
    plain = plot_of(lp.top_down(scene, frames="1:2", size=(800, 640)))
    with_box = plot_of(drawn)
    height = min(len(plain), len(with_box))
    red = (with_box[:height, :, 0] > 90) & (with_box[:height] != plain[:height]).any(axis=2)
    rows, columns = np.nonzero(red)
    per_metre = np.ptp(columns) / 6.0  # its length lies along x now
    # Names are of the same colour, above the box.
    edge = rows[columns == columns.max()]
    assert np.ptp(edge) / per_metre == pytest.approx(2.0, abs=0.25)
    # The mark's lines meet the front corners: there is more of them on the right half.
    box_rows = red[edge.min() : edge.max() + 1]
    middle = (columns.min() + columns.max()) // 2
    assert box_rows[:, middle + 2 :].sum() > 1.3 * box_rows[:, : middle - 2].sum()
    with pytest.raises(RecipeError, match=r"labels of 1 frames that in memory does not have; the first is f7"):
        lp.top_down(scene, labels=labels_of(box_at((5, -4, 1), (6, 2, 1.5), frame=7)))


@pytest.mark.parametrize("frame", ["world", "ego", "attachment"])
def test_labels_are_drawn_alike_from_every_frame_of_reference(frame: LabelsFrame) -> None:
    poses = [lp.Pose.from_euler(0.1, 0.05, 0.4 + row, (500_000 + 3.0 * row, 20.0, 1.0)) for row in (0, 1)]
    ground = np.random.default_rng(0).uniform((-20, -20, 0), (20, 20, 0.1), (3000, 3))
    scene = scene_of([frame_of(ground, row, world_from_ego=pose) for row, pose in enumerate(poses)])
    frames = tuple(lp.LabelledFrame(one.id, one.index, None, one.world_from_ego) for one in scene)
    rows = [box_at((500_000 + 4.0 * row, 25, 1), (6, 2, 1.5), 0.3 + row, row, pitch=0.2) for row in (0, 1)]
    # The attachments of another run, with another offset than the picture's.
    labels = lp.Labels(frames, cuboids=lp.Cuboids.of_rows(rows), world_offset=(499_000.0, 7.0, 0.0))
    recipe = lp.Recipe(recentre=True)
    plain, in_world = (lp.top_down(scene, recipe=recipe, labels=one, size=(800, 640)) for one in (None, labels))
    assert plain.tobytes() != in_world.tobytes()
    drawn = lp.top_down(scene, recipe=recipe, labels=labels.in_frame(frame), size=(800, 640))
    assert drawn.tobytes() == in_world.tobytes()


def test_north_is_turned_as_the_gps_pose_says() -> None:
    points = np.random.default_rng(0).uniform(-20, 20, (50, 3))
    # The device looks along y of the world, and to the east by its bearing: north is to the left, along -x.
    pose = lp.Pose.from_euler(0, 0, np.pi / 2)
    plain = scene_of([frame_of(points, world_from_ego=pose)])
    known = scene_of([frame_of(points, world_from_ego=pose, gps=lp.GpsPose(0, 0, 90.0))])
    from lidarprep.report.top_down import _north

    view = SceneView.of(known)
    assert abs(abs(_north([view.look(view.frames[0])]) or 0) - np.pi) < 1e-9
    differ = (pixels_of(lp.top_down(plain)) != pixels_of(lp.top_down(known))).any(axis=2)
    rows, columns = np.nonzero(differ)
    assert columns.max() < 100
    assert rows.min() > 700


def test_heights_are_those_of_the_height_filter() -> None:
    rng = np.random.default_rng(3)
    pose = lp.Pose.from_euler(0.1, -0.2, 2.0, (40.0, -30.0, 12.0))
    points = rng.uniform(-30, 30, (200, 3))
    scene = scene_of([frame_of(points, world_from_ego=pose)])
    view = SceneView.of(scene, lp.Recipe(device_height=1.7))
    np.testing.assert_allclose(heights(view.look(view.frames[0])), points[:, 2] + 1.7, atol=1e-9)


def test_many_frames_are_drawn_evenly_and_few_by_the_slice() -> None:
    from lidarprep.report.drawn import DrawnFrames

    scene = scene_of([frame_of((row, 0, 0), row) for row in range(100)])
    drawn = DrawnFrames.read(scene, None, None)
    assert len(drawn.rows) == 20
    assert (drawn.rows[0], drawn.rows[-1]) == (0, 99)
    assert set(np.diff(drawn.rows)) <= {5, 6}
    assert DrawnFrames.read(scene, "10:16:2", None).rows == [10, 12, 14]
    with pytest.raises(RecipeError, match="keeps none"):
        lp.top_down(scene, frames="500:")


def test_an_aggregate_with_poses_inverted_looks_doubled(tmp_path: Path) -> None:
    lp.write_sample(tmp_path / "sample", frames=5, columns=900, image_width=64)
    # One region, so that both are drawn to one scale.
    recipe = lp.Recipe(region_of_interest_3d=lp.RegionOfInterest3D((0, 0, 0), 400, 400))
    occupied = []
    for options in ({}, {"poses_are": "inverted"}):
        scene = lp.open_scene(tmp_path / "sample", **options)
        picture = plot_of(lp.top_down(scene, color="frame", recipe=recipe, size=(1000, 1000)))
        colours = np.array(FRAME_COLOURS[:5])
        occupied.append((picture[:, :, None] == colours).all(axis=3).any(axis=2).sum())
    assert occupied[1] > 1.25 * occupied[0], "things at rest are drawn once for each frame"


@pytest.mark.parametrize("size", [(20, 400), (400, 20_000)])
def test_sizes_that_are_none_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(RecipeError, match="pixels"):
        lp.top_down(scene_of([frame_of((0, 0, 0))]), size=size)
