"""Columns that the user names, in every format that may leave them unnamed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.errors import FormatError, RecipeError, SceneError
from lidarprep.pointfiles import read_points
from lidarprep.pointfiles.columns import parse_columns
from tests.pointfiles.written_by_others import npy_bytes, npz_bytes, pcd_bytes, some_points

Save = Callable[[str, bytes], Path]

RANDOM = np.random.default_rng(5)
XYZ = RANDOM.normal(0, 20, (12, 3))
TABLE = np.column_stack([RANDOM.uniform(0, 1, 12), XYZ, np.arange(12), np.full(12, -3.5)])  # intensity first
COLUMNS = "intensity,x,y,z,ring,_"


def text_of(rows: object, separator: str) -> bytes:
    return "\n".join(separator.join(f"{value!r}" for value in row) for row in np.asarray(rows).tolist()).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.bin", TABLE.astype("<f4").tobytes()),
        ("a.pcd.bin", TABLE.astype("<f4").tobytes()),
        ("a.npy", npy_bytes(TABLE)),
        ("a.npy", npy_bytes(TABLE.T)),
        ("a.npy", npy_bytes(TABLE.ravel())),
        ("a.npz", npz_bytes(points=TABLE, other=np.eye(2))),
        ("a.txt", text_of(TABLE, " ")),
        ("a.xyz", text_of(TABLE, " ")),
        ("a.csv", text_of(TABLE, ",")),
        ("a.csv", b"Breite,Ost,Nord,Hoehe,Kanal,Rest\n" + text_of(TABLE, ",")),
        ("a.pts", b"12\n" + text_of(TABLE, " ")),
    ],
)
def test_columns_are_what_the_user_names(save: Save, name: str, content: bytes) -> None:
    cloud = read_points(save(name, content), columns=COLUMNS)
    np.testing.assert_allclose(cloud.positions, XYZ, rtol=1e-6)
    assert cloud.intensity is not None
    assert cloud.ring is not None
    np.testing.assert_allclose(cloud.intensity, TABLE[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(cloud.ring, np.arange(12))


def test_a_bin_may_mix_types(save: Save) -> None:
    rows = np.zeros(12, [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("i", "u1"), ("ring", "<u2"), ("t", "<f8")])
    for k, axis in enumerate("xyz"):
        rows[axis] = XYZ[:, k]
    rows["i"], rows["ring"], rows["t"] = np.arange(12) * 20, np.arange(12), 1_700_000_000.5 + np.arange(12) / 8
    cloud = read_points(save("a.bin", rows.tobytes()), columns="x,y,z,i:u1,ring:uint16,t_s:float64")
    np.testing.assert_array_equal(cloud.positions, XYZ.astype(np.float32))
    assert cloud.intensity is not None
    assert cloud.intensity.dtype == np.uint8
    assert cloud.timestamp is not None
    assert cloud.timestamp.tolist() == [1_700_000_000_500_000_000 + k * 125_000_000 for k in range(12)]


@pytest.mark.parametrize("scale", [255, 1])
def test_colours_in_floats_are_read_once_they_are_named(save: Save, scale: int) -> None:
    colour = RANDOM.integers(0, 256, (12, 3)).astype(np.uint8)
    rows = np.column_stack([XYZ, colour / 255 * scale]).astype("<f4")
    cloud = read_points(save("a.bin", rows.tobytes()), columns="x,y,z,red,green,blue")
    assert cloud.colour is not None
    np.testing.assert_array_equal(cloud.colour, colour)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("x,y", "no z"),
        ("x,y,z,z", "z twice"),
        ("x,y,z,wat", "'wat'\nKnown are x, y, z, intensity"),
        ("x,y,z,intensity:word", "the type 'word'"),
        ("x,y,z,intensity:O", "the type 'o'"),
        ("x,y,z,", "the name ''"),
    ],
)
def test_columns_that_make_no_sense_are_refused_before_anything_is_read(columns: str, message: str) -> None:
    with pytest.raises(SceneError, match=message):
        parse_columns(columns)
    with pytest.raises(SceneError, match=message):
        lp.open_scene("nowhere", columns=columns)


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("a.bin", TABLE.astype("<f4").tobytes(), "x,y,z,intensity,ring", "rows of 5 columns, 20 bytes a point"),
        ("a.bin", TABLE.astype("<f4").tobytes(), "intensity,x,y,ring,z,_", "column 4: values .* says: ring"),
        ("a.npy", npy_bytes(TABLE), "x,y,z", r"shape \(12, 6\); expected rows of 3 numbers"),
        ("a.npy", npy_bytes(TABLE), "x:f8,y,z,_,_,_", "Leave the types out"),
        ("a.npy", npy_bytes(some_points()), "x,y,z,_,_", "no single plain array"),
        ("a.npz", npz_bytes(x=XYZ[:, 0], y=XYZ[:, 1], z=XYZ[:, 2]), "x,y,z", "no single plain array"),
        ("a.txt", text_of(TABLE, " "), "x,y,z", "line 1: 6 values: .* expected 3, as --columns says"),
        ("a.txt", text_of(TABLE, " "), "x:f8,y,z,_,_,_", "text, which states its numbers"),
        ("a.csv", b"1,2,3,wall\n4,5,6,door\n", "x,y,z,intensity", "column 4.*intensity"),
    ],
)
def test_a_file_that_is_not_what_the_columns_say_is_refused(
    save: Save, name: str, content: bytes, columns: str, message: str
) -> None:
    with pytest.raises(FormatError, match=message):
        read_points(save(name, content), columns=columns)


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        (text_of(TABLE[:, :5], " "), "x,y,z,intensity,_"),
        (text_of(np.column_stack([XYZ, XYZ / 30]), " "), "x,y,z,intensity,_,_"),
    ],
)
def test_text_without_a_header_names_the_option(save: Save, content: bytes, columns: str) -> None:
    with pytest.raises(FormatError, match=rf"--columns {columns} \(columns='{columns}' in open_scene\)"):
        read_points(save("a.txt", content))


def test_a_scene_is_opened_with_columns(tmp_path: Path) -> None:
    content = TABLE.astype("<f4").tobytes()
    for k in range(2):
        (tmp_path / f"{k}.bin").write_bytes(content)
    scene = lp.open_scene(tmp_path, columns=COLUMNS)
    np.testing.assert_allclose(scene.frames[1].points().positions, XYZ, rtol=1e-6)
    assert scene.opened_with == (("columns", COLUMNS),)
    assert not any("--columns" in note for note in scene.notes)
    np.testing.assert_allclose(lp.open_scene(tmp_path / "0.bin", columns=COLUMNS).frames[0].points().positions, XYZ)


def test_columns_of_files_that_name_their_own_are_noted_as_unused(save: Save, tmp_path: Path) -> None:
    from pypcd4.pypcd4 import Encoding

    path = save("0.pcd", pcd_bytes(some_points(), Encoding.ASCII))
    notes = lp.open_scene(path, columns="x,y,z").notes
    assert any("ignored: --columns" in note for note in notes)
    with pytest.raises(RecipeError, match=r"not for \.pcd"):
        lp.convert(path, tmp_path / "b.ply", columns="x,y,z")


def test_a_file_is_converted_with_columns(save: Save, tmp_path: Path) -> None:
    path = save("a.bin", TABLE.astype("<f4").tobytes())
    assert lp.convert(path, tmp_path / "b.npz", columns=COLUMNS).points == 12
    np.testing.assert_allclose(read_points(tmp_path / "b.npz").positions, XYZ, rtol=1e-6)
    shutil.copy(path, tmp_path / "copy.bin")
    with pytest.raises(FormatError, match="rows of 4"):
        lp.convert(tmp_path / "copy.bin", tmp_path / "c.npz")
