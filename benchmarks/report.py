"""The page in figures: `python -m benchmarks.report [RECORDING] [--frames 300]`.

Each page is written by a process of its own, so that its time has the start in it and its peak of memory is its own; a
first, unmeasured one compiles the kernels. The long recording is one generated frame after the other, linked until it
has so many, with six cameras. Frames a second of the viewer are measured in headless Chromium, if Playwright and
Chromium are there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lidarprep.sample import write_sample

# 64 rays each: about 170,000 points a frame.
COLUMNS = 2650
GENERATED = 5

_CHILD = """
import json, resource, sys, time
from lidarprep.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    code = end.code
usage = resource.getrusage(resource.RUSAGE_SELF)
# ru_maxrss would be that of the process which started this one, if that is larger.
(peak,) = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps({"peak_mb": peak / 1024, "cpu_s": usage.ru_utime + usage.ru_stime}), file=sys.stderr)
sys.exit(code)
"""


def long_recording(folder: Path, frames: int) -> Path:
    """A recording of so many frames with six cameras: links to a few generated ones, with poses of their own."""
    few = folder / "few"
    write_sample(few, frames=GENERATED, columns=COLUMNS, image_width=1920)
    many = folder / "many"
    cameras = [path.name for path in sorted((few / "cameras").iterdir())]
    for name in ("pointcloud", "poses", "radar_points", *(f"cameras/{camera}{n}" for camera in cameras for n in "ab")):
        (many / name).mkdir(parents=True)
    for camera in cameras:
        for n in "ab":
            for file in ("extrinsics.json", "intrinsics.json"):
                shutil.copy(few / "cameras" / camera / file, many / f"cameras/{camera}{n}" / file)
    for row in range(frames):
        of = row % GENERATED
        os.link(few / f"pointcloud/{of}.ply", many / f"pointcloud/{row}.ply")
        os.link(few / f"radar_points/{of}.txt", many / f"radar_points/{row}.txt")
        for camera in cameras:
            for n in "ab":
                os.link(few / f"cameras/{camera}/{of}.jpg", many / f"cameras/{camera}{n}/{row}.jpg")
        pose = json.loads((few / f"poses/{of}.json").read_text())
        first = json.loads((few / "poses/0.json").read_text())
        pose["position"][0] = first["position"][0] + 0.8 * row
        if "timestamp" in pose:
            pose["timestamp"] = first["timestamp"] + row * 100_000_000
        (many / f"poses/{row}.json").write_text(json.dumps(pose))
    return many


def measure(recording: Path, out: Path) -> dict[str, float]:
    """Write a page; return seconds, CPU seconds, megabytes of memory and of the page, frames and points shown."""
    words = ["report", str(recording), "--out", str(out), "--json"]
    begun = time.perf_counter()
    child = subprocess.run([sys.executable, "-c", _CHILD, *words], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - begun
    report, usage = json.loads(child.stdout), json.loads(child.stderr.strip().splitlines()[-1])
    return {
        "seconds": seconds,
        **usage,
        "page_mb": report["bytes"] / 1e6,
        "frames_shown": report["frames_shown"],
        "points_shown": report["points_shown"],
    }


def frames_a_second(page: Path) -> float | None:
    """Frames that the viewer draws a second, 960 × 600 pixels, by software; None without a browser."""
    chromium = os.environ.get("LIDARPREP_CHROMIUM") or shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if chromium is None:
        return None
    arguments = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-quic"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=arguments)
        tab = browser.new_page(viewport={"width": 1024, "height": 900})
        tab.goto(page.resolve().as_uri())
        tab.wait_for_timeout(2000)
        drawn = tab.evaluate("window.lidarprep.framesPerSecond(3)")
        browser.close()
    return float(drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", nargs="?", type=Path, help="a short recording; generated where it is left out")
    parser.add_argument("--frames", type=int, default=300, help="frames of the long recording; 0 leaves it out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        short = arguments.recording
        if short is None:
            short = folder / "short"
            write_sample(short, frames=GENERATED, columns=COLUMNS, image_width=1920)
        page = folder / "short.html"
        measure(short, page)
        _show(f"{short.name}", measure(short, page))
        drawn = frames_a_second(page)
        print(f"  viewer: {'no browser' if drawn is None else f'{drawn:.0f} frames a second'}")
        if arguments.frames:
            many = long_recording(folder / "long", arguments.frames)
            _show(f"{arguments.frames} frames, six cameras", measure(many, folder / "long.html"))


def _show(name: str, figures: dict[str, float]) -> None:
    print(
        f"{name}: {figures['seconds']:.1f} s ({figures['cpu_s']:.1f} s of CPU), {figures['peak_mb']:.0f} MB at most; "
        f"page {figures['page_mb']:.1f} MB, {figures['frames_shown']:.0f} frames, {figures['points_shown']:,.0f} points"
    )


if __name__ == "__main__":
    main()
