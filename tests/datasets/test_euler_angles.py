"""Roll, pitch and yaw of a table of poses: their unit, named, told by the numbers, or asked for; and times in pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lidarprep.datasets import open_scene
from lidarprep.datasets.euler_angles import guess_unit, quaternions_of
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.pose_files import read_poses
from lidarprep.errors import FormatError
from lidarprep.pointfiles import write_points
from lidarprep.scene import PointCloud

T0 = 1_700_000_000


def _curve(start: float, turn: float, *, steps: int = 20, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(N,) radians of heading and (N, 2) metres of a drive that turns by so many radians a step of 1.5 m."""
    yaw = start + turn * np.arange(steps)
    middle = (yaw[:-1] + yaw[1:]) / 2 + offset
    places = np.vstack((np.zeros(2), np.cumsum(1.5 * np.column_stack((np.cos(middle), np.sin(middle))), axis=0)))
    return yaw, places


def _guess(yaw: np.ndarray, places: np.ndarray, unit: str) -> tuple[str, bool]:
    angles = np.column_stack((np.full(len(yaw), 0.01), np.full(len(yaw), -0.02), yaw))
    guess = guess_unit(np.degrees(angles) if unit == "degrees" else angles, np.column_stack((places, 0 * yaw)))
    return guess.unit, guess.certain


@given(start=st.floats(-np.pi, np.pi), turn=st.floats(-0.08, 0.08), offset=st.sampled_from([0.0, np.pi]))
def test_the_unit_of_a_drive_is_told_from_its_heading_and_travel(start: float, turn: float, offset: float) -> None:
    if offset and abs(turn) < 0.05:
        turn = 0.08  # a device that reverses on a straight way may as well go ahead, by the other unit
    yaw, places = _curve(start, turn, offset=offset)
    assert _guess(yaw, places, "radians")[0] == "radians"
    in_degrees = np.degrees(yaw)
    if np.abs(in_degrees).max() > 7 and np.ptp(in_degrees) > 30:
        assert _guess(yaw, places, "degrees") == ("degrees", True)


@pytest.mark.parametrize("turns", [3.0, -4.0])
def test_a_yaw_in_radians_that_is_counted_on_over_the_turns_is_radians(turns: float) -> None:
    yaw, places = _curve(0.3, turns * 2 * np.pi / 60, steps=60)
    assert _guess(yaw, places, "radians") == ("radians", True)
    assert _guess(yaw, places, "degrees") == ("degrees", True)


def test_a_device_at_rest_is_told_by_its_attitude_alone() -> None:
    at_rest = np.zeros((3, 3))
    assert guess_unit(np.array([[0.5, -1.2, 90.0], [0.5, -1.2, 91.0], [0.5, -1.2, 92.0]]), at_rest).unit == "degrees"
    assert guess_unit(np.array([[0.5, -12.0, 1.0]]), at_rest[:1]).unit == "degrees"
    doubtful = guess_unit(np.array([[0.5, -1.2, 1.0]] * 3), at_rest)
    assert (doubtful.unit, doubtful.certain) == ("radians", False)


@given(st.lists(st.tuples(*[st.floats(-3.1, 3.1)] * 3), min_size=1, max_size=4))
def test_quaternions_are_scipys(angles: list[tuple[float, float, float]]) -> None:
    yaw_first = np.array(angles)[:, ::-1]
    expected = Rotation.from_euler("ZYX", yaw_first).as_matrix()
    found = Rotation.from_quat(quaternions_of(np.array(angles)), scalar_first=True).as_matrix()
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    "names",
    [
        "roll_deg,pitch_deg,yaw_deg",
        "roll [deg],pitch [deg],yaw [deg]",
        "roll(°),pitch(°),yaw(°)",
        "pose.roll_degrees,pose.pitch_degrees,pose.yaw_degrees",
        "roll,pitch,yaw_deg",
        "rotation.roll,rotation.pitch,rotation.yaw",
    ],
)
def test_angles_in_degrees_are_read_so_by_name_or_by_their_numbers(tmp_path: Path, names: str) -> None:
    path = tmp_path / "poses.csv"
    path.write_text(f"x,y,z,{names}\n" + "".join(f"{k},0,0,1.5,-3,{90 + k}\n" for k in range(3)))
    table = read_poses(path)
    expected = Rotation.from_euler("ZYX", [[90 + k, -3, 1.5] for k in range(3)], degrees=True)
    found = Rotation.from_quat(table.quaternions, scalar_first=True)
    assert float((found * expected.inv()).magnitude().max()) < 1e-12
    assert ("taken as degrees" in " ".join(table.notes)) == ("deg" not in names and "°" not in names)


def test_the_unit_that_is_asked_for_has_priority_and_is_refused_where_there_is_no_angle(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    path.write_text("x,y,z,roll,pitch,yaw\n0,0,0,0,0,2\n1,0,0,0,0,2\n")
    by_guess, by_word = read_poses(path), read_poses(path, OpenOptions(poses_are="degrees"))
    assert "radians" in by_guess.notes[0]
    assert "--poses-are degrees" in by_guess.notes[0]
    assert Rotation.from_quat(by_guess.quaternions[0], scalar_first=True).magnitude() == pytest.approx(2)
    assert Rotation.from_quat(by_word.quaternions[0], scalar_first=True).magnitude() == pytest.approx(np.radians(2))
    path.write_text("x,y,z,qw,qx,qy,qz\n0,0,0,1,0,0,0\n")
    with pytest.raises(FormatError, match="no roll, pitch and yaw that could be degrees"):
        read_poses(path, OpenOptions(poses_are="degrees"))


def test_the_option_reaches_the_poses_of_a_folder(tmp_path: Path) -> None:
    for row in range(2):
        write_points(tmp_path / f"{row}.ply", PointCloud(np.ones((5, 3), np.float32), "ego"))
    (tmp_path / "poses.csv").write_text("x,y,z,roll,pitch,yaw\n0,0,0,0,0,2\n1,0,0,0,0,2\n")
    for unit, expected in (("degrees", np.radians(2)), ("radians", 2.0)):
        pose = open_scene(tmp_path, poses_are=unit)[0].world_from_ego  # type: ignore[arg-type]
        assert pose is not None
        assert pose.yaw == pytest.approx(expected)
    inverted = open_scene(tmp_path, poses_are="inverted")[1].world_from_ego
    assert inverted is not None
    assert inverted.yaw == pytest.approx(-2)
    (tmp_path / "poses.csv").unlink()
    assert any("--poses-are" in note for note in open_scene(tmp_path, poses_are="degrees").notes)


# ---- times in pairs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "beyond", "expected"),
    [
        ("secs,nsecs", "570000000.0", 570_000_000),
        ("header.stamp.secs,header.stamp.nsecs", "5.7e8", 570_000_000),
        ("sec,nanosec", "70000000", 70_000_000),
        ("tv_sec,tv_usec", "570000.0", 570_000_000),
        ("stamp_s,stamp_ms", "570", 570_000_000),
        ("secs,nsecs", "0.0", 0),
    ],
)
def test_a_pair_of_columns_is_one_time_however_it_is_written(
    tmp_path: Path, header: str, beyond: str, expected: int
) -> None:
    path = tmp_path / "poses.csv"
    path.write_text(f"{header},x,y,z,qx,qy,qz,qw\n{T0}.0,{beyond},1,2,3,0,0,0,1\n{T0 + 1},{beyond},1,2,3,0,0,0,1\n")
    assert read_poses(path).timestamps == [T0 * 10**9 + expected, (T0 + 1) * 10**9 + expected]


@pytest.mark.parametrize("beyond", ["", "nan", "-5", "1000000000", "half"])
def test_what_is_no_part_of_a_second_is_refused_by_its_column(tmp_path: Path, beyond: str) -> None:
    path = tmp_path / "poses.csv"
    path.write_text(f"secs,nsecs,x,y,z,qx,qy,qz,qw\n{T0},{beyond},1,2,3,0,0,0,1\n")
    with pytest.raises(FormatError, match=r"line 2, column 'nsecs'.*beyond whole seconds"):
        read_poses(path)


def test_two_columns_of_the_whole_time_are_no_pair(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    path.write_text(
        "timestamp_s,timestamp_ns,x,y,z,qx,qy,qz,qw\n0.0,0,1,2,3,0,0,0,1\n"
        "0.5,500000000,1,2,3,0,0,0,1\n1.5,1500000000,1,2,3,0,0,0,1\n"
    )
    assert read_poses(path).timestamps == [0, 500_000_000, 1_500_000_000]
