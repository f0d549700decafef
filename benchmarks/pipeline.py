"""How fast a whole run is, and what it holds in memory: ratios against what a user would otherwise do.

    python benchmarks/pipeline.py [--recording FOLDER] [--open3d PYTHON] [--rounds N] [--frames N] [--many N]
                                  [--rows TEXT] [--scratch FOLDER] [--json]

Everything runs as a process of its own from its start to its end, sides in turns, best of some rounds. The kernel
cache is warm, the input lies in the page cache, and what a process has written is on the disk before the next starts.
The recording's frames are repeated under new numbers and poses. PYTHON is an interpreter that has open3d and pandas;
without one, plyfile reads in the script that lidarprep is compared with, and the table says so.
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

import numpy as np
from pipeline_children import ACCOUNT, empty, prepare, run, s3_server
from pipeline_input import size_of, write_recording
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
SCRIPT_GOAL, DISK_GOAL, MEMORY_GOAL, S3_GOAL, NOTHING_GOAL = 10.0, 3.0, 1.1, 1.0, 50.0
MOST_BYTES = 400e6
BUCKET = "pipeline"


@dataclass(frozen=True)
class Bench:
    """What the rows share.

    Args:
        scratch: A folder on the disk that is measured.
        few: A recording of `frames` frames.
        many: A recording of more, or None where no row needs it.
        open3d: An interpreter that has open3d, or None.
        rounds: How often each side runs.
    """

    scratch: Path
    few: Path
    many: Path | None
    open3d: Path | None
    rounds: int

    def emptied(self, name: str) -> Path:
        """A folder that is there and empty."""
        folder = self.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def in_turns(self, *sides: Callable[[], float]) -> list[float]:
        """The best seconds of each side."""
        best = [float("inf")] * len(sides)
        for _ in range(self.rounds):
            best = [min(time, side()) for time, side in zip(best, sides, strict=True)]
        return best


def frames_in(recording: Path) -> int:
    return len(list((recording / "pointcloud").iterdir()))


def measure_script(bench: Bench) -> list[dict[str, Any]]:
    """From a toolkit folder to Frame JSON: against a script, and against copying the bytes."""
    reader = "open3d" if bench.open3d else "plyfile"
    python = bench.open3d or Path(sys.executable)

    def script() -> float:
        command = [python, HERE / "pipeline_script.py", reader, bench.few, bench.emptied("script")]
        return run(command, bench.scratch).seconds

    def ours() -> float:
        return prepare(bench.few, bench.emptied("ours"), bench.scratch).seconds

    def copied() -> float:
        """cp of the input, dd of the output, which it fsyncs as prepare does with each file; cp does not."""
        target = bench.emptied("copy")
        copying = run(["cp", "-r", bench.few, target / "input"], bench.scratch).seconds
        writing = ["dd", f"if={bench.scratch / 'output'}", f"of={target / 'output'}", "bs=1M", "conv=fsync"]
        return copying + run(writing, bench.scratch).seconds

    ours(), script()
    check_same(bench.scratch / "ours", bench.scratch / "script")
    with (bench.scratch / "output").open("wb") as file:
        for path in sorted(path for path in (bench.scratch / "ours").rglob("*") if path.is_file()):
            file.write(path.read_bytes())
    size = (bench.scratch / "output").stat().st_size
    mine, theirs, disk = bench.in_turns(ours, script, copied)
    frames = frames_in(bench.few)
    what = f"{frames} frames and {3 * frames} images to Frame JSON in a folder, {size / 1e6:,.0f} MB"
    script_name = f"a script: {reader}, pandas' to_json, files"
    copy_name = "cp of the input, dd conv=fsync of the output"
    return [
        figures(what, script_name, theirs / mine, SCRIPT_GOAL, at_least=True, ours=mine, theirs=theirs),
        figures("the same", copy_name, mine / disk, DISK_GOAL, at_least=False, ours=mine, theirs=disk),
    ]


def check_same(ours: Path, script: Path) -> None:
    """Both have made the same frames: points within float32, as many images and radar points."""
    # frames/7-<12 hex>.json of ours, frame-7.json of the script
    mine_by_frame = {path.stem.rpartition("-")[0]: path for path in (ours / "frames").glob("*.json")}
    others_by_frame = {path.stem.removeprefix("frame-"): path for path in script.glob("frame-*.json")}
    assert mine_by_frame.keys() == others_by_frame.keys()
    ids = sorted(mine_by_frame)
    for frame_id in ids[:: max(1, len(ids) // 3)]:
        mine, other = (json.loads(by_frame[frame_id].read_bytes()) for by_frame in (mine_by_frame, others_by_frame))
        for axis, near in (("x", 1e-4), ("y", 1e-4), ("z", 1e-4), ("i", 1e-6)):
            one, two = ([point[axis] for point in frame["points"]] for frame in (mine, other))
            np.testing.assert_allclose(one, two, rtol=0, atol=near)
        for key in ("images", "radar_points"):
            assert len(mine.get(key, [])) == len(other[key])


def measure_s3(bench: Bench) -> list[dict[str, Any]]:
    """Prepared and stored, against storing what is ready."""
    import boto3

    os.environ.update(ACCOUNT)
    ready = bench.emptied("ready")
    prepare(bench.few, ready, bench.scratch, "--format", "protobuf")
    with s3_server() as server:
        client = boto3.client("s3", endpoint_url=server)

        def ours() -> float:
            empty(server)
            client.create_bucket(Bucket=BUCKET)
            options = ("--format", "protobuf", "--endpoint-url", server)
            return prepare(bench.few, f"s3://{BUCKET}/run", bench.scratch, *options).seconds

        def puts() -> float:
            empty(server)
            client.create_bucket(Bucket=BUCKET)
            return float(run([sys.executable, HERE / "pipeline_puts.py", ready, BUCKET, server], bench.scratch).stdout)

        mine, theirs = bench.in_turns(ours, puts)
    what = f"{frames_in(bench.few)} frames to S3 (moto on loopback), protobuf, {size_of(ready) / 1e6:,.0f} MB"
    against = "one thread of put_object of the ready bytes"
    return [figures(what, against, mine / theirs, S3_GOAL, at_least=False, ours=mine, theirs=theirs)]


def measure_memory(bench: Bench) -> list[dict[str, Any]]:
    """Peak memory over the length of a scene; and a second run that finds nothing to do."""
    assert bench.many is not None
    few = max(prepare(bench.few, bench.emptied("few"), bench.scratch).peak_bytes for _ in range(bench.rounds))
    bench.emptied("few").rmdir()
    out = bench.emptied("many")
    first = prepare(bench.many, out, bench.scratch)
    again = min(prepare(bench.many, out, bench.scratch).seconds for _ in range(bench.rounds))
    shutil.rmtree(out)
    counts = [frames_in(bench.few), frames_in(bench.many)]
    memory = figures(
        f"peak memory of {counts[1]} frames, Frame JSON ({first.peak_bytes / 1e6:,.0f} MB)",
        f"of {counts[0]} frames ({few / 1e6:,.0f} MB); each < 400 MB",
        first.peak_bytes / few,
        MEMORY_GOAL,
        at_least=False,
    )
    memory["met"] = memory["met"] and max(few, first.peak_bytes) < MOST_BYTES
    memory |= {"bytes": first.peak_bytes, "bytes_of_few": few}
    nothing = f"a second run with nothing to do, {counts[1]} frames"
    ratio = first.seconds / again
    return [memory, figures(nothing, "the first", ratio, NOTHING_GOAL, at_least=True, ours=again, theirs=first.seconds)]


def figures(
    what: str, against: str, figure: float, goal: float, *, at_least: bool, ours: float = 0.0, theirs: float = 0.0
) -> dict[str, Any]:
    return {
        "what": what,
        "against": against,
        "figure": figure,
        "goal": f"{'≥' if at_least else '≤'} {goal:g}×",
        "met": figure >= goal if at_least else figure <= goal,
        "seconds": ours or None,
        "seconds_of_other": theirs or None,
    }


ROWS = {"local": measure_script, "s3": measure_s3, "memory": measure_memory}


def table_of(rows: list[dict[str, Any]], title: str) -> Table:
    table = Table(title=title)
    for name in ("what", "against", "figure", "goal", "", "s", "s of other"):
        table.add_column(name, justify="left" if name in ("what", "against", "") else "right")
    for row in rows:
        seconds = [f"{row[key]:.2f}" if row[key] else "" for key in ("seconds", "seconds_of_other")]
        met = "met" if row["met"] else "not met"
        table.add_row(row["what"], row["against"], f"{row['figure']:.2f}×", row["goal"], met, *seconds)
    return table


def source_of(arguments: argparse.Namespace, scratch: Path) -> tuple[Path, str]:
    """The recording whose frames are repeated, and what it is called."""
    named = arguments.recording or os.environ.get("LIDARPREP_RECORDING")
    if named:
        return Path(named), Path(named).name
    sample = scratch / "sample"
    subprocess.run([sys.executable, "-m", "lidarprep", "sample", sample, "--frames", "5"], check=True)
    return sample, "generated sample"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recording", type=Path, help="a toolkit folder; else LIDARPREP_RECORDING, else generated")
    parser.add_argument("--open3d", type=Path, metavar="PYTHON", help="an interpreter that has open3d and pandas")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs; the best counts")
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--many", type=int, default=500, help="frames of the memory row; 10 MB of disk each")
    parser.add_argument("--rows", default="", metavar="TEXT", help=f"only those of {', '.join(ROWS)} with this text")
    parser.add_argument("--scratch", type=Path, help="a folder on the disk to measure; else the system's temporary one")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on stdout")
    arguments = parser.parse_args()
    wanted = [measure for name, measure in ROWS.items() if arguments.rows in name]
    with TemporaryDirectory(dir=arguments.scratch) as name:
        scratch = Path(name)
        source, called = source_of(arguments, scratch)
        few = write_recording(source, scratch / "recording-few", arguments.frames)
        many = None
        if measure_memory in wanted:
            many = write_recording(source, scratch / "recording-many", arguments.many)
        bench = Bench(scratch, few, many, arguments.open3d, arguments.rounds)
        prepare(few, bench.emptied("warm"), scratch)  # compiles what is not compiled yet
        shutil.rmtree(scratch / "warm")
        rows = [row for measure in wanted for row in measure(bench)]
    if arguments.json:
        json.dump({"source": called, "cores": os.cpu_count(), "rows": rows}, sys.stdout)
        return
    title = f"frames of {called}, {arguments.frames} and {arguments.many}; {os.cpu_count()} cores"
    Console(width=None if sys.stdout.isatty() else 170).print(table_of(rows, title))


if __name__ == "__main__":
    main()
