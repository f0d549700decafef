"""How fast frames become attachments and back, as ratios against named alternatives measured in the same run.

    python benchmarks/encoders.py [--frame FILE] [--rows TEXT] [--seconds S] [--json]

Absolute times depend on the machine; the ratios are what to look at, and each has a goal. Each row is checked first:
both sides must give the same. Then it alternates with its alternative and takes the best of many runs of either. A row
has a process of its own: what an earlier row leaves in the allocator halves the time of code that makes many arrays, as
pandas and NumPy do, and would make the figures depend on the order of the rows. The C++ program is built by g++ -O3;
without g++ its rows have no figure.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cpp_library
import numpy as np
from measuring import best_times, memcpy_bandwidth
from rich.console import Console
from rich.table import Table
from rows import MOST_FRAMES_OF_MEMORY, ROWS, Rows

import lidarprep as lp

POINTS = 168_814


def frame_of(path: Path | None) -> tuple[lp.Frame, str]:
    """The frame that is encoded, with x, y, z, i in the world; and where it is from."""
    if path is None and (recording := os.environ.get("LIDARPREP_RECORDING")):
        path = next(iter(sorted((Path(recording) / "pointcloud").iterdir())))
    if path is not None:
        points = lp.read_points(path, "world")
        intensity = np.zeros(len(points)) if points.intensity is None else points.intensity
        intensity = (intensity / max(1.0, float(intensity.max()))).astype(np.float32)
        points = lp.PointCloud(points.positions.astype(np.float32), frame="world", intensity=intensity)
        source = path.name
    else:
        rng = np.random.default_rng(0)
        positions = (rng.normal(size=(POINTS, 3)) * (40, 40, 2)).astype(np.float32)
        intensity = (rng.integers(0, 256, POINTS) / 255).astype(np.float32)
        points = lp.PointCloud(positions, frame="world", intensity=intensity)
        source = "random points"
    return lp.Frame("benchmark", 0, lambda: points, world_from_ego=lp.Pose.identity()), source


def measure(name: str, path: Path | None, folder: Path, seconds: float, memcpy: float) -> dict[str, Any]:
    """A row's figures; its figure and whether it is met are None where there is nothing to compare with."""
    row = ROWS[name](Rows(frame_of(path)[0], cpp_library.load(folder), folder))
    row.check()
    ours, theirs = best_times(row.ours, row.theirs or row.ours, seconds)
    figure = None if row.theirs is None else (theirs / ours if row.figure == "times" else ours / theirs)
    met = None if figure is None else (figure >= row.goal if row.figure == "times" else figure <= row.goal)
    memory = None if row.memory is None else row.memory()
    if met is not None and memory is not None:
        met = met and memory < MOST_FRAMES_OF_MEMORY
    return {
        "what": row.what,
        "against": row.against,
        "figure": figure,
        "figure_is": "times as fast" if row.figure == "times" else "share of its time",
        "goal": row.goal,
        "met": met,
        "seconds": ours,
        "seconds_of_the_other": None if row.theirs is None else theirs,
        "bytes_per_second": row.size / ours,
        "points_per_second": row.points / ours,
        "share_of_memcpy": row.size / ours / memcpy,
        "peak_memory_in_frames": memory,
    }


def table_of(figures: list[dict[str, Any]], title: str) -> Table:
    table = Table(title=title)
    for name in ("what", "against", "figure", "goal", "", "MB/s", "million points/s", "of memcpy"):
        table.add_column(name, justify="left" if name in ("what", "against", "") else "right")
    for row in figures:
        times = row["figure_is"] == "times as fast"
        figure = (
            "" if row["figure"] is None else f"{row['figure']:.1f}×" if times else f"{row['figure']:.2f} of its time"
        )
        goal = f"≥ {row['goal']:g}×" if times else f"≤ {row['goal']:g}"
        if row["peak_memory_in_frames"] is not None:
            figure += f", {row['peak_memory_in_frames']:.2f} frames"
            goal += f", < {MOST_FRAMES_OF_MEMORY:g} frames"
        table.add_row(
            row["what"],
            row["against"],
            figure,
            goal,
            {None: "", True: "met", False: "not met"}[row["met"]],
            f"{row['bytes_per_second'] / 1e6:,.0f}",
            f"{row['points_per_second'] / 1e6:,.1f}",
            f"{row['share_of_memcpy']:.1%}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frame", type=Path, help="a point file; else the first of LIDARPREP_RECORDING, else random")
    parser.add_argument("--rows", default="", metavar="TEXT", help="only rows whose names have this text in them")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each row is measured, at least")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on stdout")
    arguments = parser.parse_args()
    frame, source = frame_of(arguments.frame)
    with TemporaryDirectory() as name, ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        cpp_library.build(Path(name))
        memcpy = memcpy_bandwidth()
        chosen = [row for row in ROWS if arguments.rows.lower() in row.lower()]
        figures = [
            pool.submit(measure, row, arguments.frame, Path(name), arguments.seconds, memcpy).result() for row in chosen
        ]
    count = len(frame.points())
    if arguments.json:
        json.dump({"points": count, "source": source, "memcpy_bytes_per_second": memcpy, "rows": figures}, sys.stdout)
        return
    title = f"{count:,} points with x, y, z, i ({source}); {os.cpu_count()} cores; memcpy {memcpy / 1e9:.1f} GB/s"
    Console(width=None if sys.stdout.isatty() else 180).print(table_of(figures, title))


if __name__ == "__main__":
    main()
