"""Kept points: by them an attachment's points are the recording's own."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import lidarprep as lp
from lidarprep.prepare.empty_result import EmptyResultError
from lidarprep.storage import kept_points
from tests.prepare.runs import points_of
from tests.scenes import read_ply, read_pose


@given(st.lists(st.booleans(), max_size=70))
def test_rows_come_back_as_they_went(kept: list[bool]) -> None:
    rows = np.flatnonzero(kept).astype(np.int64)
    data = kept_points.encode(rows, len(kept))
    assert data == kept_points.encode(rows, len(kept))
    found = kept_points.decode(data, len(kept)).rows
    assert found.dtype == np.int64
    assert found.tolist() == rows.tolist()
    bits = np.unpackbits(np.frombuffer(gzip.decompress(data), np.uint8))
    assert bits[: len(kept)].tolist() == [int(one) for one in kept]
    assert not bits[len(kept) :].any()


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"x", "not a gzip stream"),
        (gzip.compress(b"12", mtime=0)[:-9], "gzip"),
        (gzip.compress(b"", mtime=0), "0 bytes"),
    ],
)
def test_other_bytes_are_refused(data: bytes, found: str) -> None:
    with pytest.raises(lp.FormatError, match=f"mine.*{found}"):
        kept_points.decode(data, 16, source="mine")


def kept_rows(manifest: lp.Manifest, row: int, out: Path) -> NDArray[np.int64]:
    """(K,) rows of the recording's points that a frame's attachment has."""
    frame = manifest.frames[row]
    if frame.kept is None:
        return np.arange(frame.points_in)
    return kept_points.decode((out / frame.kept.url).read_bytes(), frame.points_in).rows


RECIPES: dict[str, dict[str, Any]] = {
    "all": {},
    "region": {"region_of_interest_3d": lp.RegionOfInterest3D((5.0, -3.0, 0.0), 80, 60, 0.3)},
    "height": {"device_height": 0.2, "height_band": (-0.5, 6.0)},
    "voxel": {"voxel": 0.5},
    "nearest": {"voxel": 0.5, "voxel_keep": "nearest"},
    "region, height, voxel": {
        "region_of_interest_3d": lp.RegionOfInterest3D((5.0, -3.0, 0.0), 80, 60, 0.3),
        "device_height": 0.2,
        "voxel": 0.3,
        "voxel_keep": "nearest",
    },
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_on_the_real_recording(recording: Path, tmp_path: Path, recipe: str) -> None:
    scene = lp.open_scene(recording)
    manifest = lp.prepare(scene, lp.Recipe(format="protobuf", frames=":2", **RECIPES[recipe]), tmp_path)
    for row, (frame, attachment) in enumerate(zip(manifest.frames, manifest.attachments, strict=True)):
        xyz, intensity = read_ply(recording / f"pointcloud/{frame.id}.ply")
        rotation, translation = read_pose(recording / f"poses/{frame.id}.json")
        rows = kept_rows(manifest, row, tmp_path)
        assert (frame.kept is None) == (recipe == "all")
        assert len(rows) == frame.points_out
        assert (np.diff(rows) > 0).all()
        points = points_of(tmp_path, attachment, "protobuf")
        world = xyz[rows].astype(np.float64) @ rotation.T + translation
        np.testing.assert_allclose(points.positions, world, rtol=0, atol=8e-6)
        np.testing.assert_array_equal(points.intensity, intensity[rows] / np.float32(255))


def test_of_frames_in_a_sensor_fusion_scene(recording: Path, tmp_path: Path) -> None:
    recipe = {"frames": ":2", **RECIPES["region, height, voxel"]}
    one = lp.prepare(lp.open_scene(recording), lp.Recipe(format="sfs", **recipe), tmp_path / "sfs")
    two = lp.prepare(lp.open_scene(recording), lp.Recipe(format="protobuf", **recipe), tmp_path / "protobuf")
    assert [frame.kept for frame in one.frames] == [frame.kept for frame in two.frames]
    assert all(frame.kept is not None for frame in one.frames)
    assert not lp.verify(one).findings
    scene = lp.open_scene(tmp_path / "sfs" / one.attachments[0].url)
    for row, (frame, attachment) in enumerate(zip(scene, two.attachments, strict=True)):
        positions = points_of(tmp_path / "protobuf", attachment, "protobuf").positions
        np.testing.assert_allclose(frame.points().positions, positions, rtol=0, atol=8e-6)
        assert len(kept_rows(one, row, tmp_path / "sfs")) == len(positions)


CLOUDS = hnp.arrays(
    np.float32,
    st.integers(1, 60).map(lambda count: (count, 3)),
    elements=st.one_of(st.floats(-4, 4, width=32), st.sampled_from([np.nan, np.inf])),
)


@settings(max_examples=40)
@given(
    cloud=CLOUDS,
    chunk=st.sampled_from([None, 1, 7]),
    voxel=st.sampled_from([None, 0.5, 2.0]),
    keep=st.sampled_from(["first", "nearest"]),
    crops=st.booleans(),
    height=st.booleans(),
    format=st.sampled_from(["protobuf", "sfs"]),
)
def test_on_any_cloud(
    tmp_path_factory: pytest.TempPathFactory,
    cloud: NDArray[np.float32],
    chunk: int | None,
    voxel: float | None,
    keep: Any,
    crops: bool,
    height: bool,
    format: Any,
) -> None:
    points = lp.PointCloud(cloud, "world", intensity=(np.arange(len(cloud)) % 256).astype(np.uint8))
    frame = lp.Frame("a", 0, lambda: points, world_from_ego=lp.Pose.identity())
    if chunk is not None:
        parts = [points.take(np.arange(at, min(at + chunk, len(cloud)))) for at in range(0, len(cloud), chunk)]
        frame = replace(frame, read_chunks=lambda: iter(parts))
    recipe = lp.Recipe(
        format=format,
        region_of_interest_3d=lp.RegionOfInterest3D((0.0, 0.0, 0.0), 5, 6) if crops else None,
        device_height=2.0 if height else None,
        height_band=(0, 4) if height else None,
        voxel=voxel,
        voxel_keep=keep if voxel else "first",
        intensity_scale=255,
    )
    out = tmp_path_factory.mktemp("any")
    try:
        manifest = lp.prepare(lp.Scene("made", "made", (frame,), points_frame="world"), recipe, out)
    except EmptyResultError:
        return
    rows = kept_rows(manifest, 0, out)
    if format == "sfs":
        found = lp.open_scene(out / manifest.attachments[0].url)[0].points()
    else:
        found = points_of(out, manifest.attachments[0], format)
    np.testing.assert_array_equal(found.positions.astype(np.float32), cloud[rows])
    assert found.intensity is not None
    assert points.intensity is not None
    np.testing.assert_allclose(found.intensity, points.intensity[rows] / 255, atol=1e-6)
    dropped = manifest.frames[0].dropped
    assert (
        len(rows)
        == len(cloud) - dropped.region - dropped.height - dropped.not_finite - dropped.no_return - dropped.voxel
    )
    assert (manifest.frames[0].kept is None) == (len(rows) == len(cloud))
