"""Writing one frame with several threads."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from lidarprep.attachments import frame_json
from lidarprep.scene import Frame, PointCloud, Pose


def frame_of(count: int) -> Frame:
    cloud = PointCloud(np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32), frame="world")
    return Frame("1", 0, lambda: cloud, world_from_ego=Pose.identity())


@pytest.mark.parametrize("count", [0, 1, 2, 5, 1000])
def test_the_text_does_not_depend_on_the_number_of_threads(count: int) -> None:
    texts = {frame_json.encode(frame_of(count), threads=threads) for threads in (None, 1, 2, 3, 7)}
    assert len(texts) == 1


def _encode_in_child() -> int:
    return len(frame_json.encode(frame_of(100), threads=2))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    expected = _encode_in_child()  # so that this process has its pool before the fork
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(_encode_in_child).get(timeout=60) == expected
