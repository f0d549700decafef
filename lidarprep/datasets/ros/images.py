"""sensor_msgs/Image and CompressedImage as encoded pictures: JPEG and PNG as they are, everything else as PNG.

Encodings are named as sensor_msgs/image_encodings.hpp names them. Bayer patterns are named by the first two pixels of
the first row, then of the second: bayer_rggb8 begins red green, green blue.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lidarprep.datasets.ros.cursor import Bytes, Cursor, Wire
from lidarprep.errors import FormatError

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"

# Channels of a pixel, and which of them are red, green and blue; a single one is grey.
_CHANNELS: dict[str, tuple[int, tuple[int, ...]]] = {
    "mono8": (1, (0,)),
    "8uc1": (1, (0,)),
    "rgb8": (3, (0, 1, 2)),
    "bgr8": (3, (2, 1, 0)),
    "8uc3": (3, (2, 1, 0)),
    "rgba8": (4, (0, 1, 2)),
    "bgra8": (4, (2, 1, 0)),
    "8uc4": (4, (2, 1, 0)),
}
_SIXTEEN = ("mono16",)
_BAYER = ("bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8")

ENCODINGS = (*_CHANNELS, *_SIXTEEN, *_BAYER)


def unreadable(path: Path, place: str, front: Bytes, wire: Wire, kind: str) -> str | None:
    """What a message's first bytes say that is in it, if that is no picture that can be read."""
    cursor = Cursor(path, place, front, wire)
    cursor.header()
    if kind == COMPRESSED_IMAGE:
        form = cursor.text()
        return form if "compresseddepth" in form.lower() else None
    cursor.number("I"), cursor.number("I")
    encoding = cursor.text()
    return None if encoding.lower() in ENCODINGS else encoding


def read_picture(path: Path, place: str, data: Bytes, wire: Wire, kind: str) -> bytes:
    """An encoded picture: JPEG or PNG.

    Raises:
        FormatError: The message is cut, holds no picture, or one that cannot be read.
    """
    cursor = Cursor(path, place, data, wire)
    cursor.header()
    if kind == COMPRESSED_IMAGE:
        form = cursor.text()
        encoded = bytes(cursor.blob())
        return encoded if encoded.startswith((_JPEG, _PNG)) else _encoded_anew(path, place, encoded, form)
    return _as_png(_pixels(cursor))


def _encoded_anew(path: Path, place: str, encoded: bytes, form: str) -> bytes:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(encoded)) as picture:
                return _png(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombWarning) as error:
        raise FormatError(
            path, place=place, found=f"a picture of format {form[:40]!r} that cannot be read ({error})",
            expected="JPEG, PNG, or another that Pillow reads",
        ) from error  # fmt: skip


def _pixels(cursor: Cursor) -> NDArray[Any]:
    """(height, width) uint8 or uint16, or (height, width, 3) uint8 red, green, blue."""
    height, width = cursor.number("I"), cursor.number("I")
    encoding = cursor.text().lower()
    order = ">" if cursor.number("B") else "<"
    step = cursor.number("I")
    data = cursor.blob()
    if encoding not in ENCODINGS:
        raise FormatError(
            cursor.path, place=cursor.place, found=f"an image of encoding {encoding[:40]!r}",
            expected=", ".join(ENCODINGS),
        )  # fmt: skip
    pixel = 2 if encoding in _SIXTEEN else _CHANNELS.get(encoding, (1, ()))[0]
    if not (height and width) or step < width * pixel or len(data) < (height - 1) * step + width * pixel:
        raise FormatError(
            cursor.path, place=cursor.place, found=f"{len(data)} bytes of data in rows of {step}",
            expected=f"{height} × {width} pixels of {pixel} bytes",
        )  # fmt: skip
    flat = np.frombuffer(data, dtype=np.uint8)
    rows = np.lib.stride_tricks.as_strided(flat, (height, width * pixel), (step, 1), writeable=False)
    if encoding in _SIXTEEN:
        return np.ascontiguousarray(rows).view(f"{order}u2").astype(np.uint16)
    if encoding in _BAYER:
        return _demosaiced(np.ascontiguousarray(rows), encoding)
    channels, colours = _CHANNELS[encoding]
    if channels == 1:
        return np.ascontiguousarray(rows)
    return np.ascontiguousarray(rows.reshape(height, width, channels)[:, :, list(colours)])


def _demosaiced(mosaic: NDArray[np.uint8], encoding: str) -> NDArray[np.uint8]:
    """(height, width, 3): each colour a pixel lacks is the mean of its neighbours (3 × 3) that have it."""
    pattern = encoding.removeprefix("bayer_").removesuffix("8")
    height, width = mosaic.shape
    out = np.empty((height, width, 3), dtype=np.uint8)
    for channel, letter in enumerate("rgb"):
        has = np.zeros((height, width), dtype=np.uint16)
        for k, other in enumerate(pattern):
            if other == letter:
                has[k // 2 :: 2, k % 2 :: 2] = 1
        total, count = _sum_3x3(mosaic * has), _sum_3x3(has)
        mean = (total + count // 2) // np.maximum(count, 1)
        out[:, :, channel] = np.where(has == 1, mosaic, mean)
    return out


def _sum_3x3(values: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Sums over each pixel and its eight neighbours; beyond the edge there is nothing."""
    padded = np.pad(values, 1)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    total: NDArray[np.uint16] = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    return total


def _as_png(pixels: NDArray[Any]) -> bytes:
    return _png(Image.fromarray(pixels))


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, format="PNG", compress_level=3)
    return out.getvalue()
