"""Cameras of a bag: their topics, their intrinsics from sensor_msgs/CameraInfo, and their images as JPEG or PNG.

A camera is a namespace with images in it: /front/image_raw/compressed and /front/camera_info are the camera "front",
and /stereo/left/image_raw is "stereo_left". Of several topics of images in one namespace, one as the sensor sends it is
preferred to a rectified one, and a compressed to a raw one. Cameras are numbered by the order of their names, unused
and unselected ones included: a camera's number does not depend on the selection.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lidarprep.datasets.association import ImageSeries
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.ros._bag import Bag
from lidarprep.datasets.ros._messages import Cursor, MessageSource, Series, frame_name
from lidarprep.datasets.ros._storage import Topic
from lidarprep.datasets.ros._topics import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE
from lidarprep.datasets.ros._transforms import TransformTree
from lidarprep.datasets.selection import listed
from lidarprep.errors import SceneError
from lidarprep.scene import Camera, CameraImage, Trajectory
from lidarprep.scene.camera import CameraModel, Distortion, Intrinsics

_TRANSPORTS = ("compressed", "compressedDepth", "theora", "ffmpeg")

# The names of a distortion model's coefficients, in OpenCV's order. REP 104 names the first two models; drivers write
# the others.
_BROWN = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
_FISHEYE = ("k1", "k2", "k3", "k4")
_MODELS: dict[str, tuple[CameraModel, tuple[str, ...]]] = {
    "plumb_bob": ("brown_conrady", _BROWN),
    "rational_polynomial": ("brown_conrady", _BROWN),
    "radtan": ("brown_conrady", _BROWN),
    "brown_conrady": ("brown_conrady", _BROWN),
    "equidistant": ("fisheye", _FISHEYE),
    "fisheye": ("fisheye", _FISHEYE),
    "kannala_brandt4": ("fisheye", _FISHEYE),
    "none": ("brown_conrady", ()),
    "": ("brown_conrady", _BROWN[:5]),
}

# Images that are JPEG or PNG are not re-encoded.
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"

# Channels of a pixel, and which of them are red, green and blue; a single one is grey. Encodings are named as in
# sensor_msgs/image_encodings.hpp.
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
# Named by the first two pixels of the first row, then of the second: rggb begins red green, green blue.
_BAYER = ("bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8")

ENCODINGS = (*_CHANNELS, *_SIXTEEN, *_BAYER)


@dataclass(frozen=True)
class CameraTopics:
    """A camera, by its topics."""

    name: str
    index: int  # among all cameras of the bag
    topic: Topic
    others: tuple[str, ...]  # further topics of images in its namespace


def camera_topics(bag: Bag, options: OpenOptions) -> list[CameraTopics]:
    """Return the selected cameras by the topics of the bag, in the order of their names."""
    found: dict[str, list[Topic]] = {}
    for topic in bag.of_kind(IMAGE, COMPRESSED_IMAGE):
        found.setdefault(_camera_name(topic.name), []).append(topic)
    cameras = []
    for index, (name, topics) in enumerate(sorted(found.items())):
        if options.cameras and name not in options.cameras:
            continue
        best, *others = sorted(topics, key=_rank)
        cameras.append(CameraTopics(name, index, best, tuple(topic.name for topic in others)))
    return cameras


def _parts(topic: str) -> list[str]:
    """Return the names along a topic, without the transport at the end of compressed ones."""
    parts = [part for part in topic.split("/") if part]
    return parts[:-1] if len(parts) > 1 and parts[-1] in _TRANSPORTS else parts


def _camera_name(topic: str) -> str:
    parts = _parts(topic)
    return "_".join(parts[:-1] or parts)


def _is_rectified(topic: str) -> bool:
    return "rect" in _parts(topic)[-1]


def _rank(topic: Topic) -> tuple[bool, bool, bool, str]:
    last = _parts(topic.name)[-1]
    depth = "depth" in topic.name.lower()
    return depth, _is_rectified(topic.name), topic.kind != COMPRESSED_IMAGE, last + topic.name


@dataclass(frozen=True)
class CameraInfo:
    """A CameraInfo: intrinsics of the camera as it is and of its rectified image, or why there are none."""

    frame_id: str
    raw: Intrinsics | SceneError
    rectified: Intrinsics | SceneError
    shifted: bool  # P shifts the rectified image, as it does for the second camera of a stereo pair


def read_camera_info(cursor: Cursor) -> CameraInfo:
    """Read a CameraInfo.

    K and P are those of the full image. Binning and the region of interest make of them those of the image that is
    sent, as the image_geometry package does it.
    """
    frame_id = frame_name(cursor.header()[1])
    height, width = cursor.numbers("I", 2)
    model = cursor.text()
    coefficients, k = cursor.floats(), cursor.floats(9).reshape(3, 3)
    cursor.floats(9)  # R: rotates into the rectified pair's frame
    p = cursor.floats(12).reshape(3, 4)
    binning_x, binning_y = (max(1, number) for number in cursor.numbers("I", 2))
    x, y, roi_height, roi_width = cursor.numbers("I", 4)
    size = ((roi_width or width) // binning_x, (roi_height or height) // binning_y)
    corner, binning = np.array([[0, 0, x], [0, 0, y], [0, 0, 0]]), np.array([[binning_x], [binning_y], [1]])
    return CameraInfo(
        frame_id,
        _intrinsics((k - corner) / binning, size, model, coefficients),
        _intrinsics((p[:, :3] - corner) / binning, size, "none", np.zeros(0)),
        bool(p[0, 3] or p[1, 3]),
    )


def _intrinsics(
    k: NDArray[np.float64], size: tuple[int, int], model: str, coefficients: NDArray[np.float64]
) -> Intrinsics | SceneError:
    try:
        projection, distortion = _distortion(model, coefficients)
        (fx, skew, cx), (_, fy, cy), _ = k.tolist()
        return Intrinsics(fx, fy, cx, cy, skew, projection, distortion, size[0] or None, size[1] or None)
    except SceneError as error:
        return error


def _distortion(model: str, coefficients: NDArray[np.float64]) -> tuple[CameraModel, Distortion]:
    known = _MODELS.get(model.strip().lower())
    if known is None:
        raise SceneError(
            f"the distortion model {model[:40]!r} is not known; known are {', '.join(filter(None, _MODELS))}"
        )
    projection, names = known
    beyond = coefficients[len(names) :]
    if beyond.any():
        raise SceneError(f"the distortion model {model!r} has {len(coefficients)} coefficients; {len(names)} are known")
    values = dict(zip(names, coefficients.tolist(), strict=False))
    return projection, Distortion(**values)


class Calibrations:
    """The CameraInfo topics of a bag, each by its first message."""

    def __init__(self, bag: Bag) -> None:
        self.found: dict[str, CameraInfo] = {}
        for topic in bag.of_kind(CAMERA_INFO):
            first = bag.messages(topic.name).first()
            cursor = Cursor(bag.path, first.name(0), bag.read(first.place(0)), first.wire)
            self.found[topic.name] = read_camera_info(cursor)

    def belonging_to(self, topic: str, frame_id: str) -> tuple[str, CameraInfo] | None:
        """Return the one in the namespace of a topic of images, or else the first of its frame."""
        parts = _parts(topic)
        for length in (len(parts) - 1, len(parts)):
            name = "/" * topic.startswith("/") + "/".join([*parts[:length], "camera_info"])
            if name in self.found:
                return name, self.found[name]
        return next(((name, info) for name, info in self.found.items() if frame_id and info.frame_id == frame_id), None)


@dataclass(frozen=True)
class PosedSeries:
    """The images of a camera, the topics that were read for it, and what was odd."""

    images: ImageSeries
    ego_from_camera: Trajectory | None  # over time, where the camera moves on the device
    topics: tuple[str, ...]
    notes: tuple[str, ...] = ()


def image_series(
    camera: CameraTopics, series: Series, calibrations: Calibrations, tree: TransformTree, ego: str
) -> PosedSeries | str:
    """Return a camera's images, or why there are none that can be used."""
    encoding = _unreadable(series.first_cursor(), camera.topic.kind)
    if encoding is not None:
        return f"camera {camera.name} is left out: {series.name} has {encoding or 'no'} encoding"
    found = calibrations.belonging_to(series.name, series.frame_ids[0])
    if found is None:
        return f"camera {camera.name} is left out: no CameraInfo belongs to {series.name}"
    info_topic, info = found
    rectified = _is_rectified(camera.topic.name)
    intrinsics = info.rectified if rectified else info.raw
    if isinstance(intrinsics, SceneError):
        return f"camera {camera.name} is left out: {info_topic}: {intrinsics.message}"
    frame_id = series.frame_ids[0] or info.frame_id
    if not (frame_id == ego or tree.connected(ego, frame_id)):
        return f"camera {camera.name} is left out: no transform leads from {frame_id or 'its nameless frame'} to {ego}"
    ego_from_camera = tree.between(ego, frame_id)
    fixed, moving = (None, ego_from_camera) if isinstance(ego_from_camera, Trajectory) else (ego_from_camera, None)
    made = Camera(camera.name, camera.index, intrinsics, fixed)

    def image(row: int) -> CameraImage:
        return CameraImage(made, content=partial(_read_image_of, series.source(row)))

    notes = []
    if camera.others:
        notes.append(f"camera {camera.name}: {series.name} is read, and not {listed(camera.others)}")
    if rectified and info.shifted:
        notes.append(
            f"camera {camera.name}: P of {info_topic} moves it against the first camera of its pair; it is taken to be "
            f"where the frame {frame_id} is"
        )
    images = ImageSeries(made, series.timestamps.tolist(), image)
    return PosedSeries(images, moving, (series.name, info_topic), tuple(notes))


def _read_image_of(message: MessageSource) -> bytes:
    return read_image(message.read(), message.kind)


def _unreadable(prefix: Cursor, kind: str) -> str | None:
    """Return the encoding that a message's first bytes name if it cannot be read, else None."""
    prefix.header()
    if kind == COMPRESSED_IMAGE:
        form = prefix.text()
        return form if "compresseddepth" in form.lower() else None
    prefix.numbers("I", 2)  # height, width
    encoding = prefix.text()
    return None if encoding.lower() in ENCODINGS else encoding


def read_image(cursor: Cursor, kind: str) -> bytes:
    """Read an Image or CompressedImage as an encoded image: JPEG and PNG as they are, everything else as PNG.

    Raises:
        FormatError: The message is cut, holds no image, or one that cannot be read.
    """
    cursor.header()
    if kind == IMAGE:
        return _png(Image.fromarray(_pixels(cursor)))
    form = cursor.text()
    encoded = bytes(cursor.blob())
    if encoded.startswith((_JPEG, _PNG)):
        return encoded
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(encoded)) as image:
                return _png(image.convert("RGB"))
    except UnidentifiedImageError as error:
        found = (
            f"{len(encoded)} bytes of format {form[:40]!r} that are no image" if encoded else "an image without data"
        )
        raise cursor.error(found, "JPEG, PNG, or another that Pillow reads") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombWarning) as error:
        found = f"an image of format {form[:40]!r} that cannot be read ({error})"
        raise cursor.error(found, "JPEG, PNG, or another that Pillow reads") from error


def _pixels(cursor: Cursor) -> NDArray[Any]:
    """Read an Image as (height, width) uint8 or uint16, or (height, width, 3) uint8 red, green, blue."""
    height, width = cursor.numbers("I", 2)
    encoding = cursor.text().lower()
    order = ">" if cursor.number("B") else "<"
    step = cursor.number("I")
    data = cursor.blob()
    if encoding not in ENCODINGS:
        raise cursor.error(f"an image of encoding {encoding[:40]!r}", ", ".join(ENCODINGS))
    pixel = 2 if encoding in _SIXTEEN else _CHANNELS.get(encoding, (1, ()))[0]
    if not (height and width) or step < width * pixel or len(data) < (height - 1) * step + width * pixel:
        raise cursor.error(
            f"{len(data)} bytes of data in rows of {step}", f"{height} × {width} pixels of {pixel} bytes"
        )
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
    """Return (height, width, 3): each colour that a pixel lacks is the mean of its 3 × 3 neighbours that have it."""
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
    """Return sums over each pixel and its eight neighbours; beyond the edge there are zeros."""
    padded = np.pad(values, 1)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    total: NDArray[np.uint16] = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    return total


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, format="PNG", compress_level=3)
    return out.getvalue()
