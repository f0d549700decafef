"""Make the pictures and screenshots of the documentation, from a generated recording: `scripts/docs-images`.

Screenshots are of the product's own page in Debian's Chromium.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

import lidarprep as lp
from lidarprep.sample import DEVICE_HEIGHT_M

HERE = Path(__file__).parent / "images"
FRAMES = 12
RECIPE = lp.Recipe(
    region_of_interest_3d=lp.RegionOfInterest3D((0.0, 0.0, 0.0), 80.0, 40.0),
    device_height=DEVICE_HEIGHT_M,
    labeling_sample_rate=2,
)

BROWSER = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)


def main() -> None:
    """Make all of them."""
    HERE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        lp.write_sample("recording", frames=FRAMES)
        scene = lp.open_scene("recording")
        save("top_down", lp.top_down(scene, frames="6:7", recipe=RECIPE))
        save("side_view", lp.side_view(scene, frames="6:7", recipe=RECIPE))
        save("overlay", lp.overlay(scene[6], "front_camera"))
        save("poses_right", lp.top_down(scene, color="frame", size=(960, 720)))
        inverted = lp.open_scene("recording", poses_are="inverted")
        save("poses_inverted", lp.top_down(inverted, color="frame", size=(960, 720)))
        screenshots(lp.write_report(scene, "report.html", recipe=RECIPE).path)


def save(name: str, image: Image.Image) -> None:
    """Save a picture; 256 colours are enough for what is drawn, and half the size."""
    image.quantize(256, dither=Image.Dither.NONE).save(HERE / f"{name}.png", optimize=True)


def screenshots(report: Path) -> None:
    """Look at the page as its readers do."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=BROWSER)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(report.resolve().as_uri())
        page.wait_for_function("() => window.lidarprep && lidarprep.app.points.get(0) !== undefined")
        page.wait_for_timeout(1500)  # the images decode
        shoot(page, "page")
        shoot(page, "viewer", ".lv-frame")
        shoot(page, "images", ".lv-images")
        page.locator(".lv-calibration summary").first.click()  # the distortion, closed
        shoot(page, "calibration", ".lv-calibration")
        page.set_viewport_size({"width": 390, "height": 844})
        page.emulate_media(color_scheme="dark")
        page.evaluate("() => scrollTo(0, 0)")
        shoot(page, "page_on_a_phone")
        browser.close()


def shoot(page: Page, name: str, selector: str | None = None) -> None:
    """Take a screenshot of what is on the screen, or of an element."""
    path = HERE / f"{name}.png"
    page.wait_for_timeout(500)
    if selector is None:
        page.screenshot(path=path)
    else:
        page.locator(selector).first.screenshot(path=path)
    save(name, Image.open(path).convert("RGB"))


if __name__ == "__main__":
    main()
