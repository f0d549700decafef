"""A camera's image with the points of one frame or of several over it, where the calibration puts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import degrees

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lidarprep._images import BadImageError, as_rgb, decoding
from lidarprep.checks import encoded_bytes
from lidarprep.errors import RecipeError
from lidarprep.recipe import Recipe
from lidarprep.report import boxes
from lidarprep.report.canvas import DIM, GROUND, INK, LARGEST, Pixels, Plot, Sheet, checked_size, text_size
from lidarprep.report.colours import Colouring
from lidarprep.report.drawn import coloured, draw_frames
from lidarprep.report.legend import Block, Strip, Swatches, composed
from lidarprep.report.views import Fate, FrameView, SceneView
from lidarprep.scene import CameraImage, Cuboids, Frame, Intrinsics, Labels, Pose, Scene

# Parts that the edge of a cuboid is drawn in: distortion bends it.
_PARTS = 16

# Directions round the optical axis in which the end of a model's range is looked for, and how finely: by halves.
_AROUND, _HALVES = 360, 40

# A camera sees less than this from its axis, radians; models end before, or have no end.
_WIDEST = 3.1

# What is beyond the range of a model is darkened to this share.
_BEYOND = 0.45

_EDGE_COLOUR = (255, 111, 97)

# An image without a size that anybody knows is drawn as if it had this one.
_UNKNOWN_SIZE = (1280, 720)


def overlay(
    frame: Frame | FrameView,
    camera: str,
    *,
    points_of: Sequence[Frame | FrameView] | None = None,
    color: Colouring = "depth",
    labels: Labels | None = None,
    width: int = 1280,
    view: SceneView | None = None,
) -> Image.Image:
    """Draw an image with points over it: where `Intrinsics.project` puts them, the nearest in front.

    The image is at the top of the picture, as its pixels are stored, whatever its EXIF data says. A pixel (u, v) of the
    intrinsics is at ((u + 0.5) · s - 0.5, (v + 0.5) · s - 0.5) of the picture, with s = `width` / the image's width /
    its `scale_factor`. Below it are a caption and a legend. An image that cannot be decoded is a grey plate with the
    reason.

    Args:
        frame: The frame whose image is drawn.
        camera: The name of the camera.
        points_of: Frames whose points are drawn, all in the world of `frame`; None: the frame itself.
        color: What points are coloured by: "depth", "intensity", "frame", "height", "device", "time" or "fate".
        labels: Labels of the scene, as `top_down` takes them; those of this frame are drawn. None: those that the
            scene of `view` has itself.
        width: Width of the picture, and of the image on it, pixels.
        view: The scene that the frames are of: how they are prepared. None: every point is kept.

    Returns:
        A picture in RGB.

    Raises:
        RecipeError: The frame has no image of that camera, there is no such colouring, or the labels are of frames
            that `view` does not have.
        SceneError, FormatError: A frame cannot be read.
    """
    width, _ = checked_size(width, width)
    shown = _look(frame, view)
    points = [_look(one, view, shown) for one in ([frame] if points_of is None else points_of)]
    image = _image_of(shown, camera)
    plate = Plate.of(image, width)
    pose = image.world_from_camera or _pose_without_world(shown, image, points, view)
    plot = Plot(plate.pixels)
    lines, signs = [], list[Block]()
    if pose is None:
        lines.append("this image has no pose: nothing is drawn over it")
    beyond = _darken_beyond(plot, image, plate, width)
    blocks: list[Block] = []
    if pose is not None:
        seen = [_project(one, pose, image.camera.intrinsics) for one in points]
        inside = [one.view for one in seen]
        colours = coloured(inside, color, view, [one.depths for one in seen])
        placed = {id(one.view): plate.placed(one.pixels, one.depths) for one in seen}
        alone = (width * plot.size[1] / max(sum(map(len, inside)), 1)) ** 0.5
        spot = int(np.clip(round(0.45 * alone), 1, max(1, round(width / 450))))  # large where there are few
        identity = np.eye(3, 4)
        draw_frames(plot, inside, colours.of, identity, spot, place=lambda one: placed[id(one)])
        blocks = colours.blocks
        lines.append(_share(points, [placed[id(one)] for one in inside], plot.size))
        of_scene = _labels_of(shown, labels, view)
        cuboids = of_scene.of_frames([shown.frame.id])
        edges = _edge_pixels(plate, image.camera.intrinsics, pose, cuboids)
        _draw_labels(plot, cuboids, edges)
        signs = [Swatches("labels", found)] if (found := of_scene.swatches(cuboids)) else []
    if beyond is not None:
        lines.append(beyond)
    lines += _odd_sizes(image, plate)
    strip = Strip(_title(shown, camera, points, view), lines, [*blocks, *signs])
    sheet = composed(plot, strip)
    if pose is not None:
        _name_labels(sheet, cuboids, edges, plot.size)
    if plate.problem is not None:
        _write_problem(sheet, plate.problem, plot.size)
    strip.draw(sheet)
    return sheet.image


def _look(frame: Frame | FrameView, view: SceneView | None, beside: FrameView | None = None) -> FrameView:
    if isinstance(frame, FrameView):
        return frame
    if beside is not None and beside.frame.id == frame.id:
        return beside
    if view is None:
        view = SceneView.of(Scene(f"frame {frame.id}", "frame", (frame,)))
    return view.look(frame)


def _image_of(view: FrameView, camera: str) -> CameraImage:
    found = next((image for image in view.images if image.camera.name == camera), None)
    if found is None:
        names = ", ".join(image.camera.name for image in view.images) or "none"
        raise RecipeError(f"frame {view.frame.id} has no image of camera {camera!r}; it has {names}")
    return found


def _pose_without_world(
    shown: FrameView, image: CameraImage, points: Sequence[FrameView], view: SceneView | None
) -> Pose | None:
    """Return the camera's pose on the device, where a frame without a pose has its points there, too."""
    alone = all(one.frame.id == shown.frame.id for one in points)
    in_ego = view is None or view.scene.points_frame == "ego"
    return image.camera.ego_from_camera if shown.world_from_ego is None and alone and in_ego else None


# ---- the image -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Plate:
    """An image as it is drawn.

    Args:
        pixels: (H, W, 3) uint8, red, green, blue; a grey plate where the image cannot be decoded.
        scale: Pixels of the picture for one of the intrinsics: across and down.
        stored: Width and height of the image as it is stored; None where it cannot be decoded.
        problem: Why it cannot be, as the rest of a sentence.
    """

    pixels: Pixels
    scale: tuple[float, float]
    stored: tuple[int, int] | None
    problem: str | None = None

    @classmethod
    def of(cls, image: CameraImage, width: int) -> Plate:
        """Decode an image, and bring it to a width."""
        try:
            pixels, stored = _decoded(image, width)
        except BadImageError as error:
            intrinsics = image.camera.intrinsics
            size = (intrinsics.width or _UNKNOWN_SIZE[0], intrinsics.height or _UNKNOWN_SIZE[1])
            scale = width / size[0]
            blank = np.full((_height(size, width), width, 3), 58, dtype=np.uint8)
            return cls(blank, (scale, blank.shape[0] / size[1]), None, str(error))
        factors = (width / stored[0], pixels.shape[0] / stored[1])
        return cls(pixels, (factors[0] / image.scale_factor, factors[1] / image.scale_factor), stored)

    def placed(self, pixels: NDArray[np.float64], depths: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 3) column and row on the picture, and nearness, of pixels (N, 2) of the intrinsics."""
        return np.column_stack(((pixels + 0.5) * self.scale - 0.5, -depths))


def _height(size: tuple[int, int], width: int) -> int:
    """Return the height of an image of that size at a width, pixels: 10,000 at most, however narrow the image is."""
    return min(max(round(size[1] * width / size[0]), 1), LARGEST)


def _decoded(image: CameraImage, width: int) -> tuple[Pixels, tuple[int, int]]:
    """Decode an image to a width; return it with its size as stored.

    Raises:
        BadImageError: It cannot be decoded.
    """
    if image.path is None and image.content is None:
        raise BadImageError("is not on this machine: only its URL is known")
    with decoding(encoded_bytes(image)) as opened:
        stored = opened.size
        height = _height(stored, width)
        opened.draft("RGB", (width, height))  # a JPEG is decoded at a half or less, where that is enough
        opened.load()
        decoded = as_rgb(opened)
        if decoded.size != (width, height):
            smooth = Image.Resampling.BOX if decoded.size[0] > width else Image.Resampling.BICUBIC
            decoded = decoded.resize((width, height), smooth)
        return np.array(decoded), stored


def _odd_sizes(image: CameraImage, plate: Plate) -> list[str]:
    intrinsics = image.camera.intrinsics
    if plate.stored is None or intrinsics.width is None or intrinsics.height is None:
        return []
    shrunk = [side * image.scale_factor for side in plate.stored]
    if all(
        abs(side - known) < max(1.0, image.scale_factor)
        for side, known in zip(shrunk, (intrinsics.width, intrinsics.height), strict=True)
    ):
        return []
    width, height = plate.stored
    return [f"the image has {width} x {height} pixels, its calibration is for {intrinsics.width} x {intrinsics.height}"]


# ---- points ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Seen:
    """The points of a frame that a camera sees: the rows, where in the image, and how far away in metres."""

    view: FrameView
    pixels: NDArray[np.float64]
    depths: NDArray[np.float64]


def _project(view: FrameView, world_from_camera: Pose, intrinsics: Intrinsics) -> _Seen:
    with np.errstate(over="ignore", invalid="ignore"):  # absurd coordinates
        in_camera = world_from_camera.inverse().apply(view.positions)
        rows = np.arange(len(view))
        if intrinsics.model == "brown_conrady":  # most points are behind it: projecting takes longer than looking
            rows = np.flatnonzero(in_camera[:, 2] > 0)
        pixels, seen = intrinsics.project(in_camera[rows])
    rows = rows[seen]
    near = in_camera[rows]
    return _Seen(view.take(rows), pixels[seen], np.sqrt((near * near).sum(axis=1)))


def _share(points: Sequence[FrameView], placed: Sequence[NDArray[np.float64]], size: tuple[int, int]) -> str:
    """Say how many of the measured points are inside the image."""
    measured = sum(int(np.count_nonzero(one.fate < Fate.NO_RETURN)) for one in points)
    inside = sum(
        int(
            np.count_nonzero(
                (one[:, 0] >= -0.5) & (one[:, 0] < size[0] - 0.5) & (one[:, 1] >= -0.5) & (one[:, 1] < size[1] - 0.5)
            )
        )
        for one in placed
    )
    return f"{inside:,} of {measured:,} points are inside the image ({inside / max(measured, 1):.1%})"


def _title(shown: FrameView, camera: str, points: Sequence[FrameView], view: SceneView | None) -> str:
    source = "" if view is None else f"{view.scene.source}: "
    frames = f"frame {shown.frame.id}"
    if [one.frame.id for one in points] != [shown.frame.id]:
        ids = [one.frame.id for one in points]
        of = (
            f"frame {ids[0]}" if len(ids) == 1 else f"{len(ids)} of the frames {ids[0]} to {ids[-1]}" if ids else "none"
        )
        frames += f", points of {of}"
    return f"{source}camera {camera}, {frames}"


# ---- the range of a model --------------------------------------------------------------------------------------------


def _darken_beyond(plot: Plot, image: CameraImage, plate: Plate, width: int) -> str | None:
    """Darken what the camera's model cannot reach, and say it; None where it reaches all of the image."""
    edge = range_of(replace(image.camera.intrinsics, width=None, height=None))
    if edge is None:
        return None
    angle, pixels = edge
    outline = (pixels + 0.5) * plate.scale - 0.5
    within = (outline >= -0.5).all(axis=1) & (outline < np.array(plot.size) - 0.5).all(axis=1)
    if not within.any():
        return None
    mask = Image.new("L", plot.size, round(255 * _BEYOND))
    ImageDraw.Draw(mask).polygon([(float(u), float(v)) for u, v in outline], fill=255)
    plot.pixels[:] = (plot.pixels * (np.asarray(mask, dtype=np.uint16)[..., None]) // 255).astype(np.uint8)
    dashes = np.hstack((outline, np.roll(outline, -1, axis=0)))[::2]
    plot.segments(dashes, _EDGE_COLOUR, text_size(width) / 8)
    model = image.camera.intrinsics.model
    return f"the {model} model ends {degrees(angle):.0f}° off the axis, within the image: no point is drawn beyond"


@lru_cache(64)
def range_of(intrinsics: Intrinsics) -> tuple[float, NDArray[np.float64]] | None:
    """Find where a distorted model stops: beyond, points would fold back into the image, and none is projected.

    Args:
        intrinsics: They, without the size of the image.

    Returns:
        The smallest angle off the optical axis, radians, and (M, 2) pixels just within it, all round; None for models
        without distortion, with the rational factor, whose end is not tested, and where nothing is seen.
    """
    d = intrinsics.distortion
    if intrinsics.model not in ("brown_conrady", "fisheye", "omnidirectional") or not d.nonzero():
        return None
    if intrinsics.model == "brown_conrady" and (d.k4 or d.k5 or d.k6):
        return None
    around = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)

    def project(angles: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        side = np.sin(angles)
        return intrinsics.project(np.column_stack((side * np.cos(around), side * np.sin(around), np.cos(angles))))

    low, high = np.full(_AROUND, 1e-6), np.full(_AROUND, _WIDEST)
    if not project(low)[1].all():
        return None
    for _ in range(_HALVES):
        middle = (low + high) / 2
        seen = project(middle)[1]
        low, high = np.where(seen, middle, low), np.where(seen, high, middle)
    return float(low.min()), project(low)[0]


# ---- labels ----------------------------------------------------------------------------------------------------------


def _labels_of(shown: FrameView, labels: Labels | None, view: SceneView | None) -> boxes.ShownLabels:
    if view is not None:
        return boxes.ShownLabels.of(labels, view)
    alone = (shown.frame,)
    return boxes.ShownLabels.of(
        labels, SceneView(Scene(f"frame {shown.frame.id}", "frame", alone), alone, Recipe()), strict=False
    )


def _draw_labels(plot: Plot, cuboids: Cuboids, edges: NDArray[np.float64]) -> None:
    colours = boxes.colours_of(cuboids)
    em = text_size(plot.size[0])
    for label, along in zip(cuboids.label, edges, strict=True):
        segments = np.concatenate((along[:, :-1], along[:, 1:]), axis=2).reshape(-1, 4)
        plot.segments(segments, GROUND, em / 3, 0.35)
        plot.segments(segments, colours[label], em / 9)


def _edge_pixels(
    plate: Plate, intrinsics: Intrinsics, world_from_camera: Pose, cuboids: Cuboids
) -> NDArray[np.float64]:
    """(N, 13, 17, 2) places on the picture along cuboids' edges; NaN where the camera does not see that way."""
    placed = boxes.edge_points(cuboids, _PARTS)
    in_camera = world_from_camera.inverse().apply(placed.reshape(-1, 3))
    pixels, seen = replace(intrinsics, width=None, height=None).project(in_camera)
    pixels = (pixels + 0.5) * plate.scale - 0.5
    pixels[~seen] = np.nan
    return pixels.reshape(*placed.shape[:3], 2)


def _name_labels(sheet: Sheet, cuboids: Cuboids, edges: NDArray[np.float64], size: tuple[int, int]) -> None:
    colours = boxes.colours_of(cuboids)
    for row, label in enumerate(cuboids.label):
        places = edges[row, :12].reshape(-1, 2)
        places = places[np.isfinite(places).all(axis=1)]
        within = places[(places >= 0).all(axis=1) & (places < np.array(size)).all(axis=1)]
        if not len(within) or np.ptp(within[:, 0]) < sheet.em:
            continue
        left, top = float(within[:, 0].min()), max(float(within[:, 1].min()), 1.2 * sheet.em)
        sheet.text((left, top - 3), boxes.name_of(cuboids, row), colours[label], size=0.85, anchor="ls", halo=True)


def _write_problem(sheet: Sheet, problem: str, size: tuple[int, int]) -> None:
    sheet.text((size[0] / 2, size[1] / 2 - sheet.em), "this image", INK, anchor="ms", halo=True)
    sheet.text((size[0] / 2, size[1] / 2 + 0.4 * sheet.em), problem[:90], DIM, anchor="ms", halo=True)
