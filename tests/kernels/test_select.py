"""The fused pass against the same computation, column by column, in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lidarprep.kernels.select import HEIGHT, NO_RETURN, NOT_FINITE, REGION, transform_and_select
from lidarprep.scene import Pose

Array = NDArray[np.float64]
EVERYWHERE = np.array([0.0, 0.0, 1.0, 0.0, np.inf, np.inf])
ANY_HEIGHT = np.array([0.0, 0.0, 0.0, 0.0, -np.inf, np.inf])
NO_OFFSET = np.zeros(3)
NO_LIDAR = np.array([[1e9, 1e9, 1e9, 0.0]])
IDENTITY = np.ascontiguousarray(np.eye(4)[:3])


def select(
    positions: NDArray[np.floating],
    transform: Array = IDENTITY,
    offset: Array = NO_OFFSET,
    region: Array = EVERYWHERE,
    height: Array = ANY_HEIGHT,
    origins: Array = NO_LIDAR,
) -> tuple[NDArray[np.floating], list[int], list[int]]:
    """What the kernel keeps, the rows it kept, and how many it dropped by reason."""
    out, kept, dropped = np.empty_like(positions), np.empty(len(positions), np.int64), np.zeros(4, np.int64)
    count = transform_and_select(positions, transform, offset, origins, region, height, out, kept, dropped)
    return out[:count], kept[:count].tolist(), dropped.tolist()


def by_numpy(
    positions: NDArray[np.floating], transform: Array, offset: Array, region: Array, height: Array, origins: Array
) -> tuple[NDArray[np.floating], list[int], list[int]]:
    p = positions.astype(np.float64)
    finite = np.isfinite(p).all(axis=1)
    with np.errstate(invalid="ignore"):
        # In the order of the kernel's additions, so that edges are decided by equal numbers.
        world = np.column_stack([r[0] * p[:, 0] + r[1] * p[:, 1] + r[2] * p[:, 2] + r[3] for r in transform])
        dx, dy = world[:, 0] - region[0], world[:, 1] - region[1]
        along, across = region[2] * dx + region[3] * dy, region[2] * dy - region[3] * dx
        in_region = (np.abs(along) <= region[4]) & (np.abs(across) <= region[5])
        above = height[0] * p[:, 0] + height[1] * p[:, 1] + height[2] * p[:, 2] + height[3]
        in_band = (above >= height[4]) & (above <= height[5])
        away = ((p[:, None] - origins[:, :3]) ** 2).sum(axis=2)
        returned = finite & ~(away <= origins[:, 3] ** 2).any(axis=1)
    keep = returned & in_region & in_band
    dropped = [0, 0, 0, 0]
    dropped[NOT_FINITE] = int((~finite).sum())
    dropped[NO_RETURN] = int((finite & ~returned).sum())
    dropped[REGION] = int((returned & ~in_region).sum())
    dropped[HEIGHT] = int((returned & in_region & ~in_band).sum())
    return (world[keep] - offset).astype(positions.dtype), np.flatnonzero(keep).tolist(), dropped


def coordinates(dtype: type) -> st.SearchStrategy[NDArray[np.floating]]:
    width = 32 if dtype is np.float32 else 64
    ordinary = st.floats(-200, 200, width=width)
    any_number = st.floats(-(2.0**100), 2.0**100, width=width) | st.sampled_from([np.nan, np.inf, -np.inf, -0.0])
    whole = st.integers(-5, 5).map(float)
    return hnp.arrays(
        dtype, st.integers(0, 40).map(lambda n: (n, 3)), elements=st.one_of(ordinary, ordinary, whole, any_number)
    )


angles = st.floats(-np.pi, np.pi)
metres = st.floats(-100, 100)


# Wide zones and whole coordinates, so that points fall into them and onto their edges.
lidars = st.tuples(*[st.integers(-5, 5)] * 3, st.sampled_from([0.0, 1e-3, 1.0, 5.0, 150.0]))


@st.composite
def tasks(draw: st.DrawFn) -> tuple[Array, Array, Array, Array, Array]:
    pose = Pose.from_euler(draw(angles), draw(angles), draw(angles), (draw(metres), draw(metres), draw(metres)))
    angle = draw(angles)
    half = st.floats(1, 150)
    region = np.array([draw(metres), draw(metres), np.cos(angle), np.sin(angle), draw(half), draw(half)])
    low = draw(st.floats(-50, 50))
    height = np.array([*pose.rotation[2], draw(metres), low, low + draw(st.floats(0, 100))])
    return (
        np.ascontiguousarray(pose.matrix[:3]),
        np.array([draw(metres) for _ in range(3)]),
        draw(st.sampled_from([EVERYWHERE, region])),
        draw(st.sampled_from([ANY_HEIGHT, height])),
        np.array(draw(st.lists(lidars, min_size=1, max_size=4))),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_kept_and_dropped_is_what_numpy_keeps_and_drops(dtype: type) -> None:
    @given(coordinates(dtype), tasks())
    def check(positions: NDArray[np.floating], task: tuple[Array, Array, Array, Array, Array]) -> None:
        out, kept, dropped = select(positions, *task)
        expected_out, expected_kept, expected_dropped = by_numpy(positions, *task)
        assert kept == expected_kept
        assert dropped == expected_dropped
        assert out.dtype == positions.dtype
        assert np.array_equal(out, expected_out)
        assert len(kept) + sum(dropped) == len(positions)

    check()


def test_points_on_the_region_edge_are_kept() -> None:
    region = np.array([10.0, 20.0, 1.0, 0.0, 4.0, 3.0])
    inside = [[14, 20, 0], [6, 20, 0], [10, 23, 0], [10, 17, 0], [14, 23, 0]]
    outside = np.nextafter(inside, [[99, 20, 0], [-99, 20, 0], [10, 99, 0], [10, -99, 0], [14, 99, 0]])
    positions = np.vstack((inside, outside)).astype(np.float64)
    _, kept, dropped = select(positions, region=region)
    assert kept == [0, 1, 2, 3, 4]
    assert dropped[REGION] == 5


def test_both_ends_of_the_height_band_are_kept() -> None:
    height = np.array([0.0, 0.0, 1.0, 1.5, -1.0, 8.0])  # height above ground is z + 1.5
    z = np.array([-2.5, 6.5, -2.5 - 1e-9, 6.5 + 1e-9])
    _, kept, dropped = select(np.column_stack((z * 0, z * 0, z)), height=height)
    assert kept == [0, 1]
    assert dropped[HEIGHT] == 2


def test_the_first_reason_counts() -> None:
    region = np.array([0.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    height = np.array([0.0, 0.0, 1.0, 0.0, -1.0, 1.0])
    positions = np.array([[np.nan, 99, 99], [np.inf, 0, 0], [99, 0, 99], [0, 0, 99], [0, 0, -np.inf], [0, 0, 0]])
    _, kept, dropped = select(positions, region=region, height=height)
    assert kept == [5]
    assert (dropped[NOT_FINITE], dropped[REGION], dropped[HEIGHT]) == (3, 1, 1)


def test_points_at_a_lidar_are_no_returns_and_those_beyond_a_millimetre_are() -> None:
    lidars = np.array([[0.0, 0.0, 0.0, 1e-3], [0.9, 0.1, 1.8, 1e-3]])
    at_lidar = [[0, 0, 0], [0.0009, 0, 0], [0.9, 0.1, 1.8], [0.9, 0.1005, 1.8]]
    beyond = [[0.0011, 0, 0], [0.0009, 0.0009, 0], [0.9, 0.1, 1.7985], [0.45, 0.05, 0.9]]
    _, kept, dropped = select(np.array(at_lidar + beyond), origins=lidars)
    assert kept == [4, 5, 6, 7]
    assert dropped[NO_RETURN] == 4


def test_no_returns_count_before_region_and_height() -> None:
    region = np.array([100.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    positions = np.array([[0.0, 0, 0], [np.nan, 0, 0], [5, 0, 0], [100, 0, 0]])
    _, kept, dropped = select(positions, region=region, origins=np.array([[0.0, 0, 0, 1e-3]]))
    assert kept == [3]
    assert (dropped[NO_RETURN], dropped[NOT_FINITE], dropped[REGION]) == (1, 1, 1)


def test_infinities_of_both_signs_do_not_cancel() -> None:
    _, kept, dropped = select(np.array([[np.inf, -np.inf, 0.0], [1.0, 2.0, 3.0]]))
    assert kept == [1]
    assert dropped[NOT_FINITE] == 1


def test_the_largest_float32s_are_finite() -> None:
    largest = np.finfo(np.float32).max
    positions = np.array([[largest, largest, largest], [-largest, largest, 0]], dtype=np.float32)
    out, kept, _ = select(positions)
    assert kept == [0, 1]
    assert np.array_equal(out, positions)


def test_no_points_give_no_points() -> None:
    out, kept, dropped = select(np.empty((0, 3)))
    assert (len(out), kept, dropped) == (0, [], [0, 0, 0, 0])


def test_the_offset_leaves_the_region_where_it_was() -> None:
    region = np.array([1e6, 0.0, 1.0, 0.0, 1.0, 1.0])
    out, kept, _ = select(np.array([[1e6, 0.0, 0.0], [0.0, 0.0, 0.0]]), offset=np.array([1e6, 0, 0]), region=region)
    assert kept == [0]
    assert out.tolist() == [[0.0, 0.0, 0.0]]
