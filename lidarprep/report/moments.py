"""Moments: what an export to a viewer writes of each frame, whatever the file's format.

A moment has the points of a frame with their fates, its images as they are encoded, its radar returns and cuboids, all
in the view's world, and its time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from math import cos, sin

import numpy as np
from numpy.typing import NDArray

from lidarprep._images import BadImageError, ImageHeader, as_rgb, decoding, require_whole
from lidarprep.checks import BadImage, encoded_bytes
from lidarprep.report.boxes import ShownLabels
from lidarprep.report.colours import by_kind
from lidarprep.report.views import Fate, FrameView, SceneView, join_views
from lidarprep.scene import CameraImage, Cuboids, Frame, Pose

# Frames of a recording that has no times are so far apart.
UNTIMED_NS = 100_000_000

# What viewers decode; an image of another format is encoded again.
_SHOWN = ("JPEG", "PNG")

# Where the recording gives no heights: the box of a region reaches so far above and below the device's path, metres.
_REGION_REACH = 2.0

# The band of heights is drawn as squares around the device, so far from it, metres.
_BAND_REACH = 15.0

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TimedImage:
    """An image of a moment.

    Args:
        image: The image, its pose in the view's world.
        data: The encoded image.
        header: Its header.
        time: Nanoseconds.
    """

    image: CameraImage
    data: bytes
    header: ImageHeader
    time: int


@dataclass(frozen=True, eq=False)
class Moment:
    """What is written of a frame.

    Args:
        row: Its row in the view's frames.
        time: Nanoseconds.
        view: Its points: none that is not finite; only the kept ones, if that is asked for.
        world_from_ego: The device's pose in the view's world; the origin where it is unknown and the points are around
            the device; None where they are in the world and no device is known.
        images: Its images that can be decoded.
        cuboids: Its labels; None where there are none of the scene.
        not_finite: How many points were left out, since they are not finite.
        bad_images: Images that were left out.
        notes: What was done to its images, by camera: a sentence's end, counted.
    """

    row: int
    time: int
    view: FrameView
    world_from_ego: Pose | None
    images: tuple[TimedImage, ...]
    cuboids: Cuboids | None
    not_finite: int
    bad_images: tuple[BadImage, ...]
    notes: Counter[tuple[str, str]]

    @property
    def frame(self) -> Frame:
        """The frame as recorded."""
        return self.view.frame


@dataclass(frozen=True, eq=False)
class ExportPlan:
    """What is the same for all moments of an export.

    Args:
        view: The scene.
        times: Nanoseconds, a row a frame; they never fall.
        has_times: Whether they are the recording's own.
        names: Of each camera, by its name, the name that it has in the file.
        labels: Labels; None for none.
        kept_only: Whether points that preparation drops are left out.
    """

    view: SceneView
    times: tuple[int, ...]
    has_times: bool
    names: Mapping[str, str]
    labels: ShownLabels | None = None
    kept_only: bool = False
    label_colours: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, view: SceneView, labels: ShownLabels | None = None, *, kept_only: bool = False) -> ExportPlan:
        """Plan the export of a scene.

        Args:
            view: The scene.
            labels: Its labels; None for none.
            kept_only: Whether points that preparation drops are left out.
        """
        recorded = [frame.timestamp for frame in view.frames]
        known = [time for time in recorded if time is not None and time >= 0]
        has_times = len(known) == len(recorded) and known == sorted(known)
        times = known if has_times else [frame.index * UNTIMED_NS for frame in view.frames]
        cameras = [image.camera.name for frame in view.frames for image in frame.images]
        shown = () if labels is None else labels.of_frames([frame.id for frame in view.frames]).label.tolist()
        kinds = sorted(set(shown))
        colours = [(red, green, blue) for red, green, blue in by_kind(np.arange(len(kinds))).tolist()]
        return cls(
            view,
            tuple(times),
            has_times,
            plain_names([*(camera.name for camera in view.scene.cameras), *cameras]),
            labels,
            kept_only,
            dict(zip(kinds, colours, strict=True)),
        )

    def read(self, row: int) -> Moment:
        """Read all that is written of a frame.

        Raises:
            SceneError, FormatError: The frame cannot be read.
        """
        frame, time = self.view.frames[row], self.times[row]
        parts, not_finite = [], 0
        for chunk in self.view.chunks(frame):
            with np.errstate(over="ignore"):  # absurd coordinates
                finite = np.logical_and.reduce(np.isfinite(chunk.positions.astype(np.float32)), axis=1)
            not_finite += len(chunk) - int(finite.sum())
            shown = finite & (chunk.fate == Fate.KEPT) if self.kept_only else finite
            parts.append(chunk if shown.all() else chunk.take(shown))
        view = join_views(parts)
        images, bad, notes = _read_images(view, time, has_times=self.has_times)
        cuboids = None if self.labels is None else self.labels.of_frames([frame.id])
        pose = view.world_from_ego
        if pose is None and self.view.scene.points_frame == "ego":
            pose = Pose.identity()
        return Moment(row, time, view, pose, tuple(images), cuboids, not_finite, tuple(bad), notes)


def _read_images(
    view: FrameView, frame_time: int, *, has_times: bool
) -> tuple[list[TimedImage], list[BadImage], Counter[tuple[str, str]]]:
    """Read the images of a frame; those that cannot be decoded are returned as bad ones."""
    images: list[TimedImage] = []
    bad: list[BadImage] = []
    notes: Counter[tuple[str, str]] = Counter()
    for image in view.images:
        camera = image.camera.name
        if image.content is None and image.path is None:
            notes[camera, "known by a URL only, and left out"] += 1
            continue
        try:
            data = encoded_bytes(image)
            header = require_whole(data)
            if header.format not in _SHOWN:
                notes[camera, f"{header.format}, which viewers do not show, and encoded again as PNG"] += 1
                data = _as_png(data)
                header = require_whole(data)
        except BadImageError as error:
            bad.append(BadImage(camera, view.frame.id, "" if image.path is None else str(image.path), str(error)))
            continue
        if header.orientation != 1:
            notes[camera, "turned by EXIF data when shown, which its calibration does not know of"] += 1
        if image.world_from_camera is None and image.camera.ego_from_camera is None:
            notes[camera, "without a pose: no points can be shown over it"] += 1
        time = image.timestamp if has_times and image.timestamp is not None else frame_time
        images.append(TimedImage(image, data, header, max(time, 0)))
    return images, bad, notes


def _as_png(data: bytes) -> bytes:
    with decoding(data) as decoder:
        file = BytesIO()
        as_rgb(decoder).save(file, "PNG", compress_level=1)
    return file.getvalue()


# ---- names, cameras, shapes ------------------------------------------------------------------------------------------


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Map names to names of letters, digits, "_", "-" and ".", each to another one: parts of topics and paths."""
    plain: dict[str, str] = {}
    taken = set[str]()
    for name in dict.fromkeys(names):
        stem = re.sub(r"[^\w.-]+", "_", name.encode("utf-8", "replace").decode()).strip("_") or "camera"
        number, free = 2, stem
        while free.casefold() in taken:
            number, free = number + 1, f"{stem}_{number}"
        taken.add(free.casefold())
        plain[name] = free
    return plain


def camera_matrix(image: CameraImage) -> Array:
    """(3, 3) intrinsic matrix of an image as it is stored, pixels: (0, 0) is the centre of the upper left one."""
    intrinsics, scale = image.camera.intrinsics, image.scale_factor
    return np.array(
        [
            [intrinsics.fx / scale, intrinsics.skew / scale, (intrinsics.cx + 0.5) / scale - 0.5],
            [0.0, intrinsics.fy / scale, (intrinsics.cy + 0.5) / scale - 0.5],
            [0.0, 0.0, 1.0],
        ]
    )


def region_edges(view: SceneView) -> Array | None:
    """(12, 2, 3) ends of the edges of the region's box in the view's world, metres; None without a region.

    The region itself has no limits in z: the box is as high as the band of heights along the device's path.
    """
    if view.region is None:
        return None
    heights = view.path()[:, 2] if len(view.path()) else np.zeros(1)
    below, above = -_REGION_REACH, _REGION_REACH
    if view.band is not None:
        below, above = (edge - view.band.device_height for edge in (view.band.lowest, view.band.highest))
    c, s = cos(view.region.rotation), sin(view.region.rotation)
    signs = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) / 2
    base = signs * (view.region.length, view.region.width) @ np.array([[c, s], [-s, c]]) + view.region.position[:2]
    low = np.column_stack((base, np.full(4, heights.min() + below)))
    high = np.column_stack((base, np.full(4, heights.max() + above)))
    ends = [np.stack((ring, np.roll(ring, -1, axis=0)), axis=1) for ring in (low, high)]
    edges: Array = np.concatenate((*ends, np.stack((low, high), axis=1)))
    return edges


def band_squares(view: SceneView) -> Array | None:
    """(2, 5, 3) closed squares at the lowest and highest height that is kept, in ego, metres; None without a band."""
    if view.band is None:
        return None
    corners = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1), (1, 1)]) * _BAND_REACH
    heights = (view.band.lowest - view.band.device_height, view.band.highest - view.band.device_height)
    return np.array([np.column_stack((corners, np.full(5, height))) for height in heights])
