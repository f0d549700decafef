"""Results made of a task's attachments: in the published shapes, near the data, the same each time."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from lidarprep.api import ScaleClient
from lidarprep.attachments import get_format
from lidarprep.sandbox import Sandbox, running_sandbox
from lidarprep.sandbox._fake_results import fake_result
from lidarprep.scene import Camera, CameraImage, Frame, Intrinsics, PointCloud, Pose

START_NS = 1_700_000_000 * 10**9
# A device that drives along +x at 5 m/s, far from the world's origin; frames are 0.2 s apart.
DEVICE = np.array([1000.0, -500.0, 20.0])
LABELS: list[Any] = ["car", {"choice": "person", "subchoices": ["adult", "child"]}]


def frames(count: int) -> list[Frame]:
    chance = np.random.default_rng(3)
    made = []
    for row in range(count):
        device = DEVICE + np.array([row, 0, 0])
        ground = np.column_stack([chance.uniform(-30, 30, (4000, 2)), chance.normal(-1.8, 0.02, 4000)])
        raised = np.column_stack(
            [chance.uniform(10, 18, 1000), chance.uniform(-3, 3, 1000), chance.uniform(-1.8, 0, 1000)]
        )
        points = PointCloud((np.vstack([ground, raised]) + device)[: 4900 + row].astype(np.float32), frame="world")
        forward = Pose(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), tuple(device))  # looks along +x
        camera = Camera("front", 4, Intrinsics(fx=500, fy=500, cx=400, cy=300, width=800, height=600))
        image = CameraImage(camera, world_from_camera=forward, url="https://example.com/a.jpg")
        frame = Frame(
            f"{row:06}",
            row,
            lambda points=points: points,
            world_from_ego=Pose(np.eye(3), tuple(device)),
            timestamp=START_NS + row * 200_000_000,
            images=(image,),
        )
        made.append(frame)
    return made


@pytest.fixture(scope="module")
def attachments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("attachments")
    for frame in frames(8):
        (folder / f"{frame.id}.json").write_bytes(get_format("json").encode(frame))
    return [str(path) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def client(sandbox: Sandbox) -> Iterator[ScaleClient]:
    with ScaleClient("test_key", sandbox.url) as client:
        yield client


@pytest.fixture(scope="module")
def cuboid_task(client: ScaleClient, sandbox: Sandbox, attachments: list[str]) -> str:
    task = client.create_lidar_annotation(
        attachments=attachments,
        attachment_type="json",
        labels=LABELS,
        labeling_sample_rate=3,
        annotation_attributes={"parked": {"type": "category", "choices": ["yes", "no"]}},
    )
    sandbox.complete(task.id)
    return task.id


def fetched(task: dict[str, Any], name: str) -> Any:
    return httpx.get(task["response"][name]["url"], trust_env=False).json()


def test_cuboids_are_in_the_frames_that_the_sample_rate_names(client: ScaleClient, cuboid_task: str) -> None:
    labelled = [frame.index for frame in client.annotations(cuboid_task) if frame.cuboids]
    assert labelled == [0, 3, 6, 7]
    assert len(client.annotations(cuboid_task)) == 8


def test_cuboids_are_on_the_data_and_as_large_as_what_they_are(client: ScaleClient, cuboid_task: str) -> None:
    first = client.annotations(cuboid_task)[0].cuboids
    assert {cuboid.label for cuboid in first} == {"car", "adult", "child"}
    for cuboid in first:
        east, north, up = np.asarray(cuboid.position) - DEVICE
        assert math.hypot(east, north) < 50
        assert abs(up + 1.8 - cuboid.dimensions[2] / 2) < 0.3  # it stands on the ground
        assert cuboid.dimensions[1] > 4 if cuboid.label == "car" else cuboid.dimensions[1] < 1
        assert cuboid.distance_to_device == pytest.approx(math.dist(cuboid.position, DEVICE), abs=0.01)
        assert cuboid.attributes == {"parked": "yes"}
        assert cuboid.number_of_points


def test_what_moves_goes_where_it_looks(client: ScaleClient, cuboid_task: str) -> None:
    """At yaw 0 the front faces +y, counter-clockwise seen from above."""
    tracks: dict[str, list[Any]] = {}
    for frame in client.annotations(cuboid_task):
        for cuboid in frame.cuboids:
            tracks.setdefault(cuboid.uuid, []).append((frame.index, cuboid))
    movers = 0
    for (first, one), *_, (last, other) in tracks.values():
        way = np.subtract(other.position, one.position)[:2]
        if one.stationary:
            assert not way.any()
            continue
        movers += 1
        front = np.array([-math.sin(one.yaw), math.cos(one.yaw)])
        assert way @ front == pytest.approx(np.linalg.norm(way), abs=1e-3)
        speed = np.linalg.norm(way) / ((last - first) * 0.2)
        assert speed == pytest.approx(8.0 if one.label == "car" else 1.4, rel=0.01)
    assert movers == 3


def test_the_points_of_a_cuboid_are_counted(client: ScaleClient, cuboid_task: str) -> None:
    """Against a rotation by complex numbers."""
    for frame, source in zip(client.annotations(cuboid_task), frames(8), strict=True):
        points = source.points().positions.astype(np.float64)
        for cuboid in frame.cuboids:
            centred = points - cuboid.position
            turned = (centred[:, 0] + 1j * centred[:, 1]) * np.exp(-1j * cuboid.yaw)
            own = np.column_stack([turned.real, turned.imag, centred[:, 2]])
            inside = (np.abs(own) <= np.asarray(cuboid.dimensions) / 2).all(axis=1)
            assert cuboid.number_of_points == pytest.approx(inside.sum(), abs=1)


def test_every_point_has_a_label(client: ScaleClient, sandbox: Sandbox, attachments: list[str]) -> None:
    labels = ["road", {"choice": "car", "instance_label": True}]
    task = client.create_lidar_segmentation(attachments=attachments[:3], attachment_type="json", labels=labels)
    found = fetched(sandbox.complete(task.id), "point_segmentations")
    assert found["objects"] == [
        {"label": "road", "index": 1},
        {"label": "car", "index": 2, "instance": True},
        {"label": "car", "index": 3, "instance": True},
    ]
    assert [len(frame) for frame in found["point_objects"]] == [4900, 4901, 4902]
    used = {index for frame in found["point_objects"] for index in frame}
    assert used <= {0, 1, 2, 3}
    assert {1, 2} <= used


def test_a_segmentation_of_a_lidar_task_takes_its_frames(
    client: ScaleClient, sandbox: Sandbox, cuboid_task: str
) -> None:
    task = client.create_lidar_segmentation(lidar_task=cuboid_task, lidar_task_frames=[5, 2], labels=["road"])
    found = fetched(sandbox.complete(task.id), "point_segmentations")
    assert [len(frame) for frame in found["point_objects"]] == [4905, 4902]


def test_boxes_of_a_linking_task_are_around_the_cuboids_of_its_lidar_task(
    client: ScaleClient, sandbox: Sandbox, cuboid_task: str
) -> None:
    task = client.create_lidar_linking(
        lidar_task=cuboid_task,
        annotation_type="annotation",
        instruction="Correct the boxes.",
        labeling_sample_rate=2,
        skip_labels=["car"],
    )
    linked = fetched(sandbox.complete(task.id), "annotations")
    # The lidar task labelled 0, 3, 6 and 7; of these every second, and the last.
    assert [row for row, frame in enumerate(linked) if frame["camera_responses"]] == [0, 6, 7]
    cuboids = {cuboid.uuid: cuboid for cuboid in client.annotations(cuboid_task)[0].cuboids}
    (response,) = linked[0]["camera_responses"]
    assert response["camera_used"] == 4
    assert response["annotations"]
    for box in response["annotations"]:
        cuboid = cuboids[box["cuboid_uuid"]]
        assert box["type"] == "box"
        assert box["label"] == cuboid.label != "car"
        depth, left, up = np.asarray(cuboid.position) - DEVICE  # the camera looks along +x
        u, v = 400 - 500 * left / depth, 300 - 500 * up / depth
        assert box["left"] <= min(max(u, 0), 799) <= box["left"] + box["width"]
        assert box["top"] <= min(max(v, 0), 599) <= box["top"] + box["height"]


def test_a_scene_has_its_frames(client: ScaleClient, sandbox: Sandbox, tmp_path: Path) -> None:
    with (tmp_path / "scene.sfs").open("w+b") as file:
        writer = get_format("sfs").writer(file, frames=3, images=0)
        for frame in frames(3):
            writer.add(replace(frame, images=()))
        writer.finish()
    task = client.create_multistage(
        project="street", attachments=[str(tmp_path / "scene.sfs")], scene_format="sensor_fusion"
    )
    assert [len(frame["cuboids"]) for frame in fetched(sandbox.complete(task.id), "annotations")] == [2, 2, 2]


def test_uploaded_attachments_are_read(client: ScaleClient, sandbox: Sandbox, attachments: list[str]) -> None:
    url = sandbox.store.uploads.add(Path(attachments[0]).read_bytes(), "0.json", {})["attachment_url"]
    task = client.create_lidar_segmentation(attachments=[url], attachment_type="json", labels=["road"])
    found = fetched(sandbox.complete(task.id), "point_segmentations")
    assert [len(frame) for frame in found["point_objects"]] == [4900]


def test_what_cannot_be_read_is_invented_for_the_right_number_of_frames(
    client: ScaleClient, sandbox: Sandbox, attachments: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    task = client.create_lidar_annotation(
        attachments=[attachments[0], "/nowhere/1.json", "gs://bucket/2.json"], attachment_type="json", labels=["car"]
    )
    sandbox.complete(task.id)
    assert [len(frame.cuboids) for frame in client.annotations(task.id)] == [2, 2, 2]
    assert any("invented" in message for message in caplog.messages)


def test_the_same_task_gets_the_same_result(sandbox: Sandbox, attachments: list[str]) -> None:
    params = {"attachments": attachments[:2], "attachment_type": "json", "labels": LABELS}
    files: list[Any] = []
    for task_id in ("a", "a", "b"):
        task = {"task_id": task_id, "type": "lidarannotation", "params": params}
        fake_result(task, lambda content: files.append(json.loads(content)) or "", sandbox.store)
    assert files[0] == files[1] != files[2]
