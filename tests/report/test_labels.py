"""Labels in what is shown: from every kind of file, and those that a scene itself has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.labels import kitti, nuscenes, openlabel, tables
from lidarprep.labels.scale import to_scale
from lidarprep.report.boxes import ShownLabels
from lidarprep.report.views import SceneView
from tests.labels.test_formats import write
from tests.report.scenes import box_at
from tests.report.test_page import Page
from tests.scenes import write_toolkit_scene

# So far from the origin that an offset is taken.
FAR = np.array([500_300.0, 5_400_700.0, 120.0])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> lp.Scene:
    """Three frames, far from the origin."""
    folder = tmp_path_factory.mktemp("labels") / "recording"
    write_toolkit_scene(folder, frames=3, points=300)
    return moved(lp.open_scene(folder))


def moved(scene: lp.Scene) -> lp.Scene:
    frames = []
    for frame in scene:
        assert frame.world_from_ego is not None
        images = tuple(
            replace(image, world_from_camera=image.world_from_camera and image.world_from_camera.translated(FAR))
            for image in frame.images
        )
        frames.append(replace(frame, world_from_ego=frame.world_from_ego.translated(FAR), images=images))
    return replace(scene, frames=tuple(frames), trajectory=None)


@pytest.fixture(scope="module")
def labels(scene: lp.Scene) -> lp.Labels:
    """Upright in ego, as KITTI's have to be."""
    rows = [box_at((8.0 + row, 2.0, 0.5), (4.5, 2.0, 1.5), 0.4 * row, row, track=f"t{row}") for row in (0, 2)]
    frames = tuple(lp.LabelledFrame(one.id, one.index, one.timestamp, one.world_from_ego) for one in scene)
    return lp.Labels(frames, frame="ego", cuboids=lp.Cuboids.of_rows(rows)).in_frame("world")


RECIPE = lp.Recipe(format="sfs", recentre=True, checks="quick")


@pytest.mark.parametrize("kind", ["results", "csv", "kitti", "nuscenes", "openlabel", "a task's JSON"])
def test_what_pre_labels_are_read_from_is_shown(scene: lp.Scene, labels: lp.Labels, tmp_path: Path, kind: str) -> None:
    view = SceneView.of(scene, RECIPE)
    assert any(view.offset)
    path, names = tmp_path / "labels", [one.id for one in scene]
    if kind == "results":
        write(path, tables.write_json(labels))
    elif kind == "csv":
        write(path, tables.write_csv(labels))
        path /= "cuboids.csv"
    elif kind == "kitti":
        write(path, kitti.write_kitti(labels, names, kitti.LabelCamera.ahead()))
    elif kind == "nuscenes":
        write(path, nuscenes.write_nuscenes(labels, names, "planted"))
    elif kind == "openlabel":
        write(path, openlabel.write_openlabel(labels))
        path /= "labels.openlabel.json"
    else:
        columns = replace(labels, world_offset=view.offset).in_frame("attachment").cuboids
        assert columns is not None
        rows = [np.flatnonzero(columns.frame == row) for row in range(3)]
        path.write_text(json.dumps([{"cuboids": [to_scale(columns, int(at)) for at in found]} for found in rows]))
        path = path.rename(tmp_path / "annotations.json")
    shown = ShownLabels.of(view.read_labels(path), view).cuboids
    shown = shown.take(np.argsort(shown.frame))  # files are in the order of their names
    assert labels.cuboids is not None
    assert shown.frame.tolist() == [0, 2]
    tolerance = 0.01 if kind == "kitti" else 1e-6
    np.testing.assert_allclose(shown.position, labels.cuboids.position - view.offset, atol=tolerance)
    np.testing.assert_allclose(shown.yaw, labels.cuboids.yaw, atol=tolerance)


def cuboids_of(page: Path) -> list[list[tuple[str, bool, list[float]]]]:
    """Of each frame, id, prelabel and centre."""
    frames = Page(page).scene["frames"]
    return [[(one["id"], one["prelabel"], one["center"]) for one in frame["cuboids"]] for frame in frames]


def test_what_the_scene_itself_has_is_shown_as_pre_labels(scene: lp.Scene, labels: lp.Labels, tmp_path: Path) -> None:
    file = tmp_path / "pre.csv"
    write(tmp_path / "made", tables.write_csv(labels))
    (tmp_path / "made" / "cuboids.csv").rename(file)
    recipe = RECIPE.model_copy(update={"prelabels": str(file)})
    manifest = lp.prepare(scene, recipe, tmp_path / "out")
    assert labels.cuboids is not None
    centres = labels.cuboids.position - manifest.world_offset

    def require_shown(source: SceneView) -> None:
        first, none, last = cuboids_of(lp.write_report(source, tmp_path / "page.html").path)
        assert not none
        for found, track, centre in zip((first, last), ("t0", "t2"), centres, strict=True):
            assert [one[:2] for one in found] == [(track, True)]
            np.testing.assert_allclose(found[0][2], centre, atol=1e-6)

    # The recording as it was prepared, as it would be prepared, and what was stored.
    require_shown(SceneView.of_prepared(scene, manifest))
    require_shown(SceneView.of(scene, recipe))
    stored = SceneView.of(manifest)
    require_shown(stored)
    # Labels that are asked for are beside them in the viewer, and instead of them in pictures.
    listed = cuboids_of(lp.write_report(stored, tmp_path / "page.html", labels=labels).path)
    assert [[one[:2] for one in found] for found in listed] == [
        [("t0", True), ("t0", False)],
        [],
        [("t2", True), ("t2", False)],
    ]
    own, asked = (lp.top_down(stored, frames="0:1", labels=one) for one in (None, labels))
    assert own.tobytes() != asked.tobytes(), "the legend says that they are pre-labels"
    blank = lp.top_down(replace(stored, prelabels=None), frames="0:1")
    assert blank.tobytes() != own.tobytes()
    # Without the file there is nothing to show beside the recording.
    file.unlink()
    assert SceneView.of_prepared(scene, manifest).prelabels is None
    # Annotations that cannot be read keep nobody from the rest.
    (sfs,) = (tmp_path / "out").glob("**/*.sfs")
    data = sfs.read_bytes()
    assert data.count(b'"path"') == 2
    sfs.write_bytes(data.replace(b'"path"', b'"pavh"'))
    broken = SceneView.of(lp.open_scene(sfs))
    assert broken.prelabels is None
    assert "its annotations are not shown" in broken.scene.notes[-1]
