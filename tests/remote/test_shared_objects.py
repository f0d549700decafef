"""An object that frames share is read by ranges: whichever frames are read, and wherever."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.inspect import _sampling, inspect_scene
from lidarprep.pointfiles import CHUNKED_ABOVE
from lidarprep.remote.options import AccessOptions
from lidarprep.scene import Frame, PointCloud, SourceFile
from lidarprep.scene.frame import own_objects
from tests.datasets.generated import generated
from tests.datasets.write_ros import recorded_messages, write_bag, write_mcap
from tests.emulators.proxy import Request
from tests.pointfiles.test_las_files import as_bytes, some_points
from tests.remote.objects import asked, fill, path, proxy


def opened(url: str) -> lp.Scene:
    return lp.open_scene(url, access=AccessOptions(endpoint_url=proxy().url))


def whole(sent: list[Request], suffix: str) -> list[str]:
    """The objects that were fetched as a whole."""
    return [
        one.path
        for one in sent
        if one.method == "GET" and one.path.endswith(suffix) and "range" not in {name.lower() for name in one.headers}
    ]


def few_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let inspect take a recording for a large one, and read one frame of it."""
    for name, value in (("LARGE", 0), ("_LEAST", 1), ("_MOST", 1)):
        monkeypatch.setattr(_sampling, name, value)


@pytest.fixture
def bag(bucket: Any, tmp_path: Path) -> str:
    file = write_mcap(generated(tmp_path / "sample", frames=3, columns=40), tmp_path)
    fill(bucket, {"bags/drive.mcap": file.read_bytes()})
    return "s3://scenes/bags/drive.mcap"


def test_an_object_is_a_frames_own_if_no_other_frame_has_it() -> None:
    def frame(number: int, *names: str) -> Frame:
        sources = tuple(SourceFile(name, path=path(name)) for name in names)
        return Frame(str(number), number, lambda: PointCloud([[0.0, 0, 0]]), sources=(*sources, SourceFile("/disk")))

    frames = [frame(0, "poses.txt", "0.bin", "0.bin"), frame(1, "poses.txt", "1.bin"), frame(2)]
    assert own_objects(frames) == [(path("0.bin"),), (path("1.bin"),), ()]


def test_workers_of_an_executor_do_not_fetch_the_bag_for_each_frame(
    bag: str, tmp_path: Path, without_checks: None
) -> None:
    with asked() as sent, ThreadPoolExecutor(1) as executor:
        manifest = lp.prepare(opened(bag), lp.Recipe(), tmp_path / "out", executor=executor)
    assert len(manifest.frames) == 3
    assert whole(sent, ".mcap") == []


def test_one_frame_of_a_bag_is_inspected_without_fetching_the_bag(bag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    few_bytes(monkeypatch)
    with asked() as sent:
        inspection = inspect_scene(opened(bag))
    assert [frame.is_read for frame in inspection.frames] == [False, True, False]
    assert whole(sent, ".mcap") == []


def test_a_file_that_is_sampled_is_not_fetched_ahead(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    few_bytes(monkeypatch)
    monkeypatch.setitem(CHUNKED_ABOVE, ".laz", 0)
    laz = as_bytes(some_points("1.4", 7), compressed=True)
    fill(bucket, {f"survey/{number}.laz": laz for number in range(3)})
    with asked() as sent:
        inspect_scene(opened("s3://scenes/survey"))
    assert whole(sent, ".laz") == []


def test_a_note_tells_that_a_compressed_bag_is_fetched_to_be_opened(bag: str, bucket: Any, tmp_path: Path) -> None:
    def told(scene: lp.Scene) -> bool:
        return any("its chunks are compressed" in note for note in scene.notes)

    recording = generated(tmp_path / "plain", frames=2, columns=40)
    plain = write_bag(tmp_path / "plain.bag", "ros1", recorded_messages(recording))
    fill(bucket, {"bags/plain.bag": plain.read_bytes()})
    assert told(opened(bag))
    assert not told(lp.open_scene(next(tmp_path.rglob("*.mcap"))))
    assert not told(opened("s3://scenes/bags/plain.bag"))
