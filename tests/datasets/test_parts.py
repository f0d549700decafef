"""A part of a recording against the whole: the same frames give the same attachments, in a bag and in folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import lidarprep as lp
from tests.datasets.write_ros import Message, point_cloud, transform, transforms, write_bag
from tests.scene.test_span import MARCH, SECOND
from tests.scenes import write_toolkit_scene

FRAMES, STEP = 24, SECOND // 10
SPAN = "0.8s..1.4s"
INSIDE = range(8, 14)


def drive(time: int) -> np.ndarray[Any, Any]:
    """The device's pose in the world, on a bend, as a matrix."""
    t = (time - MARCH) / 1e9
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("z", 0.4 * t).as_matrix()
    matrix[:3, 3] = (12 * t, 3 * t * t, 0.1)
    return matrix


def cloud(row: int) -> np.ndarray[Any, Any]:
    """A sweep of 0.1 s that ends at its frame's time."""
    rng = np.random.default_rng(row)
    points = np.zeros(300, dtype=[("x", "f4"), ("y", "f4"), ("z", "f4"), ("intensity", "f4"), ("t", "i4")])
    for axis in "xyz":
        points[axis] = rng.uniform(-30, 30, len(points))
    points["intensity"] = rng.integers(0, 256, len(points))
    points["t"] = np.linspace(-STEP, 0, len(points))
    return points


def write_drive_bag(folder: Path) -> Path:
    messages = []
    for row in range(FRAMES):
        time = MARCH + row * STEP
        for moment in range(time - STEP // 2, time + STEP // 2, STEP // 5):
            pose = transform(moment, "odom", "base_link", drive(moment))
            messages.append(transforms("/tf", moment, [pose]))
        cloud_message = point_cloud(time, "base_link", cloud(row))
        messages.append(Message("/points", "sensor_msgs/msg/PointCloud2", time, cloud_message))
    return write_bag(folder / "drive", "mcap", sorted(messages, key=lambda message: message.time))


def write_drive_folder(folder: Path) -> Path:
    """Point files named by their times, and a pose for each: the poses' neighbours move the points of a sweep."""
    (folder / "drive").mkdir(parents=True)
    rows = []
    for row in range(FRAMES):
        time, points = MARCH + row * STEP, cloud(row)
        positions = np.column_stack([points[axis] for axis in "xyz"])
        times = time + points["t"].astype(np.int64)
        np.savez(folder / f"drive/{time}.npz", positions=positions, intensity=points["intensity"], timestamp_ns=times)
        pose = drive(time)
        x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
        numbers = " ".join(repr(float(value)) for value in (*pose[:3, 3], x, y, z, w))
        rows.append(f"{time // SECOND}.{time % SECOND:09d} {numbers}")
    (folder / "drive/poses.tum").write_text("\n".join(rows))
    return folder / "drive"


def attachments(manifest: lp.Manifest) -> dict[str, tuple[int, str]]:
    """The number of each frame in the recording and its attachment's hash, by the frame's id."""
    hashes = [record.sha256 for record in manifest.attachments]
    return {frame.id: (frame.index, sha256) for frame, sha256 in zip(manifest.frames, hashes, strict=True)}


@pytest.mark.parametrize("write", [write_drive_bag, write_drive_folder])
def test_frames_of_a_span_give_the_same_attachments_as_in_the_whole(
    write: Any, tmp_path: Path, without_checks: None
) -> None:
    path = write(tmp_path)
    recipe = lp.Recipe(deskew=True, format="protobuf", intensity_scale=255)
    whole, part = lp.open_scene(path), lp.open_scene(path, span=SPAN)
    assert [frame.index for frame in part] == list(INSIDE)
    assert f"{SPAN} of the recording: 6 of its 24 frames, numbers 8 to 13" in part.notes
    of_whole = attachments(lp.prepare(whole, recipe, tmp_path / "whole"))
    manifest = lp.prepare(part, recipe, tmp_path / "part")
    of_part = attachments(manifest)
    assert len(of_part) == len(INSIDE)
    assert of_part == {name: found for name, found in of_whole.items() if found[0] in INSIDE}
    assert any(note.startswith(f"{SPAN} of the recording") for note in manifest.notes)
    # The path is one of what the device did in between, not only of the frames that are there.
    bent = lp.prepare(lp.open_scene(path, span=SPAN), lp.Recipe(format="protobuf", intensity_scale=255), tmp_path / "b")
    assert set(attachments(bent).values()).isdisjoint(of_part.values())


def test_the_same_span_by_time_by_seconds_and_by_number_is_the_same_run(tmp_path: Path, without_checks: None) -> None:
    path = write_drive_bag(tmp_path)
    recipe = lp.Recipe(format="protobuf")
    first = lp.prepare(lp.open_scene(path, span=SPAN), recipe, tmp_path / "out")
    for span in ("8..14", "2026-03-01T10:15:00.8Z..2026-03-01T10:15:01.4Z"):
        again = lp.prepare(lp.open_scene(path, span=span), recipe, tmp_path / "out")
        assert again.fingerprint == first.fingerprint
        assert again.notes == first.notes  # nothing was done
    with pytest.raises(lp.RecipeError, match="its 6 frames are others than the 7 of this run"):
        lp.prepare(lp.open_scene(path, span="8..15"), recipe, tmp_path / "out")


def test_a_part_has_an_offset_of_its_own(tmp_path: Path, without_checks: None) -> None:
    frames = tuple(
        lp.Frame(f"{row}", row, read_points=_point, world_from_ego=lp.Pose.from_euler(0, 0, 0, (2e5 * (row + 1), 0, 0)))
        for row in range(4)
    )
    scene = lp.Scene("far", "made", frames)
    offsets = [
        lp.prepare(one, lp.Recipe(recentre=True), tmp_path / name).world_offset[0]
        for name, one in (("all", scene), ("first", scene.part("..2")), ("last", scene.part("2..")))
    ]
    assert offsets == [500_000.0, 300_000.0, 700_000.0]


def _point() -> lp.PointCloud:
    return lp.PointCloud(np.ones((5, 3), np.float32))


def test_a_folder_without_times_is_divided_by_numbers(tmp_path: Path) -> None:
    path = write_toolkit_scene(tmp_path / "drive", frames=7, cameras=("front",), points=5)
    with pytest.raises(lp.SceneError, match="its frames have no timestamps") as caught:
        lp.open_scene(path, span="0s..1s")
    assert "0..200" in str(caught.value.fix)
    parts = lp.split(lp.open_scene(path), 3, 1)
    assert [(part.name, part.frames) for part in parts] == [
        ("drive-000000", 3),
        ("drive-000002", 3),
        ("drive-000004", 3),
    ]
    ids = [[frame.id for frame in lp.open_scene(path, span=part.span)] for part in parts]
    assert ids == [["9", "10", "11"], ["11", "12", "13"], ["13", "14", "15"]]
    with pytest.raises(lp.SceneError, match=r"has no frame in 7\.\.9"):
        lp.open_scene(path, span="7..9")
    with pytest.raises(lp.SceneError, match="'7' is no span"):
        lp.open_scene(path, span="7")


def test_a_recipe_and_a_recording_in_time_order_take_a_span(tmp_path: Path) -> None:
    path = write_drive_folder(tmp_path)
    recipe = lp.RunRecipe(scene=str(path), out="x", opening={"span": "800000000.. "})  # type: ignore[arg-type]
    assert recipe.opening.span == "800000000.."
    scene = lp.open_scene(path, span=lp.Span("frames", 20), frame_order="time")
    assert [frame.index for frame in scene] == [20, 21, 22, 23]
    assert not [note for note in scene.notes if "without use" in note]
