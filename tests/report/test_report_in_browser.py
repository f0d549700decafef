"""The whole page of a generated recording in a browser: nothing is logged, nothing is asked for, all of it is there."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lidarprep as lp

if TYPE_CHECKING:
    from playwright.sync_api import Page

OpenPage = Callable[..., "Page"]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a small generated recording, one image of which is broken."""
    folder = tmp_path_factory.mktemp("page")
    lp.write_sample(folder / "street", frames=3, columns=300, image_width=320)
    broken = folder / "street/cameras/left_camera/1.jpg"
    broken.write_bytes(broken.read_bytes()[:2000])
    recipe = lp.Recipe(device_height=1.8, region_of_interest_3d=lp.RegionOfInterest3D((20, 0, 0), 60, 40))
    return lp.write_report(lp.open_scene(folder / "street"), folder / "report.html", recipe=recipe).path


def test_the_viewer_reads_what_python_wrote(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    page.wait_for_function("() => lidarprep.app.points.get(0) !== undefined")
    assert page.evaluate("lidarprep.app.points.problems.size") == 0
    shown = page.evaluate("lidarprep.app.points.get(0).count")
    assert shown > 10_000
    assert page.locator("#viewer canvas").count() > 1


def test_all_pictures_are_decoded(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    page.wait_for_function("() => [...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    sizes = page.evaluate("[...document.querySelectorAll('.picture img')].map((i) => i.naturalWidth / i.width)")
    assert len(sizes) == 6


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(report: Path, open_page: OpenPage, scheme: str) -> None:
    page = open_page(report, viewport={"width": 360, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(16, 19, 23)") == (scheme == "dark")


def test_the_page_is_read_without_javascript(report: Path, open_page: OpenPage) -> None:
    page = open_page(report, java_script_enabled=False)
    assert page.locator("#viewer").inner_text().startswith("The 3D view needs JavaScript")
    assert page.locator(".picture img").count() == 6
    assert page.locator("svg.plot").count() == 5
    assert "image-unreadable" in page.locator("#findings").inner_text()


def test_headings_are_in_order_and_landmarks_are_named(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5')].map((h) => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.locator("main").count() == 1
    unnamed = page.evaluate(
        "[...document.querySelectorAll('section')].filter("
        "(s) => !s.ariaLabel && !document.getElementById(s.getAttribute('aria-labelledby'))).length"
    )
    assert unnamed == 0


def test_the_keyboard_skips_to_the_report_and_links_open_explanations(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    page.locator("a[href='#about-image-unreadable']").first.click()
    assert page.evaluate("document.getElementById('about-image-unreadable').closest('details').open")
