"""Images of the page with the points over them: selection, cuboids, what is missing, several frames."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.report.conftest import OpenPage
from tests.report.viewer_page import PageFrame, camera_data, image_data, write_page

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Points of the camera's frame, which is the world here: fx 500, the middle of the image at (319.5, 239.5).
POINTS = np.array([[0, 0, 10], [2, 0, 10], [0, 1, 20], [2, 0, 30], [0, 0, -5.0]])
FIRST = "document.querySelector('.lv-images canvas')"
SIZE = ".lv-images .lv-field:has-text('Size') select"


def grey(width: int = 640, height: int = 480) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (10, 10, 10)).save(out, format="JPEG")
    return out.getvalue()


def page_of(tmp_path: Path, open_page: OpenPage, *frames: PageFrame, cameras: int = 1, **options: Any) -> Page:
    named = [camera_data(f"camera {row}") for row in range(cameras)]
    page = open_page(write_page(tmp_path / "page.html", list(frames), cameras=named), **options)
    page.wait_for_function("() => [...document.querySelectorAll('.lv-images figcaption')].some(one => one.textContent)")
    return page


def with_image(points: Any = POINTS, *, image: dict[str, Any] | None = None, **data: Any) -> PageFrame:
    return PageFrame(
        np.asarray(points, float), images=[grey()], data={"images": [image_data(0, 640, 480, **(image or {}))], **data}
    )


def pixel(page: Page, column: int, line: int) -> list[int]:
    found: list[int] = page.evaluate(
        f"([x, y]) => [...{FIRST}.getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3)", [column, line]
    )
    return found


def wait_for_pixel(page: Page, column: int, line: int, condition: str) -> None:
    page.wait_for_function(
        "([x, y]) => { const [r, g, b] = document.querySelector('.lv-images canvas').getContext('2d')"
        f".getImageData(x, y, 1, 1).data; return {condition}; }}",
        arg=[column, line],
    )


def test_the_share_inside_is_said(tmp_path: Path, open_page: OpenPage) -> None:
    page = page_of(tmp_path, open_page, with_image())
    assert page.locator(".lv-images figcaption").inner_text() == "80 % of 5 points inside"


def test_near_points_are_bright_and_hide_far_ones(tmp_path: Path, open_page: OpenPage) -> None:
    # In columns 325 and 342 of line 245.
    at = [[0.66, 0.66, 60], [0.044, 0.044, 4], [2.7, 0.66, 60]]
    page = page_of(tmp_path, open_page, with_image(at))
    page.locator(SIZE).select_option("1")
    wait_for_pixel(page, 325, 245, "r + g + b > 300")
    assert 60 < sum(pixel(page, 342, 245)) < 250


def test_points_can_be_hidden(tmp_path: Path, open_page: OpenPage) -> None:
    page = page_of(tmp_path, open_page, with_image())
    page.locator(SIZE).select_option("4")
    wait_for_pixel(page, 420, 240, "r + g + b > 150")
    page.locator(".lv-images").get_by_label("Points", exact=True).uncheck()
    wait_for_pixel(page, 420, 240, "r + g + b < 90")


def test_a_click_selects_the_nearest_drawn_point_and_marks_it(tmp_path: Path, open_page: OpenPage) -> None:
    page = page_of(tmp_path, open_page, with_image())
    canvas = page.locator(".lv-images canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    scale = box["width"] / 640
    canvas.click(position={"x": 420 * scale, "y": 240 * scale})
    assert page.evaluate("lidarprep.state.get().selected") == {"frame": 0, "point": 1}
    wait_for_pixel(page, 420 + 7, 240, "r + g + b > 300")  # the ring around it
    canvas.click(position={"x": 60 * scale, "y": 60 * scale})
    assert page.evaluate("lidarprep.state.get().selected") is None


def test_cuboids_are_drawn_where_they_are(tmp_path: Path, open_page: OpenPage) -> None:
    box = {
        "id": "1", "label": "car", "center": [0, 0, 10.5], "size": [2, 2, 1], "rotation": [1, 0, 0, 0], "front": "x",
        "prelabel": False,
    }  # fmt: skip
    page = page_of(tmp_path, open_page, with_image([[0, 30, 10.0]], cuboids=[box]))
    # The near face is 10 m ahead and 2 m wide: 50 pixels to each side of the middle.
    wait_for_pixel(page, 319, 239 + 25, "r + g + b < 90")
    wait_for_pixel(page, 269, 239, "r + g + b > 150")
    wait_for_pixel(page, 369, 239, "r + g + b > 150")
    page.locator(".lv-images").get_by_label("Cuboids").uncheck()
    wait_for_pixel(page, 269, 239, "r + g + b < 90")


def test_what_cannot_be_shown_says_why(tmp_path: Path, open_page: OpenPage) -> None:
    images = [
        image_data(0, 640, 480, shown=False, problem="2.jpg is cut off"),
        image_data(1, 640, 480),
        image_data(2, 640, 480, world_from_camera=None),
        image_data(3, 640, 480, shown=False),
    ]
    frame = PageFrame(POINTS, images=[None, b"no image", grey(), None], data={"images": images})
    page = page_of(tmp_path, open_page, frame, cameras=4)
    page.wait_for_function("() => document.querySelectorAll('.lv-images canvas[style]').length === 4")
    reasons = page.locator(".lv-images .lv-image-reason").all_inner_texts()
    assert reasons[0] == "2.jpg is cut off"
    assert reasons[1].startswith("The image can't be decoded")
    assert reasons[3] == "The page does not hold this image."
    captions = page.locator(".lv-images figcaption").all_inner_texts()
    assert captions[0] == "80 % of 5 points inside"  # points are drawn over the placeholder
    assert "No pose" in captions[2]


def test_a_scene_without_images_or_poses_of_them_says_so(tmp_path: Path, open_page: OpenPage) -> None:
    page = open_page(write_page(tmp_path / "none.html", [PageFrame(POINTS)]))
    page.locator(".lv-images", has_text="The recording has no images.").wait_for()
    page.locator(".lv-calibration", has_text="No image has a pose").wait_for()


def test_frames_shown_together_are_all_drawn(tmp_path: Path, open_page: OpenPage) -> None:
    second = with_image([[1, 1, 10.0]])
    page = page_of(tmp_path, open_page, with_image([[0, 0, 10.0]]), second)
    page.evaluate("lidarprep.state.set({ aggregate: 2 })")
    page.locator(".lv-images figcaption", has_text="100 % of 2 points inside").wait_for()


def test_an_image_is_enlarged_and_closed_by_title_and_key(tmp_path: Path, open_page: OpenPage) -> None:
    page = page_of(tmp_path, open_page, with_image())
    title = page.locator(".lv-images .lv-image-title")
    title.click()
    assert title.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Escape")
    assert title.get_attribute("aria-expanded") == "false"
    page.keyboard.press("e")
    assert title.get_attribute("aria-expanded") == "true"


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_phone_s_width_is_enough(scheme: str, tmp_path: Path, open_page: OpenPage) -> None:
    page = page_of(tmp_path, open_page, with_image(), color_scheme=scheme, viewport={"width": 360, "height": 740})
    page.locator(".lv-calibration input[type=number][data-key=yaw]").fill("1")
    page.locator(".lv-calibration textarea").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
