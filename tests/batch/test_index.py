"""The page of a batch: all scenes in one file, found by state, by finding and by name, in a browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

import lidarprep as lp
from lidarprep.batch import Ledger, SceneRecord
from lidarprep.batch.index import write_index
from lidarprep.errors import RecipeError
from tests.report.conftest import browser, open_page
from tests.scenes import write_toolkit_scene

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["browser", "open_page"]

OpenPage = Callable[..., "Page"]

ONE = SceneRecord("", "s3://bucket/drive", "done", 1, frames=10, points=1000, bytes=5_000_000, seconds=1.5)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The destination of a batch of 300 scenes, of which nothing but the ledger is there."""
    ledger = Ledger(str(tmp_path / "fleet"))
    for row in range(300):
        record = replace(ONE, name=f"drive-{row:03}", points=row)
        if row % 10 == 0:
            record = replace(record, state="failed", error="<b>it is</b> broken\n</script>Mend it.", exit_code=2)
        elif row % 3 == 0:
            record = replace(record, findings={"warning": 2}, codes=("camera-misaligned", "pose-jump-of-ours"))
        ledger.add(record)
    ledger.flush()
    return tmp_path / "fleet"


def names(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        "#rows tr > th", "cells => cells.map((one) => one.firstChild.textContent)"
    )
    return found


def test_scenes_are_found_by_state_by_finding_and_by_name(root: Path, open_page: OpenPage) -> None:
    write_index(str(root), root / "index.html", thumbnails=False)
    page = open_page(root / "index.html")
    assert page.locator("#count").inner_text() == "300 of 300 scenes"
    assert names(page)[:2] == ["drive-000", "drive-001"]
    page.get_by_label("failed 30").check()
    assert page.locator("#count").inner_text() == "30 of 300 scenes"
    assert "<b>it is</b> broken" in page.locator("#rows tr").first.inner_text()
    page.get_by_label("failed 30").uncheck()
    page.locator("#code").select_option("camera-misaligned")
    assert page.locator("#count").inner_text() == "90 of 300 scenes"
    page.get_by_label("Name").fill("drive-03")
    assert names(page) == ["drive-033", "drive-036", "drive-039"]


def test_scenes_are_sorted_and_more_come_as_one_scrolls(root: Path, open_page: OpenPage) -> None:
    write_index(str(root), root / "index.html", thumbnails=False)
    page = open_page(root / "index.html")
    assert len(names(page)) < 300
    page.get_by_role("button", name="Points").click()
    assert names(page)[0] == "drive-299"
    page.wait_for_function(
        "() => {const box = document.querySelector('#scenes .scroll'); box.scrollTop = box.scrollHeight;"
        " return document.querySelectorAll('#rows tr').length === 300;}"
    )


def test_a_finding_leads_to_what_it_means(root: Path, open_page: OpenPage) -> None:
    write_index(str(root), root / "index.html", thumbnails=False)
    page = open_page(root / "index.html")
    page.get_by_role("link", name="camera-misaligned").first.click()
    assert page.locator("#about-camera-misaligned p").first.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(root: Path, open_page: OpenPage, scheme: str) -> None:
    write_index(str(root), root / "index.html", thumbnails=False)
    page = open_page(root / "index.html", viewport={"width": 360, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_scenes_have_thumbnails_of_what_is_stored_and_links_to_their_pages(tmp_path: Path, open_page: OpenPage) -> None:
    for seed, name in enumerate(("a b", "c")):
        write_toolkit_scene(tmp_path / "drives" / name, frames=3, points=400, cameras=(), seed=seed)
    root = tmp_path / "fleet"
    list(lp.prepare_many([str(tmp_path / "drives/*")], lp.Recipe(checks="quick"), f"{root}/{{name}}"))
    (root / "c/report.html").write_text("<p>the page of c</p>")
    first = write_index(str(root), tmp_path / "pages/index.html")
    assert (first.scenes, first.thumbnails, first.pages, first.problems) == (2, 2, 1, ())
    for path in (tmp_path / "pages/index-thumbnails").iterdir():
        with Image.open(BytesIO(path.read_bytes())) as image:
            assert image.size == (256, 192)
            assert len(set(image.convert("L").tobytes())) > 10
    page = open_page(tmp_path / "pages/index.html")
    page.wait_for_function("() => [...document.images].filter((one) => one.naturalWidth > 0).length === 2")
    assert page.get_by_role("link", name="c", exact=True).get_attribute("href") == "../fleet/c/report.html"


def test_a_scene_takes_less_than_200_bytes_of_the_page(root: Path) -> None:
    few = write_index(str(root), root / "index.html", thumbnails=False).bytes
    ledger = Ledger(str(root))
    for row in range(300, 3000):
        ledger.add(replace(ONE, name=f"drive-{row:04}", points=row))
    ledger.flush()
    many = write_index(str(root), root / "index.html", thumbnails=False).bytes
    assert (many - few) / 2700 < 200


def test_a_scene_whose_attachments_are_gone_has_no_thumbnail_and_says_why(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    ledger.add(replace(ONE, name="gone", manifest=f"{tmp_path}/gone/manifest.json", fingerprint="0123456789abcdef"))
    ledger.flush()
    written = write_index(str(tmp_path), tmp_path / "index.html")
    assert written.thumbnails == 0
    assert written.problems[0].startswith("gone: ")


def test_there_is_no_page_of_no_batch(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no batch"):
        write_index(str(tmp_path), tmp_path / "index.html")
