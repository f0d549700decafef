"""What notebooks show: escaped HTML with a picture, no secrets; and representations of one short line."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lidarprep as lp
from lidarprep.errors import FormatError
from lidarprep.report.views import SceneView
from lidarprep.scene.finding import Findings
from tests.report.scenes import frame_of, scene_of

SECRET = "X-Amz-Signature=0123abcd"
SIGNED = f"https://bucket.example.com/a.jpg?{SECRET}"


class Page(HTMLParser):
    """Reads HTML strictly: every element is closed, in its order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in {"div", "table", "thead", "tbody", "tr", "th", "td", "p", "code", "img"}, tag
        if tag == "img":
            self.images.append(str(dict(attrs)["src"]))
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def shown(thing: Any) -> Page:
    html = thing._repr_html_()
    assert SECRET not in html
    return Page(html)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> lp.Scene:
    folder = tmp_path_factory.mktemp("notebook") / "sample"
    lp.write_sample(folder, frames=3, columns=256, image_width=160)
    return lp.open_scene(folder)


def test_a_scene_a_frame_and_points_are_shown_with_a_picture(scene: lp.Scene) -> None:
    for thing, words in (
        (scene, ("toolkit", "front_camera")),
        (scene[1], (scene[1].id, "front_camera")),
        (scene[0].points(), ("intensity", "ego")),
    ):
        page = shown(thing)
        for word in words:
            assert word in " ".join(page.text)
        (image,) = page.images
        with Image.open(BytesIO(b64decode(image.removeprefix("data:image/png;base64,")))) as picture:
            assert picture.size == (400, 300)
            assert len(set(picture.convert("L").tobytes())) > 30


def test_a_manifest_is_shown_by_what_it_stored(scene: lp.Scene, tmp_path: Path) -> None:
    manifest = lp.prepare(scene, lp.Recipe(checks="quick", labeling_sample_rate=2), tmp_path / "out")
    page = shown(manifest)
    text = " ".join(page.text)
    assert "3, 2 labelled" in text
    assert len(page.images) == 1
    elsewhere = manifest.at(f"https://bucket.example.com/manifest.json?{SECRET}")
    assert not shown(elsewhere).images


def test_names_are_escaped_and_urls_lose_their_queries() -> None:
    frame = frame_of((1, 2, 3))
    bad = replace(frame, id="<script>alert(1)</script>")
    assert "<script>" not in bad._repr_html_()
    page = shown(scene_of([bad]).__class__(f"{SIGNED}&<b>", "memory", (bad,)))
    assert "https://bucket.example.com/a.jpg" in " ".join(page.text)
    finding = lp.Finding("a-code", f"<img src=x> {SIGNED} is odd", severity="error")
    assert "<img src=x> https://bucket.example.com/a.jpg is odd" in shown(Findings([finding])).text
    assert shown(finding).text


def test_a_task_is_shown_without_what_may_hold_signed_urls() -> None:
    task = lp.Task.from_api(
        {
            "task_id": "5a99",
            "type": "lidarannotation",
            "status": "error",
            "params": {"attachments": [SIGNED]},
            "response": {"error": f"cannot fetch {SIGNED}"},
            "is_test": True,
        }
    )
    assert task is not None
    text = " ".join(shown(task).text)
    assert "lidarannotation" in text
    assert "cannot fetch https://bucket.example.com/a.jpg" in text
    assert SECRET not in repr(task)


def test_what_cannot_be_read_is_said_in_the_pictures_place() -> None:
    def broken() -> lp.PointCloud:
        raise FormatError("points.bin", found=f"nothing & at {SIGNED}")

    page = shown(replace(frame_of((1, 2, 3)), read_points=broken))
    assert not page.images
    assert "no picture: points.bin: nothing & at https://bucket.example.com/a.jpg" in page.text
    assert shown(scene_of([])).text
    assert shown(lp.PointCloud(np.full((2, 3), np.nan))).images
    assert shown(lp.PointCloud(np.empty((0, 3)))).images


def test_findings_are_a_list_that_is_shown_as_a_table(scene: lp.Scene) -> None:
    findings = scene.check()
    assert isinstance(findings, list)
    assert shown(findings).text
    assert shown(Findings()).text == ["no findings: nothing looks odd"]
    assert shown(lp.inspect_scene(scene, level="quick").findings).text


def test_representations_are_one_short_line(scene: lp.Scene, tmp_path: Path) -> None:
    scene = replace(scene, source="recording")
    manifest = lp.prepare(scene, lp.Recipe(checks="quick"), tmp_path / "out")
    view = SceneView.of(scene)
    inspection = lp.inspect_scene(scene, level="quick")
    finding = lp.Finding("a-code", "something " * 50)
    box = lp.RegionOfInterest3D((0, 0, 0), 5, 5)
    things = [scene, scene[0], scene[0].points(), scene.cameras[0], scene.cameras[0].intrinsics, manifest]
    things += [manifest.frames[0], inspection, finding, view, view.look(view.frames[0]), lp.Recipe(voxel=0.1)]
    things += [replace(scene[0].images[0], path=Path("a.jpg")), lp.Recipe(region_of_interest_3d=box)]
    for thing in things:
        line = repr(thing)
        assert "\n" not in line
        assert len(line) <= 150, line
        assert line.startswith(type(thing).__name__)
    assert repr(lp.Recipe()) == "Recipe()"
    assert repr(lp.Recipe(voxel=0.1, strict=True)) == "Recipe(voxel=0.1, strict=True)"


def test_figures_of_an_inspection_are_plain_data_all_the_same(scene: lp.Scene) -> None:
    import json

    inspection = lp.inspect_scene(scene, level="quick")
    assert inspection.samples is not None
    figures = inspection.to_dict()
    assert "samples" not in figures
    assert json.loads(json.dumps(figures))["layout"] == "toolkit"
