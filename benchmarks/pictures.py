"""How fast pictures are drawn, as ratios against matplotlib's scatter, measured in the same run.

    python benchmarks/pictures.py [--recording FOLDER] [--frames N] [--seconds S]

The recording is LIDARPREP_RECORDING, or else a generated one. Both sides draw the points of one frame from above,
coloured by height, in 1280 × 960 pixels. matplotlib gets the points in the world with their heights, ready; lidarprep
gets the scene with its points in memory, and also says what becomes of each point, and draws path, scale, axes and
legend. matplotlib's side writes its picture, as a script would; lidarprep's does where the row says so.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib as mpl
from measuring import best_times
from rich.console import Console
from rich.table import Table

import lidarprep as lp
from lidarprep.report.drawn import heights
from lidarprep.report.views import FrameView, SceneView

mpl.use("agg")

SIZE = (1280, 960)
GOAL_MS, GOAL_TIMES = 50.0, 20.0


def by_matplotlib(frame: FrameView, **options: Any) -> None:
    """Draw points coloured by height, as one would; `options` go to `scatter`."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100)
    axes.scatter(frame.positions[:, 0], frame.positions[:, 1], c=heights(frame), s=1, **options)
    axes.set_aspect("equal")
    figure.savefig(BytesIO(), format="png", dpi=100)
    plt.close(figure)


def saved(draw: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: draw().save(BytesIO(), "PNG", compress_level=1)  # as `lidarprep picture` does


def rows(view: SceneView, seconds: float) -> list[tuple[str, ...]]:
    frame = view.look(view.frames[0])
    count = f"{len(frame):,} points"
    camera = frame.images[0].camera.name if frame.images else None

    def above() -> Any:
        return lp.top_down(view, frames="0:1", size=SIZE)

    found = []
    # Squares without an edge are what matplotlib draws fastest.
    fastest = {"marker": "s", "linewidths": 0}
    for what, ours, options, goal in (
        (f"{count} from above", above, {}, True),
        (f"{count} from above, written as PNG", saved(above), {}, True),
        (f"{count} from above, written as PNG", saved(above), fastest, False),
    ):
        mine, other = best_times(ours, partial(by_matplotlib, frame, **options), seconds)
        times = other / mine
        met = times >= GOAL_TIMES and ("PNG" in what or mine * 1e3 <= GOAL_MS)
        aim = f"≥ {GOAL_TIMES:g}×" + ("" if "PNG" in what else f", {GOAL_MS:g} ms")
        against = "matplotlib's scatter(s=1), PNG" + (", squares" if options else "")
        found.append(
            (
                what,
                against,
                f"{times:.0f}×",
                f"{mine * 1e3:.0f} ms",
                aim if goal else "",
                "" if not goal else "met" if met else "not met",
            )
        )
    for what, draw in (
        ("the same from the side", lambda: lp.side_view(view, frames="0:1")),
        (f"all {len(view.frames)} frames from above", lambda: lp.top_down(view, size=SIZE)),
        ("over an image", None if camera is None else lambda: lp.overlay(frame, camera, view=view)),
    ):
        if draw is not None:
            mine, _ = best_times(draw, draw, seconds / 2)
            found.append((what, "", "", f"{mine * 1e3:.0f} ms", "", ""))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recording", type=Path, help="any recording; else LIDARPREP_RECORDING, else generated")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each row is measured, at least")
    arguments = parser.parse_args()
    named = arguments.recording or os.environ.get("LIDARPREP_RECORDING")
    with TemporaryDirectory() as folder:
        recording = (
            Path(named) if named else lp.write_sample(Path(folder) / "sample", frames=5) or Path(folder) / "sample"
        )
        view = SceneView.of(lp.open_scene(recording))
        table = Table(
            title=f"pictures of {SIZE[0]} × {SIZE[1]} pixels; matplotlib {mpl.__version__}; {os.cpu_count()} cores"
        )
        for name in ("what", "against", "times as fast", "takes", "goal", ""):
            table.add_column(name)
        for cells in rows(view, arguments.seconds):
            table.add_row(*cells)
        Console(width=None if sys.stdout.isatty() else 140).print(table)


if __name__ == "__main__":
    main()
