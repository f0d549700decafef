"""The 3D view of the page, driven in a browser; what is drawn is read back as pixels."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from lidarprep.report import colours
from tests.report.viewer_page import VIEWER, PageFrame, camera_data, image_data, write_page

if TYPE_CHECKING:
    from playwright.sync_api import Page

OpenPage = Callable[..., "Page"]
BACKGROUND = (16, 19, 24)
CLOUD = np.random.default_rng(7).uniform((-20, -20, -2), (20, 20, 4), (4000, 3))


def at(x: float, y: float, z: float = 0.0) -> list[float]:
    """A pose without rotation."""
    return [1.0, 0, 0, x, 0, 1, 0, y, 0, 0, 1, z]


def ready(page: Page, frame: int = 0) -> Page:
    """Wait until a frame is decoded, and drawn; its corners are made square, so that all of it is seen."""
    page.add_style_tag(content=".lv-frame { border: 0; border-radius: 0 } .lv-stage { height: 600px }")
    page.wait_for_function(f"() => lidarprep.app.points.get({frame}) !== undefined")
    return drawn(page)


def drawn(page: Page) -> Page:
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page


def set_state(page: Page, change: str) -> None:
    page.evaluate(f"lidarprep.state.set({change})")
    drawn(page)


def state(page: Page, name: str) -> Any:
    return page.evaluate(
        f"(() => {{ const v = lidarprep.state.get().{name}; return v instanceof Set ? [...v] : v; }})()"
    )


def canvas(page: Page) -> np.ndarray[Any, Any]:
    """(H, W, 3) uint8 the canvas as it is seen, without what lies on it."""
    page.add_style_tag(content=".lv-labels, .lv-views, .lv-legend, .lv-notes, .lv-inspector { visibility: hidden }")
    drawn(page)
    shot = page.locator(".lv-view").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))


def pixel_of(page: Page, place: tuple[float, float, float]) -> tuple[int, int]:
    x, y = page.evaluate("(at) => lidarprep.pixelOf(at)", list(place))
    return int(x), int(y)


def colour_at(page: Page, frame: int, point: int) -> tuple[int, ...]:
    x, y = page.evaluate(f"lidarprep.screenOf({frame}, {point})")
    return tuple(canvas(page)[int(y), int(x)].tolist())


def has_near(image: np.ndarray[Any, Any], x: int, y: int, colour: tuple[int, int, int]) -> bool:
    """Whether a pixel of a colour, or of most of it where edges are smooth, is within 2 pixels."""
    part = image[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].reshape(-1, 3).astype(float) - BACKGROUND
    whole = np.subtract(colour, BACKGROUND)
    share = part @ whole / (whole @ whole)
    off = np.abs(part - share[:, None] * whole).max(axis=-1)
    return bool(((share > 0.4) & (off < 12)).any())


def cross(*more: tuple[float, float, float]) -> np.ndarray[Any, Any]:
    """Points far apart from one another, so that each is seen."""
    return np.array([(10, 0, 0), (0, 10, 0), (-10, 0, 0), (0, -10, 0), (5, 5, 1), *more], np.float64)


def test_points_are_decoded_to_half_a_step(open_page: OpenPage, tmp_path: Path) -> None:
    fate = (np.arange(4000) % 5).astype(np.uint8)
    time = np.linspace(0, 65535, 4000).astype(np.uint16)
    frame = PageFrame(CLOUD, fate=fate, intensity=fate * 50, device=fate // 3, time=time)
    page = ready(open_page(write_page(tmp_path / "p.html", [frame])))
    names = ("position", "fate", "intensity", "device", "time")
    shown = {name: page.evaluate(f"Array.from(lidarprep.app.points.get(0).{name})") for name in names}
    step = np.ptp(CLOUD, axis=0) / 65535
    assert (np.abs(np.reshape(shown["position"], (-1, 3)) - CLOUD) <= step / 2 + 1e-5).all()
    assert shown["fate"] == fate.tolist()
    assert shown["intensity"] == (fate * 50).tolist()
    assert shown["device"] == (fate // 3).tolist()
    assert shown["time"] == time.tolist()


def test_colours_are_those_of_the_pictures(open_page: OpenPage, tmp_path: Path) -> None:
    n = 256
    points = np.zeros((n, 3))
    points[:, 2] = np.linspace(0, 10, n)
    index = np.arange(n, dtype=np.uint8)
    frames = [
        PageFrame(points, intensity=index, device=index % 8, time=np.arange(n, dtype=np.uint16) * 257),
        *[PageFrame(points, fate=(index % 5).astype(np.uint8))] * 8,
    ]
    page = ready(open_page(write_page(tmp_path / "p.html", frames, devices=[{"id": i, "name": ""} for i in range(8)])))

    def shown(mode: str, frame: int = 0) -> Any:
        set_state(page, f"{{colour: '{mode}'}}")
        page.wait_for_function(f"() => lidarprep.app.points.get({frame}) !== undefined")
        return np.reshape(page.evaluate(f"Array.from(lidarprep.app.colours.of({frame}))"), (n, 4))[:, :3]

    assert (shown("intensity") == colours.VIRIDIS).all()
    assert (shown("time") == colours.VIRIDIS).all()
    assert (shown("device") == colours.by_kind(index % 8)).all()
    assert (shown("fate", 1) == colours.FATES[index % 5]).all()
    # What is dropped keeps its grey in the other modes.
    dropped = index % 5 != 0
    assert (shown("frame", 1)[dropped] == colours.FATES[index % 5][dropped]).all()
    low, high = page.evaluate("lidarprep.app.colours.heightRange")
    assert low == pytest.approx(0.1, abs=0.05)
    assert high == pytest.approx(9.9, abs=0.05)
    difference = shown("height").astype(int) - colours.by_value(points[:, 2], low, high)
    assert np.abs(difference).max() <= 4  # one entry of the table
    for together in (5, 9):
        set_state(page, f"{{aggregate: {together}, frame: {together // 2}}}")
        for row in range(together):
            ready(page, row)
            assert (shown("frame", row)[0] == colours.of_frame(row, together)).all(), (together, row)


@pytest.mark.parametrize("drawing", ["software", "webgl"])
def test_points_are_drawn_where_they_are_in_their_colour(open_page: OpenPage, tmp_path: Path, drawing: str) -> None:
    frame = PageFrame(cross(), intensity=np.array([0, 60, 120, 180, 255], np.uint8))
    page = ready(open_page(write_page(tmp_path / "p.html", [frame])))
    page.evaluate(f"lidarprep.drawWith('{drawing}')")
    set_state(page, "{colour: 'intensity', pointSize: 8, layers: new Set(), view: 'top'}")
    image = canvas(page)
    for point, value in enumerate((0, 60, 120, 180, 255)):
        x, y = page.evaluate(f"lidarprep.screenOf(0, {point})")
        assert image[int(y), int(x)].tolist() == colours.VIRIDIS[value].tolist()
    drawn_pixels = (image != BACKGROUND).any(axis=-1).sum()
    assert 5 * 49 <= drawn_pixels <= 5 * 81


def test_both_renderers_draw_the_same(open_page: OpenPage, tmp_path: Path) -> None:
    box = {"id": "1", "label": "car", "center": [8, 3, 0], "size": [2, 4, 1.5], "rotation": [1, 0, 0, 0], "front": "y"}
    frame = PageFrame(CLOUD[:300], data={"cuboids": [box | {"prelabel": False}]})
    band = {"device_height": 1.8, "lowest": -0.5, "highest": 4.0}
    page = ready(open_page(write_page(tmp_path / "p.html", [frame], band=band)))
    set_state(page, "{pointSize: 5, layers: new Set(['band', 'cuboids'])}")
    images = []
    for drawing in ("software", "webgl"):
        page.evaluate(f"lidarprep.drawWith('{drawing}')")
        images.append(canvas(page).astype(int))
    # Edges are smooth in one of them; the rest is equal but for rounding.
    different = (np.abs(images[0] - images[1]).max(axis=-1) > 8).mean()
    assert different < 0.02
    blue = [(image[..., 2] > 24).mean() for image in images]
    assert blue[0] == pytest.approx(blue[1], rel=0.1)


def test_the_slider_shows_its_frame(open_page: OpenPage, tmp_path: Path) -> None:
    frames = [
        PageFrame(cross() + np.array((row, 0, 0)), data={"world_from_ego": at(row, 0), "id": f"f{row}"})
        for row in range(5)
    ]
    page = ready(open_page(write_page(tmp_path / "p.html", frames)))
    slider = page.get_by_label("Frame", exact=True)
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    ready(page, 2)
    assert state(page, "frame") == 2
    assert "3 of 5" in page.locator(".lv-caption").inner_text()
    assert "frame f2" in page.locator(".lv-hidden[aria-live]").first.inner_text()
    assert slider.get_attribute("aria-valuetext") == "3 of 5"
    page.keyboard.press("End")
    assert state(page, "frame") == 4
    page.get_by_label("Previous frame").click()
    assert state(page, "frame") == 3
    page.keyboard.press("Escape")
    page.keyboard.press(".")
    page.keyboard.press(".")
    assert state(page, "frame") == 4


def test_play_goes_through_the_frames_and_stops_at_the_last(open_page: OpenPage, tmp_path: Path) -> None:
    frames = [PageFrame(CLOUD + np.array((row, 0, 0))) for row in range(4)]
    page = ready(open_page(write_page(tmp_path / "p.html", frames), reduced_motion="reduce"))
    assert state(page, "playing") is False
    page.get_by_label("Speed, frames a second").select_option("20")
    page.evaluate("window.seen = []; void lidarprep.state.subscribe(({frame}) => seen.push(frame))")
    page.get_by_label("Play").click()
    page.wait_for_function("() => !lidarprep.state.get().playing && lidarprep.state.get().frame === 3")
    assert sorted(set(page.evaluate("seen"))) == [0, 1, 2, 3]
    # Playing again begins at the first frame; the space bar stops it.
    page.locator(".lv-view").focus()
    page.keyboard.press(" ")
    page.wait_for_function("() => lidarprep.state.get().frame < 3")
    page.keyboard.press(" ")
    page.wait_for_function("() => !lidarprep.state.get().playing")


def test_views_look_from_where_they_say(open_page: OpenPage, tmp_path: Path) -> None:
    turned = [0.0, -1, 0, 100, 1, 0, 0, 50, 0, 0, 1, 2]  # ahead is +y
    page = ready(
        open_page(
            write_page(
                tmp_path / "p.html", [PageFrame(CLOUD + np.array((100, 50, 2)), data={"world_from_ego": turned})]
            )
        )
    )

    def eye(key: str) -> np.ndarray[Any, Any]:
        page.keyboard.press(key)
        return np.array(page.evaluate("lidarprep.cameraPosition()")) - (100, 50, 2)

    x, y, z = eye("t")
    assert z > 10
    assert np.hypot(x, y) < 0.01 * z
    ahead, behind = pixel_of(page, (100, 60, 2)), pixel_of(page, (100, 40, 2))
    assert ahead[1] < behind[1]
    assert abs(ahead[0] - behind[0]) <= 1
    x, y, z = eye("s")
    assert x > 10
    assert abs(y) < 0.1
    assert z < 0.1 * x
    assert eye("d") == pytest.approx([0, 0, 0])
    target = np.array(page.evaluate("lidarprep.cameraTarget()")) - (100, 50, 2)
    assert target == pytest.approx([0, 10, 0])
    x, y, z = eye("o")
    assert y < -5
    assert z > 5
    assert page.get_by_role("button", name="Orbit").get_attribute("aria-pressed") == "true"


def test_the_view_follows_the_device_or_stays(open_page: OpenPage, tmp_path: Path) -> None:
    frames = [
        PageFrame(CLOUD + np.array((30 * row, 0, 0)), data={"world_from_ego": at(30 * row, 0)}) for row in range(2)
    ]
    page = ready(open_page(write_page(tmp_path / "p.html", frames)))
    before = page.evaluate("lidarprep.cameraPosition()")
    set_state(page, "{frame: 1}")
    after = page.evaluate("lidarprep.cameraPosition()")
    assert np.subtract(after, before) == pytest.approx([30, 0, 0])
    page.keyboard.press("m")
    set_state(page, "{frame: 0}")
    assert page.evaluate("lidarprep.cameraPosition()") == pytest.approx(after)


def test_mouse_and_keys_turn_move_and_zoom(open_page: OpenPage, tmp_path: Path) -> None:
    page = ready(open_page(write_page(tmp_path / "p.html", [PageFrame(CLOUD)])))

    def geometry() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        drawn(page)
        return np.array(page.evaluate("lidarprep.cameraPosition()")), np.array(
            page.evaluate("lidarprep.cameraTarget()")
        )

    eye, target = geometry()
    distance = np.linalg.norm(eye - target)
    page.keyboard.press("t")
    view = page.locator(".lv-view")
    view.hover(position={"x": 400, "y": 300})
    page.mouse.down()
    page.mouse.move(700, 200, steps=4)
    page.mouse.up()
    assert state(page, "view") == "orbit"
    eye, target = geometry()
    assert np.hypot(*(eye - target)[:2]) > 1
    view.focus()
    page.keyboard.press("ArrowLeft")
    turned, same = geometry()
    assert same == pytest.approx(target)
    assert np.linalg.norm(turned - eye) > 0.5
    page.keyboard.press("Shift+ArrowRight")
    _, moved = geometry()
    assert np.linalg.norm(moved - target) > 0.5
    page.keyboard.press("+")
    page.keyboard.press("+")
    eye, target = geometry()
    assert np.linalg.norm(eye - target) < 0.8 * distance * 2


@pytest.mark.parametrize("drawing", ["software", pytest.param("webgl", marks=pytest.mark.trial)])
def test_frames_are_shown_together(open_page: OpenPage, tmp_path: Path, drawing: str) -> None:
    frames = [PageFrame(np.array([(6.0 * row - 12, 0, 0), (6.0 * row - 12, 8, 0)])) for row in range(5)]
    page = ready(open_page(write_page(tmp_path / "p.html", frames)))
    page.evaluate(f"lidarprep.drawWith('{drawing}')")
    set_state(page, "{frame: 2, colour: 'frame', pointSize: 8, layers: new Set(), view: 'top'}")
    ready(page, 2)
    alone = (canvas(page) != BACKGROUND).any(axis=-1).sum()
    page.keyboard.press("a")
    assert state(page, "aggregate") == 5
    for row in range(5):
        ready(page, row)
    for row in range(5):
        assert colour_at(page, row, 0) == tuple(colours.OKABE_ITO[row].tolist())
    assert (canvas(page) != BACKGROUND).any(axis=-1).sum() > 3 * alone
    assert page.locator(".lv-legend li").count() == 5
    page.get_by_label("Frames together").fill("3")
    assert state(page, "aggregate") == 3
    ready(page, 2)
    assert colour_at(page, 1, 0) == tuple(colours.OKABE_ITO[0].tolist())
    assert colour_at(page, 0, 0) == BACKGROUND
    page.get_by_role("button", name="Aggregate").click()
    assert state(page, "aggregate") == 1


def test_a_click_on_a_point_gives_its_values(open_page: OpenPage, tmp_path: Path) -> None:
    frame = PageFrame(
        cross() + np.array((1000, 0, 3)),
        fate=np.array([0, 1, 2, 4, 0], np.uint8),
        intensity=np.array([255, 51, 0, 0, 0], np.uint8),
        device=np.array([0, 1, 0, 0, 0], np.uint8),
        time=np.array([0, 65535, 0, 0, 0], np.uint16),
        data={"world_from_ego": at(1000, 0, 3), "id": "seven"},
    )
    scene = {
        "offset": [400_000.0, 5_000_000.0, 100.0], "intensity": {"scale": 255.0},
        "devices": [{"id": 3, "name": "top"}, {"id": 5, "name": "rear"}],
        "band": {"device_height": 1.8, "lowest": -0.5, "highest": 6.0},
    }  # fmt: skip
    page = ready(open_page(write_page(tmp_path / "p.html", [frame], **scene)))
    x, y = page.evaluate("lidarprep.screenOf(0, 1)")
    page.locator(".lv-view").click(position={"x": x + 3, "y": y - 3})
    assert state(page, "selected") == {"frame": 0, "point": 1}
    panel = page.locator(".lv-inspector")
    names, values = panel.locator("dt").all_inner_texts(), panel.locator("dd").all_inner_texts()
    shown = {name: value.replace(",", "") for name, value in zip(names, values, strict=True)}
    assert shown["Frame"] == "seven"
    assert (shown["x"], shown["y"], shown["z"]) == ("401000.000 m", "5000010.000 m", "103.000 m")
    assert shown["Range from the device"] == "10.00 m"
    assert shown["Height above the ground"] == "1.80 m"
    assert shown["Intensity"] == "0.20 (recorded as 51)"
    assert shown["Device"] == "rear"
    assert shown["Time"] == "2023-11-14 22:13:20.100000 UTC"
    assert shown["Time in the frame"] == "100.0 ms"
    assert shown["Fate"] == "region"
    ring = page.locator(".lv-ring").bounding_box()
    box = page.locator(".lv-view").bounding_box()
    assert ring is not None
    assert box is not None
    assert ring["x"] + ring["width"] / 2 - box["x"] == pytest.approx(x, abs=1)
    assert ring["y"] + ring["height"] / 2 - box["y"] == pytest.approx(y, abs=1)
    page.keyboard.press("Escape")
    assert state(page, "selected") is None
    assert panel.is_hidden()
    # Without a mouse: the point in the middle. A click beside all points chooses none.
    page.locator(".lv-view").focus()
    page.keyboard.press("Enter")
    assert state(page, "selected") is not None
    page.locator(".lv-view").click(position={"x": x + 12, "y": y - 12})
    assert state(page, "selected") is None


def test_points_are_hidden_by_their_fate(open_page: OpenPage, tmp_path: Path) -> None:
    frame = PageFrame(cross(), fate=np.array([0, 1, 2, 3, 4], np.uint8))
    page = ready(open_page(write_page(tmp_path / "p.html", [frame])))
    set_state(page, "{pointSize: 8, layers: new Set(), colour: 'fate', view: 'top'}")
    for point in range(5):
        assert colour_at(page, 0, point) == tuple(colours.FATES[point].tolist())
    assert page.locator(".lv-legend li").all_text_contents() == ["kept", "region", "height", "voxel", "no return"]
    page.get_by_role("button", name="region", exact=True).click()
    page.keyboard.press("Shift+Digit3")
    assert state(page, "fates") == [0, 3, 4, 5]
    assert [colour_at(page, 0, point) == BACKGROUND for point in range(5)] == [False, True, True, False, False]
    x, y = page.evaluate("lidarprep.screenOf(0, 1)")
    page.locator(".lv-view").click(position={"x": x, "y": y})
    assert state(page, "selected") is None


@pytest.mark.parametrize("drawing", ["software", pytest.param("webgl", marks=pytest.mark.trial)])
def test_region_band_path_and_radar_are_drawn(open_page: OpenPage, tmp_path: Path, drawing: str) -> None:
    frame = PageFrame(CLOUD[:50], data={"radar": [[5, -6, 1]], "world_from_ego": at(2, 0)})
    scene = {
        "region": {"x": 2.0, "y": 1.0, "length": 20.0, "width": 10.0, "rotation": np.pi / 6},
        "band": {"device_height": 1.8, "lowest": -0.5, "highest": 3.0},
        "path": [[-15, 0, 0], [2, 0, 0], [15, 0, 0]],
    }
    page = ready(open_page(write_page(tmp_path / "p.html", [frame], **scene)))
    page.evaluate(f"lidarprep.drawWith('{drawing}')")
    page.keyboard.press("t")
    set_state(page, "{fates: new Set(), layers: new Set()}")
    assert (canvas(page) == BACKGROUND).all()
    page.keyboard.press("g")
    image = canvas(page)
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    for u, v in ((10, 0), (-10, 0), (0, 5), (0, -5)):
        x, y = pixel_of(page, (2 + c * u - s * v, 1 + s * u + c * v, -1.8))
        assert has_near(image, x, y, (240, 228, 66)), (u, v)
    page.keyboard.press("g")
    page.keyboard.press("p")
    assert has_near(canvas(page), *pixel_of(page, (-6, 0, 0)), (230, 159, 0))
    page.keyboard.press("p")
    page.keyboard.press("r")
    assert has_near(canvas(page), *pixel_of(page, (5, -6, 1)), (204, 121, 167))
    page.keyboard.press("r")
    page.keyboard.press("b")
    # From the side, the planes are two lines of the height band.
    page.keyboard.press("o")
    image = canvas(page)
    assert (image[..., 2] > BACKGROUND[2] + 5).mean() > 0.02
    x, y = pixel_of(page, (2, 0, 3 - 1.8))
    assert image[y, x, 2] > BACKGROUND[2] + 5


def test_cuboids_are_drawn_with_a_front_and_named(open_page: OpenPage, tmp_path: Path) -> None:
    half = np.sqrt(0.5)
    car = {
        "id": "12", "label": "car", "center": [6, 2, 0], "size": [4, 2, 1.6], "rotation": [half, 0, 0, half],
        "front": "x", "prelabel": False,
    }  # fmt: skip
    truck = car | {"id": "a<b>", "label": "truck", "center": [-6, 2, 0], "prelabel": True}
    page = ready(open_page(write_page(tmp_path / "p.html", [PageFrame(CLOUD[:50], data={"cuboids": [car, truck]})])))
    set_state(page, "{fates: new Set(), layers: new Set(['cuboids', 'labels'])}")
    assert sorted(page.locator(".lv-tag").all_inner_texts()) == ["car 12", "truck a<b>"]
    image = canvas(page)
    orange, blue = (230, 159, 0), (86, 180, 233)
    # Turned by 90°: 4 m along y; the arrow of the front leaves the box towards +y.
    for place in ((5, 2, 0.8), (7, 2, -0.8), (6, 4, 0.8), (6, 4.8, -0.8)):
        assert has_near(image, *pixel_of(page, place), orange), place
    assert not has_near(image, *pixel_of(page, (6, -0.8, -0.8)), orange)
    # Pre-labels are dashed: about 60 % of the edge's pixels are drawn.
    edge = [pixel_of(page, (-7, y, 0.8)) for y in np.linspace(0, 4, 60)]
    assert any(has_near(image, *pixel, blue) for pixel in edge)
    exact = np.mean([np.abs(image[y, x].astype(int) - BACKGROUND).max() < 20 for x, y in edge])
    assert exact > 0.2
    page.keyboard.press("l")
    drawn(page)
    assert page.locator(".lv-tag").count() == 0
    page.keyboard.press("x")
    assert (canvas(page) == BACKGROUND).all()


def test_frusta_follow_corrections_and_choose_their_camera(open_page: OpenPage, tmp_path: Path) -> None:
    # The optical frame looks along the device's x axis: z ahead, x right, y down.
    looking = [0.0, 0, 1, 1, -1, 0, 0, 0, 0, -1, 0, 0]
    images = [image_data(0, 640, 480, world_from_camera=looking), image_data(1, 640, 480, world_from_camera=None)]
    cameras = [camera_data("front"), camera_data("rear", ego_from_camera=None)]
    page = ready(
        open_page(write_page(tmp_path / "p.html", [PageFrame(CLOUD, data={"images": images})], cameras=cameras))
    )
    apex, corners = page.evaluate("(() => { const [f] = lidarprep.frusta(); return [f.apex, f.corners]; })()")
    assert apex == pytest.approx([1, 0, 0])
    rays = (np.array(corners) - apex) / (np.array(corners) - apex)[:, :1]
    # Ahead (x) by 1: left is +y, up is +z; from the outer edges of the corner pixels.
    assert rays == pytest.approx(np.array([[1, 0.64, 0.48], [1, -0.64, 0.48], [1, -0.64, -0.48], [1, 0.64, -0.48]]))
    assert page.evaluate("lidarprep.frusta().length") == 1
    page.get_by_role("button", name="front", exact=True).first.focus()
    page.keyboard.press("Enter")
    assert state(page, "camera") == 0
    page.evaluate(
        "lidarprep.state.set({corrections: new Map([[0, {delta: [1,0,0,0, 0,1,0,0, 0,0,1,2], intrinsics: {}}]])})"
    )
    assert page.evaluate("lidarprep.frusta()[0].apex") == pytest.approx([3, 0, 0])


def test_help_lists_the_keys_and_gives_the_focus_back(open_page: OpenPage, tmp_path: Path) -> None:
    page = ready(open_page(write_page(tmp_path / "p.html", [PageFrame(CLOUD)])))
    page.get_by_role("button", name="All keys").focus()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys of the viewer")
    assert dialog.is_visible()
    text = dialog.inner_text()
    for word in (
        "Play, pause",
        "From above",
        "Next colour",
        "Several frames together",
        "camera frusta",
        "Clear the selection",
    ):
        assert word in text
    keys = [key.inner_text() for key in dialog.locator("kbd").all()]
    assert len(keys) == len(set(keys)), "no key means two things"
    page.keyboard.press("?")
    assert dialog.is_hidden()
    page.keyboard.press("?")
    page.keyboard.press("Escape")
    assert dialog.is_hidden()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "All keys"


def test_every_control_is_reached_by_tab_and_seen_with_the_focus(open_page: OpenPage, tmp_path: Path) -> None:
    frame = PageFrame(CLOUD, intensity=np.zeros(len(CLOUD), np.uint8))
    page = ready(open_page(write_page(tmp_path / "p.html", [frame, frame])))
    wanted = page.evaluate("document.querySelectorAll('.lv-frame :is(button, input, select):enabled, .lv-view').length")
    seen = set()
    for _ in range(wanted + 2):
        page.keyboard.press("Tab")
        inside, name, outline = page.evaluate(
            """(() => {
              const e = document.activeElement;
              const name = e.getAttribute("aria-label") || e.title || e.textContent;
              return [!!e.closest(".lv-frame"), name, getComputedStyle(e).outlineStyle];
            })()"""
        )
        if inside:
            assert name
            assert outline != "none", name
            seen.add(name)
    assert len(seen) == wanted


def test_letters_typed_into_fields_are_no_keys(open_page: OpenPage, tmp_path: Path) -> None:
    page = ready(open_page(write_page(tmp_path / "p.html", [PageFrame(CLOUD)] * 3)))
    page.evaluate("document.body.insertAdjacentHTML('afterbegin', '<input id=own>')")
    page.locator("#own").focus()
    page.keyboard.type("at. ?")
    assert state(page, "aggregate") == 1
    assert state(page, "view") == "orbit"
    assert page.locator("#own").input_value() == "at. ?"


def test_dark_pages_have_dark_controls(open_page: OpenPage, tmp_path: Path) -> None:
    path = write_page(tmp_path / "p.html", [PageFrame(CLOUD)])
    brightness = {}
    for scheme in ("light", "dark"):
        page = ready(open_page(path, color_scheme=scheme))
        shot = Image.open(io.BytesIO(page.locator(".lv-controls").screenshot())).convert("L")
        brightness[scheme] = float(np.median(np.asarray(shot)))
        assert np.median(canvas(page)) < 40
    assert brightness["light"] > 200
    assert brightness["dark"] < 60


@pytest.mark.parametrize("width", [360, 768])
def test_narrow_screens_need_no_scrolling_to_the_side(open_page: OpenPage, tmp_path: Path, width: int) -> None:
    names = ["a_camera_with_a_rather_long_name_indeed", "rear"]
    data = {"id": "0123456789abcdef" * 4}
    frame = PageFrame(CLOUD, fate=np.zeros(len(CLOUD), np.uint8), data=data)
    page = ready(
        open_page(
            write_page(tmp_path / "p.html", [frame] * 3, cameras=[camera_data(name) for name in names]),
            viewport={"width": width, "height": 740},
        )
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('.lv-canvas').getBoundingClientRect().width") > width - 40
    page.keyboard.press("?")
    assert page.evaluate("document.querySelector('.lv-help').scrollWidth") <= width


def test_bad_frames_are_said_where_their_points_would_be(open_page: OpenPage, tmp_path: Path) -> None:
    bad = {"error": "pointcloud/1.ply ends after 100 of 200 points <b>", "world_from_ego": None}
    frames = [PageFrame(CLOUD), PageFrame(None, data=bad), PageFrame(None), PageFrame(np.empty((0, 3)))]
    page = ready(open_page(write_page(tmp_path / "p.html", frames)))
    set_state(page, "{layers: new Set()}")
    notes = page.locator(".lv-notes")
    assert notes.inner_text() == ""
    page.keyboard.press(".")
    notes.get_by_text("Bad frame: pointcloud/1.ply ends after 100 of 200 points <b>").wait_for()
    assert "bad frame" in page.locator(".lv-caption").inner_text()
    page.wait_for_function("() => document.querySelector('.lv-hidden').textContent.includes('bad frame')")
    assert (canvas(page) == BACKGROUND).all()
    page.keyboard.press(".")
    notes.get_by_text("This frame has no points.").wait_for(state="attached")
    page.keyboard.press(".")
    notes.get_by_text("No point of this frame is in the page.").wait_for(state="attached")
    page.keyboard.press("Home")
    page.wait_for_function("() => document.querySelector('.lv-notes').textContent === ''")
    assert (canvas(page) != BACKGROUND).any()


def test_points_that_cannot_be_unpacked_are_said(open_page: OpenPage, tmp_path: Path) -> None:
    path = write_page(tmp_path / "p.html", [PageFrame(CLOUD), PageFrame(CLOUD)])
    text = path.read_text()
    start = text.index('id="points-0">') + len('id="points-0">')
    path.write_text(text[:start] + "H4sIAAAA" + text[text.index("<", start) :])
    page = ready(open_page(path))
    page.locator(".lv-notes").get_by_text("The points of this frame can't be read").wait_for()
    page.keyboard.press(".")
    ready(page, 1)
    page.wait_for_function("() => document.querySelector('.lv-notes').textContent === ''")
    assert (canvas(page) != BACKGROUND).any()


def test_what_a_recording_lacks_is_disabled_with_the_reason(open_page: OpenPage, tmp_path: Path) -> None:
    frame = PageFrame(cross(), data={"world_from_ego": None, "timestamp": None})
    scene = {"has_poses": False, "intensity": None, "thinned": "Every point is shown."}
    page = ready(open_page(write_page(tmp_path / "p.html", [frame], **scene)))
    assert "every frame is drawn about its own device" in page.locator(".lv-notes").inner_text()
    reasons = {
        "Region": "No region of interest is set.", "Band": "No height band", "Path": "no poses", "Follow": "no poses",
        "Cameras": "no cameras", "Radar": "no radar points", "Cuboids": "no labels", "Aggregate": "one frame only",
    }  # fmt: skip
    for name, reason in reasons.items():
        button = page.get_by_role("button", name=name, exact=True)
        assert button.is_disabled(), name
        assert reason in (button.get_attribute("title") or ""), name
    assert page.get_by_label("Frame", exact=True).is_disabled()
    options = page.get_by_label("Colour of the points").locator("option")
    enabled = [option.get_attribute("value") for option in options.all() if option.is_enabled()]
    assert enabled == ["height", "frame"]
    assert "no intensity" in (options.nth(2).get_attribute("title") or "")
    for key in "apgbrxcm ,.":
        page.keyboard.press(key)
    set_state(page, "{selected: {frame: 0, point: 4}}")
    text = page.locator(".lv-inspector").inner_text()
    assert "not known: no device height" in text
    assert "none" in text
    assert "Every point is shown." in page.locator(".lv-thinned").inner_text()


def test_the_view_works_without_webgl(open_page: OpenPage, tmp_path: Path) -> None:
    script = """
      const usual = HTMLCanvasElement.prototype.getContext;
      HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
        return kind.startsWith("webgl") ? null : usual.call(this, kind, ...more);
      };
    """
    page = ready(open_page(write_page(tmp_path / "p.html", [PageFrame(cross())]), script=script))
    set_state(page, "{pointSize: 8, layers: new Set(), colour: 'frame', view: 'top'}")
    assert colour_at(page, 0, 0) == tuple(colours.OKABE_ITO[0].tolist())


def test_a_scene_on_the_other_side_of_the_world_is_not_shaken(open_page: OpenPage, tmp_path: Path) -> None:
    # 20 km from the viewer's origin, float32 still holds 2 mm.
    near = cross() * 0.01 + (20_000, -20_000, 0)
    page = ready(
        open_page(write_page(tmp_path / "p.html", [PageFrame(near, data={"world_from_ego": at(20_000, -20_000)})]))
    )
    shown = np.reshape(page.evaluate("Array.from(lidarprep.app.points.get(0).position)"), (-1, 3))
    assert np.abs(shown - near).max() < 0.002


def test_frames_are_drawn(open_page: OpenPage, tmp_path: Path) -> None:
    page = ready(open_page(write_page(tmp_path / "p.html", [PageFrame(CLOUD)])))
    assert page.evaluate("lidarprep.framesPerSecond(0.3)") > 0


def test_the_bundle_is_small_and_closes_no_script() -> None:
    bundle = (VIEWER / "viewer.js").read_bytes()
    assert len(bundle) < 700_000
    assert b"</script" not in bundle.lower()
    style = (VIEWER / "viewer.css").read_text()
    assert "url(" not in style
    assert "@import" not in style
    assert "three" in (VIEWER / "LICENSES.txt").read_text()
