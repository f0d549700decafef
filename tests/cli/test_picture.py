"""`lidarprep picture`: files of each format, views, labels, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import lidarprep as lp
from tests.cli.conftest import Run


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("picture") / "sample"
    lp.write_sample(folder, frames=3, columns=256, image_width=160)
    return folder


@pytest.mark.parametrize(
    ("name", "image_format", "words"),
    [
        ("a.png", "PNG", ()),
        ("b.jpg", "JPEG", ("--view", "side", "--colour", "intensity")),
        ("c.webp", "WEBP", ("--view", "camera:front_camera", "--frames", "0:3", "--color", "frame")),
    ],
)
def test_a_picture_is_written_whole_in_the_format_of_its_name(
    run: Run, sample: Path, tmp_path: Path, name: str, image_format: str, words: tuple[str, ...]
) -> None:
    ended = run("picture", sample, "--out", tmp_path / name, "--size", "400x300", *words)
    assert ended.code == 0, ended.err
    assert ended.out == ""
    with Image.open(tmp_path / name) as picture:
        picture.load()
        assert picture.format == image_format
        assert picture.width == 400
    assert [path.name for path in tmp_path.iterdir()] == [name], "nothing temporary is left"


def test_options_of_preparing_and_labels_change_what_is_seen(run: Run, sample: Path, tmp_path: Path) -> None:
    cuboid = {
        "uuid": "a1",
        "label": "car",
        "position": {"x": 5, "y": 2, "z": 0},
        "dimensions": {"x": 2, "y": 4, "z": 1.5},
        "yaw": 0.3,
    }
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps([{"cuboids": [cuboid]}, {"cuboids": []}, {"cuboids": []}]))
    seen = []
    for number, words in enumerate(
        ([], ["--roi", "0,0,20,20"], ["--device-height", "auto"], ["--labels", labels], ["--frames", "1:2"])
    ):
        ended = run("picture", sample, "--out", tmp_path / f"{number}.png", "--size", "500x400", *words)
        assert ended.code == 0, ended.err
        with Image.open(tmp_path / f"{number}.png") as picture:
            seen.append(picture.tobytes())
    assert len(set(seen)) == len(seen)


def test_what_was_prepared_is_drawn_from_its_manifest(run: Run, sample: Path, tmp_path: Path) -> None:
    lp.prepare(lp.open_scene(sample), lp.Recipe(checks="quick"), tmp_path / "out")
    ended = run("picture", tmp_path / "out" / "manifest.json", "--out", tmp_path / "out.png", "--size", "320x240")
    assert ended.code == 0, ended.err
    assert (tmp_path / "out.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--view", "camera:back"], "there is no camera 'back'"),
        (["--view", "below"], "expected top, side or camera:NAME"),
        (["--size", "large"], "expected width and height"),
        (["--color", "mood"], "color is 'mood'; known are"),
        (["--frames", "9:12"], "keeps none of the recording's 3 frames"),
        (["--labels", "missing.json"], "missing.json"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(
    run: Run, sample: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    ended = run("picture", sample, "--out", tmp_path / "a.png", *words)
    assert ended.code == 2
    assert message in ended.err
    assert not (tmp_path / "a.png").exists()


def test_other_formats_and_places_that_cannot_be_written_are_refused(run: Run, sample: Path, tmp_path: Path) -> None:
    ended = run("picture", sample, "--out", tmp_path / "a.gif")
    assert (ended.code, "ends in .png, .jpg or .webp" in ended.err) == (2, True)
    ended = run("picture", sample, "--out", tmp_path / "nowhere" / "a.png")
    assert ended.code == 1
    assert "nowhere" in ended.err
