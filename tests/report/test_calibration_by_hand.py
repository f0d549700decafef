"""A camera that was turned on purpose is put right by the page's sliders, copied, applied, and judged sound."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import lidarprep as lp
from lidarprep.checks import check_scene
from lidarprep.sample import write_sample
from tests.report.conftest import OpenPage

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

CAMERA = "front_camera"
TURNED = Rotation.from_rotvec(np.radians(1.5) * np.array([0.45, 0.8, 0.4]) / np.linalg.norm([0.45, 0.8, 0.4]))


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("street") / "recording", frames=3, seed=4, image_width=640).path


@pytest.fixture
def turned(street: Path, tmp_path: Path) -> Path:
    """The recording with one camera's extrinsics turned by 1.5° about an axis that is none of its own."""
    folder = Path(shutil.copytree(street, tmp_path / "a recording"))
    path = folder / "cameras" / CAMERA / "extrinsics.json"
    values = json.loads(path.read_text())
    given = Rotation.from_quat(values["heading"], scalar_first=True) * TURNED
    path.write_text(json.dumps(values | {"heading": given.as_quat(scalar_first=True).tolist()}))
    return folder


def slider(page: Page, key: str) -> Locator:
    return page.locator(f".lv-calibration input[type=range][data-key={key}]")


def number(page: Page, key: str) -> Locator:
    return page.locator(f".lv-calibration input[type=number][data-key={key}]")


def text(page: Page, title: str) -> Any:
    """The text of a block to copy, once it is there."""
    area = page.locator(f".lv-calibration textarea[aria-label='{title}']")
    area.wait_for()
    return area


def opened(open_page: OpenPage, page_file: Path, camera: str = CAMERA, **options: Any) -> Page:
    page = open_page(page_file, **options)
    page.locator(".lv-calibration select").first.select_option(label=camera)
    page.wait_for_function("() => document.querySelector('.lv-calibration figcaption')?.textContent.includes('inside')")
    return page


def settled(page: Page, expected: str) -> str:
    """The words for the values, once the texts to copy belong to them."""
    page.wait_for_function("words => document.querySelector('.lv-words').textContent === words", arg=expected)
    page.wait_for_timeout(400)  # the texts are written when the sliders are at rest
    return expected


# Writes what is drawn of the first image of the panel as a number.
DRAWN = """() => {
  const canvas = document.querySelector(".lv-calibration canvas");
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum = (31 * sum + data[i] + 256 * data[i + 1]) % 2147483647;
  return sum;
}"""


def test_a_turned_camera_is_put_right_by_hand(turned: Path, tmp_path: Path, open_page: OpenPage) -> None:
    scene = lp.open_scene(turned)
    before = [finding for finding in check_scene(scene) if finding.code == "camera-misaligned"]
    assert [finding.subject.name for finding in before if finding.subject] == [CAMERA]

    page = opened(open_page, lp.write_report(scene, tmp_path / "page.html", findings=()).path)
    yaw, pitch, roll = TURNED.inv().as_euler("YXZ", degrees=True)  # as the sliders turn: about y, then x, then z
    drawn = page.evaluate(DRAWN)
    # The yaw by keys, in the slider's steps of 0.05°; the others by number.
    slider(page, "yaw").focus()
    steps = round(yaw / 0.05)
    for _ in range(abs(steps)):
        page.keyboard.press("ArrowRight" if steps > 0 else "ArrowLeft")
    assert float(number(page, "yaw").input_value()) == pytest.approx(0.05 * steps)
    number(page, "pitch").fill(f"{pitch:.3f}")
    number(page, "roll").fill(f"{roll:.3f}")
    page.wait_for_function(f"() => ({DRAWN})() !== {drawn}")
    page.wait_for_timeout(400)
    assert "Turned by 1.5" in page.locator(".lv-words").inner_text()

    written = tmp_path / "calibration.json"
    written.write_text(text(page, "calibration.json").input_value())
    mended = lp.open_scene(turned, calibration=written)
    pose = next(camera.ego_from_camera for camera in mended.cameras if camera.name == CAMERA)
    wrong = next(camera.ego_from_camera for camera in scene.cameras if camera.name == CAMERA)
    assert pose is not None
    assert wrong is not None
    left = Rotation.from_matrix((wrong.rotation @ TURNED.inv().as_matrix()).T @ pose.rotation)
    assert np.degrees(left.magnitude()) < 0.03  # the yaw is one of whole steps
    np.testing.assert_allclose(pose.translation, wrong.translation, atol=1e-9)
    assert [finding.code for finding in check_scene(mended) if finding.code == "camera-misaligned"] == []


def test_several_values_and_cameras_are_copied_and_reset(street: Path, tmp_path: Path, open_page: OpenPage) -> None:
    scene = lp.open_scene(street)
    page = opened(open_page, lp.write_report(scene, tmp_path / "page.html", findings=()).path)
    assert page.locator(".lv-words").inner_text() == "As recorded."
    assert "nothing to copy" in page.locator(".lv-texts").inner_text()
    camera = next(one for one in scene.cameras if one.name == CAMERA)
    fx, fy = camera.intrinsics.fx, camera.intrinsics.fy
    number(page, "x").fill("0.03")
    number(page, "fx").fill(str(fx * 1.02))
    assert float(number(page, "fy").input_value()) == pytest.approx(fy * 1.02, abs=1e-3)
    page.get_by_label("fx and fy together").uncheck()
    number(page, "fy").fill(str(fy))
    settled(page, f"Moved 3 cm to the right. fx {round(fx * 1.02, 5):g} (+2 %).")
    other = next(one.name for one in scene.cameras if one.name != CAMERA)
    page.locator(".lv-calibration select").first.select_option(label=other)
    number(page, "roll").fill("-0.25")
    settled(page, "Turned 0.25° counterclockwise.")

    written = tmp_path / "calibration.json"
    written.write_text(text(page, "calibration.json").input_value())
    cameras = json.loads(written.read_text())["cameras"]
    assert set(cameras) == {CAMERA, other}
    assert cameras[CAMERA]["intrinsics"] == {"fx": pytest.approx(fx * 1.02)}
    assert "intrinsics" not in cameras[other]
    changed = {one.name: one for one in lp.open_scene(street, calibration=written).cameras}
    assert camera.ego_from_camera is not None
    found = changed[CAMERA].ego_from_camera
    assert found is not None
    np.testing.assert_allclose(found.translation, camera.ego_from_camera.apply([0.03, 0, 0]), atol=1e-6)
    assert changed[CAMERA].intrinsics.fx == pytest.approx(fx * 1.02)
    assert changed[CAMERA].intrinsics.fy == fy

    page.get_by_role("button", name="Reset roll").click()
    settled(page, "As recorded.")
    page.locator(".lv-calibration select").first.select_option(label=CAMERA)
    assert number(page, "x").input_value() == "0.03"  # a camera keeps its values
    page.get_by_role("button", name="Reset camera").click()
    settled(page, "As recorded.")
    assert page.locator(".lv-calibration textarea").count() == 0


@pytest.mark.trial
def test_the_command_quotes_the_source_and_the_file_can_be_saved(
    turned: Path, tmp_path: Path, open_page: OpenPage
) -> None:
    page = opened(open_page, lp.write_report(lp.open_scene(turned), tmp_path / "page.html", findings=()).path)
    number(page, "pitch").fill("1")
    assert text(page, "Command").input_value() == f"lidarprep inspect '{turned}' --calibration calibration.json\n"
    with page.expect_download() as download:
        page.get_by_role("button", name="Save").click()
    assert download.value.suggested_filename == "calibration.json"
    assert Path(download.value.path()).read_text() == text(page, "calibration.json").input_value()
    page.evaluate("() => { document.oncopy = () => (window.copied = String(getSelection())); }")
    page.locator(".lv-text-head", has_text="Command").get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").or_(page.get_by_role("button", name="Selected")).first.wait_for()


@pytest.mark.trial
def test_wrong_numbers_change_nothing(street: Path, tmp_path: Path, open_page: OpenPage) -> None:
    page = opened(open_page, lp.write_report(lp.open_scene(street), tmp_path / "page.html", findings=()).path)
    for key, wrong in (("fx", "-5"), ("fx", ""), ("yaw", "")):
        number(page, key).fill(wrong)
        assert number(page, key).get_attribute("aria-invalid") == "true"
    assert page.evaluate("lidarprep.state.get().corrections.size") == 0


def test_the_overlay_follows_the_sliders_and_as_recorded_compares(
    street: Path, tmp_path: Path, open_page: OpenPage
) -> None:
    page = opened(open_page, lp.write_report(lp.open_scene(street), tmp_path / "page.html", findings=()).path)
    first = page.evaluate(DRAWN)
    slider(page, "pitch").focus()
    page.keyboard.press("PageUp")
    page.wait_for_function(f"() => ({DRAWN})() !== {first}")
    page.get_by_label("As recorded").check()
    page.wait_for_function(f"() => ({DRAWN})() === {first}")
    page.get_by_label("As recorded").uncheck()
    page.wait_for_function(f"() => ({DRAWN})() !== {first}")
