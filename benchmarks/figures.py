"""The figures that the design is held to: sizes of the code, start-up, requests to S3, speed on a disk.

    python benchmarks/figures.py [--recording FOLDER] [--other CHECKOUT] [--rounds N] [--frames N] [--rows TEXT]
                                 [--scratch FOLDER]

Times are whole processes, in turns with what they are compared with, best of some rounds; byte code and kernels are
cached. With --other, fresh runs and runs with nothing to do are compared with another checkout of lidarprep.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline_children import ACCOUNT, prepare, run, s3_server
from pipeline_input import size_of, write_recording
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
RUN = ("prepare", "storage", "verify.py", "repair.py", "prune.py", "signed_urls.py")

Row = tuple[str, str, str]


def lines_and_files(*names: str) -> str:
    paths = [ROOT / "lidarprep" / name for name in names] if names else [ROOT / "lidarprep"]
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))]
    return f"{sum(len(file.read_text().splitlines()) for file in files):,} · {len(files)}"


def sizes(_: argparse.Namespace, __: Path, ___: Path) -> list[Row]:
    return [
        ("lines of lidarprep/ · files", lines_and_files(), "36,500 · 200"),
        ("prepare, storage, verify, repair, prune, signed URLs", lines_and_files(*RUN), "4,300 · 30"),
    ]


def best(rounds: int, *sides: Callable[[], float]) -> list[float]:
    seconds = [float("inf")] * len(sides)
    for _ in range(rounds):
        seconds = [min(before, side()) for before, side in zip(seconds, sides, strict=True)]
    return seconds


def start_up(arguments: argparse.Namespace, recording: Path, scratch: Path) -> list[Row]:
    python, script = sys.executable, Path(sys.executable).with_name("lidarprep")
    out = scratch / "one"

    def one_frame() -> float:
        shutil.rmtree(out, ignore_errors=True)
        return run([script, "prepare", recording, "--out", out, "--frames", "0:1"], scratch).seconds

    one_frame()
    rounds = 5 * arguments.rounds
    shown, typer = best(
        rounds,
        lambda: run([script, "--help"], scratch).seconds,
        lambda: run([python, "-c", "import typer"], scratch).seconds,
    )
    prepared, numba = best(rounds, one_frame, lambda: run([python, "-c", "import numba"], scratch).seconds)
    return [
        ("lidarprep --help / import typer", f"{shown / typer:.2f}", "1.8"),
        ("prepare of one frame / import numba", f"{prepared / numba:.2f}", "2.2"),
    ]


def requests(_: argparse.Namespace, recording: Path, scratch: Path) -> list[Row]:
    few = write_recording(recording, scratch / "requests" / "recording", 24)
    log = scratch / "requests.log"
    with log.open("w") as written, s3_server(log=written) as server:
        os.environ.update(ACCOUNT)
        import boto3

        boto3.client("s3", endpoint_url=server).create_bucket(Bucket="figures")
        options = ["--endpoint-url", server, "--format", "protobuf"]
        prepare(few, "s3://figures/run", scratch, *options, "--roi", "0,0,80,60")
        before = log.read_text().count(" HTTP/1.1")
        prepare(few, "s3://figures/run", scratch, *options, "--roi", "0,0,60,60", "--overwrite")
        made = log.read_text().count(" HTTP/1.1") - before
    return [("requests of an overwriting run, 24 frames, 72 images", str(made), "180")]


def disk(arguments: argparse.Namespace, recording: Path, scratch: Path) -> list[Row]:
    many = write_recording(recording, scratch / "disk" / "recording", arguments.frames)
    out, copy = scratch / "out", scratch / "copy"
    megabytes = 0

    def ours() -> float:
        nonlocal megabytes
        shutil.rmtree(out, ignore_errors=True)
        seconds = prepare(many, out, scratch, "--format", "protobuf").seconds
        megabytes = size_of(out) // 10**6
        shutil.rmtree(out)
        return seconds

    def copied() -> float:
        copy.unlink(missing_ok=True)
        writing = ["dd", "if=/dev/zero", f"of={copy}", "bs=1M", f"count={megabytes}", "conv=fsync"]
        seconds = run(writing, scratch).seconds
        copy.unlink()
        return seconds

    own, dd = best(arguments.rounds, ours, copied)
    what = f"{arguments.frames} frames to protobuf, {megabytes / 1000:.2f} GB: share of the speed of dd conv=fsync"
    return [(what, f"{dd / own:.2f} ({own:.1f} s, {dd:.1f} s)", "0.6")]


@dataclass(frozen=True)
class Version:
    """A checkout that prepares a recording."""

    checkout: Path
    recording: Path
    out: Path
    format: str

    def fresh(self) -> float:
        shutil.rmtree(self.out, ignore_errors=True)
        return self.again()

    def again(self) -> float:
        program = f"import sys; sys.path.insert(0, {str(self.checkout)!r}); from lidarprep.cli import main; main()"
        command = [sys.executable, "-c", program, "prepare", self.recording, "--out", self.out, "--format", self.format]
        return run(command, self.out.parent).seconds


def versions(arguments: argparse.Namespace, recording: Path, scratch: Path) -> list[Row]:
    if arguments.other is None:
        return []
    few = write_recording(recording, scratch / "versions" / "recording", 50)
    rows = []
    for name in ("json", "protobuf", "sfs"):
        sides = [Version(ROOT, few, scratch / "new", name), Version(arguments.other, few, scratch / "old", name)]
        new, old = best(arguments.rounds, *(side.fresh for side in sides))
        rows.append((f"50 frames to {name}: time against the other checkout", f"{new / old:.2f}", "1"))
        new, old = best(5 * arguments.rounds, *(side.again for side in sides))
        rows.append((f"nothing to do, {name}: the same", f"{new / old:.2f}", "1"))
    return rows


ROWS = {"sizes": sizes, "start-up": start_up, "requests": requests, "disk": disk, "versions": versions}


def main() -> None:
    parser = argparse.ArgumentParser(description="The figures that the design is held to.")
    parser.add_argument("--recording", type=Path, help="a toolkit folder; else LIDARPREP_RECORDING, else generated")
    parser.add_argument("--other", type=Path, metavar="CHECKOUT", help="another checkout to compare speed with")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs; the best counts")
    parser.add_argument("--frames", type=int, default=500, help="frames of the row of the disk; 4 MB each")
    parser.add_argument("--rows", default="", metavar="TEXT", help=f"only those of {', '.join(ROWS)} with this text")
    parser.add_argument("--scratch", type=Path, help="a folder on the disk to measure; else the system's temporary one")
    arguments = parser.parse_args()
    table = Table("what", "reached", "goal")
    with TemporaryDirectory(dir=arguments.scratch) as folder:
        scratch = Path(folder)
        named = arguments.recording or os.environ.get("LIDARPREP_RECORDING")
        recording = Path(named) if named else scratch / "sample"
        if not named:
            subprocess.run([sys.executable, "-m", "lidarprep", "sample", recording, "--frames", "5"], check=True)
        for name, measure in ROWS.items():
            if arguments.rows in name:
                for row in measure(arguments, recording, scratch):
                    table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 110).print(table)


if __name__ == "__main__":
    main()
