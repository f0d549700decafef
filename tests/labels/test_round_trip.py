"""Labels planted on a recording come back to it: through preparation, a task, and what a labeller returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

import lidarprep as lp
from lidarprep.api import ScaleClient
from lidarprep.attachments import get_format
from lidarprep.storage import kept_points
from tests.labels.conftest import Labeller, world_positions

LIDAR = {"instruction": "Label.", "callback_url": "https://example.com/c", "labels": ["car", "walker"]}


def submitted(client: ScaleClient, manifest: lp.Manifest, task_type: str = "lidarannotation") -> lp.Task:
    return lp.submit(manifest, task_type, LIDAR, client, unique_id=None, accept=[one.code for one in manifest.findings])


def kept_of(manifest: lp.Manifest, row: int) -> kept_points.KeptPoints:
    frame = manifest.frames[row]
    assert frame.kept is not None
    path = Path(manifest.location.removeprefix("file://")).parent / frame.kept.url
    return kept_points.decode(path.read_bytes(), frame.points_in)


def attachment_positions(manifest: lp.Manifest, row: int) -> NDArray[np.float64]:
    path = Path(manifest.location.removeprefix("file://")).parent / manifest.attachments[row].url
    decoded = get_format("json").decode(path.read_bytes())
    assert isinstance(decoded, lp.Frame)
    return decoded.points().positions.astype(np.float64)


def test_cuboids_come_back_in_the_recordings_world_and_in_ego(
    client: ScaleClient, labeller: Labeller, far_manifest: lp.Manifest
) -> None:
    rng = np.random.default_rng(5)
    # Planted in ego: a car ahead of the device, in each frame.
    centres, heading, size = rng.uniform(-20, 20, (4, 3)), rng.uniform(-np.pi, np.pi, 4), np.array([4.5, 1.9, 1.6])
    frames: list[dict[str, Any]] = []
    corners_of_world = []
    for row, record in enumerate(far_manifest.frames):
        pose = record.world_from_ego
        assert pose is not None
        about = Rotation.from_quat(pose.quaternion, scalar_first=True)
        centre = about.apply(centres[row]) + pose.translation
        front = about.apply([np.cos(heading[row]), np.sin(heading[row]), 0.0])
        bearing = np.arctan2(front[1], front[0])  # of a level box in the world
        corners_of_world.append(corners(centre, size, bearing))
        x, y, z = (centre - far_manifest.world_offset).tolist()
        # Scale's: yaw 0 looks along +y, counterclockwise; y is the length.
        cuboid = {
            "uuid": "car-1",
            "label": "car",
            "position": {"x": x, "y": y, "z": z},
            "dimensions": {"x": 1.9, "y": 4.5, "z": 1.6},
            "yaw": float(bearing - np.pi / 2),
            "stationary": False,
            "camera_used": 1,
            "numberOfPoints": 7,
            "attributes": {"colour": "red"},
        }
        frames.append({"cuboids": [cuboid]})
    task = submitted(client, far_manifest)
    labeller.complete(task, annotations=frames)
    labels = lp.results(task, far_manifest, client=client)
    found = labels.cuboids
    assert found is not None
    assert len(found) == 4
    for row in range(4):
        np.testing.assert_allclose(
            corners(found.position[row], found.size[row], float(found.yaw[row])), corners_of_world[row], atol=1e-6
        )
    assert found.track.tolist() == ["car-1"] * 4
    assert [labels.frames[row].id for row in found.frame] == [frame.id for frame in far_manifest.frames]
    assert (found.stationary == 0).all()
    assert (found.camera == 1).all()
    assert (found.points == 7).all()
    assert found.attributes[0] == {"colour": "red"}
    in_ego = lp.results(task.id, far_manifest, client=client, frame="ego").cuboids
    assert in_ego is not None
    np.testing.assert_allclose(in_ego.position, centres, atol=1e-6)
    as_sent = lp.results(task, client=client, frame="attachment").cuboids
    assert as_sent is not None
    assert as_sent.position[2].tolist() == list(frames[2]["cuboids"][0]["position"].values())


def corners(centre: Any, size: Any, bearing: float) -> NDArray[np.float64]:
    """Eight corners of a level box that looks along (cos, sin), in a fixed order."""
    signs = np.array([(a, b, c) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]) / 2
    turned: NDArray[np.float64] = Rotation.from_euler("z", bearing).apply(signs * size) + centre
    return turned


def test_labels_of_points_come_back_to_all_points_of_the_recording(
    client: ScaleClient, labeller: Labeller, far_recording: Path, far_manifest: lp.Manifest
) -> None:
    rng = np.random.default_rng(6)
    planted = [rng.integers(0, 3, record.points_in) for record in far_manifest.frames]
    sent = []
    for row, record in enumerate(far_manifest.frames):
        kept = kept_of(far_manifest, row).rows
        # The record of kept points says what the attachment has, by the coordinates.
        world = world_positions(far_recording, record.id)
        shown = attachment_positions(far_manifest, row) + far_manifest.world_offset
        np.testing.assert_allclose(shown, world[kept], atol=1e-3)
        sent.append(planted[row][kept].tolist())
    objects = [{"label": "car", "index": 1, "instance": True}, {"label": "walker", "index": 2}]
    task = submitted(client, far_manifest, "lidarsegmentation")
    labeller.complete(task, point_segmentations={"objects": objects, "point_objects": sent})
    labels = lp.results(task, far_manifest, client=client)
    assert labels.points is not None
    assert labels.points.label.tolist() == ["car", "walker"]
    assert labels.points.instance.tolist() == [True, False]
    shared = 0
    for row, record in enumerate(far_manifest.frames):
        found = labels.points.values[row]
        assert found is not None
        assert found.dtype == np.uint32
        assert len(found) == record.points_in
        kept = kept_of(far_manifest, row).rows
        np.testing.assert_array_equal(found[kept], planted[row][kept])
        expected = expected_of_voxels(far_recording, far_manifest, record, kept, planted[row])
        np.testing.assert_array_equal(found, expected)
        shared += int((expected[np.setdiff1d(np.arange(record.points_in), kept)] > 0).sum())
    assert shared > 100
    as_sent = lp.results(task, far_manifest, client=client, frame="attachment").points
    assert as_sent is not None
    assert as_sent.values[1] is not None
    assert as_sent.values[1].tolist() == sent[1]


def expected_of_voxels(
    recording: Path, manifest: lp.Manifest, record: Any, kept: NDArray[np.int64], planted: NDArray[Any]
) -> NDArray[np.uint32]:
    """The label of the kept point in each point's voxel, of those within region and band, by a dictionary."""
    scene = lp.open_scene(recording)
    recipe = lp.Recipe(**{**manifest.recipe, "voxel": None})
    frame = next(one for one in scene if one.id == record.id)
    from lidarprep.scene_settings import steps_of
    from lidarprep.steps import StepReport

    report = StepReport()
    for step in steps_of(scene, recipe, manifest.settings):
        frame = step(frame, report)
    inside = np.arange(record.points_in) if report.kept is None else report.kept
    positions = frame.points().positions.astype(np.float64)
    voxels = [tuple(voxel) for voxel in np.floor(positions / manifest.recipe["voxel"]).astype(int).tolist()]
    row_of = {source: row for row, source in enumerate(inside.tolist())}
    label_of = {voxels[row_of[source]]: planted[source] for source in kept.tolist()}
    expected = np.zeros(record.points_in, dtype=np.uint32)
    expected[inside] = [label_of[voxel] for voxel in voxels]
    return expected


def test_a_link_that_expired_is_fetched_anew(
    client: ScaleClient, labeller: Labeller, far_manifest: lp.Manifest
) -> None:
    task = submitted(client, far_manifest)
    labeller.complete(task, annotations=[{"cuboids": []}] * 4)
    path = max(labeller.files, key=lambda name: int(name[1:].split(".")[0]))
    content = labeller.files.pop(path)
    labeller.requests.clear()
    with pytest.raises(lp.ApiError, match="403"):
        lp.results(task, far_manifest, client=client)
    assert labeller.requests == [path, path]  # each with a fresh task
    labeller.files[path] = content
    labels = lp.results(task, far_manifest, client=client)
    assert labels.cuboids is not None
    assert len(labels.cuboids) == 0


@pytest.mark.parametrize(
    ("frames", "found"),
    [
        ([{"cuboids": []}] * 3, "3 frames"),
        ([{"cuboids": [{"uuid": "a", "label": "car"}]}] + [{}] * 3, "frame 0, cuboid 0: no dimensions"),
        ({"cuboids": []}, "holds no labels that are known"),
    ],
)
def test_a_result_that_does_not_fit_is_refused_with_its_place(
    client: ScaleClient, labeller: Labeller, far_manifest: lp.Manifest, frames: Any, found: str
) -> None:
    task = submitted(client, far_manifest)
    labeller.complete(task, annotations=frames)
    with pytest.raises(lp.LidarprepError, match=found):
        lp.results(task, far_manifest, client=client)


def test_a_task_that_is_not_completed_has_no_result(client: ScaleClient, far_manifest: lp.Manifest) -> None:
    task = submitted(client, far_manifest)
    with pytest.raises(lp.ParameterError, match="is pending"):
        lp.results(task, far_manifest, client=client)
