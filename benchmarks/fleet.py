"""What a fleet costs: many scenes side by side, scenes from a store, and the account of them.

    python benchmarks/fleet.py [--recording FOLDER] [--rounds N] [--scenes N] [--frames N] [--large BYTES]
                               [--rows TEXT] [--scratch FOLDER] [--json]

Sides run in turns, each as a process of its own whose imports and kernels are warm before the clock starts; the best of
some rounds counts. The store is moto's server in another process. The recording's frames are repeated under new numbers
and poses.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import boto3
from fleet_input import BUCKET, Relay, put_folder, write_las, write_mcap
from pipeline import figures, source_of, table_of
from pipeline_children import ACCOUNT, s3_server
from pipeline_input import write_recording
from rich.console import Console

HERE = Path(__file__).parent
PROCESSES = 2
CLUSTER_GOAL, OVERHEAD_GOAL, LOOP_GOAL, S3_GOAL = 1.8, 0.05, 1.03, 1.3
INSPECT_GOAL, MEMORY_GOAL, LEDGER_SECONDS, LEDGER_BYTES = 0.01, 1.05, 3.0, 300e6


@dataclass(frozen=True)
class Bench:
    """What the rows share.

    Args:
        scratch: A folder on the disk that is measured.
        source: The recording whose frames are repeated.
        arguments: Of the command line.
    """

    scratch: Path
    source: Path
    arguments: argparse.Namespace

    def scenes(self, count: int) -> list[str]:
        """Recordings of some frames each, as many as asked for; they share their files."""
        folder = self.scratch / "drives"
        for n in range(count):
            if not (folder / f"drive-{n:04}").exists():
                write_recording(self.source, folder / f"drive-{n:04}", self.arguments.frames)
        return [str(folder / f"drive-{n:04}") for n in range(count)]

    def child(self, name: str, **options: Any) -> dict[str, float]:
        """The figures of a process; what it stores is removed."""
        out = self.scratch / "out"
        if "out" in options:
            shutil.rmtree(out, ignore_errors=True)
            options["out"] = str(out)
        os.sync()
        environment = os.environ | ACCOUNT | {"PYTHONPATH": str(HERE.parent)}
        command = [sys.executable, str(HERE / "fleet_children.py"), name, json.dumps(options)]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        if ended.returncode:
            raise SystemExit(f"{name} ended with {ended.returncode}:\n{ended.stderr}")
        shutil.rmtree(out, ignore_errors=True)
        found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
        return found

    def in_turns(self, *sides: Callable[[], dict[str, float]]) -> list[dict[str, float]]:
        """The figures of each side's fastest run."""
        runs = [[side() for side in sides] for _ in range(self.arguments.rounds)]
        return [min(ran, key=lambda one: one["seconds"]) for ran in zip(*runs, strict=True)]


def measure_cluster(bench: Bench) -> list[dict[str, Any]]:
    """64 scenes by a cluster of two processes, by one process of one thread, and by a plain loop."""
    scenes = bench.scenes(bench.arguments.scenes)
    many, one, loop = bench.in_turns(
        lambda: bench.child("cluster", recordings=scenes, out="", workers=PROCESSES),
        lambda: bench.child("one", recordings=scenes, out=""),
        lambda: bench.child("loop", recordings=scenes, out=""),
    )
    what = f"{len(scenes)} scenes of {bench.arguments.frames} frames by a cluster of {PROCESSES} processes"
    times = {"ours": many["seconds"], "theirs": one["seconds"]}
    overhead = (PROCESSES * many["seconds"] - many["work"]) / many["work"]
    return [
        figures(
            what, "one process, one thread", one["seconds"] / many["seconds"], CLUSTER_GOAL, at_least=True, **times
        ),
        figures("the same: time that no scene is worked on", "the work", overhead, OVERHEAD_GOAL, at_least=False),
        figures(
            f"{len(scenes)} scenes by one process",
            "a plain loop of prepare",
            one["seconds"] / loop["seconds"],
            LOOP_GOAL,
            at_least=False,
            ours=one["seconds"],
            theirs=loop["seconds"],
        ),
    ]


def measure_s3(bench: Bench) -> list[dict[str, Any]]:
    """50 frames from S3 and from the disk; the server's own CPU time is taken off."""
    recording = write_recording(bench.source, bench.scratch / "fifty" / "drive", 50)
    with s3_server() as server:
        _make_bucket(server)
        url = put_folder(recording, "drive", server)
        pid = _server_of(server)

        def remote() -> dict[str, float]:
            before = _cpu_seconds(pid)
            found = bench.child("scene", recording=url, out="", endpoint=server)
            cpu = _cpu_seconds(pid) - before
            return found | {"seconds": found["seconds"] - cpu, "server": cpu}

        far, near = bench.in_turns(
            remote, lambda: bench.child("scene", recording=str(recording), out="", endpoint=None)
        )
    what = f"50 frames from S3, without {far['server']:.2f} s of the server's own"
    times = {"ours": far["seconds"], "theirs": near["seconds"]}
    return [figures(what, "from the disk", far["seconds"] / near["seconds"], S3_GOAL, at_least=False, **times)]


def measure_cost(bench: Bench) -> list[dict[str, Any]]:
    """What a scene of 50 frames and three cameras costs from S3 to S3: requests, bytes, seconds of one core."""
    recording = write_recording(bench.source, bench.scratch / "fifty" / "drive", 50)
    with s3_server() as server, Relay(urlsplit(server).port or 0).running() as relay:
        _make_bucket(server)
        url = put_folder(recording, "drive", server)
        found = bench.child(
            "stored",
            recording=url,
            out="",
            destination=f"s3://{BUCKET}/scene",
            warm_endpoint=server,
            endpoint=relay.url,
        )
    asked = dict(relay.requests)
    writes = asked.get("PUT", 0) + asked.get("POST", 0)
    expected = 2 * found["frames"] + found["images"] + 2
    what = f"requests that write {found['frames']:.0f} frames and {found['images']:.0f} images: {writes}"
    row = figures(what, f"2 F + I + 2 = {expected:.0f}", writes / expected, 1.05, at_least=False)
    return [row | {"requests": asked, "bytes": found["bytes"], "cpu_seconds": found["work"]}]


def measure_inspect(bench: Bench) -> list[dict[str, Any]]:
    """Bytes that the server sends for `inspect` of a large file."""
    rows = []
    with s3_server() as server, Relay(urlsplit(server).port or 0).running() as relay:
        _make_bucket(server)
        client: Any = boto3.client("s3", endpoint_url=server)
        for name, write in (("large.las", write_las), ("large.mcap", write_mcap)):
            path = write(bench.scratch / name, bench.arguments.large)
            size = path.stat().st_size
            client.upload_file(str(path), BUCKET, name)
            path.unlink()
            before = relay.received
            words = ["inspect", f"s3://{BUCKET}/{name}", "--endpoint-url", relay.url]
            seconds = bench.child("command", words=words)["seconds"]
            share = (relay.received - before) / size
            what = f"bytes that inspect fetches of a {path.suffix[1:]} of {size / 1e9:.2f} GB on S3"
            rows.append(figures(what, "its size", share, INSPECT_GOAL, at_least=False, ours=seconds))
    return rows


def measure_memory(bench: Bench) -> list[dict[str, Any]]:
    """The most memory that the worker of a cluster has had after 10 scenes, and after 100."""
    few, many = (
        min(
            bench.child("cluster", recordings=bench.scenes(count), out="", workers=1)["peak_bytes"]
            for _ in range(bench.arguments.rounds)
        )
        for count in (10, 100)
    )
    what = f"memory of a worker, 100 scenes ({many / 1e6:,.0f} MB)"
    return [figures(what, f"10 scenes ({few / 1e6:,.0f} MB)", many / few, MEMORY_GOAL, at_least=False)]


def measure_ledger(bench: Bench) -> list[dict[str, Any]]:
    """The ledger of 10,000 scenes is written as a batch writes it, and `batch status` shows it."""
    root = bench.scratch / "ledger"

    def written() -> dict[str, float]:
        shutil.rmtree(root, ignore_errors=True)
        return bench.child("ledger", root=str(root), scenes=10_000)

    ledger, status = bench.in_turns(written, lambda: bench.child("command", words=["batch", "status", str(root)]))
    seconds = ledger["seconds"] + status["seconds"]
    peak = max(ledger["peak_bytes"], status["peak_bytes"])
    what = f"ledger and status of 10,000 scenes ({peak / 1e6:,.0f} MB, goal {LEDGER_BYTES / 1e6:,.0f})"
    row = figures(what, "3 s", seconds / LEDGER_SECONDS, 1.0, at_least=False, ours=seconds, theirs=LEDGER_SECONDS)
    cpu = ledger["cpu_seconds"] + status["cpu_seconds"]
    return [row | {"met": row["met"] and peak < LEDGER_BYTES, "bytes": peak, "cpu_seconds": cpu}]


def _make_bucket(server: str) -> None:
    os.environ.update(ACCOUNT)
    client: Any = boto3.client("s3", endpoint_url=server)
    client.create_bucket(Bucket=BUCKET)


def _server_of(server: str) -> int:
    """The process that listens at a port of loopback: a child of this one."""
    import psutil

    port = urlsplit(server).port
    for child in psutil.Process().children():
        if any(one.laddr.port == port for one in child.net_connections() if one.status == psutil.CONN_LISTEN):
            return child.pid
    raise SystemExit(f"no child of this process listens at {server}")


def _cpu_seconds(pid: int) -> float:
    import psutil

    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


ROWS = {
    "cluster": measure_cluster,
    "s3": measure_s3,
    "cost": measure_cost,
    "inspect": measure_inspect,
    "memory": measure_memory,
    "ledger": measure_ledger,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recording", type=Path, help="a toolkit folder; else LIDARPREP_RECORDING, else generated")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs; the best counts")
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--frames", type=int, default=10, help="frames of each scene")
    parser.add_argument("--large", type=int, default=10**9, metavar="BYTES", help="size of the files to inspect")
    parser.add_argument("--rows", default="", metavar="TEXT", help=f"only those of {', '.join(ROWS)} with this text")
    parser.add_argument("--scratch", type=Path, help="a folder on the disk to measure; else the system's temporary one")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on stdout")
    arguments = parser.parse_args()
    with TemporaryDirectory(dir=arguments.scratch) as name:
        scratch = Path(name)
        source, called = source_of(arguments, scratch)
        bench = Bench(scratch, source, arguments)
        rows = [row for name, measure in ROWS.items() if arguments.rows in name for row in measure(bench)]
    if arguments.json:
        json.dump({"source": called, "cores": os.cpu_count(), "rows": rows}, sys.stdout)
        return
    title = f"{arguments.scenes} scenes of {arguments.frames} frames of {called}; {os.cpu_count()} cores"
    Console(width=None if sys.stdout.isatty() else 170).print(table_of(rows, title))


if __name__ == "__main__":
    main()
