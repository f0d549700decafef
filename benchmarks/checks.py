"""How good the checks are: faults planted at random, false alarms on sound recordings, and the time that it takes.

    python benchmarks/checks.py [--recording FOLDER] [--scenes N] [--seed N] [--rows TEXT] [--rounds N] [--verbose]
                                [--scratch FOLDER]

Generated recordings are of seeds of their own, so that other seeds are other recordings. Every figure is a rate of the
trials of this run. With --scratch, generated folders are kept there for the next run.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from check_recordings import Recordings
from check_rows import ROWS, Rate
from pipeline_children import run
from pipeline_input import write_recording
from rich.console import Console
from rich.table import Table

import lidarprep as lp
from lidarprep.checks import CheckOptions, check_scene

Cells = tuple[str, str, str, str]

PREPARED_FRAMES = 50

# A process that prepares as a user does, with checks that find nothing.
UNCHECKED = """
from importlib import import_module
import_module("lidarprep.prepare.checking").check_scene = lambda *_, **__: []
from lidarprep.cli import main
main()
"""


def cost(recordings: Recordings, rounds: int) -> Iterator[Cells]:
    """CPU seconds of the checks, all threads together, once kernels are compiled; and what a run takes longer."""
    source = recordings.real or recordings.street(0)
    cameras = len(lp.open_scene(source).cameras)
    seconds = {level: _cpu(source, level, rounds) for level in ("quick", "full")}
    camera = (seconds["full"] - seconds["quick"]) / cameras
    yield "CPU seconds a camera", f"{camera:.2f}", "1", "met" if camera <= 1 else "not met"
    yield "CPU seconds for the rest", f"{seconds['quick']:.2f}", "1", "met" if seconds["quick"] <= 1 else "not met"
    with TemporaryDirectory(dir=recordings.folder) as folder:
        scratch = Path(folder)
        many = write_recording(source, scratch / "many" / "recording", PREPARED_FRAMES)
        best = {name: [float("inf")] * 2 for name in ("none", "quick", "full")}
        for turn in range(rounds + 1):
            for name in best:
                wall, used = _prepared(many, name, scratch)
                if turn:  # the first compiles
                    best[name] = [min(best[name][0], wall), min(best[name][1], used)]
    for name in ("quick", "full"):
        wall, used = (one / none for one, none in zip(best[name], best["none"], strict=True))
        what = (
            f"prepare of {PREPARED_FRAMES} frames, checks {name}: time against no checks ({used:.2f} of the CPU time)"
        )
        yield (
            what,
            f"{wall:.2f} ({best[name][0]:.1f} s, {best['none'][0]:.1f} s)",
            "1.2",
            "met" if wall <= 1.2 else "not met",
        )


def _cpu(source: Path, level: str, rounds: int) -> float:
    best = float("inf")
    for turn in range(rounds + 1):
        scene = lp.open_scene(source)
        start = time.process_time()
        check_scene(scene, CheckOptions(level=level))  # type: ignore[arg-type]
        if turn:
            best = min(best, time.process_time() - start)
    return best


def _prepared(recording: Path, checks: str, scratch: Path) -> tuple[float, float]:
    """Prepare once: (wall seconds, CPU seconds)."""
    out = scratch / "out"
    shutil.rmtree(out, ignore_errors=True)
    accepted = [f"--accept={code}" for code in ("poses-misread", "poses-misfit", "poses-at-rest")]  # the frames repeat
    program = ["-c", UNCHECKED] if checks == "none" else ["-m", "lidarprep"]
    options = ["--checks", "full" if checks == "none" else checks]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = run([sys.executable, *program, "prepare", recording, "--out", out, *options, *accepted], scratch).seconds
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description="How good the checks are.")
    parser.add_argument(
        "--recording", type=Path, help="a toolkit folder beside generated ones; else LIDARPREP_RECORDING"
    )
    parser.add_argument(
        "--scenes", type=int, default=16, help="generated recordings; one in eight has images; goal: 200"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the generated recordings and of all draws")
    parser.add_argument("--rounds", type=int, default=3, help="how often the time is measured; the best counts")
    named = ", ".join((*ROWS, "cost"))
    parser.add_argument("--rows", default="", metavar="TEXT", help=f"only those of {named} with this text")
    parser.add_argument("--scratch", type=Path, help="a folder where generated recordings are kept")
    parser.add_argument("--verbose", action="store_true", help="list each miss")
    arguments = parser.parse_args()
    rates: list[Rate] = []
    costs: list[Cells] = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `timeout` ends a run with what there is
    with TemporaryDirectory() as folder:
        scratch = (arguments.scratch or Path(folder)).resolve()
        scratch.mkdir(parents=True, exist_ok=True)
        real = arguments.recording or os.environ.get("LIDARPREP_RECORDING")
        recordings = Recordings(scratch, None if not real else Path(real), arguments.seed, arguments.scenes)
        try:
            for name, measure in ROWS.items():
                if arguments.rows in name:
                    rates.extend(measure(recordings))
            if arguments.rows in "cost":
                costs.extend(cost(recordings, arguments.rounds))
        except KeyboardInterrupt:
            print("ended early: these are the trials until then", file=sys.stderr)
    table = Table("what", "reached", "goal", "")
    for cells in (*(rate.cells for rate in rates), *costs):
        table.add_row(*cells)
    console = Console(width=None if sys.stdout.isatty() else 130)
    console.print(table)
    if arguments.verbose:
        for miss in (miss for rate in rates for miss in rate.misses):
            console.print(miss, markup=False)


if __name__ == "__main__":
    main()
