"""The checks of times, on scenes in memory: rate, order, sweeps, clocks, cameras; and what is sound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.checks import date_of, sample_of
from lidarprep.checks._times import odd_times
from lidarprep.scene import Camera, CameraImage, Finding, Frame, PointCloud, Pose, Scene, Trajectory
from lidarprep.scene.points import TimeUnit
from tests.checks.rigs import WIDE

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
STEPS = [k * 100 * MS for k in range(6)]


def scene_of(
    timestamps: list[int],
    *,
    point_times: np.ndarray | None = None,
    relative: bool = True,
    unit: TimeUnit | None = "ns",
    images: list[int] | None = None,
) -> Scene:
    """Frames at these times; points' times (N,) in nanoseconds as they were read; images that much after the frames."""
    camera = Camera("front", 0, WIDE)
    frames = []
    for index, time in enumerate(timestamps):
        times = None if point_times is None else point_times + (0 if relative else time)
        cloud = PointCloud(np.zeros((0 if times is None else len(times), 3)), timestamp=times, guessed_unit=unit)
        taken = () if images is None else (CameraImage(camera, timestamp=time + images[index]),)
        frames.append(Frame(f"{index}", index, lambda cloud=cloud: cloud, None, Pose.identity(), time, taken))  # type: ignore[misc]
    return Scene("memory", "memory", tuple(frames), (camera,) if images is not None else ())


def found(scene: Scene) -> list[Finding]:
    return odd_times(scene, [sample_of(frame, frame.points()) for frame in scene])


def codes(scene: Scene) -> list[str]:
    return [finding.code for finding in found(scene)]


SWEEP = np.linspace(0, 99 * MS, 500).astype(np.int64)


@given(
    hertz=st.integers(1, 200),
    start=st.sampled_from((0, T0)),
    share=st.floats(0.05, 1.1),
    begins=st.sampled_from((-1.0, -0.5, 0.0)),
    relative=st.booleans(),
)
def test_lidars_of_any_rate_are_sound(hertz: int, start: int, share: float, begins: float, relative: bool) -> None:
    step = 10**9 // hertz
    times = ((np.linspace(0, share, 300) + begins * share) * step).astype(np.int64)
    frames = [start + k * step for k in range(5)]
    # A share of a second from 0 to 1 is that of a device at 1 Hz.
    assert codes(scene_of(frames, point_times=times, relative=relative)) == []


@pytest.mark.parametrize("span_ms", [50, 500, 5000])
def test_sweeps_of_keyframes_and_accumulated_ones_are_sound(span_ms: int) -> None:
    times = np.linspace(0, span_ms * MS, 500).astype(np.int64)
    assert codes(scene_of([T0 + k * 500 * MS for k in range(5)], point_times=times)) == []


def test_a_lidar_that_measures_all_at_once_is_sound() -> None:
    assert codes(scene_of([T0 + s for s in STEPS], point_times=np.zeros(500, dtype=np.int64))) == []
    assert codes(scene_of([T0 + s for s in STEPS], point_times=np.arange(500))) == []


@pytest.mark.parametrize(
    ("factor", "read", "meant"), [(1e-3, "ns", "us"), (1e-6, "ns", "ms"), (1e6, "s", "us"), (1e3, "s", "ms")]
)
def test_points_in_another_unit_are_found(factor: float, read: TimeUnit, meant: str) -> None:
    scene = scene_of([T0 + s for s in STEPS], point_times=(SWEEP * factor).astype(np.int64), unit=read)
    (finding,) = found(scene)
    assert (finding.code, finding.severity) == ("point-time-unit", "warning")
    assert finding.option is not None
    assert finding.option.flag == f"--time-unit points={meant}"
    assert finding.option.python == f"time_unit='points={meant}'"
    # Where the field states its unit, no option changes it.
    (stated,) = found(scene_of([T0 + s for s in STEPS], point_times=(SWEEP * factor).astype(np.int64), unit=None))
    assert stated.option is None


def test_shares_of_a_sweep_are_found_unless_a_sweep_takes_a_second() -> None:
    shares = np.linspace(0, 10**9, 500).astype(np.int64)
    (finding,) = found(scene_of([T0 + s for s in STEPS], point_times=shares, unit="s"))
    assert "shares of a sweep from 0 to 1" in finding.message
    assert codes(scene_of([T0 + k * 10**9 for k in range(4)], point_times=shares, unit="s")) == []


@pytest.mark.parametrize(("factor", "unit"), [(10**3, "us"), (10**6, "ms"), (10**9, "s")])
def test_frames_too_often_are_found_and_nothing_is_to_be_left_out(factor: int, unit: str) -> None:
    times = [s // factor for s in [T0 + k * 100 * MS for k in (0, 1, 2, 2, 3)]]
    if unit == "s":
        times = [0, 1, 2, 2, 3]
    findings = found(scene_of(times))
    assert [finding.code for finding in findings] == ["frame-rate", "frames-doubled"]
    if unit != "s":
        assert findings[0].option is not None
        assert findings[0].option.flag == f"--time-unit {unit}"
    assert "frame-order" not in findings[1].advice
    assert "frame-rate" in findings[1].advice


def test_times_in_whole_seconds_are_not_to_be_sorted_by() -> None:
    (finding,) = found(scene_of([T0 + k // 4 * 10**9 for k in range(12)]))
    assert finding.code == "frames-doubled"
    assert "whole seconds" in finding.message
    assert finding.option is None
    assert "keep 3 of the 12 frames" in finding.advice
    (single,) = found(scene_of([T0 + k * 10**9 for k in (0, 1, 2, 3, 4, 4, 5, 6, 7)]))
    assert single.option is not None


@pytest.mark.parametrize(("seconds", "clause"), [(18, "GPS time and UTC"), (-37, "TAI and UTC"), (5, "")])
def test_points_of_another_clock_are_found(seconds: int, clause: str) -> None:
    times = SWEEP + seconds * 10**9
    (finding,) = found(scene_of([T0 + s for s in STEPS], point_times=times, relative=False))
    assert (finding.code, round(float(finding.found or 0))) == ("clock-offset", seconds)
    assert clause in finding.message


@pytest.mark.parametrize(
    ("begin", "end", "expected"), [(18, 18, True), (-37, -37, True), (-1, 1, False), (3, 3, False)]
)
def test_poses_of_another_clock_are_found(begin: int, end: int, expected: bool) -> None:
    scene = scene_of([T0 + k * 100 * MS for k in range(600)])
    times = np.linspace(T0 + begin * 10**9, T0 + 59_900 * MS + end * 10**9, 50).astype(np.int64)
    path = Trajectory.from_poses(times.tolist(), [Pose.identity()] * 50)
    assert codes(replace(scene, trajectory=path)) == (["clock-offset"] if expected else [])


@given(delay=st.integers(-300, 300), jitter=st.integers(0, 5))
def test_a_constant_delay_of_half_a_frame_or_more_is_always_found(delay: int, jitter: int) -> None:
    images = [(delay * MS) + (jitter * MS if k % 2 else -jitter * MS) for k in range(6)]
    findings = found(scene_of([T0 + s for s in STEPS], images=images))
    assert [finding.code for finding in findings] == (
        ["camera-delay"] if abs(float(np.median(images))) >= 49 * MS else []
    )
    for finding in findings:
        assert finding.found == delay
        assert finding.severity == ("warning" if abs(delay) >= 95 else "note")


def test_a_time_is_written_as_a_date_where_it_is_one() -> None:
    assert date_of(T0) == "2023-11-14T22:13:20.000Z"
    assert date_of(1_700_000_000) == "1.7 s, no date of today"
