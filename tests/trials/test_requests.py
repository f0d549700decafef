"""How many requests a run makes of S3."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.scenes import write_toolkit_scene
from tests.trials.children import Bucket, Place, Runner
from tests.trials.proxy import Proxy


def requests(runner: Runner, proxy: Proxy, bucket: Bucket, *options: str) -> Counter[str]:
    proxy.reset()
    runner.prepared(bucket.place().out, "--endpoint-url", proxy.url, *options)
    return Counter(request.method for request in proxy.requests)


def test_a_run_of_24_frames_and_72_images_that_replaces_another_makes_at_most_180(
    runner: Runner, proxy: Proxy, bucket: Bucket, tmp_path: Path
) -> None:
    recording = write_toolkit_scene(tmp_path / "recording", frames=24, points=20, cameras=("front", "left", "right"))
    runner = Runner(recording, tmp_path, runner.options)
    first = requests(runner, proxy, bucket)
    assert first["PUT"] == 24 * 6 + 2  # with the check and the manifest
    assert requests(runner, proxy, bucket, "--precision", "2", "--overwrite").total() <= 180
    place: Place = bucket.place()
    manifest = place.manifest()
    assert manifest is not None
    assert len(manifest.images) == 72
    assert all(frame.kept is not None for frame in manifest.frames)
    assert requests(runner, proxy, bucket, "--precision", "2").total() <= 4  # nothing is to be done
