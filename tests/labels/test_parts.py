"""Labels and parts of a recording: results of a part are the whole recording's, and labels of the whole fit a part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.api import ScaleClient
from lidarprep.labels.files import aligned
from tests.labels.conftest import Labeller, world_positions
from tests.labels.test_round_trip import attachment_positions, kept_of, submitted


def test_results_of_a_part_come_back_onto_the_recordings_own_points(
    client: ScaleClient, labeller: Labeller, far_recording: Path, tmp_path: Path
) -> None:
    part = lp.open_scene(far_recording, span="1..3")
    manifest = lp.prepare(part, lp.Recipe(voxel=4.0), tmp_path / "out")
    planted = [
        np.random.default_rng(row).integers(0, 3, record.points_in) for row, record in enumerate(manifest.frames)
    ]
    sent = []
    for row, record in enumerate(manifest.frames):
        kept = kept_of(manifest, row).rows
        shown = attachment_positions(manifest, row) + manifest.world_offset
        np.testing.assert_allclose(shown, world_positions(far_recording, record.id)[kept], atol=1e-3)
        sent.append(planted[row][kept].tolist())
    objects = [{"label": "car", "index": 1, "instance": True}, {"label": "walker", "index": 2}]
    task = submitted(client, manifest, "lidarsegmentation")
    labeller.complete(task, point_segmentations={"objects": objects, "point_objects": sent})
    whole = lp.open_scene(far_recording)
    points = aligned(lp.results(task, client=client), whole, "the results").points
    assert points is not None
    assert [values is None for values in points.values] == [True, False, False, True]
    for row, index in enumerate((1, 2)):
        found, kept = points.values[index], kept_of(manifest, row).rows
        assert found is not None
        assert len(found) == len(whole[index].points())
        np.testing.assert_array_equal(found[kept], planted[row][kept])


def test_labels_of_the_whole_recording_fit_a_part_of_it(far_recording: Path, tmp_path: Path) -> None:
    whole = lp.open_scene(far_recording)
    names = [*(frame.id for frame in whole), "77"]
    rows = ["frame_id,label,x,y,z,length,width,height,yaw"]
    rows += [f"{name},car,{row},0,0,4,2,1.5,0" for row, name in enumerate(names[:4])]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(rows))
    labels = lp.read_labels(path, whole.part("1..3"))
    assert labels.cuboids is not None
    assert labels.cuboids.position[:, 0].tolist() == [1, 2]
    assert labels.cuboids.frame.tolist() == [0, 1]
    assert "labels of 2 frames outside this part of the recording are left out" in labels.notes
    path.write_text("\n".join([*rows, f"{names[4]},car,0,0,0,4,2,1.5,0"]))
    with pytest.raises(lp.RecipeError, match=r"has labels of 1 frames that .* does not have; the first is 77"):
        lp.read_labels(path, whole.part("1..3"))
