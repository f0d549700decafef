"""`lidarprep report` and `prepare --report`: what they say, where the page is, how they end."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from tests.report.test_page import Page
from tests.scenes import write_json, write_toolkit_scene


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_toolkit_scene(tmp_path / "recording")


def test_report_says_where_the_page_is_and_what_it_shows(run: Any, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    ended = run("report", folder, "--out", out, "--points-a-frame", 200, "--frames", "1:", "--frames-shown", 1)
    assert (ended.code, ended.out) == (0, "")
    assert f"{out}: " in ended.err
    page = Page(out)
    assert [frame["id"] for frame in page.scene["frames"]] == ["10"]
    assert page.scene["thinned"] in ended.err
    assert f"of {3}" in page.text


def test_report_prints_json_for_programs(run: Any, folder: Path, tmp_path: Path) -> None:
    (folder / "cameras/front/10.jpg").write_bytes(b"no image")
    ended = run("report", folder, "--out", tmp_path / "page.html", "--json", "--points-a-frame", 100)
    result = json.loads(ended.out)
    assert ended.code == 0
    assert result["report"] == str(tmp_path / "page.html")
    assert result["bytes"] == (tmp_path / "page.html").stat().st_size
    assert (result["frames"], result["frames_shown"], result["points_shown"]) == (3, 3, 300)
    assert "image-unreadable" in [finding["code"] for finding in result["findings"]]


def test_report_opens_the_page_if_asked(
    run: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.chdir(tmp_path)
    run("report", "recording", "--open", "--checks", "quick")
    assert opened == [(tmp_path / "report.html").as_uri()]
    assert Page(tmp_path / "report.html").scene["source"] == "recording"


def test_report_shows_labels(run: Any, folder: Path, tmp_path: Path) -> None:
    cuboid = {"uuid": "a", "label": "car", "position": {"x": 1, "y": 2, "z": 3}, "yaw": 0}
    cuboid["dimensions"] = {"x": 2, "y": 4, "z": 1.5}
    write_json(tmp_path / "labels.json", [{"cuboids": [cuboid]}, {"cuboids": []}, {"cuboids": [cuboid, cuboid]}])
    ended = run("report", folder, "--out", tmp_path / "page.html", "--labels", tmp_path / "labels.json")
    assert ended.code == 0
    assert [len(frame["cuboids"]) for frame in Page(tmp_path / "page.html").scene["frames"]] == [1, 0, 2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--size-mb", "1"], "size_mb is 1"),
        (["--points-a-frame", "0"], "points_a_frame is 0"),
        (["--frames", "7:"], "frames"),
        (["--accept", "no-such-code"], "no-such-code"),
        (["--labels", "nowhere.json"], "nowhere.json"),
        (["--roi", "1,2"], "--roi"),
    ],
)
def test_wrong_input_ends_with_2_and_leaves_no_page(
    run: Any, folder: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    ended = run("report", folder, "--out", tmp_path / "page.html", *words)
    assert ended.code == 2
    assert said in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["recording"]


def test_prepare_writes_the_page_beside_what_it_stores(run: Any, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = run("prepare", folder, "--out", out, "--roi", "20,5,50,40", "--report", "--checks", "quick")
    assert ended.code == 0
    assert f"{out / 'report.html'}: " in ended.err
    manifest = lp.load_manifest(out / "manifest.json")
    page = Page(out / "report.html")
    assert [(page.points(row)["fate"] == 0).sum() for row in range(3)] == [one.points_out for one in manifest.frames]
    assert run("prune", out, "--all").code == 0
    assert (out / "report.html").exists()
    again = run(
        "prepare", folder, "--out", out, "--roi", "20,5,50,40", "--report-out", tmp_path / "a.html", "--checks", "quick"
    )
    assert "nothing to do" in again.err
    assert (tmp_path / "a.html").exists()


def test_prepare_that_is_refused_writes_the_page_that_shows_why(run: Any, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    (folder / "cameras/front/10.jpg").write_bytes(b"no image")
    ended = run("prepare", folder, "--out", tmp_path / "out", "--strict", "--report-out", out)
    assert ended.code == 2
    assert f"{out}: " in ended.err
    assert ended.err.index(str(out)) < ended.err.index("error:")
    page = Page(out)
    assert "image-unreadable" in page.text
    assert "look at them before you pay" in page.text or "would ruin a task" in page.text
    assert not (tmp_path / "out/manifest.json").exists()


def test_prepare_that_keeps_no_point_writes_the_page_that_shows_where_they_are(
    run: Any, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "page.html"
    ended = run("prepare", folder, "--out", tmp_path / "out", "--roi", "9000,9000,5,5", "--report-out", out)
    assert ended.code == 2
    assert "no point of 3 frames is kept" in ended.err
    page = Page(out)
    assert all((page.points(row)["fate"] == 1).all() for row in range(3))


def test_a_page_that_cannot_be_written_does_not_hide_why_prepare_refused(
    run: Any, folder: Path, tmp_path: Path
) -> None:
    (folder / "cameras/front/10.jpg").write_bytes(b"no image")
    (tmp_path / "file").write_text("no folder")
    out = tmp_path / "file/page.html"
    ended = run("prepare", folder, "--out", tmp_path / "out", "--strict", "--report-out", out)
    assert ended.code == 2
    assert f"{out} is not written: " in ended.err
    assert "image-unreadable" in ended.err
