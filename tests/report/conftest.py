"""A browser for the tests of the page: Debian's Chromium, driven by Playwright, with WebGL by software."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = [
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-quic", "--no-first-run", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; tests that want it are skipped where Playwright or Chromium is not installed.

    One for each module: while Playwright runs, no other test of the process could call `asyncio.run`.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    chromium = os.environ.get("LIDARPREP_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


OpenPage = Callable[..., "Page"]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open an HTML file from the disk; afterwards the page must have asked for nothing else and logged no error.

    Arguments go to Playwright's `new_context`: viewport, color_scheme, reduced_motion, permissions. `script` is run
    before the page's own.
    """
    contexts = []
    errors: list[str] = []
    requests: list[str] = []

    def open_file(path: Path, script: str | None = None, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        if script is not None:
            page.add_init_script(script)
        page.set_default_timeout(20_000)
        page.on("console", lambda message: errors.append(message.text) if message.type in _LOUD else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        address = path.resolve().as_uri()
        page.on("request", lambda request: requests.append(request.url) if _leaves(request.url, address) else None)
        page.goto(address)
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert errors == []
    assert requests == []


_LOUD = ("error", "warning")


def _leaves(url: str, page: str) -> bool:
    return url.split("#")[0] != page and not url.startswith(("data:", "blob:"))
