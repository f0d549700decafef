"""How fast recordings are read, as ratios against the library that a user would otherwise call on the same file.

    python benchmarks/readers.py [--frame FILE] [--rows TEXT] [--seconds S] [--json]

Every file is written by its format's own library, and each row is checked first: both sides must give the same points.
Then they alternate, and the best of many runs of either counts. Files lie in the page cache. A row has a process of its
own. Both sides end with what a step needs: positions as an (N, 3) array and intensities as another, neither a view of
the file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import reader_bags
import reader_files
from measuring import best_times
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import lidarprep as lp

POINTS = 168_814
BAG_FRAMES = 20
OPENED_FRAMES = 1_000
MOST_SECONDS_TO_OPEN = 1.0

Columns = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class Row:
    """One row: a file, the library that reads it otherwise, and how often as fast the goal is."""

    file: str
    against: str
    theirs: Callable[[Path], Columns]
    goal: float


def _stacked(columns: Any) -> Columns:
    return np.column_stack([columns[axis] for axis in "xyz"]), np.array(columns["intensity"])


def _pypcd4(path: Path) -> Columns:
    from pypcd4 import PointCloud

    cloud = PointCloud.from_path(path)
    return cloud.numpy(("x", "y", "z")), np.array(cloud.numpy(("intensity",))[:, 0])


def _plyfile(path: Path) -> Columns:
    from plyfile import PlyData

    return _stacked(PlyData.read(path)["vertex"])


def _pandas_csv(path: Path) -> Columns:
    import pandas as pd

    return _stacked(pd.read_csv(path))


def _laspy(path: Path) -> Columns:
    import laspy

    las = laspy.read(path)
    return np.column_stack((las.x, las.y, las.z)), np.array(las.intensity)


def _parquet(path: Path) -> Columns:
    import pandas as pd

    return _stacked(pd.read_parquet(path))


def _feather(path: Path) -> Columns:
    import pandas as pd

    return _stacked(pd.read_feather(path))


def _floats(path: Path, columns: int) -> Columns:
    table = np.fromfile(path, dtype="<f4").reshape(-1, columns)
    return np.ascontiguousarray(table[:, :3]), np.ascontiguousarray(table[:, 3])


ROWS = (
    Row("ascii.pcd", "pypcd4", _pypcd4, 5),
    Row("binary.pcd", "pypcd4", _pypcd4, 1),
    Row("compressed.pcd", "pypcd4", _pypcd4, 1),
    Row("ascii.ply", "plyfile", _plyfile, 5),
    Row("little.ply", "plyfile", _plyfile, 1),
    Row("big.ply", "plyfile", _plyfile, 1),
    Row("points.csv", "pandas.read_csv", _pandas_csv, 1),
    Row("points.las", "laspy", _laspy, 1),
    Row("points.laz", "laspy with lazrs", _laspy, 1),
    Row("points.parquet", "pandas.read_parquet", _parquet, 1),
    Row("points.feather", "pandas.read_feather", _feather, 1),
    Row("points.bin", "np.fromfile", lambda path: _floats(path, 4), 1),
    Row("points.pcd.bin", "np.fromfile", lambda path: _floats(path, 5), 1),
    Row("points.npy", "np.load", lambda path: _stacked(np.load(path)), 1),
)


def _ours(path: Path) -> Columns:
    points = lp.read_points(path)
    assert points.intensity is not None
    return points.positions, points.intensity


def measure_file(number: int, folder: Path, seconds: float) -> dict[str, Any]:
    """A row's figures."""
    row = ROWS[number]
    path = folder / row.file
    for mine, other in zip(_ours(path), row.theirs(path), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-7, atol=1e-9)
    ours, theirs = best_times(lambda: _ours(path), lambda: row.theirs(path), seconds)
    return _figures(f"read {row.file}", row.against, theirs / ours, row.goal, ours, path.stat().st_size)


def measure_bag(kind: str, folder: Path, seconds: float) -> dict[str, Any]:
    """A bag's figures: all its clouds, one after the other, its opening included."""
    path = folder / kind
    size = sum(file.stat().st_size for file in path.rglob("*")) if path.is_dir() else path.stat().st_size
    for mine, other in zip(reader_bags.by_lidarprep(path), reader_bags.by_rosbags(path), strict=True):
        np.testing.assert_array_equal(mine[0], other[0])
        np.testing.assert_array_equal(mine[1], other[1])
    ours, theirs = best_times(
        lambda: [None for _ in reader_bags.by_lidarprep(path)],
        lambda: [None for _ in reader_bags.by_rosbags(path)],
        seconds,
    )
    return _figures(f"read {BAG_FRAMES} clouds of {kind}", "rosbags and NumPy", theirs / ours, 1, ours, size)


def measure_opening(folder: Path) -> dict[str, Any]:
    """How long a recording of 1,000 frames takes to open, at best of five, as the share of a second."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        scene = lp.open_scene(folder)
        times.append(time.perf_counter() - start)
        assert len(scene) == OPENED_FRAMES
    return {
        "what": f"open a toolkit folder of {OPENED_FRAMES:,} frames and 3 cameras",
        "against": "a second",
        "figure": min(times),
        "goal": MOST_SECONDS_TO_OPEN,
        "met": min(times) < MOST_SECONDS_TO_OPEN,
        "bytes_per_second": None,
    }


def _figures(what: str, against: str, figure: float, goal: float, seconds: float, size: int) -> dict[str, Any]:
    return {
        "what": what,
        "against": against,
        "figure": figure,
        "goal": goal,
        "met": figure >= goal,
        "bytes_per_second": size / seconds,
    }


def write_files(folder: Path, frame: Path | None) -> tuple[int, str]:
    """Writes every file and bag; gives the count of points and where they are from."""
    if frame is None and (recording := os.environ.get("LIDARPREP_RECORDING")):
        frame = next(iter(sorted((Path(recording) / "pointcloud").iterdir())))
    if frame is None:
        rng = np.random.default_rng(0)
        positions = (rng.normal(size=(POINTS, 3)) * (40, 40, 2)).astype(np.float32)
        intensity, source = rng.integers(0, 256, POINTS), "random points"
    else:
        points = lp.read_points(frame)
        positions, source = points.positions, frame.name
        intensity = np.zeros(len(points)) if points.intensity is None else points.intensity
    rows = reader_files.rows_of(positions, intensity)
    for name, write in reader_files.WRITERS.items():
        write(folder / name, rows)
    reader_bags.write_bags(folder, rows, BAG_FRAMES)
    _write_long_recording(folder / "long")
    return len(rows), source


def _write_long_recording(folder: Path) -> None:
    """A toolkit folder of many frames: empty point files, since none is read."""
    pose = json.dumps({"heading": [1.0, 0.0, 0.0, 0.0], "position": [1.0, 2.0, 3.0], "timestamp": 0})
    for name in ("pointcloud", "poses", "cameras/a", "cameras/b", "cameras/c"):
        (folder / name).mkdir(parents=True)
    for camera in ("a", "b", "c"):
        (folder / f"cameras/{camera}/extrinsics.json").write_text(pose)
        (folder / f"cameras/{camera}/intrinsics.json").write_text('{"fx": 1, "fy": 1, "cx": 1, "cy": 1}')
    for n in range(OPENED_FRAMES):
        (folder / f"pointcloud/{n}.ply").touch()
        (folder / f"poses/{n}.json").write_text(pose.replace('"timestamp": 0', f'"timestamp": {n * 10**8}'))
        for camera in ("a", "b", "c"):
            (folder / f"cameras/{camera}/{n}.jpg").touch()


def table_of(figures: list[dict[str, Any]], title: str) -> Table:
    table = Table(title=title)
    for name in ("what", "against", "figure", "goal", "", "MB/s"):
        table.add_column(name, justify="left" if name in ("what", "against", "") else "right")
    for row in figures:
        timed = row["bytes_per_second"] is None
        table.add_row(
            row["what"],
            row["against"],
            f"{row['figure']:.2f} s" if timed else f"{row['figure']:.1f}×",
            f"< {row['goal']:g} s" if timed else f"≥ {row['goal']:g}×",
            "met" if row["met"] else "not met",
            "" if timed else f"{row['bytes_per_second'] / 1e6:,.0f}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frame", type=Path, help="a point file; else the first of LIDARPREP_RECORDING, else random")
    parser.add_argument("--rows", default="", metavar="TEXT", help="only rows whose names have this text in them")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each row is measured, at least")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on stdout")
    arguments = parser.parse_args()
    with TemporaryDirectory() as name, ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        folder = Path(name)
        count, source = write_files(folder, arguments.frame)
        jobs = [
            (row.file, lambda k=k: pool.submit(measure_file, k, folder, arguments.seconds))
            for k, row in enumerate(ROWS)
        ]
        jobs += [
            (kind, lambda kind=kind: pool.submit(measure_bag, kind, folder, arguments.seconds))
            for kind in reader_bags.KINDS
        ]
        jobs.append(("open", lambda: pool.submit(measure_opening, folder / "long")))
        figures = [job().result() for what, job in jobs if arguments.rows.lower() in what.lower()]
    if arguments.json:
        json.dump({"points": count, "source": source, "rows": figures}, sys.stdout)
        return
    title = f"{count:,} points with x, y, z, intensity ({source}); {os.cpu_count()} cores"
    Console(width=None if sys.stdout.isatty() else 150).print(table_of(figures, title))


if __name__ == "__main__":
    main()
