"""The static pictures of the page: from above, from the side, and the points over an image of each camera."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from lidarprep.scene import Finding

if TYPE_CHECKING:
    from PIL.Image import Image

THUMBNAIL_WIDTH = 640
_QUALITY, _METHOD = 80, 2


@dataclass(frozen=True)
class Picture:
    """A picture in the page.

    Args:
        id: What it is found by: "top", "frames", "side", "camera-0".
        title: Its title.
        caption: What it shows, in a sentence.
        alt: What is said to people who cannot see it.
        data: It as a data URI.
        size: (width, height) pixels.
        thumbnail, thumbnail_size: The same, smaller, for findings.
        is_wide: Whether it is shown over two columns.
    """

    id: str
    title: str
    caption: str
    alt: str
    data: str
    size: tuple[int, int]
    thumbnail: str
    thumbnail_size: tuple[int, int]
    is_wide: bool = False

    @classmethod
    def of(cls, id: str, title: str, caption: str, alt: str, image: Image, *, is_wide: bool = False) -> Picture:
        """Encode a picture."""
        small = image.copy()
        small.thumbnail((THUMBNAIL_WIDTH, 2 * THUMBNAIL_WIDTH), reducing_gap=2.0)
        return cls(id, title, caption, alt, _uri(image), image.size, _uri(small), small.size, is_wide)


def _uri(image: Image) -> str:
    target = BytesIO()
    image.save(target, "WEBP", quality=_QUALITY, method=_METHOD)
    return f"data:image/webp;base64,{base64.b64encode(target.getvalue()).decode('ascii')}"


# Findings that a picture shows, by the beginning of their codes: the picture of the frames in their colours shows
# what is wrong with poses and times, that from above what is wrong with the region, that from the side the heights.
_SHOWN_BY: tuple[tuple[str, str], ...] = (
    ("region", "top"),
    ("little-kept", "top"),
    ("frames-emptied", "top"),
    ("frames-nearly", "top"),
    ("device-height", "side"),
    ("points-on-device", "top"),
    ("points-in", "frames"),
    ("pose", "frames"),
    ("device", "frames"),
    ("lidar-turned", "frames"),
    ("rotation", "frames"),
    ("sweeps", "frames"),
    ("clock", "frames"),
    ("frames", "frames"),
)


def picture_of(finding: Finding, pictures: Sequence[Picture], cameras: Sequence[str]) -> Picture | None:
    """Return the picture that shows a finding, if one does."""
    wanted = next((id for code, id in _SHOWN_BY if finding.code.startswith(code)), None)
    if finding.subject.kind == "camera":
        wanted = f"camera-{cameras.index(finding.subject.name)}" if finding.subject.name in cameras else None
    by_id = {picture.id: picture for picture in pictures}
    if wanted == "frames" and wanted not in by_id:
        wanted = "top"
    return by_id.get(wanted or "")
