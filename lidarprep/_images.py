"""Encoded images: format, size and orientation by their header, and whether all of an image is there.

The headers of JPEG and PNG are read here, since every image of a run is looked at: it takes microseconds. Pillow reads
the other formats, and decodes what seems to be cut. Its readers are called one by one: `Image.open` would warn of large
images.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Literal

from lidarprep.errors import GIT_LFS_POINTER
from lidarprep.remote import AnyPath

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

ImageFormat = Literal["JPEG", "PNG", "BMP", "GIF", "TIFF"]

# What Scale takes: how each format begins, its media type, and the suffix of a file of it.
_BEGINNINGS: tuple[tuple[bytes, ImageFormat], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
)
_SUFFIXES: dict[ImageFormat, str] = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "GIF": ".gif", "TIFF": ".tif"}

# The most pixels a side that Scale takes.
MOST_PIXELS_A_SIDE = 10_000

# Of the pixels of deep images, so many (percent) are between dark and bright.
_BRIGHT_PERCENTILE = 99.5

# Headers are mostly shorter than this; those with previews in them are not, and take another look.
_HEADER_BYTES = 1 << 17

# Markers of JPEG: start of scan, end of image; those that begin a frame header; those without a length.
_SCAN, _END = b"\xff\xda", b"\xff\xd9"
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset((0x01, *range(0xD0, 0xD9)))
_APP1, _SCAN_MARKER = 0xE1, 0xDA
_EXIF = b"Exif\0\0"
_ORIENTATION = 0x0112


class BadImageError(Exception):
    """The bytes of an image cannot be used; the message says why, as the rest of a sentence about it."""


@dataclass(frozen=True)
class ImageHeader:
    """The header of an encoded image.

    Args:
        format: Its format.
        width, height: Size as it is stored, pixels.
        orientation: By its EXIF data, how it is to be turned when it is shown: 1 is as it is stored.
    """

    format: ImageFormat
    width: int
    height: int
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height

    @property
    def media_type(self) -> str:
        """Its media type: "image/jpeg"."""
        return f"image/{self.format.lower()}"

    @property
    def suffix(self) -> str:
        """The suffix of a file of it: ".jpg"."""
        return _SUFFIXES[self.format]


def read_header(data: bytes) -> ImageHeader:
    """Read the header of an encoded image.

    Raises:
        BadImageError: It is empty, of another format than Scale takes, or its header is damaged or cut.
    """
    if not data:
        raise BadImageError("is empty")
    known = next((name for beginning, name in _BEGINNINGS if data.startswith(beginning)), None)
    if known is None:
        if data.startswith(GIT_LFS_POINTER):
            raise BadImageError("is a Git LFS pointer: it was not downloaded (git lfs pull)")
        raise BadImageError("is no JPEG, PNG, BMP, GIF or TIFF")
    try:
        if known == "JPEG":
            return _jpeg_header(data)
        if known == "PNG":
            return _png_header(data)
    except (struct.error, IndexError):
        raise BadImageError("is cut off within its header") from None
    return ImageHeader(known, *_decoder(data, known).size)


def read_file_header(path: AnyPath) -> ImageHeader:
    """Read the header of an image file.

    Raises:
        BadImageError: As `read_header`, or the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_HEADER_BYTES)
            try:
                return read_header(data)
            except BadImageError:
                return read_header(data + file.read())
    except OSError as error:
        raise BadImageError(f"cannot be read ({error.strerror or error})") from error


def require_whole(data: bytes) -> ImageHeader:
    """Check that an encoded image can be decoded to its end, and return its header.

    A JPEG has its end behind its last scan, a PNG has all of its chunks with the right checksums. Anything else is
    decoded, and counts as whole if Pillow gets to its last row.

    Raises:
        BadImageError: As `read_header`, or it is cut off or damaged.
    """
    header = read_header(data)
    if header.format == "JPEG" and data.rfind(_END) > data.rfind(_SCAN):
        return header
    if header.format == "PNG" and _png_is_whole(data):
        return header
    with decoding(data) as decoder:
        decoder.load()
    return header


@contextmanager
def decoding(data: bytes) -> Iterator[ImageFile]:
    """Open an encoded image to be decoded by Pillow.

    Raises:
        BadImageError: As `read_header`, or it is too large; or Pillow finds within the statement that it is damaged.
    """
    header = read_header(data)
    if max(header.size) > MOST_PIXELS_A_SIDE:
        raise BadImageError(f"is too large to be decoded: {header.width} × {header.height} pixels")
    decoder = _decoder(data, header.format)
    try:
        yield decoder
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise BadImageError(f"is cut off or damaged ({error})") from None


def as_rgb(decoder: ImageFile) -> Image:
    """Decode an image to red, green and blue; deep ones by their own brightness: Pillow would cut them at 255."""
    if decoder.mode[0] not in "IF":
        return decoder.convert("RGB")
    import numpy as np
    from PIL import Image

    deep = np.asarray(decoder, dtype=np.float32)
    bright = max(float(np.nanpercentile(deep, _BRIGHT_PERCENTILE)), 1e-9)
    shown = np.nan_to_num(np.clip(deep * (255.0 / bright), 0, 255))
    return Image.fromarray(shown.astype(np.uint8)).convert("RGB")


def _jpeg_header(data: bytes) -> ImageHeader:
    at, orientation = 2, 1
    size: tuple[int, int] | None = None
    while True:
        if data[at] != 0xFF:
            raise BadImageError(f"is damaged: no marker at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF or marker in _BARE:  # 0xFF fills
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker == _SCAN_MARKER and size is not None:
            return ImageHeader("JPEG", *size, orientation)
        if marker in (_SCAN_MARKER, 0xD9):
            raise BadImageError("is damaged: it has no frame header")
        if marker in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = (width, height)
        elif marker == _APP1 and data.startswith(_EXIF, at + 4):
            orientation = _exif_orientation(data[at + 4 + len(_EXIF) : at + 2 + length])
        at += 2 + length


def _png_header(data: bytes) -> ImageHeader:
    width, height = struct.unpack_from(">II", data, 16)
    at, orientation = 8, 1
    while at + 8 <= len(data) and data[at + 4 : at + 8] != b"IDAT":
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"eXIf":
            orientation = _exif_orientation(data[at + 8 : at + 8 + length])
        at += 12 + length
    return ImageHeader("PNG", width, height, orientation)


def _png_is_whole(data: bytes) -> bool:
    at = 8
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if at + 12 + length > len(data):
            return False
        (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(memoryview(data)[at + 4 : at + 8 + length]) != checksum:
            return False
        if name == b"IEND":
            return True
        at += 12 + length
    return False


def _exif_orientation(exif: bytes) -> int:
    """Return the orientation of a block of EXIF data, 1 to 8; 1 where it says none that is known."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, at)
        for entry in range(count):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, at + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass  # damaged EXIF data says nothing of the pixels
    return 1


def _decoder(data: bytes, image_format: ImageFormat) -> ImageFile:
    """Return Pillow's reader of an image."""
    from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

    readers: dict[ImageFormat, Callable[[BytesIO], ImageFile]] = {
        "JPEG": JpegImagePlugin.JpegImageFile,
        "PNG": PngImagePlugin.PngImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "GIF": GifImagePlugin.GifImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
    }
    try:
        return readers[image_format](BytesIO(data))
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise BadImageError(f"is damaged ({error})") from None
