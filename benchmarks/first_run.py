"""How long the first run ever takes, from an empty cache of machine code, and what of it later runs are spared.

    python benchmarks/first_run.py [--recording FOLDER] [--runs N] [--json]

Each run is `lidarprep prepare` of one frame in a process of its own. The first has an empty NUMBA_CACHE_DIR; the later
ones find what it left there. The compile time is the difference; and that later runs compile nothing is shown by the
cache, to which they add no file. Without a recording, a small street is generated.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

FORMATS = ("json", "protobuf", "sfs")


def lidarprep(*arguments: str, cache: Path) -> float:
    """Seconds that a command took."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    start = time.perf_counter()
    command = [sys.executable, "-m", "lidarprep", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return seconds


def machine_code(cache: Path) -> set[tuple[str, int]]:
    """The files of machine code, with the times of their writing."""
    return {(str(path), path.stat().st_mtime_ns) for path in cache.rglob("*.nb[ci]")}


def measure(recording: Path, name: str, folder: Path, runs: int) -> dict[str, Any]:
    cache = folder / f"cache-{name}"

    def prepare(run: int) -> float:
        out = str(folder / f"{name}-{run}")
        return lidarprep("prepare", str(recording), "--out", out, "--format", name, "--frames", "0:1", cache=cache)

    first = prepare(0)
    compiled = machine_code(cache)
    later = min(prepare(run) for run in range(1, 1 + runs))
    return {
        "format": name,
        "first_run_seconds": first,
        "later_run_seconds": later,
        "compile_seconds": first - later,
        "functions_compiled": len({path for path, _ in compiled if path.endswith(".nbc")}),
        "cache_files_changed_later": len(machine_code(cache) ^ compiled),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recording", type=Path, help="else LIDARPREP_RECORDING, else a generated one")
    parser.add_argument("--runs", type=int, default=3, help="later runs, of which the best counts")
    parser.add_argument("--formats", nargs="+", default=FORMATS, metavar="NAME", help=" ".join(FORMATS))
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on stdout")
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        recording = arguments.recording or (Path(given) if (given := os.environ.get("LIDARPREP_RECORDING")) else None)
        if recording is None:
            recording = folder / "sample"
            lidarprep("sample", str(recording), "--frames", "1", cache=folder / "cache-sample")
        figures = [measure(recording, form, folder, arguments.runs) for form in arguments.formats]
    if arguments.json:
        json.dump(figures, sys.stdout, indent=2)
        return
    table = Table(title="lidarprep prepare of one frame")
    for column in ("format", "first run ever", "later runs", "compile time", "functions compiled", "by later runs"):
        table.add_column(column, justify="left" if column == "format" else "right")
    for row in figures:
        seconds = [f"{row[key]:.2f} s" for key in ("first_run_seconds", "later_run_seconds", "compile_seconds")]
        counts = [str(row[key]) for key in ("functions_compiled", "cache_files_changed_later")]
        table.add_row(row["format"], *seconds, *counts)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    main()
