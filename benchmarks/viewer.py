"""Frames a second of the page's 3D view: 100,000 points on 960 × 600 pixels, in headless Chromium without a GPU.

    python -m benchmarks.viewer [--points 100000] [--seconds 4]

Needs Playwright and Chromium. Both ways of drawing are measured, in turns: the page's own loops, which it takes where
there is no graphics processor, and WebGL as Chromium's SwiftShader emulates it.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from tests.report.conftest import ARGUMENTS
from tests.report.viewer_page import PageFrame, write_page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=4.0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(1)
    angle, distance = rng.uniform(0, 2 * np.pi, arguments.points), rng.gamma(2, 12, arguments.points)
    height = np.where(rng.random(arguments.points) < 0.6, -1.8, rng.uniform(-1.8, 5, arguments.points))
    positions = np.column_stack((distance * np.cos(angle), distance * np.sin(angle), height))
    rates: dict[str, list[float]] = {"software": [], "webgl": []}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        file = write_page(Path(folder) / "page.html", [PageFrame(positions)])
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1040, "height": 760})
        page.goto(file.as_uri())
        page.add_style_tag(content=".lv-stage { width: 960px !important; height: 600px !important }")
        page.wait_for_function("lidarprep.app.points.get(0) !== undefined")
        for _ in range(3):
            for drawing, rate in rates.items():
                page.evaluate(f"lidarprep.drawWith('{drawing}')")
                page.evaluate("lidarprep.framesPerSecond(0.5)")  # compiles what is hot
                rate.append(page.evaluate(f"lidarprep.framesPerSecond({arguments.seconds})"))
        browser.close()
    for drawing, rate in rates.items():
        print(f"{drawing}: {statistics.median(rate):.1f} frames a second ({min(rate):.1f} to {max(rate):.1f})")


if __name__ == "__main__":
    main()
