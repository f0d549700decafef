"""Headers of encoded images, and whether all of an image is there, against Pillow."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lidarprep._images import BadImageError, read_file_header, read_header, require_whole

NOISE = np.random.default_rng(0).integers(0, 256, (37, 53, 3)).astype(np.uint8)
FORMATS = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "GIF": ".gif", "TIFF": ".tif"}


def encoded(image_format: str = "JPEG", *, orientation: int | None = None, **options: object) -> bytes:
    """An image of 53 × 37 pixels of noise."""
    out = io.BytesIO()
    if orientation is not None:
        exif = Image.Exif()
        exif[0x010E] = "a street"
        exif[0x0112] = orientation
        options["exif"] = exif
    Image.fromarray(NOISE).save(out, image_format, **options)
    return out.getvalue()


def opens_by_pillow(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


@pytest.mark.parametrize("image_format", FORMATS)
def test_formats_that_scale_takes_are_told_by_their_bytes(tmp_path: Path, image_format: str) -> None:
    data = encoded(image_format)
    header = require_whole(data)
    assert (header.format, header.size, header.orientation) == (image_format, (53, 37), 1)
    assert (header.media_type, header.suffix) == (Image.MIME[image_format], FORMATS[image_format])
    (tmp_path / "a").write_bytes(data)
    assert read_file_header(tmp_path / "a") == header


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_that_of_the_exif_data(image_format: str, orientation: int) -> None:
    assert read_header(encoded(image_format, orientation=orientation)).orientation == orientation


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"orientation": 6}, {"comment": b"\xff\xd9\xff\xda"}])
def test_a_jpeg_cut_anywhere_is_cut(options: dict[str, object]) -> None:
    data = encoded("JPEG", **options)  # type: ignore[arg-type]
    assert require_whole(data).size == (53, 37)
    for length in range(1, len(data) - 2, 7):
        if opens_by_pillow(data[:length]):  # all rows are there, and only the end is not
            continue
        with pytest.raises(BadImageError, match=r"cut off|damaged|is no JPEG"):
            require_whole(data[:length])


def test_bytes_behind_a_jpegs_end_do_no_harm() -> None:
    assert require_whole(encoded("JPEG") + b"of the camera's maker").size == (53, 37)


@settings(max_examples=60)
@given(st.data())
def test_a_png_cut_or_changed_anywhere_is_damaged(draw: st.DataObject) -> None:
    data = bytearray(encoded("PNG"))
    at = draw.draw(st.integers(8, len(data) - 13))
    with pytest.raises(BadImageError):
        require_whole(bytes(data[:at]))
    data[at] ^= 1 << draw.draw(st.integers(0, 7))
    if not opens_by_pillow(bytes(data)):
        with pytest.raises(BadImageError):
            require_whole(bytes(data))


@pytest.mark.parametrize("image_format", ["BMP", "GIF", "TIFF"])
def test_other_formats_are_decoded(image_format: str) -> None:
    data = encoded(image_format)
    with pytest.raises(BadImageError, match=r"cut off or damaged|is damaged"):
        require_whole(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b"root:x:0:0", "is no JPEG, PNG, BMP, GIF or TIFF"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "is no JPEG"),
        (b"BMW is no image", "is damaged"),
        (b"\xff\xd8\xff", "cut off within its header"),
        (b"\xff\xd8\xff\xd9", "damaged|cut off"),
        (b"\x89PNG\r\n\x1a\n", "cut off within its header"),
    ],
)
def test_what_is_no_image_says_why(data: bytes, why: str) -> None:
    with pytest.raises(BadImageError, match=why):
        read_header(data)


def test_an_image_larger_than_pillow_likes_has_a_header_and_no_warning(tmp_path: Path) -> None:
    row = zlib.compress(bytes(12_001) * 9_000)
    chunks = [(b"IHDR", (12_000).to_bytes(4) + (9_000).to_bytes(4) + b"\x08\0\0\0\0"), (b"IDAT", row), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        len(body).to_bytes(4) + name + body + zlib.crc32(name + body).to_bytes(4) for name, body in chunks
    )
    assert require_whole(data).size == (12_000, 9_000)
    with pytest.raises(BadImageError, match="too large to be decoded: 12000 × 9000"):
        require_whole(data[:-5])
    with pytest.raises(BadImageError, match="cannot be read"):
        read_file_header(tmp_path / "gone.png")
