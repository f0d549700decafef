"""Labels of points brought home: 300 frames of 100,000 points, from the JSON of the result to files of the recording.

    python benchmarks/results.py [FRAMES] [POINTS]

The result is fetched from a server on loopback; the API is the sandbox, in a process of its own. Bounds: 5 s, 500 MB.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np

from lidarprep.storage import kept_points
from lidarprep.storage.content import NewObject
from lidarprep.storage.folder import FolderStore
from lidarprep.storage.manifest import AttachmentRecord, DroppedPoints, FrameRecord, Manifest, ObjectRecord
from lidarprep.storage.options import StorageOptions


def write_manifest(folder: Path, frames: int, points: int) -> None:
    """Write a manifest of frames of which two thirds of the points are kept, and what is kept of each."""
    rng = np.random.default_rng(0)
    store = FolderStore(str(folder), StorageOptions())
    records, attachments = [], []
    for row in range(frames):
        points_in = points * 3 // 2
        rows = np.sort(rng.choice(points_in, points, replace=False)).astype(np.int64)
        new = NewObject.of(f"kept/{row:06}", kept_points.encode(rows, points_in), ".bits.gz", "application/gzip")
        new.put(store)
        dropped = DroppedPoints(region=points_in - points)
        kept = ObjectRecord(**new.fields(store))
        records.append(
            FrameRecord(
                id=f"{row:06}",
                index=row,
                timestamp=row * 10**8,
                points_in=points_in,
                points_out=points,
                dropped=dropped,
                labelled=True,
                kept=kept,
            )
        )
        url = f"frames/{row:06}.json"
        attachments.append(AttachmentRecord(key=url, url=url, bytes=1, sha256="0" * 64, frames=[f"{row:06}"]))
    manifest = Manifest(source="benchmark", format="json", recipe={}, attachments=attachments, frames=records)
    (folder / "manifest.json").write_bytes(manifest.to_json())


def write_result(path: Path, frames: int, points: int) -> None:
    """Write labels as a labeller would: runs of points of one of fifty objects."""
    rng = np.random.default_rng(1)
    objects = [{"label": f"label {n % 7}", "index": n, "instance": True} for n in range(1, 51)]
    with path.open("w") as out:
        out.write(json.dumps({"objects": objects})[:-1] + ', "point_objects": [')
        for row in range(frames):
            labels = np.repeat(rng.integers(0, 51, points // 50 + 1), 50)[:points]
            out.write(("," if row else "") + json.dumps(labels.tolist(), separators=(",", ":")))
        out.write("]}")


def serve(path: Path) -> HTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(path.stat().st_size))
            self.end_headers()
            with path.open("rb") as file:
                while piece := file.read(1 << 20):
                    self.wfile.write(piece)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    frames, points = (int(word) for word in (*sys.argv[1:], *("300", "100000")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_manifest(root, frames, points)
        write_result(root / "result.json", frames, points)
        size = (root / "result.json").stat().st_size
        server = serve(root / "result.json")
        from lidarprep.api import ScaleClient
        from lidarprep.sandbox import running_sandbox

        with running_sandbox() as sandbox, ScaleClient("test_benchmark", sandbox.url) as client:
            task = client.create_task(
                "lidarsegmentation",
                {
                    "attachments": ["https://example.com/1.json"],
                    "attachment_type": "json",
                    "labels": ["car"],
                    "instruction": "Label.",
                    "callback_url": "https://example.com/c",
                },
            )
            link = {"url": f"http://127.0.0.1:{server.server_port}/result.json"}
            sandbox.complete(task.id, {"point_segmentations": link})
            words = [sys.executable, "-c", CHILD, task.id, sandbox.url, folder]
            for run in ("first run (may compile)", "again, to memory", "to files"):
                started = time.perf_counter()
                out = subprocess.run([*words, run], check=True, capture_output=True, text=True).stdout
                seconds, cpu, megabytes = out.split()
                whole = time.perf_counter() - started
                print(
                    f"{run}: {frames} frames of {points:,} points ({size / 1e6:.0f} MB of JSON): {seconds} s in the "
                    f"call ({cpu} s of CPU), {whole:.1f} s with start-up, {megabytes} MB at most"
                )
        server.shutdown()


CHILD = """
import resource, sys, time
import lidarprep as lp
task, url, folder, how = sys.argv[1:]
with lp.ScaleClient("test_benchmark", url) as client:
    start, cpu = time.perf_counter(), time.process_time()
    if how == "to files":
        lp.write_results(task, folder + "/labels", folder, client=client)
    else:
        labels = lp.results(task, folder, client=client)
        assert all(len(values) for values in labels.points.values)
    seconds = time.perf_counter() - start
print(f"{seconds:.2f}", f"{time.process_time() - cpu:.2f}", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000)
"""

if __name__ == "__main__":
    main()
