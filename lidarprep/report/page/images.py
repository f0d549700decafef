"""Images for the page: shrunk, as JPEG. No EXIF orientation is applied: intrinsics are of the pixels as stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO

from lidarprep._images import BadImageError, as_rgb, decoding
from lidarprep.checks import encoded_bytes, header_of
from lidarprep.scene import CameraImage

QUALITY = 70


@dataclass(frozen=True)
class PageImage:
    """An image as the page has it.

    Args:
        width, height: Size as recorded, pixels; by the calibration, or 0, where it cannot be read.
        problem: Why it cannot be shown, or None.
        jpeg: The shrunk image; None where it is not shown.
    """

    width: int
    height: int
    problem: str | None = None
    jpeg: bytes | None = None

    def without_pixels(self) -> PageImage:
        """Return the image as one that is not shown."""
        return replace(self, jpeg=None)


def shrink(image: CameraImage, width: int) -> PageImage:
    """Shrink an image to a width, pixels; width 0: only look at its header."""
    known = (image.camera.intrinsics.width or 0, image.camera.intrinsics.height or 0)
    size = (round(known[0] / image.scale_factor), round(known[1] / image.scale_factor))
    if image.path is None and image.content is None:
        return PageImage(*size, problem="is known only by its URL, and was not fetched")
    try:
        if width <= 0:
            return PageImage(*header_of(image).size)
        with decoding(encoded_bytes(image)) as decoder:
            size = decoder.size
            wanted = (min(width, size[0]), max(1, round(size[1] * min(1.0, width / size[0]))))
            decoder.draft("RGB", wanted)
            shrunk = as_rgb(decoder)
            if shrunk.size != wanted:
                shrunk = shrunk.resize(wanted, reducing_gap=2.0)
        target = BytesIO()
        shrunk.save(target, "JPEG", quality=QUALITY)
        return PageImage(*size, jpeg=target.getvalue())
    except BadImageError as error:
        return PageImage(*size, problem=str(error))
