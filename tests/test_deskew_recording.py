"""Motion compensation on a generated recording, beside the recording of the same rays that needs none.

Poses are there for each frame alone, so that the first and the last sweep reach half a sweep beyond them.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import lidarprep as lp
from lidarprep.attachments import get_format
from lidarprep.sample import write_sample
from lidarprep.sample._sensors import LIDAR_NOISE_M
from lidarprep.sample._solids import Solids
from lidarprep.sample._street import FRAME_SECONDS, Street, travel

Array = NDArray[np.float64]
FRAMES, SEED = 12, 0


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The recording, its motion compensated when it was made, and not."""
    base = tmp_path_factory.mktemp("recordings")
    for compensated in (True, False):
        write_sample(
            base / str(compensated),
            frames=FRAMES,
            seed=SEED,
            columns=300,
            image_width=16,
            motion_compensated=compensated,
        )
    return {compensated: base / str(compensated) for compensated in (True, False)}


def world_points(folder: Path, out: Path, *, deskew: bool) -> tuple[list[Array], lp.Manifest]:
    """(N, 3) positions of each frame in the world, as they are prepared, and the manifest."""
    recipe = lp.Recipe(format="protobuf", deskew=deskew)
    manifest = lp.prepare(lp.open_scene(folder), recipe, out)
    decode = get_format("protobuf").decode
    frames = [decode((out / attachment.url).read_bytes()).points() for attachment in manifest.attachments]
    return [points.positions.astype(np.float64) for points in frames], manifest


@pytest.fixture(scope="module")
def prepared(folders: dict[bool, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Array]]:
    out = tmp_path_factory.mktemp("prepared")
    return {
        "true": world_points(folders[True], out / "true", deskew=False)[0],
        "left": world_points(folders[False], out / "left", deskew=False)[0],
        "deskewed": world_points(folders[False], out / "deskewed", deskew=True)[0],
    }


def test_each_point_comes_to_where_it_was_measured(prepared: dict[str, list[Array]]) -> None:
    """The same rays with the same noise, so point by point."""
    for frame, (true, left, deskewed) in enumerate(
        zip(prepared["true"], prepared["left"], prepared["deskewed"], strict=True)
    ):
        off = np.linalg.norm(left - true, axis=1)
        on = np.linalg.norm(deskewed - true, axis=1)
        assert off.max() > 0.35  # 8 m/s for half a sweep
        assert np.median(off) > 0.15
        # At 10 Hz linear poses miss the car's swaying by up to 4 mm at 100 m; beyond the last pose by some more.
        assert on.max() < (0.01 if frame in (0, FRAMES - 1) else 0.005)
        assert np.median(on) < 0.0015


def house_ends(seed: int) -> tuple[Solids, NDArray[np.int64]]:
    """The houses of the street that the recording was made in; their ends face along the street."""
    seconds = FRAMES * FRAME_SECONDS
    street = Street(np.random.default_rng([seed, 0]), seconds, float(travel(seconds)))
    solids = street.at(0.0, np.zeros(3))
    return solids, np.flatnonzero(solids.window >= 0)


def walls(points: list[Array]) -> Iterator[tuple[list[NDArray[np.int64]], Array]]:
    """The house ends that are seen well: the rows of their points in each frame, and their normal."""
    solids, houses = house_ends(SEED)
    for house in houses:
        c, n = solids.turn[house]
        axes = np.array([[c, -n, 0], [n, c, 0], [0, 0, 1]])
        own = [(frame - solids.centre[house]) @ axes for frame in points]
        for side in (-1, 1):
            rows = [
                np.flatnonzero(
                    (np.abs(side * p[:, 0] - solids.half[house][0]) < 4 * LIDAR_NOISE_M)
                    & (np.abs(p[:, 1:]) < solids.half[house][1:] - 0.3).all(axis=1)
                )
                for p in own
            ]
            if sum(map(len, rows)) >= 300:
                yield rows, axes[:, 0]


def off_plane(points: Array) -> Array:
    """(N,) metres that points are off the plane that fits them best."""
    centred = points - points.mean(axis=0)
    normal = np.linalg.svd(centred, full_matrices=False)[2][2]
    distances: Array = centred @ normal
    return distances


def test_walls_are_flat_again(prepared: dict[str, list[Array]]) -> None:
    """The ends of houses, as the car drives past them: each sweep has them at another time of its turn.

    One stands right behind the car, where a sweep begins and ends: half of it is measured 0.1 s after the other half.
    """
    bends: dict[str, list[float]] = {"left": [], "deskewed": []}
    roughness: dict[str, list[float]] = {"true": [], "left": [], "deskewed": []}
    for rows, normal in walls(prepared["true"]):
        wall = {
            name: np.vstack([frame[row] for frame, row in zip(frames, rows, strict=True)])
            for name, frames in prepared.items()
        }
        for name, found in bends.items():
            found.append(float(np.ptp((wall[name] - wall["true"]) @ normal)))
        for name, off in roughness.items():
            off.append(float(off_plane(wall[name]).std()))
    assert len(bends["left"]) >= 5
    # How far the wall's points are displaced along its normal, between the most and the least.
    assert np.median(bends["left"]) > 0.03
    assert max(bends["left"]) > 0.7
    assert max(bends["deskewed"]) < 0.005
    # What is left of a wall's roughness is the noise of the ranges.
    assert max(roughness["left"]) > 2 * LIDAR_NOISE_M
    assert max(roughness["deskewed"]) < 1.1 * LIDAR_NOISE_M
    np.testing.assert_allclose(roughness["deskewed"], roughness["true"], atol=0.001)


def test_what_was_extrapolated_is_said_with_its_figure(folders: dict[bool, Path], tmp_path: Path) -> None:
    _, manifest = world_points(folders[False], tmp_path / "out", deskew=True)
    (note,) = [note for note in manifest.notes if "going on steadily" in note]
    assert "frame 0: " in note
    assert "up to 50 ms beyond the device's poses" in note
    assert note.endswith("(2 frames)")


def test_a_pool_of_processes_deskews_the_same(folders: dict[bool, Path], tmp_path: Path) -> None:
    scene, recipe = lp.open_scene(folders[False]), lp.Recipe(deskew=True, frames=":2", format="protobuf")
    here = lp.prepare(scene, recipe, tmp_path / "here")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = lp.prepare(scene, recipe, tmp_path / "there", executor=pool)
    assert there.to_json() == here.to_json()


def test_times_that_count_from_the_frame_give_the_same(folders: dict[bool, Path], tmp_path: Path) -> None:
    scene = lp.open_scene(folders[False])

    def offsets(frame: lp.Frame) -> lp.Frame:
        points = frame.points()
        assert points.timestamp is not None
        assert frame.timestamp is not None
        counted = points.timestamp - frame.timestamp
        return replace(frame, read_points=lambda: replace(points, timestamp=counted))

    recipe = lp.Recipe(deskew=True, format="protobuf")
    manifest = lp.prepare(replace(scene, frames=tuple(map(offsets, scene.frames[:2]))), recipe, tmp_path / "offsets")
    assert any("counting from their frame's timestamp (2 frames)" in note for note in manifest.notes)
    expected = lp.prepare(replace(scene, frames=scene.frames[:2]), recipe, tmp_path / "absolute")
    for one, other in zip(manifest.attachments, expected.attachments, strict=True):
        a, b = (
            get_format("protobuf").decode((tmp_path / folder / record.url).read_bytes()).points()
            for folder, record in (("offsets", one), ("absolute", other))
        )
        np.testing.assert_array_equal(a.positions, b.positions)
        assert a.timestamp is not None
        np.testing.assert_array_equal(a.timestamp, b.timestamp)  # on the frames' clock in the end


def test_the_points_keep_their_times_and_pictures_and_radar_their_place(
    folders: dict[bool, Path], tmp_path: Path
) -> None:
    scene = lp.open_scene(folders[False])
    out = {}
    for deskew in (False, True):
        manifest = lp.prepare(scene, lp.Recipe(deskew=deskew, frames="1:2"), tmp_path / str(deskew))
        out[deskew] = get_format("json").decode((tmp_path / str(deskew) / manifest.attachments[0].url).read_bytes())
    left, moved = out[False], out[True]
    assert moved.points().timestamp is not None
    np.testing.assert_array_equal(moved.points().timestamp, left.points().timestamp)
    np.testing.assert_array_equal(moved.points().intensity, left.points().intensity)
    radar, expected = moved.radar(), left.radar()
    assert radar is not None
    assert expected is not None
    np.testing.assert_array_equal(radar.positions, expected.positions)
    assert [image.world_from_camera for image in moved.images] == [image.world_from_camera for image in left.images]


class TestWhatCannotBeDeskewed:
    """is refused, with what to do."""

    def prepare(self, scene: lp.Scene, out: Path) -> None:
        lp.prepare(scene, lp.Recipe(deskew=True), out)

    def test_points_without_times(self, folders: dict[bool, Path], tmp_path: Path) -> None:
        with pytest.raises(lp.SceneError, match="frame 0: its points have no times of their own"):
            self.prepare(lp.open_scene(folders[True]), tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_poses_without_times(self, folders: dict[bool, Path], tmp_path: Path) -> None:
        scene = lp.open_scene(folders[False])
        frames = tuple(replace(frame, timestamp=None) for frame in scene)
        with pytest.raises(lp.RecipeError, match="has no pose with a time"):
            self.prepare(replace(scene, frames=frames), tmp_path / "out")
        with pytest.raises(lp.RecipeError, match="has one pose with a time"):
            self.prepare(replace(scene, frames=scene.frames[:1]), tmp_path / "out")
        some = (scene[0], scene[1], replace(scene[2], timestamp=None))
        with pytest.raises(lp.SceneError, match="frame 2 has no timestamp"):
            self.prepare(replace(scene, frames=some), tmp_path / "out")

    def test_points_in_the_world(self, folders: dict[bool, Path], tmp_path: Path) -> None:
        with pytest.raises(lp.RecipeError, match="are in the world"):
            self.prepare(lp.open_scene(folders[False], points_frame="world"), tmp_path / "out")

    def test_points_that_are_compensated_already(self, folders: dict[bool, Path], tmp_path: Path) -> None:
        scene = replace(lp.open_scene(folders[False]), motion_compensated=True)
        with pytest.raises(lp.RecipeError, match="are motion-compensated already; deskew would bend them"):
            self.prepare(scene, tmp_path / "out")

    @pytest.mark.parametrize(
        ("factor", "shift", "match"),
        [
            (1, 37_000_000_000, r"measured up to 37\.05 s from its timestamp"),  # TAI for UTC
            (1e-3, 0, r"measured up to 1\.698e\+09 s from its timestamp"),  # microseconds
        ],
    )
    def test_times_of_another_clock_or_unit(
        self, folders: dict[bool, Path], tmp_path: Path, factor: float, shift: int, match: str
    ) -> None:
        scene = lp.open_scene(folders[False])
        points = scene[0].points()
        assert points.timestamp is not None
        times = (points.timestamp * factor).astype(np.int64) + shift
        odd = replace(scene[0], read_points=lambda: replace(points, timestamp=times))
        with pytest.raises(lp.SceneError, match=match):
            self.prepare(replace(scene, frames=(odd, *scene.frames[1:])), tmp_path / "out")

    def test_offsets_that_no_sweep_has(self, folders: dict[bool, Path], tmp_path: Path) -> None:
        scene = lp.open_scene(folders[False])
        points = scene[0].points()
        times = np.linspace(0, 100e9, len(points)).astype(np.int64)  # microseconds, taken as milliseconds
        odd = replace(scene[0], read_points=lambda: replace(points, timestamp=times))
        with pytest.raises(lp.SceneError, match="taken as counting from its timestamp, reach to 100 s"):
            self.prepare(replace(scene, frames=(odd, *scene.frames[1:])), tmp_path / "out")

    def test_a_frame_far_from_any_pose_is_refused_or_left_out(self, folders: dict[bool, Path], tmp_path: Path) -> None:
        scene = lp.open_scene(folders[False])
        path = scene.device_path()
        assert path is not None
        dense = lp.Trajectory(path.timestamps[:-3], path.quaternions[:-3], path.translations[:-3])
        short = replace(scene, trajectory=dense)
        with pytest.raises(lp.SceneError, match=r"frame 1[01].* where the device's motion is not known\. Its 9 poses"):
            self.prepare(short, tmp_path / "out")
        manifest = lp.prepare(short, lp.Recipe(deskew=True, skip_bad_frames=True), tmp_path / "out")
        assert [record.id for record in manifest.skipped] == ["10", "11"]
        assert [record.id for record in manifest.frames] == [str(n) for n in range(10)]
