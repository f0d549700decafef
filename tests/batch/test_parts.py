"""Parts of recordings as scenes of a batch: split by length, or selected by a list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.batch import prepare_many, prepare_one
from lidarprep.batch.opening import forget
from tests.scene.test_span import MARCH, SECOND

FRAMES = 10


def write_drive(folder: Path, seed: int = 0) -> Path:
    """A folder of point files, one a second, named by their times."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for row in range(FRAMES):
        positions = rng.uniform(-20, 20, (50, 3)).astype(np.float32)
        np.savez(folder / f"{MARCH + row * SECOND}.npz", positions=positions, intensity=rng.integers(0, 9, 50))
    return folder


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    forget()
    yield
    forget()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The recordings that are opened."""
    from lidarprep.batch import opening

    known, calls = opening.open_recording, list[str]()

    def open_recording(recipe: Any) -> lp.Scene:
        calls.append(Path(recipe.scene).name)
        return known(recipe)

    monkeypatch.setattr(opening, "open_recording", open_recording)
    return calls


def batch(folder: Path, *recordings: Path | str, **options: Any) -> lp.BatchFile:
    options.setdefault("opening", {"points_frame": "world"})
    return lp.BatchFile(
        scenes=[str(one) for one in recordings],  # type: ignore[arg-type]
        out=str(folder / "out/{name}"),
        recipe=lp.Recipe(format="protobuf", checks="quick", intensity_scale=255),
        **options,
    )


def frames_of(folder: Path) -> dict[str, list[int]]:
    """The numbers of the frames of each scene that was stored."""
    manifests = {path.parent.name: json.loads(path.read_bytes()) for path in folder.glob("out/*/manifest.json")}
    return {name: [frame["index"] for frame in one["frames"]] for name, one in sorted(manifests.items())}


def test_a_split_recording_becomes_scenes_that_have_every_frame_once(
    tmp_path: Path, opened: list[str], without_checks: None
) -> None:
    drives = [write_drive(tmp_path / name) for name in ("a", "b")]
    records = list(prepare_many(batch(tmp_path, *drives, split="4s")))
    assert {record.state for record in records} == {"done"}
    assert frames_of(tmp_path) == {
        f"{drive}-20260301T1015{start}.000Z": list(frames)
        for drive in "ab"
        for start, frames in (("00", range(4)), ("04", range(4, 8)), ("08", range(8, 10)))
    }
    assert opened == ["a", "b", "a", "b"]  # to list the parts, and to prepare them; not for each part
    again = list(prepare_many(batch(tmp_path, *drives, split="4s")))
    assert again == records


def test_parts_overlap_and_a_scene_has_a_length_of_its_own(tmp_path: Path, without_checks: None) -> None:
    write_drive(tmp_path / "a"), write_drive(tmp_path / "b")
    scenes: Any = [str(tmp_path / "a"), {"recording": str(tmp_path / "b"), "name": "second", "split": 7, "overlap": 4}]
    file = batch(tmp_path, split=6, overlap=2).model_copy(update={"scenes": lp.BatchFile(scenes=scenes).scenes})
    names = {scene.name: scene.opening.span for scene in file.batch()}
    assert names == {
        "a-20260301T101500.000Z": "0..6",
        "a-20260301T101504.000Z": "4..10",
        "second-20260301T101500.000Z": "0..7",
        "second-20260301T101503.000Z": "3..10",
    }


def test_a_list_selects_parts_of_the_recordings_that_are_given_or_that_it_names(
    tmp_path: Path, opened: list[str], without_checks: None
) -> None:
    drives = [write_drive(tmp_path / name) for name in ("a", "b", "c")]
    events = tmp_path / "events.csv"
    events.write_text(
        f"recording,start,end,tag\nb,1s,3s,cut-in\na,2026-03-01T10:15:05Z,,\n{tmp_path}/[ab],0,2,first\nb,1s,4s,rain\n"
    )
    expected = {
        "a-000000-first": [0, 1],
        "a-20260301T101505.000Z": [5, 6, 7, 8, 9],
        "b-000000-first": [0, 1],
        "b-000001.000s-cut-in": [1, 2],
        "b-000001.000s-rain": [1, 2, 3],
    }
    assert all(record.state == "done" for record in prepare_many(batch(tmp_path, *drives, select=str(events))))
    assert frames_of(tmp_path) == expected
    assert opened == ["a", "b"]
    events.write_text(events.read_text().replace("\na,", f"\n{tmp_path}/a/,").replace("\nb,", f"\n{tmp_path}/b,"))
    by_list = batch(tmp_path, select=str(events)).batch()
    assert sorted(scene.name for scene in by_list) == sorted(expected)


def test_a_recording_that_cannot_be_split_stops_no_other_and_is_split_once_it_is_mended(
    tmp_path: Path, without_checks: None
) -> None:
    drives = [write_drive(tmp_path / "a"), tmp_path / "b"]
    (tmp_path / "b").mkdir()
    records = {record.name: record for record in prepare_many(batch(tmp_path, *drives, split=5))}
    assert [name for name, record in records.items() if record.state == "done"] == [
        "a-20260301T101500.000Z",
        "a-20260301T101505.000Z",
    ]
    assert records["b"].state == "failed"
    assert records["b"].exit_code == 2
    assert str(tmp_path / "b") in records["b"].error
    listed = batch(tmp_path, *drives, split=5).batch()
    (tmp_path / "b").rmdir()
    write_drive(tmp_path / "b")
    (unsplit,) = [record for record in prepare_many(listed) if record.name == "b"]
    assert "could not be split into parts of 5 when the scenes were listed" in unsplit.error
    assert {record.state for record in prepare_many(batch(tmp_path, *drives, split=5))} == {"done"}
    assert sorted(frames_of(tmp_path)) == [f"{drive}-20260301T10150{start}.000Z" for drive in "ab" for start in "05"]


def test_a_recording_that_changes_while_it_is_kept_open_is_opened_again(tmp_path: Path, without_checks: None) -> None:
    drive = write_drive(tmp_path / "a")
    listed = batch(tmp_path, drive, split=5).batch()
    states = []
    for record in prepare_many(listed):
        states.append(record.state)
        np.savez(drive / f"{MARCH + 6 * SECOND}.npz", positions=np.ones((7, 3), np.float32))
    assert states == ["done", "failed"]
    assert [record.state for record in prepare_many(listed)] == ["done", "done"]


def test_a_worker_that_outlives_a_batch_opens_the_recording_of_the_next_again(
    tmp_path: Path, without_checks: None
) -> None:
    drive = write_drive(tmp_path / "a")
    (listed,) = batch(tmp_path, drive, opening={"points_frame": "world", "span": "..5"}).batch()
    monday = prepare_one(listed, call="monday")
    np.savez(drive / f"{MARCH + 2 * SECOND}.npz", positions=np.ones((7, 3), np.float32))
    tuesday = prepare_one(listed.model_copy(update={"overwrite": True}), monday, call="tuesday")
    assert (monday.state, tuesday.state) == ("done", "done")
    assert tuesday.points == monday.points - 50 + 7


def test_a_store_that_fails_while_recordings_are_split_leaves_no_scene_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lidarprep.batch import opening

    def failing(recipe: Any) -> lp.Scene:
        raise lp.StorageError("the store does not answer")

    monkeypatch.setattr(opening, "open_recording", failing)
    with pytest.raises(lp.StorageError, match="does not answer"):
        prepare_many(batch(tmp_path, write_drive(tmp_path / "a"), split=5))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "5s", "select": "events.csv"}, "divided by select and by split"),
        ({"select": "events.csv", "opening": {"span": "..5"}}, "divided by select and by span"),
        ({"overlap": 2}, "overlap is given without split"),
        ({"split": "5s", "overlap": 2}, "scene a: the overlap is 2, and the length is of the other kind"),
        ({"split": "5 minutes"}, "scene a: the length is '5 minutes'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_prepared(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    drive = write_drive(tmp_path / "a")
    (tmp_path / "events.csv").write_text("recording,start,end\na,0,5\n")
    if "select" in options:
        options = options | {"select": str(tmp_path / "events.csv")}
    with pytest.raises(lp.RecipeError, match=message):
        prepare_many(batch(tmp_path, drive, **options))
    assert not (tmp_path / "out").exists()


def test_parts_need_destinations_of_their_own(tmp_path: Path) -> None:
    file = batch(tmp_path, write_drive(tmp_path / "a"), split=5).model_copy(update={"out": str(tmp_path / "out")})
    with pytest.raises(lp.RecipeError, match="2 scenes would all be stored at"):
        file.batch()
    assert len(file.model_copy(update={"split": 50}).batch()) == 1
