"""Files of labels: read back, and read by the development kits and validators of other people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

import lidarprep as lp
from lidarprep.labels import kitti, nuscenes, openlabel, points, tables
from tests.labels import others


@pytest.fixture(scope="session")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return others.install(tmp_path_factory.mktemp("readers"))


def planted(*, level: bool = True) -> lp.Labels:
    """Two tracks in four frames, in the world, seen from a device that drives; and labels of points."""
    rng = np.random.default_rng(2)
    frames = tuple(
        lp.LabelledFrame(
            f"{row}",
            row,
            1_600_000_000_123_456_000 + row * 100_000_000,
            lp.Pose.from_euler(0.0, 0.0, 0.3 + 0.2 * row, (100.0 + 3 * row, 50.0, 1.0)),
        )
        for row in range(4)
    )
    rows = [
        {
            "track": track,
            "label": label,
            "frame": row,
            "position": frames[row].world_from_ego.apply(rng.uniform((5, -4, -1), (25, 4, 1))),  # type: ignore[union-attr]
            "size": size,
            "yaw": float(rng.uniform(-3, 3)),
            "pitch": 0.0 if level else 0.1,
            "roll": 0.0 if level else -0.2,
            "stationary": 0,
            "camera": 1,
            "points": 12,
            "attributes": {"colour": "red"},
        }
        for row in range(4)
        for track, label, size in (("a", "Car", (4.5, 1.9, 1.6)), ("b", "Pedestrian", (0.8, 0.7, 1.8)))
    ]
    objects = lp.PointLabels(
        np.array([1, 2], dtype=np.uint32),
        np.array(["Car", "road"], dtype=object),
        np.array([True, False]),
        (np.array([0, 1, 2, 2], dtype=np.uint32), None, np.array([2], dtype=np.uint32), None),
    )
    return lp.Labels(frames, cuboids=lp.Cuboids.of_rows(rows), points=objects)


def columns_of(labels: lp.Labels) -> lp.Cuboids:
    assert labels.cuboids is not None
    return labels.cuboids


def assert_same(found: lp.Cuboids, expected: lp.Cuboids, *names: str, tolerance: float = 0.0) -> None:
    for name in names or tuple(vars(expected)):
        one, other = getattr(found, name), getattr(expected, name)
        if one.dtype == object or tolerance == 0:
            assert one.tolist() == other.tolist(), name
        else:
            np.testing.assert_allclose(one, other, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("write", [tables.write_json, tables.write_csv, tables.write_parquet])
def test_tables_come_back_exactly(write: Callable[[lp.Labels], Iterator[tuple[str, bytes]]]) -> None:
    labels = planted(level=False)
    files = dict(write(labels))
    name = next(name for name in files if name.startswith(("labels", "cuboids")))
    found = tables.read_labels(files[name], name)
    assert_same(columns_of(found), columns_of(labels))
    assert [(one.id, one.index, one.timestamp) for one in found.frames] == [
        (one.id, one.index, one.timestamp) for one in labels.frames
    ]


def test_a_table_without_rows_has_its_columns() -> None:
    empty = lp.Labels((), cuboids=lp.Cuboids.of_rows([]))
    files = dict(tables.write_csv(empty))
    assert files["cuboids.csv"].startswith(b"track,label,frame_index,frame_id,timestamp,x,y,z,")
    assert len(columns_of(tables.read_labels(files["cuboids.csv"], "cuboids.csv"))) == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"label,frame_index,x,y,z,length,width,height,yaw\ncar,0,1,2,3,4,5,wide,0\n", "row 1: height 'wide'"),
        (b"label,x,y,z,length,width,height,yaw\ncar,1,2,3,4,5,6,0\n", "row 1: no frame"),
        (b"frame_index,x,y,z,length,width,height,yaw\n1,1,2,3,4,5,6,0\n", "row 1: no label"),
    ],
)
def test_a_row_that_lacks_something_is_named(text: bytes, found: str) -> None:
    with pytest.raises(lp.FormatError, match=found):
        tables.read_labels(text, "cuboids.csv")


def write(folder: Path, files: Iterator[tuple[str, bytes]]) -> Path:
    for name, content in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


DEVKIT = """
import json, sys
from nuscenes.nuscenes import NuScenes
colours = {name: (1, 2, 3) for name in ("noise", "Car", "road", "Pedestrian")}
nusc = NuScenes("v1.0-labels", sys.argv[1], verbose=False, colormap=colours)
found = []
for sample in nusc.sample:
    boxes = nusc.get_boxes(sample["data"]["LIDAR_TOP"])
    found.append([[box.name, box.corners().T.tolist(), box.center.tolist(), box.orientation.yaw_pitch_roll[0]]
                  for box in boxes])
pose = nusc.get("ego_pose", nusc.get("sample_data", nusc.sample[1]["data"]["LIDAR_TOP"])["ego_pose_token"])
nusc.list_scenes()
print()
velocity = nusc.box_velocity(nusc.sample_annotation[1]["token"]).tolist()
print(json.dumps({"boxes": found, "pose": pose, "velocity": velocity,
                  "lidarseg": nusc.lidarseg_idx2name_mapping}))
"""


@pytest.mark.trial
def test_the_nuscenes_development_kit_reads_what_is_written(readers: Path, tmp_path: Path) -> None:
    labels = planted()
    folder = write(tmp_path, nuscenes.write_nuscenes(labels, list("0123"), "planted"))
    found = others.run(readers, DEVKIT, folder)
    cuboids = columns_of(labels)
    for row in range(4):
        rows = np.flatnonzero(cuboids.frame == row)
        boxes = {name: (corners, centre, yaw) for name, corners, centre, yaw in found["boxes"][row]}
        for at in rows:
            corners, centre, yaw = boxes[cuboids.label[at]]
            np.testing.assert_allclose(centre, cuboids.position[at], atol=1e-9)
            assert np.cos(yaw - cuboids.yaw[at]) == pytest.approx(1)
            np.testing.assert_allclose(sorted_rows(corners), sorted_rows(corners_of(cuboids, at)), atol=1e-6)
    moved = cuboids.position[cuboids.track == "a"]
    np.testing.assert_allclose(found["velocity"], (moved[2] - moved[0]) / 0.2, rtol=1e-4)
    pose = labels.frames[1].world_from_ego
    assert pose is not None
    np.testing.assert_allclose(found["pose"]["translation"], pose.translation)
    assert found["lidarseg"] == {"0": "noise", "1": "Car", "2": "road", "3": "Pedestrian"}
    assert (folder / "lidarseg/v1.0-labels/0_lidarseg.bin").read_bytes() == bytes([0, 1, 2, 2])


def corners_of(cuboids: lp.Cuboids, row: int) -> NDArray[np.float64]:
    signs = np.array([(a, b, c) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]) / 2
    turned: NDArray[np.float64] = Rotation.from_euler(
        "ZYX", [cuboids.yaw[row], cuboids.pitch[row], cuboids.roll[row]]
    ).apply(signs * cuboids.size[row])
    return turned + cuboids.position[row]


def sorted_rows(points: Any) -> NDArray[np.float64]:
    return np.array(sorted(np.round(points, 4).tolist()))


KITTI = """
import json, sys
import numpy as np
from kitti_aug.calib_reader import CalibReader
from kitti_aug.utils import roty, project_rect_to_ref, project_ref_to_velo
found = []
for name in sys.argv[2:]:
    calib = CalibReader(f"{sys.argv[1]}/calib/{name}.txt").read_calib()
    boxes = []
    for line in open(f"{sys.argv[1]}/label_2/{name}.txt"):
        words = line.split()
        h, w, l, x, y, z, ry = map(float, words[8:15])
        corners = np.dot(roty(ry), [[l/2,l/2,-l/2,-l/2]*2, [0]*4+[-h]*4, [w/2,-w/2,-w/2,w/2]*2]).T + (x, y, z)
        corners = project_ref_to_velo(project_rect_to_ref(corners, calib["R0_rect"]), calib["Tr_velo_to_cam"])
        boxes.append([words[0], corners.tolist()])
    found.append(boxes)
print(json.dumps(found))
"""


KITTI_NAMES = [f"{row:06}" for row in range(4)]


def as_kitti(folder: Path) -> Path:
    camera = kitti.LabelCamera(
        lp.Pose(kitti.LOOKING_AHEAD, np.array([0.1, 1.2, -0.3])),
        np.array([[700.0, 0, 620], [0, 700, 180], [0, 0, 1]]),
        (1242, 375),
    )
    return write(folder, kitti.write_kitti(planted(), KITTI_NAMES, camera))


@pytest.mark.trial
def test_a_kitti_reader_finds_the_corners_where_they_are(readers: Path, tmp_path: Path) -> None:
    found = others.run(readers, KITTI, as_kitti(tmp_path), *KITTI_NAMES)
    in_ego = columns_of(planted().in_frame("ego"))
    for row in range(4):
        for label, corners in found[row]:
            at = int(np.flatnonzero((in_ego.frame == row) & (in_ego.label == label))[0])
            np.testing.assert_allclose(sorted_rows(corners), sorted_rows(corners_of(in_ego, at)), atol=2e-4)


def test_kitti_comes_back(tmp_path: Path) -> None:
    folder = as_kitti(tmp_path)
    in_ego = columns_of(planted().in_frame("ego"))
    line = (folder / "label_2/000000.txt").read_text().split()
    assert line[2] == "3"
    left, top, right, bottom = map(float, line[4:8])
    assert 0 <= left < right <= 1241
    assert 0 <= top < bottom <= 374
    back = kitti.read_kitti(
        {name: (folder / f"label_2/{name}.txt").read_bytes() for name in KITTI_NAMES},
        {name: (folder / f"calib/{name}.txt").read_bytes() for name in KITTI_NAMES},
    )
    assert back.frame == "ego"
    assert_same(columns_of(back), in_ego, "label", "frame", "position", "size", tolerance=1e-5)
    np.testing.assert_allclose(np.cos(columns_of(back).yaw - in_ego.yaw), 1, atol=1e-9)


OPENLABEL = """
import json, sys
from openlabel_checker.core import check_file
report = check_file(sys.argv[1])
print(json.dumps(report.to_dict()))
"""


def as_openlabel(labels: lp.Labels, frame: Any) -> tuple[str, bytes]:
    boxes = lp.Boxes2D.of_rows(
        [{"track": "a", "label": "Car", "frame": 1, "camera": 2, "box": (10, 20, 30, 40), "not_in_lidar": False}]
    )
    (file,) = openlabel.write_openlabel(replace(labels, boxes=boxes).in_frame(frame))
    return file


@pytest.mark.trial
@pytest.mark.parametrize("frame", ["world", "ego"])
def test_an_openlabel_validator_finds_nothing(readers: Path, tmp_path: Path, frame: Any) -> None:
    name, content = as_openlabel(planted(level=False), frame)
    (tmp_path / name).write_bytes(content)
    report = others.run(readers, OPENLABEL, tmp_path / name)
    assert report["summary"] == {"error": 0, "warning": 0, "info": 0}, report
    assert {one["status"] for one in report["checkers"]} == {"completed"}


@pytest.mark.parametrize("frame", ["world", "ego"])
def test_openlabel_comes_back(frame: Any) -> None:
    labels = planted(level=False)
    name, content = as_openlabel(labels, frame)
    found = openlabel.read_openlabel(content, name)
    assert found.frame == frame
    back, expected = columns_of(found.in_frame("world")), columns_of(labels)
    assert_same(back, expected, "track", "label", "frame", "size", "attributes")
    np.testing.assert_allclose(back.position, expected.position, atol=1e-6)
    np.testing.assert_allclose(
        [corners_of(back, row) for row in range(len(back))],
        [corners_of(expected, row) for row in range(len(back))],
        atol=1e-6,
    )


def test_nuscenes_comes_back() -> None:
    labels = planted(level=False)
    files = dict(nuscenes.write_nuscenes(labels, list("0123"), "planted"))
    by_table = {
        name.split("/")[-1].removesuffix(".json"): data for name, data in files.items() if name.endswith("json")
    }
    found = nuscenes.read_nuscenes(by_table, "v1.0-labels")
    order = np.lexsort((columns_of(labels).frame, columns_of(labels).track))
    assert_same(columns_of(found), columns_of(labels).take(order), "track", "label", "frame", "position", "size")
    np.testing.assert_allclose(columns_of(found).quaternion, columns_of(labels).take(order).quaternion, atol=1e-12)
    assert [one.id for one in found.frames] == list("0123")


def test_labels_of_points_are_semantickittis() -> None:
    files = dict(points.write_semantickitti(planted(), [f"{row:06}" for row in range(4)]))
    assert sorted(files) == ["labels/000000.label", "labels/000002.label", "semantic-kitti.yaml"]
    values = np.frombuffer(files["labels/000000.label"], "<u4")
    assert (values & 0xFFFF).tolist() == [0, 1, 2, 2]
    assert (values >> 16).tolist() == [0, 1, 0, 0]
    assert files["semantic-kitti.yaml"] == b'labels:\n  0: "unlabeled"\n  1: "Car"\n  2: "road"\n'
