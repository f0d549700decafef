"""Edges of a camera's images and of the points that it sees, on a plane that all camera models share.

The plane is the stereographic one of the camera's frame (`kernels.depth_edges`). A camera's window of it is found by
projecting directions with its own model, so nothing here knows of models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lidarprep._images import BadImageError, decoding
from lidarprep.checks._images import encoded_bytes
from lidarprep.kernels import depth_edges, image_edges
from lidarprep.scene import CameraImage, Intrinsics, PointCloud, Pose

# Pixels of the working image a radian, at its middle, and pixels at most: larger images are shrunk.
PIXELS_PER_RADIAN, MOST_PIXELS = 400.0, 1_000_000

# Directions that are projected to find a camera's window: to 127° off its axis, then twice as fine as needed.
_FURTHEST, _GRID = 4.0, 160

# Points are looked at to so far outside the window, radians: a rotation may turn them into it.
_MARGIN = math.radians(7.5)

# Points nearer to the camera than this are on the device, or seen past on another side.
_NEAREST_M = 1.5

# Neighbours are looked for within this angle; a step in depth is so many metres and such a part of the range.
_REACH, _CELL = math.radians(0.9), math.radians(0.3)
_STEP = np.array([0.5, 0.06])

# Intensity edges: at least so many ranks of difference, of 1. Plain places have less than the second part of contrasts.
_LEAST_CONTRAST, _FLAT = 0.12, 0.8

# All intensity edges of a frame weigh at most this part of its depth edges; one weighs at most so many mean ones.
_INTENSITY_WEIGHS, _AN_INTENSITY_EDGE = 0.6, 2.0

_MOST_DEPTH, _MOST_INTENSITY, _MOST_PLAIN = 2500, 1000, 1000

# Points beyond so many in view are thinned, of those near a step in depth and of the others.
_NEAR_STEP, _SMOOTH = 25_000, 8_000

# Blur of the maps, from the coarsest search to the finest, radians; and of an image before its contrasts are taken.
BLURS = (math.radians(0.76), math.radians(0.48), math.radians(0.29))
_NOISE = math.radians(0.08)

# Edges are divided by the mean strength of what is around them.
_AROUND = math.radians(1.2)

_LUT_EVERY, _BLOCK = 8, 8

Floats = NDArray[np.float32]
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Window:
    """The part of the stereographic plane that an image covers.

    Args:
        bounds: (4,) lowest and highest u, lowest and highest v.
        per_unit: Pixels of the working image a unit of the plane; a unit is a radian in the middle.
        shape: (height, width) of the working image.
        pixels: Where pixels of the working image lie in the camera's images, as `image_edges.resample` takes them, in
            pixels of the intrinsics.
    """

    bounds: Array
    per_unit: float
    shape: tuple[int, int]
    pixels: Array

    @classmethod
    def of(cls, intrinsics: Intrinsics, pixels_per_radian: float) -> Window | None:
        """Find the window of intrinsics with a size; None where the camera sees nothing on the plane."""
        bounds = np.array([-_FURTHEST, _FURTHEST, -_FURTHEST, _FURTHEST])
        for _ in range(3):
            u, v = np.linspace(bounds[0], bounds[1], _GRID), np.linspace(bounds[2], bounds[3], _GRID)
            grid = np.stack(np.meshgrid(u, v), axis=-1)
            _, seen = intrinsics.project(_rays(grid).reshape(-1, 3))
            rows, columns = np.nonzero(seen.reshape(_GRID, _GRID))
            if not rows.size:
                return None
            du, dv = u[1] - u[0], v[1] - v[0]
            bounds = np.array([u[columns.min()] - du, u[columns.max()] + du, v[rows.min()] - dv, v[rows.max()] + dv])
        width, height = bounds[1] - bounds[0], bounds[3] - bounds[2]
        per_unit = min(pixels_per_radian, math.sqrt(MOST_PIXELS / (width * height)))
        shape = (8 * math.ceil(height * per_unit / 8), 8 * math.ceil(width * per_unit / 8))
        u = bounds[0] + np.arange(shape[1] // _LUT_EVERY + 2) * (_LUT_EVERY / per_unit)
        v = bounds[2] + np.arange(shape[0] // _LUT_EVERY + 2) * (_LUT_EVERY / per_unit)
        unbounded = replace(intrinsics, width=None, height=None)
        pixels, seen = unbounded.project(_rays(np.stack(np.meshgrid(u, v), axis=-1)).reshape(-1, 3))
        pixels[~seen] = np.nan
        return cls(bounds, per_unit, shape, pixels.reshape(len(v), len(u), 2))


def _rays(plane: Array) -> Array:
    """(…, 3) unit directions of places (…, 2) of the stereographic plane."""
    squared = 0.25 * (plane**2).sum(axis=-1, keepdims=True)
    return np.asarray(np.concatenate((plane, 1.0 - squared), axis=-1) / (1.0 + squared))


# ---- images ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class EdgeMap:
    """Edges of an image by direction, blurred.

    Args:
        maps: (4, h, w) float32 with zero mean and unit deviation; 0 outside the image.
        low: (2,) u, v of the middle of pixel (0, 0) on the stereographic plane.
        per_unit: Pixels a unit of the plane.
    """

    maps: Floats
    low: Array
    per_unit: float


def read_grey(image: CameraImage, window: Window) -> tuple[NDArray[np.generic], tuple[int, int]] | None:
    """Read an image at the scale of its window or up to twice that; None if it cannot be read.

    Returns:
        (h, w) uint8 or float32, and the (width, height) of the image in full.
    """
    try:
        with decoding(encoded_bytes(image)) as opened:
            size = opened.size
            wanted = window.per_unit * image.scale_factor / image.camera.intrinsics.fx  # pixels for each of the file
            opened.draft("L", (max(1, int(size[0] * wanted)), max(1, int(size[1] * wanted))))
            opened.load()
            # Deep images have no conversion to 8 bits that keeps their scale.
            grey = opened if opened.mode in ("L", "F") else opened.convert("F" if opened.mode[0] == "I" else "L")
            shrink = max(1, int(grey.size[0] / (size[0] * wanted)))
            pixels = np.asarray(grey if shrink == 1 else grey.reduce(shrink))
    except BadImageError:
        return None  # what reads images for themselves names it
    if pixels.dtype == np.float32:
        pixels = pixels * np.float32(255.0 / max(float(np.percentile(pixels, 99.5)), 1e-9))
    return (pixels, size) if min(pixels.shape) >= 16 else None


def edge_maps(image: CameraImage, window: Window) -> list[EdgeMap] | None:
    """Find the edges of an image: a map for each of BLURS; None if the image cannot be read or shows nothing."""
    read = read_grey(image, window)
    if read is None:
        return None
    grey, size = read
    # From pixels of the intrinsics to those that were read; (0, 0) is the middle of a pixel in both.
    scale = np.array([grey.shape[1] / size[0], grey.shape[0] / size[1]]) / image.scale_factor
    pixels = (window.pixels + 0.5) * scale - 0.5
    height, width = window.shape
    working, seen = np.empty((height, width), np.float32), np.empty((height, width), np.bool_)
    image_edges.resample(grey, pixels, _LUT_EVERY, working, seen)
    smooth = _blurred(working[..., None], _NOISE * window.per_unit)[..., 0]
    oriented = np.empty((height, width, image_edges.EDGE_DIRECTIONS), np.float32)
    strength = np.empty((height, width), np.float32)
    image_edges.oriented_gradients(smooth, seen, oriented, strength)
    blocks = strength.reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).mean(axis=(1, 3))
    local = _blurred(blocks[..., None], _AROUND * window.per_unit / _BLOCK)[..., 0]
    fine = np.empty((height // 2, width // 2, image_edges.EDGE_DIRECTIONS), np.float32)
    image_edges.normalise_and_halve(oriented, local, 2.0, 3.0, fine)
    seen = seen[::2, ::2]
    coarse = fine.reshape(height // 4, 2, width // 4, 2, -1).mean(axis=(1, 3))
    maps = []
    for blur in BLURS:
        halves, source, within = (2, coarse, seen[::2, ::2]) if blur == BLURS[0] else (1, fine, seen)
        per_unit = window.per_unit / 2**halves
        planes = np.empty((image_edges.EDGE_DIRECTIONS, *within.shape), np.float32)
        if not image_edges.standardise(_blurred(source, blur * per_unit), np.ascontiguousarray(within), planes):
            return None
        # Averaged pixels have their middle half way between those that they are made of.
        low = window.bounds[[0, 2]] + (2**halves - 1) / 2 / window.per_unit
        maps.append(EdgeMap(planes, low, per_unit))
    return maps


def _blurred(maps: Floats, sigma: float) -> Floats:
    """Blur interleaved channels (h, w, c) by a Gaussian, pixels."""
    taps = np.exp(-0.5 * (np.arange(max(1, math.ceil(2.5 * sigma)) + 1) / sigma) ** 2)
    taps /= taps[0] + 2 * taps[1:].sum()
    maps = np.ascontiguousarray(maps)
    out = np.empty_like(maps)
    image_edges.blur(maps, taps.astype(np.float32), np.empty_like(maps), out)
    return out


# ---- points ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class EdgeFeatures:
    """Where the points make a camera expect edges in its image, and where none.

    Args:
        directions: (F, 4) float32 unit directions in the camera's frame, and weights: those of edges sum to 1, those
            of plain places to -1. They are ordered by the direction of the edge, as `image_edges` numbers them; plain
            places are spread over all.
        starts: (5,) int64 where each direction's begin, and the last end.
        depth_edges: How many of them are edges in depth.
    """

    directions: Floats
    starts: NDArray[np.int64]
    depth_edges: int


def edge_features(points: PointCloud, camera_from_points: Pose, window: Window) -> EdgeFeatures:
    """Find the edges among a cloud's points, as a camera sees them."""
    margin = _MARGIN * (1.0 + 0.25 * float(np.abs(window.bounds).max()) ** 2)
    bounds = window.bounds + np.array([-margin, margin, -margin, margin])
    places = np.empty((len(points), 3))
    rows = np.empty(len(points), np.int64)
    transform = np.ascontiguousarray(camera_from_points.matrix[:3])
    positions = np.ascontiguousarray(points.positions)
    count = depth_edges.in_view(positions, transform, bounds, _NEAREST_M, places, rows)
    places, rows = places[:count], rows[:count]
    ranks = np.empty(0) if points.intensity is None else _ranks(points.intensity[rows])
    shape = (math.ceil((bounds[3] - bounds[2]) / _CELL), math.ceil((bounds[1] - bounds[0]) / _CELL))
    starts, order = np.zeros((shape[0], shape[1] + 1), np.int64), np.empty(count, np.int64)
    depth_edges.bucket(places, bounds, _CELL, starts, order)
    every = np.array([max(1, count // _NEAR_STEP), max(1, count // _SMOOTH)])
    features, contrasts = np.empty((count, depth_edges.FEATURE_COLUMNS)), np.empty(count)
    found = depth_edges.edges(places, ranks, bounds, _CELL, starts, order, _REACH, _STEP, every, features, contrasts)
    return _weighed(features[:found], contrasts[:found])


def _ranks(intensity: NDArray[np.generic]) -> Array:
    """(N,) ranks from 0 to 1; equal intensities have the same."""
    values = np.nan_to_num(intensity)
    ordered = np.sort(values)
    # Lidars give few different intensities, and searching among those is many times as fast.
    begins = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))[: len(values)]
    ends = np.append(begins[1:], len(values))
    return np.asarray(((begins + ends) / (2.0 * max(len(values), 1)))[np.searchsorted(ordered[begins], values)])


def _weighed(features: Array, contrasts: Array) -> EdgeFeatures:
    is_depth = features[:, 6] == depth_edges.DEPTH
    flat = smooth = ~is_depth
    steep = smooth & (features[:, 5] > 0) & (contrasts >= _LEAST_CONTRAST)
    if smooth.any():
        flat = smooth & ~steep & (contrasts <= float(np.quantile(contrasts[smooth], _FLAT)))
    depth_rows, flat_rows = _spread(is_depth, _MOST_DEPTH), _spread(flat, _MOST_PLAIN)
    steep_rows = _spread(steep, _MOST_INTENSITY)
    weights = features[:, 5].copy()
    total = max(float(weights[depth_rows].sum()), 1e-9)
    share = _INTENSITY_WEIGHS * total / max(float(weights[steep_rows].sum()), 1e-9)
    weights[steep_rows] *= min(share, _AN_INTENSITY_EDGE * total / max(len(depth_rows), 1))
    total = float(weights[depth_rows].sum() + weights[steep_rows].sum())
    weights[flat_rows] = -total / max(len(flat_rows), 1)
    rows = np.concatenate((depth_rows, steep_rows, flat_rows))
    positions = features[rows, :3]
    directions = positions / np.linalg.norm(positions, axis=1, keepdims=True)
    channels = np.rint(np.arctan2(features[rows, 4], features[rows, 3]) / (np.pi / 4)).astype(np.int64) % 4
    channels[len(rows) - len(flat_rows) :] = np.arange(len(flat_rows)) % image_edges.EDGE_DIRECTIONS
    order = np.argsort(channels, kind="stable")
    starts = np.searchsorted(channels[order], np.arange(image_edges.EDGE_DIRECTIONS + 1))
    weighed = np.column_stack((directions, weights[rows] / max(total, 1e-9)))[order].astype(np.float32)
    return EdgeFeatures(weighed, starts, len(depth_rows))


def _spread(chosen: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    """Rows that are chosen, thinned evenly to at most so many."""
    rows = np.flatnonzero(chosen)
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
