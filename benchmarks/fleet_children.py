"""What fleet.py measures, each in a process of its own that prints its figures as JSON on the last line.

    python benchmarks/fleet_children.py NAME ARGUMENTS-AS-JSON

Times are taken inside, once all is imported and compiled: a fleet runs for hours, so starting is not its cost. Memory
is VmHWM, which counts from the start of the program; ru_maxrss counts from the fork, with what the parent had then.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import lidarprep as lp
from lidarprep.batch.cluster import Cluster

RECIPE = {"format": "protobuf"}


def peak_bytes() -> int:
    """The most memory that this process had resident since its program began."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def _prepare_all(recordings: list[str], out: str, **options: Any) -> tuple[float, float]:
    """Prepare scenes; return the seconds that it took, and the sum of those that the scenes took."""
    start = time.perf_counter()
    work = 0.0
    with closing(lp.prepare_many(recordings, lp.Recipe(**RECIPE), f"{out}/{{name}}", **options)) as records:
        for record in records:
            assert record.state == "done", record.error
            work += record.seconds
    return time.perf_counter() - start, work


def one(recordings: list[str], out: str) -> dict[str, float]:
    """By this process, a scene and a frame at a time."""
    _prepare_all(recordings[:1], f"{out}/warm", frame_workers=1)
    seconds, work = _prepare_all(recordings, f"{out}/one", frame_workers=1)
    return {"seconds": seconds, "work": work}


def loop(recordings: list[str], out: str) -> dict[str, float]:
    """By the loop that a user would write."""

    def prepared(folder: str, chosen: list[str]) -> float:
        start = time.perf_counter()
        for recording in chosen:
            lp.prepare(lp.open_scene(recording), lp.Recipe(**RECIPE), f"{folder}/{Path(recording).name}", workers=1)
        return time.perf_counter() - start

    prepared(f"{out}/warm", recordings[:1])
    return {"seconds": prepared(f"{out}/loop", recordings)}


def cluster(recordings: list[str], out: str, workers: int) -> dict[str, float]:
    """By a Dask cluster of processes on this machine, of one thread each."""
    with Cluster.open("local", workers) as executor:
        with executor.connect(60) as client:
            client.wait_for_workers(workers, timeout=120)
        _prepare_all(recordings[: 2 * workers], f"{out}/warm", executor=executor, frame_workers=1)
        seconds, work = _prepare_all(recordings, f"{out}/cluster", executor=executor, frame_workers=1)
        with executor.connect(60) as client:
            peak = max(client.run(peak_bytes).values())
    return {"seconds": seconds, "work": work, "peak_bytes": peak}


def scene(recording: str, out: str, endpoint: str | None) -> dict[str, float]:
    """One scene, from a store or from the disk."""
    options: dict[str, Any] = {} if endpoint is None else {"access": lp.StorageOptions(endpoint_url=endpoint)}
    lp.prepare(lp.open_scene(recording, **options), lp.Recipe(frames="0:2", **RECIPE), f"{out}/warm")
    start = time.perf_counter()
    lp.prepare(lp.open_scene(recording, **options), lp.Recipe(**RECIPE), f"{out}/scene")
    return {"seconds": time.perf_counter() - start, "peak_bytes": peak_bytes()}


def stored(recording: str, out: str, destination: str, warm_endpoint: str, endpoint: str) -> dict[str, float]:
    """One scene from a store to a store, by one thread; the time that the process works, not that it waits."""
    warm, storage = (lp.StorageOptions(endpoint_url=one) for one in (warm_endpoint, endpoint))
    lp.prepare(lp.open_scene(recording, access=warm), lp.Recipe(frames="0:2", **RECIPE), f"{out}/warm")
    before = time.process_time()
    scene = lp.open_scene(recording, access=storage)
    manifest = lp.prepare(scene, lp.Recipe(**RECIPE), destination, storage=storage, workers=1)
    work = time.process_time() - before
    size = sum(one.bytes for one in (*manifest.attachments, *manifest.images))
    return {"work": work, "frames": len(manifest.frames), "images": len(manifest.images), "bytes": size}


def ledger(root: str, scenes: int) -> dict[str, float]:
    """A batch's ledger: begun, every scene recorded, written as a batch writes it, and read."""
    from lidarprep.batch import Batch, BatchScene, Ledger, SceneRecord

    batch = Batch(
        tuple(BatchScene(name=f"scene-{n}", scene=f"drives/scene-{n}", out=f"{root}/scene-{n}") for n in range(scenes)),
        root,
        lp.StorageOptions(),
    )
    start = time.perf_counter()
    written = Ledger(root)
    written.begin(batch)
    for n in range(scenes):
        name = f"scene-{n}"
        written.add(
            SceneRecord(
                name,
                f"drives/{name}",
                "submitted",
                attempts=1,
                frames=50,
                points=8_000_000,
                bytes=120_000_000,
                seconds=9.5,
                findings={"warning": 1},
                codes=("far-points",),
                manifest=f"{root}/{name}/manifest.json",
                fingerprint=f"{n:016x}",
                task=f"task-{n:020d}",
                batch="fleet-1",
                when=1.7e9 + n,
            )
        )
    written.flush()
    return {"seconds": time.perf_counter() - start, "peak_bytes": peak_bytes()}


def command(words: list[str]) -> dict[str, float]:
    """A command, imports included."""
    from lidarprep.cli import main as run

    start = time.perf_counter()
    code = None
    try:
        run(words)
    except SystemExit as ended:
        code = ended.code
    assert not code, code
    return {"seconds": time.perf_counter() - start, "peak_bytes": peak_bytes()}


MEASURES: dict[str, Callable[..., dict[str, float]]] = {
    "one": one,
    "loop": loop,
    "cluster": cluster,
    "scene": scene,
    "stored": stored,
    "ledger": ledger,
    "command": command,
}

if __name__ == "__main__":
    begun = time.process_time()
    found = MEASURES[sys.argv[1]](**json.loads(sys.argv[2]))
    print("\n" + json.dumps(found | {"cpu_seconds": time.process_time() - begun}))
