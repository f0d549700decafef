"""The page as a file: what is in it is read back by HTML, JSON and gzip of the standard library."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import lidarprep as lp
from lidarprep.report.drawn import DrawnFrames
from lidarprep.report.page import budget
from lidarprep.report.page.images import shrink
from lidarprep.report.page.points import PackedPoints, rows_to_show, spread_rows
from lidarprep.report.views import Fate, FrameView, SceneView
from lidarprep.scene import Finding, Subject
from tests.report.scenes import box_at
from tests.scenes import write_toolkit_scene


class Page(HTMLParser):
    """What a browser would see of a page: its elements, the texts of data elements, its plain text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.plain: list[str] = []
        self.styles: list[str] = []
        self._in: list[str] = []
        self._name = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.scene: dict[str, Any] = json.loads(self.texts["scene-data"])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in.append(tag)
        self._name = dict(attrs).get("id") or ""

    def handle_endtag(self, tag: str) -> None:
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        inside = self._in[-1] if self._in else ""
        if inside == "script":
            self.texts[self._name] = self.texts.get(self._name, "") + data
        elif inside == "style":
            self.styles.append(data)
        else:
            self.plain.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.plain))

    def points(self, row: int) -> dict[str, NDArray[Any]]:
        """The points of a frame, decoded by the contract, in plain loops."""
        data = self.scene["frames"][row]["points"]
        blob = gzip.decompress(base64.b64decode(self.texts[f"points-{row}"]))
        count, at = data["shown"], 0
        columns: dict[str, NDArray[Any]] = {}
        for name in data["columns"]:
            if name == "position":
                axes = []
                for axis in range(3):
                    low, high = blob[at : at + count], blob[at + count : at + 2 * count]
                    at += 2 * count
                    value, numbers = 0, []
                    for n in range(count):
                        value = (value + low[n] + 256 * high[n]) % 65536
                        numbers.append(data["origin"][axis] + data["step"][axis] * value)
                    axes.append(numbers)
                columns[name] = np.array(axes).T
            else:
                width = 2 if name == "time" else 1
                columns[name] = np.frombuffer(blob[at : at + width * count], "<u2" if width == 2 else "u1")
                at += width * count
        assert at == len(blob)
        return columns

    def image(self, row: int, number: int) -> Image.Image:
        return Image.open(BytesIO(base64.b64decode(self.texts[f"image-{row}-{number}"])))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_toolkit_scene(tmp_path / "recording")


def write(source: Any, tmp_path: Path, **options: Any) -> Page:
    return Page(lp.write_report(source, tmp_path / "report.html", **options).path)


# ---- the data ----


def test_images_that_cannot_be_decoded_have_the_size_of_the_images_as_stored(recording: Path) -> None:
    image = lp.open_scene(recording).frames[0].images[0]
    camera = replace(image.camera, intrinsics=replace(image.camera.intrinsics, width=1600, height=1200))
    found = shrink(replace(image, camera=camera, path=None, content=lambda: b"no image", scale_factor=4.0), 320)
    assert (found.width, found.height, found.jpeg) == (400, 300, None)


def test_deep_images_are_not_white(recording: Path, tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 3000, 320), (240, 1)).astype(np.uint16)
    for file in (recording / "cameras/front").glob("*.jpg"):
        Image.fromarray(ramp).save(file, "PNG")
    page = write(lp.open_scene(recording), tmp_path)
    shown = np.asarray(page.image(0, 0))[120, :, 0].astype(int)
    assert abs(shown[160] - 128) < 12
    assert shown[300] > 220


def test_the_points_of_the_page_are_those_of_the_scene_to_half_a_step(recording: Path, tmp_path: Path) -> None:
    scene = lp.open_scene(recording)
    recipe = lp.Recipe(device_height=1.8, region_of_interest_3d=lp.RegionOfInterest3D((20, 5, 0), 50, 40))
    page, view = write(scene, tmp_path, recipe=recipe), SceneView.of(scene, recipe)
    assert [frame["id"] for frame in page.scene["frames"]] == ["9", "10", "11"]
    for row, frame in enumerate(view.frames):
        seen, found, data = view.look(frame), page.points(row), page.scene["frames"][row]["points"]
        assert data["shown"] == data["total"] == len(seen)
        assert (np.abs(found["position"] - seen.positions) <= np.array(data["step"]) / 2 + 1e-6).all()
        assert found["fate"].tolist() == seen.fate.tolist()
        assert len(set(found["fate"].tolist())) == 3
        assert seen.intensity is not None
        assert np.abs(found["intensity"] / 255 - seen.intensity).max() <= 0.5 / 255 + 1e-6
        assert seen.world_from_ego is not None
        expected = seen.world_from_ego.matrix[:3].ravel().tolist()
        assert page.scene["frames"][row]["world_from_ego"] == pytest.approx(expected)


def test_times_and_devices_of_points_are_in_the_page(tmp_path: Path) -> None:
    times = np.array([10**18 + 7, 10**18 + 50_000_007, 10**18 + 100_000_007])
    view = _frame_view(np.eye(3), timestamp=times, device=np.array([7, 3, 7], dtype=np.uint32))
    packed = PackedPoints.of(view, 10).with_rows_of([3, 7])
    assert packed.time == {"first": str(10**18 + 7), "span": 100_000_000.0}
    assert packed.columns["time"].tolist() == [0, 32768, 65535]
    assert packed.columns["device"].tolist() == [1, 0, 1]


def test_lidars_that_only_later_frames_have_points_of_are_told_apart(tmp_path: Path) -> None:
    numbers = [(0, 3), (7, 7), (5, 2**32 - 1)]
    frames = [_frame_of_devices(row, np.array(each, dtype=np.uint32)) for row, each in enumerate(numbers)]
    page = write(lp.Scene("memory", "memory", tuple(frames)), tmp_path)
    found = [[page.scene["devices"][row]["id"] for row in page.points(n)["device"]] for n in range(3)]
    assert [tuple(each) for each in found] == numbers


def _frame_of_devices(row: int, device: NDArray[np.uint32]) -> lp.Frame:
    cloud = lp.PointCloud(np.array([[1.0, 0, 0], [2.0, 0, 0]]), device=device)
    return lp.Frame(f"f{row}", row, lambda: cloud, world_from_ego=lp.Pose.identity())


def test_images_are_shrunk_and_say_their_size_as_recorded(recording: Path, tmp_path: Path) -> None:
    for file in (recording / "cameras/front").glob("*.jpg"):
        Image.new("RGB", (1600, 1200), (200, 30, 30)).save(file)
    page = write(lp.open_scene(recording), tmp_path)
    for row in range(3):
        front, left = page.scene["frames"][row]["images"]
        names = [page.scene["cameras"][one["camera"]]["name"] for one in (front, left)]
        assert names == ["front", "left"]
        assert (front["width"], front["height"], front["shown"], front["problem"]) == (1600, 1200, True, None)
        assert page.image(row, 0).size == (960, 720)
        assert page.image(row, 1).size == (64, 48)
        red, green, _ = page.image(row, 0).convert("RGB").getpixel((400, 300))  # type: ignore[misc]
        assert red > 180
        assert green < 60


def test_cuboids_of_annotations_are_in_the_page(recording: Path, tmp_path: Path) -> None:
    scene = lp.open_scene(recording)
    row = box_at((1.0, 2.0, 3.0), (4.5, 2.0, 1.5), np.pi / 2, track="a<b")
    labels = lp.Labels((lp.LabelledFrame(scene[1].id, 1),), cuboids=lp.Cuboids.of_rows([row]))
    page = write(scene, tmp_path, labels=labels)
    assert [len(frame["cuboids"]) for frame in page.scene["frames"]] == [0, 1, 0]
    (found,) = page.scene["frames"][1]["cuboids"]
    assert (found["id"], found["label"], found["front"], found["size"]) == ("a<b", "car", "x", [4.5, 2.0, 1.5])
    assert found["prelabel"] is False
    assert found["rotation"] == pytest.approx([np.sqrt(0.5), 0, 0, np.sqrt(0.5)])


# ---- thinning and the budget ----


def test_thinned_points_are_spread_over_the_scan() -> None:
    rows = spread_rows(1_000_003, 1000)
    assert len(rows) == 1000
    steps = np.diff(rows)
    assert steps.min() >= 1
    assert steps.max() <= 2002  # never more than two stretches without a point
    assert len(set((rows % 64).tolist())) == 64  # and not always the same laser's
    assert spread_rows(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert spread_rows(5, 0).tolist() == []


def test_dropped_points_are_thinned_harder_than_kept_ones() -> None:
    fate = np.full(10_000, Fate.REGION, dtype=np.uint8)
    fate[:4000] = Fate.KEPT
    fate[-1] = Fate.NOT_FINITE
    rows = rows_to_show(fate, 2000)
    assert len(rows) == 2000
    assert (fate[rows] == Fate.KEPT).sum() == 1800
    assert 9999 not in rows
    assert (np.diff(rows) > 0).all()
    assert len(rows_to_show(fate, 10_000)) == 9999
    assert (fate[rows_to_show(fate, 5000)] == Fate.KEPT).sum() == 4000  # what kept points leave is for the others


def test_frames_in_many_chunks_are_thinned_alike_and_counted_in_full(tmp_path: Path) -> None:
    chunks = [lp.PointCloud(np.full((2_000, 3), n, dtype=np.float64)) for n in range(1, 201)]
    whole = lp.PointCloud.concatenate(chunks)
    frame = lp.Frame("f0", 0, lambda: whole, world_from_ego=lp.Pose.identity(), read_chunks=lambda: iter(chunks))
    page = write(lp.Scene("memory", "memory", (frame, replace(frame, id="f1", index=1))), tmp_path, points_a_frame=1000)
    for row in range(2):
        assert page.scene["frames"][row]["points"]["total"] == 400_000
        shown = np.rint(page.points(row)["position"][:, 0]).astype(int)
        counts = np.bincount(shown, minlength=201)[1:]
        assert counts.min() >= 1
        assert counts.max() <= 12
    assert "800,000" in page.text


def test_a_point_absurdly_far_away_does_not_coarsen_the_others() -> None:
    positions = np.random.default_rng(0).uniform(-50, 50, (5000, 3))
    positions[17] = 1e9
    packed = PackedPoints.of(_frame_view(positions), 10_000)
    assert len(packed) == 4999
    assert packed.step.max() < 0.01


@pytest.mark.parametrize("far", [1e9, np.inf])
def test_many_points_absurdly_far_away_do_not_coarsen_the_others(far: float) -> None:
    positions = np.random.default_rng(0).uniform(-50, 50, (5000, 3))
    positions[::4] = far
    packed = PackedPoints.of(_frame_view(positions), 10_000)
    assert len(packed) == 3750
    assert packed.step.max() < 0.01


@pytest.mark.filterwarnings("error")
def test_coordinates_that_are_too_large_for_their_dtype_in_the_world_are_survived(tmp_path: Path) -> None:
    positions = np.random.default_rng(0).uniform(-50, 50, (200, 3)).astype(np.float32)
    positions[:9] = 3.3e38, -3.3e38, 3.3e38
    pose = lp.Pose.from_euler(0.6, 0.5, 0.7, (5, 6, 7))
    frames = tuple(lp.Frame(f"f{n}", n, lambda: lp.PointCloud(positions), world_from_ego=pose) for n in range(2))
    scene, recipe = lp.Scene("memory", "memory", frames), lp.Recipe(device_height=1.8)
    page = write(scene, tmp_path, recipe=recipe)
    assert page.scene["frames"][0]["points"]["shown"] == 191
    lp.side_view(scene, recipe=recipe)


@pytest.mark.parametrize("frames", [1, 5, 60])
def test_the_page_keeps_its_budget_and_says_what_was_thinned(
    frames: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "LEAST_MB", 2.0)
    folder = write_toolkit_scene(tmp_path / "recording", frames=frames, points=40_000, cameras=("front",))
    scene = lp.open_scene(folder)
    report = lp.write_report(scene, tmp_path / "report.html", findings=[], size_mb=2.5)
    page = Page(report.path)
    assert report.bytes == report.path.stat().st_size <= 2_500_000
    shown = page.scene["frames"]
    assert shown[0]["id"] == "9"
    assert shown[-1]["id"] == str(8 + frames)
    assert report.frames_shown == len(shown) <= frames == report.frames
    assert report.points_shown == sum(frame["points"]["shown"] for frame in shown)
    assert all(frame["points"]["total"] == 40_000 for frame in shown)
    assert page.scene["thinned"] == report.thinned
    assert f"{report.points_shown:,}" in report.thinned
    assert f"{frames * 40_000:,}" in page.text  # the figures are of all of them


def test_the_real_size_is_within_the_budget_where_the_estimate_was_wrong(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "LEAST_MB", 1.0)
    monkeypatch.setattr(budget, "_bytes_a_point", lambda _: 0.1)
    folder = write_toolkit_scene(tmp_path / "large", frames=4, points=60_000, cameras=())
    report = lp.write_report(lp.open_scene(folder), tmp_path / "report.html", findings=[], size_mb=1.95)
    assert report.bytes <= 1_950_000
    assert 0 < report.points_shown < 240_000
    page = Page(report.path)
    assert report.points_shown == sum(len(page.points(row)["fate"]) for row in range(report.frames_shown))
    assert page.text.rstrip().count(report.thinned) == 1


def test_limits_that_are_asked_for_hold(recording: Path, tmp_path: Path) -> None:
    page = write(lp.open_scene(recording), tmp_path, frames=2, points_a_frame=100)
    assert [frame["id"] for frame in page.scene["frames"]] == ["9", "11"]
    assert [frame["points"]["shown"] for frame in page.scene["frames"]] == [100, 100]
    for limit in ({"frames": 0}, {"points_a_frame": 0}, {"size_mb": 0.5}, {"size_mb": float("nan")}):
        with pytest.raises(lp.RecipeError, match=next(iter(limit))):
            write(lp.open_scene(recording), tmp_path, **limit)


def test_the_first_the_last_and_labelled_frames_are_shown_before_others() -> None:
    labelled = [row in (3, 7) for row in range(20)]
    assert budget.rows_to_show(labelled, 4) == (0, 3, 7, 19)
    assert {0, 3, 7, 19} < set(budget.rows_to_show(labelled, 6))
    assert budget.rows_to_show(labelled, 1) == (0,)
    assert budget.rows_to_show(labelled, 20) == tuple(range(20))
    spread = np.diff(budget.rows_to_show([True] * 1000, 50))
    assert len(spread) == 49
    assert spread.min() > 15
    assert spread.max() < 32


# ---- what is in the page ----


def test_nothing_is_loaded_from_elsewhere(recording: Path, tmp_path: Path) -> None:
    page = write(lp.open_scene(recording), tmp_path)
    policy = next(values["content"] for tag, values in page.elements if values.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "'unsafe-inline'" not in policy.split("style-src")[0]
    for tag, values in page.elements:
        for name in ("src", "href", "srcset", "poster", "action", "data", "xlink:href"):
            value = values.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value)
        assert not any(name.startswith("on") for name in values), (tag, values)
    styles = "".join(page.styles) + "".join(values.get("style") or "" for _, values in page.elements)
    assert "@import" not in styles
    assert all(url.strip("'\"").startswith(("data:", "#")) for url in re.findall(r"url\(([^)]*)\)", styles))
    scripts = [values for tag, values in page.elements if tag == "script" and values.get("type") is None]
    assert scripts == [{}]


def test_every_link_in_the_page_has_its_place_and_ids_are_unique(recording: Path, tmp_path: Path) -> None:
    finding = lp.Finding("camera-misaligned", "it is turned", subject=Subject("camera", "front"))
    page = write(lp.open_scene(recording), tmp_path, findings=[finding])
    ids = [values["id"] for _, values in page.elements if values.get("id")]
    assert len(ids) == len(set(ids))
    links = {values["href"][1:] for tag, values in page.elements if tag == "a" and values.get("href")}  # type: ignore[index]
    assert links <= set(ids)
    assert {"about-camera-misaligned", "picture-camera-0", "main"} <= links


def test_hostile_names_are_text(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>'\"&<!--data-->"
    folder = write_toolkit_scene(tmp_path / "recording", cameras=("front",))
    scene = lp.open_scene(folder)
    frames = tuple(replace(frame, id=f"{frame.id}</script>{name}") for frame in scene)
    cameras = (replace(scene.cameras[0], name=name),)
    frames = tuple(
        replace(frame, images=tuple(replace(image, camera=cameras[0]) for image in frame.images)) for frame in frames
    )
    finding = lp.Finding("no-such-code", f"about {name}", cure=name, found=name)
    scene = replace(scene, frames=frames, cameras=cameras, source=name, notes=(name,))
    page = write(scene, tmp_path, findings=[finding])
    assert name in page.text
    assert page.scene["source"] == name
    assert page.scene["frames"][0]["id"].endswith(name)
    assert not any("onerror" in values or values.get("src") == "x" for _, values in page.elements)
    assert len(page.points(2)["fate"]) == 500


def test_signatures_in_urls_and_paths_that_nobody_typed_are_left_out(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (recording / "pointcloud/10.ply").write_bytes(b"ply\nbroken")
    finding = lp.Finding(
        "no-such-code", f"{recording}/x of https://me:secret@host/a.jpg?X-Amz-Signature=abcdef is wrong"
    )
    page = write(lp.open_scene("recording"), tmp_path, findings=[finding])
    text = (tmp_path / "report.html").read_text()
    assert "recording/x of https://host/a.jpg is wrong" in page.text
    for secret in ("abcdef", "me:secret", str(tmp_path)):
        assert secret not in text


def test_two_pages_of_one_scene_are_the_same_bytes(recording: Path, tmp_path: Path) -> None:
    pages = [lp.write_report(lp.open_scene(recording), tmp_path / f"{n}.html").path.read_bytes() for n in range(2)]
    assert pages[0] == pages[1]


def test_the_summary_has_the_figures(recording: Path, tmp_path: Path) -> None:
    recipe = lp.Recipe(region_of_interest_3d=lp.RegionOfInterest3D((20, 5, 0), 50, 40), labeling_sample_rate=2)
    scene = lp.open_scene(recording)
    page = write(scene, tmp_path, recipe=recipe)
    view = SceneView.of(scene, recipe)
    kept = sum(int((view.look(frame).fate == Fate.KEPT).sum()) for frame in view.frames)
    assert f"{kept:,} of 1,500" in page.text
    assert f"{kept / 15:.1f} %" in page.text
    labelled = [frame["labelled"] for frame in page.scene["frames"]]
    assert f"Labelled frames {sum(labelled)} " in page.text
    distance = np.linalg.norm([2.0, 0.5]) * 2
    assert f"{distance:.1f} m" in page.text


def test_findings_are_shown_with_figure_cure_option_and_picture(recording: Path, tmp_path: Path) -> None:
    scene = lp.open_scene(recording)
    (recording / "cameras/front/10.jpg").write_bytes(b"\xff\xd8\xff")
    page = write(scene, tmp_path)
    assert "image-unreadable" in page.text
    assert "camera front" in page.text
    assert "What to do record or copy it again" in page.text
    assert "How it is measured." in page.text
    thumbnails = [values for tag, values in page.elements if tag == "a" and values.get("href") == "#picture-camera-0"]
    assert thumbnails


def test_a_finding_about_a_frame_shows_that_frame(recording: Path, tmp_path: Path) -> None:
    scene = lp.open_scene(recording)
    findings = [
        Finding("frames-nearly-emptied", "little is kept of it", subject=Subject("frame", frame.id)) for frame in scene
    ]
    page = lp.write_report(scene, tmp_path / "report.html", findings=findings).path.read_text()
    shown = re.findall(r"<figcaption>(Frame \w+ from above\.)</figcaption></figure>\s*</article>", page)
    assert shown == [f"Frame {frame.id} from above." for frame in scene]


def test_frames_without_a_pose_among_others_are_said_to_be_elsewhere(recording: Path, tmp_path: Path) -> None:
    (recording / "poses/10.json").unlink()
    scene = lp.open_scene(recording)
    text = write(scene, tmp_path).text
    assert "1 of 3 frames has no pose: it is drawn in the device's own axes" in text
    assert any("1 of 3 frames has no pose" in note for note in DrawnFrames.read(scene, None, None).notes)
    assert DrawnFrames.read(scene, "0:1", None).notes == []


# ---- what is missing or bad ----


def test_a_broken_image_has_its_reason(recording: Path, tmp_path: Path) -> None:
    whole = (recording / "cameras/front/10.jpg").read_bytes()
    (recording / "cameras/front/10.jpg").write_bytes(whole[:300])
    (recording / "cameras/left/10.jpg").write_bytes(b"no image")
    page = write(lp.open_scene(recording), tmp_path)
    front, left = page.scene["frames"][1]["images"]
    assert not front["shown"]
    assert "cut off" in front["problem"]
    assert "no JPEG, PNG" in left["problem"]
    assert [image["shown"] for image in page.scene["frames"][0]["images"]] == [True, True]


def test_a_bad_frame_is_shown_as_bad(recording: Path, tmp_path: Path) -> None:
    (recording / "pointcloud/10.ply").write_bytes(b"ply\nbroken")
    page = write(lp.open_scene(recording), tmp_path)
    frames = page.scene["frames"]
    assert [frame["error"] is None for frame in frames] == [True, False, True]
    assert frames[1]["points"] is None
    assert "10.ply" in frames[1]["error"]
    assert "1 cannot be read" in page.text
    assert "bad-frame" in page.text
    assert len(page.points(0)["fate"]) == len(page.points(2)["fate"]) == 500


def test_a_scene_of_points_alone_says_what_it_lacks(tmp_path: Path) -> None:
    folder = tmp_path / "clouds"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for n in range(3):
        np.savetxt(folder / f"{n}.xyz", rng.uniform(-20, 20, (400, 3)), fmt="%.3f")
    page = write(lp.open_scene(folder), tmp_path)
    assert "no images" in page.text
    assert "no poses" in page.text
    assert "The points have no intensities." in page.text
    assert "The frames have no times" in page.text
    scene = page.scene
    assert (scene["has_poses"], scene["intensity"], scene["cameras"], scene["path"]) == (False, None, [], [])
    assert scene["frames"][0]["world_from_ego"] is None
    assert scene["frames"][0]["points"]["columns"] == ["position", "fate"]


def test_points_that_are_not_finite_are_counted_and_not_shown(recording: Path, tmp_path: Path) -> None:
    scene = lp.open_scene(recording)
    points = scene[0].points()
    positions = points.positions.copy()
    positions[:7] = np.nan
    positions[7] = np.inf
    frames = (scene[0].with_data(replace(points, positions=positions), scene[0].radar()), *scene.frames[1:])
    page = write(replace(scene, frames=frames), tmp_path, findings=[])
    data = page.scene["frames"][0]["points"]
    assert (data["shown"], data["total"]) == (492, 500)
    assert re.search(r"not finite 8\b", page.text)


def test_a_scene_without_frames_that_can_be_read_is_an_error(recording: Path, tmp_path: Path) -> None:
    for file in (recording / "pointcloud").glob("*.ply"):
        file.write_bytes(b"ply\nbroken")
    with pytest.raises(lp.SceneError, match="all 3 frames are bad"):
        write(lp.open_scene(recording), tmp_path)
    assert not list(tmp_path.glob("*report*"))


def test_nothing_is_left_of_a_page_that_could_not_be_written(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "report.html"
    old.write_text("an earlier page")

    def fails(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    scene = lp.open_scene(recording)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", fails)
        with pytest.raises(lp.StorageError, match="No space left"):
            lp.write_report(scene, old, findings=[])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recording", "report.html"]
    assert old.read_text() == "an earlier page"
    with pytest.raises(lp.StorageError, match="nowhere"):
        lp.write_report(scene, tmp_path / "nowhere" / "report.html", findings=[])


# ---- what was prepared ----


def test_a_manifest_shows_what_was_stored_and_its_findings(recording: Path, tmp_path: Path) -> None:
    recipe = lp.Recipe(region_of_interest_3d=lp.RegionOfInterest3D((20, 5, 0), 50, 40), checks="quick")
    manifest = lp.prepare(lp.open_scene(recording), recipe, tmp_path / "out")
    page = write(manifest, tmp_path)
    kept = [frame.points_out for frame in manifest.frames]
    assert [frame["points"]["total"] for frame in page.scene["frames"]] == kept
    assert f"{sum(kept):,} of 1,500" in page.text
    assert [one.code for one in manifest.findings] == re.findall(r"What ([a-z-]+) means", page.text)
    stored = sum(record.bytes for record in [*manifest.attachments, *manifest.images])
    assert f"{stored / 1e6:,.1f} MB" in page.text


def test_what_was_prepared_is_shown_on_the_recording_with_its_fates(recording: Path, tmp_path: Path) -> None:
    recipe = lp.Recipe(region_of_interest_3d=lp.RegionOfInterest3D((20, 5, 0), 50, 40), checks="quick")
    scene = lp.open_scene(recording)
    manifest = lp.prepare(scene, recipe, tmp_path / "out")
    page = write(SceneView.of_prepared(scene, manifest), tmp_path)
    for row, record in enumerate(manifest.frames):
        fates = page.points(row)["fate"]
        assert (fates == Fate.KEPT).sum() == record.points_out
        assert (fates == Fate.REGION).sum() == record.dropped.region


def _frame_view(positions: NDArray[np.float64], **columns: Any) -> FrameView:
    cloud = lp.PointCloud(positions)
    frame = lp.Frame("0", 0, lambda: cloud)
    return FrameView(frame, None, positions, np.zeros(len(positions), dtype=np.uint8), **columns)
