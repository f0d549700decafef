"""The page's plots: what is drawn is parsed as XML, and is what the figures say."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.report.page.figures import Distributions, FrameFigures, Histogram
from lidarprep.report.page.plots import Mark, Series, histogram, short_count, stacked_bars, time_strip
from lidarprep.report.page.times import sensor_times
from lidarprep.report.views import Fate, FrameView


def parse(svg: str) -> ElementTree.Element:
    root = ElementTree.fromstring(svg)
    title, description = root.find("title"), root.find("desc")
    assert title is not None
    assert description is not None
    assert root.get("role") == "img"
    assert (root.get("aria-labelledby") or "").split() == [title.get("id"), description.get("id")]
    return root


def bars(root: ElementTree.Element, kind: str) -> list[tuple[float, float, float, float]]:
    """The bars of a class: left, right, bottom, top."""
    path = next((one.get("d") for one in root.iter("path") if one.get("class") == f"bar {kind}"), "")
    found = re.findall(r"M([\d.-]+) ([\d.-]+)V([\d.-]+)H([\d.-]+)V[\d.-]+z", path or "")
    return [(float(left), float(right), float(bottom), float(top)) for left, bottom, top, right in found]


@pytest.mark.parametrize("seed", range(4))
def test_a_histogram_counts_as_numpy_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, kept = rng.normal(0, 3, 5000), rng.random(5000) < 0.7
    values[:3] = (-4.0, 4.0, 0.0)  # on edges
    data = Histogram(-4.0, 4.0, 16)
    data.add(values[:2000], kept[:2000])
    data.add(values[2000:], kept[2000:])
    for rows, counts in ((kept, data.kept), (~kept, data.dropped)):
        assert counts.tolist() == np.histogram(values[rows], bins=16, range=(-4.0, 4.0))[0].tolist()
    assert data.outside == int((np.abs(values) > 4).sum())


def test_a_trimmed_histogram_leaves_out_ends_and_counts_them() -> None:
    data = Histogram(0.0, 100.0, 100)
    data.add(np.concatenate((np.full(5000, 40.5), np.full(5000, 45.5), [1.0, 99.0])), np.ones(10_002, dtype=bool))
    shown = data.trimmed()
    assert (shown.lowest, shown.highest) == (40.0, 46.0)
    assert int(shown.kept.sum()) == 10_000
    assert shown.outside == 2
    empty = Histogram(0.0, 1.0, 5)
    assert empty.trimmed() is empty


def test_bars_stand_on_one_another_with_heights_by_their_counts() -> None:
    data = Histogram(0.0, 4.0, 4)
    data.kept[:] = (10, 0, 20, 5)
    data.dropped[:] = (10, 5, 0, 0)
    root = parse(histogram("h", "Heights", "said <here>", data, "m", band=(1.0, 3.0), marks=[Mark(2.0, "ground & co")]))
    kept, dropped = bars(root, "kept"), bars(root, "dropped")
    heights = [bottom - top for _, _, bottom, top in kept]
    assert [height / heights[0] for height in heights] == pytest.approx([1.0, 2.0, 0.5], abs=0.01)
    assert dropped[0][2] == pytest.approx(kept[0][3], abs=0.11)
    assert dropped[0][:2] == kept[0][:2]
    band = next(one for one in root.iter("rect") if one.get("class") == "band")
    assert float(band.get("x", "")) == pytest.approx(kept[0][1], abs=0.11)
    assert float(band.get("width", "")) == pytest.approx(2 * (kept[0][1] - kept[0][0]), abs=0.3)
    assert "ground & co" in [text.text for text in root.iter("text")]
    assert root.findtext("desc") == "said <here>"


def test_stacked_bars_are_by_fate_and_many_frames_are_drawn_as_means() -> None:
    counts = np.array([[100, 50], [200, 0], [0, 0]])
    root = parse(stacked_bars("f", "Points", "said", counts, ["kept", "region"], bad=[2]))
    kept, region = bars(root, "fate-kept"), bars(root, "fate-region")
    assert len(kept) == 2
    assert kept[1][2] - kept[1][3] == pytest.approx(2 * (kept[0][2] - kept[0][3]), abs=0.2)
    assert region[0][2] == pytest.approx(kept[0][3], abs=0.11)
    assert [one.get("class") for one in root.iter("path")].count("bad") == 1
    many = parse(stacked_bars("f", "Points", "said", np.full((1000, 1), 7), ["kept"]))
    assert len(bars(many, "fate-kept")) == 200
    assert any("mean of 5" in (text.text or "") for text in many.iter("text"))


def test_an_empty_plot_is_still_one() -> None:
    parse(histogram("h", "Heights", "none", Histogram(0.0, 1.0, 3), "m"))
    parse(stacked_bars("f", "Points", "none", np.zeros((0, 2), dtype=np.int64), ["kept", "region"]))
    parse(time_strip("t", "Time", "none", [Series("lidar", np.zeros(1), np.zeros(0))], 0.0))


def test_the_strip_of_time_shows_gaps_delays_and_drops() -> None:
    times = [0, 1, 2, 3, 6, 7, 8, 9]  # tenths of a second
    camera = lp.Camera("front <1>", 0, lp.Intrinsics(500, 500, 320, 240))
    images = [lp.CameraImage(camera, timestamp=10**18 + t * 10**8 + 20_000_000) for t in times]
    frames = [
        lp.Frame(str(t), n, _no_points, timestamp=10**18 + t * 10**8, images=() if t == 2 else (images[n],))
        for n, t in enumerate(times)
    ]
    figures = [FrameFigures(frame.id, frame.index, frame.timestamp, True) for frame in frames]
    figures[-1] = replace(figures[-1], error="cannot be read")
    (lidar, front), duration = sensor_times(frames, figures)
    assert duration == pytest.approx(0.9)
    assert lidar.rate == pytest.approx(10.0)
    assert lidar.series.gaps == [(pytest.approx(0.3), pytest.approx(0.6))]
    assert lidar.series.missing.tolist() == pytest.approx([0.9])
    assert front.delay_ms == pytest.approx(20.0)
    assert front.series.missing.tolist() == pytest.approx([0.2])
    assert len(front.series.gaps) == 2
    root = parse(time_strip("t", "Time", "said", [lidar.series, front.series], duration))
    ticks = [one.get("d") or "" for one in root.iter("path") if (one.get("class") or "").startswith("tick")]
    assert [path.count("M") for path in ticks] == [7, 7]
    assert len([one for one in root.iter("rect") if one.get("class") == "gap"]) == 3
    assert "front <1>" in [text.text for text in root.iter("text")]


def test_frames_without_times_have_no_strip() -> None:
    assert sensor_times([lp.Frame("a", 0, _no_points)], [FrameFigures("a", 0, None, True)]) == ([], 0.0)


def test_heights_and_ranges_are_counted_from_the_device() -> None:
    pose = lp.Pose.from_euler(0.0, 0.0, np.pi / 2, (1000.0, 2000.0, 50.0))
    ego = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 12.0], [1.0, 0.0, -1.0]])
    fate = np.array([Fate.KEPT, Fate.HEIGHT, Fate.NO_RETURN], dtype=np.uint8)
    intensity = np.array([0.5, 1.0, 0.0], dtype=np.float32)
    frame = lp.Frame("a", 0, _no_points)
    found = Distributions()
    found.add(FrameView(frame, pose, pose.apply(ego), fate, intensity))
    middles: dict[str, Any] = {}
    for name in ("heights", "ranges", "intensities"):
        data: Histogram = getattr(found, name)
        edges = data.edges
        for kind in ("kept", "dropped"):
            (row,) = np.flatnonzero(getattr(data, kind))
            middles[f"{name} {kind}"] = (edges[row], edges[row + 1])
    for name, value in {
        "heights kept": 0.01, "heights dropped": 12.01, "ranges kept": 5.0, "ranges dropped": 12.0,
        "intensities kept": 0.501, "intensities dropped": 0.999,
    }.items():  # fmt: skip
        low, high = middles[name]
        assert low - 0.02 <= value <= high + 0.02


def test_counts_are_short() -> None:
    assert [short_count(count) for count in (0, 950, 1000, 150_000, 1_250_000)] == ["0", "950", "1k", "150k", "1.25M"]


def _no_points() -> lp.PointCloud:
    return lp.PointCloud(np.zeros((0, 3)))
