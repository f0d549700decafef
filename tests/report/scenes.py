"""Small scenes in memory, and what is seen on their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

import lidarprep as lp
from lidarprep.scene.labels import LabelsFrame


def frame_of(points: ArrayLike, row: int = 0, **more: Any) -> lp.Frame:
    """A frame of these points, in the device's frame unless `frame` is given."""
    cloud = lp.PointCloud(np.array(points, dtype=np.float64).reshape(-1, 3), frame=more.pop("frame", "ego"))
    return lp.Frame(f"f{row}", row, lambda: cloud, **more)


def scene_of(frames: Sequence[lp.Frame], **more: Any) -> lp.Scene:
    return lp.Scene("in memory", "memory", tuple(frames), **more)


def labels_of(*rows: dict[str, Any], frame: LabelsFrame = "world") -> lp.Labels:
    """Cuboids of frames "f0", "f1", …, from rows of the columns, `frame` being the number."""
    frames = tuple(lp.LabelledFrame(f"f{number}", number) for number in range(1 + max(row["frame"] for row in rows)))
    return lp.Labels(frames, frame=frame, cuboids=lp.Cuboids.of_rows(rows))


def box_at(position: ArrayLike, size: ArrayLike, yaw: float = 0.0, frame: int = 0, **more: Any) -> dict[str, Any]:
    """A row for `labels_of`: size is length, width, height; at yaw 0 it looks along +x."""
    row = {"track": "id", "label": "car", "frame": frame, "position": position, "size": size, "yaw": yaw}
    return row | more


def pixels_of(picture: Image.Image) -> NDArray[np.int64]:
    """(H, W, 3)."""
    return np.asarray(picture, dtype=np.int64)


def middle_of(picture: Image.Image, colour: Sequence[int]) -> NDArray[np.float64]:
    """(2,) mean column and row of the pixels of exactly this colour; the strip below the plot does not count."""
    rows, columns = np.nonzero((pixels_of(picture)[: picture.height // 2 * 2] == np.array(colour)).all(axis=2))
    assert rows.size, f"nothing is drawn in {colour}"
    return np.array([columns.mean(), rows.mean()])


def encoded(pixels: NDArray[np.uint8], image_format: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, image_format, **options)
    return file.getvalue()
