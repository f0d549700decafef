"""Points and lines into an image of red, green and blue; points with a depth buffer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lidarprep.kernels.jit import inlined, kernel


@kernel
def splat(points: Any, view: Any, colours: Any, size: int, image: Any, depth: Any) -> int:
    """Draw points as spots into an image; of those at one pixel, the one with the highest key is seen.

    (0, 0) is the centre of the upper left pixel. Of equal keys, the later point is seen. A point with a number that is
    not finite is left out.

    Args:
        points: (N, 3) float32 or float64.
        view: (3, 4) float64: column, row and key of a point are view[:, :3] · point + view[:, 3].
        colours: (N, 3) uint8, or (1, 3) for all points.
        size: Spots are as many pixels across, at least 1; from 4 on they are round.
        image: (H, W, 3) uint8, C-contiguous: gets the colours.
        depth: (H, W) float32: the keys that are seen, -inf where there is none yet.

    Returns:
        Number of points whose own pixel is within the image.
    """
    height, width = depth.shape
    a0, a1, a2, a3 = view[0, 0], view[0, 1], view[0, 2], view[0, 3]
    b0, b1, b2, b3 = view[1, 0], view[1, 1], view[1, 2], view[1, 3]
    c0, c1, c2, c3 = view[2, 0], view[2, 1], view[2, 2], view[2, 3]
    step = 1 if colours.shape[0] > 1 else 0
    half = 0.5 * size
    middle = 0.5 * (size - 1)
    within = 0
    for row in range(points.shape[0]):
        x, y, z = np.float64(points[row, 0]), np.float64(points[row, 1]), np.float64(points[row, 2])
        column = a0 * x + a1 * y + a2 * z + a3
        line = b0 * x + b1 * y + b2 * z + b3
        key = np.float32(c0 * x + c1 * y + c2 * z + c3)
        # NaN is in no range.
        if not (-half <= column < width + half and -half <= line < height + half and abs(key) < np.inf):
            continue
        within += -0.5 <= column < width - 0.5 and -0.5 <= line < height - 0.5
        red, green, blue = colours[row * step, 0], colours[row * step, 1], colours[row * step, 2]
        # A spot of one pixel is the pixel that the point is in: halves go up, as where images end.
        first_column = math.floor(column - middle + 0.5)
        first_line = math.floor(line - middle + 0.5)
        for i in range(max(0, -first_line), min(size, height - first_line)):
            v = np.uint64(first_line + i)  # unsigned: no index counts from the end
            for j in range(max(0, -first_column), min(size, width - first_column)):
                if size > 3 and (i - middle) ** 2 + (j - middle) ** 2 > half * half:
                    continue
                u = np.uint64(first_column + j)
                if key >= depth[v, u]:
                    depth[v, u] = key
                    image[v, u, 0] = red
                    image[v, u, 1] = green
                    image[v, u, 2] = blue
    return within


@inlined
def _blend(below: Any, above: Any, share: Any) -> Any:
    return np.uint8(below + (np.float64(above) - below) * share + 0.5)


@kernel
def draw_lines(segments: Any, colour: Any, width: float, opacity: float, image: Any) -> None:
    """Draw straight lines with smooth edges and round ends.

    (0, 0) is the centre of the upper left pixel. A line with an end that is not finite is left out.

    Args:
        segments: (M, 4) float64: column and row of one end, column and row of the other.
        colour: (3,) uint8.
        width: Pixels across.
        opacity: From 0 to 1.
        image: (H, W, 3) uint8: is drawn over.
    """
    height, across = image.shape[0], image.shape[1]
    reach = 0.5 * width + 0.5
    for row in range(segments.shape[0]):
        x0, y0, x1, y1 = segments[row, 0], segments[row, 1], segments[row, 2], segments[row, 3]
        if not abs(x0) + abs(y0) + abs(x1) + abs(y1) < 1e9:
            continue
        dx, dy = x1 - x0, y1 - y0
        square = dx * dx + dy * dy
        steep = abs(dy) > abs(dx)
        # Pixels are visited along the longer axis, and beside the line as far as it reaches.
        along = height if steep else across
        beside = across if steep else height
        start, end = (min(y0, y1), max(y0, y1)) if steep else (min(x0, x1), max(x0, x1))
        slope = (dx / dy if dy != 0 else 0.0) if steep else (dy / dx if dx != 0 else 0.0)
        spread = reach * math.sqrt(1 + slope * slope) + reach
        for i in range(max(0, math.ceil(start - reach)), min(along - 1, math.floor(end + reach)) + 1):
            middle = x0 + (i - y0) * slope if steep else y0 + (i - x0) * slope
            low = max(0, math.ceil(middle - spread))
            for j in range(low, min(beside - 1, math.floor(middle + spread)) + 1):
                px, py = (np.float64(j), np.float64(i)) if steep else (np.float64(i), np.float64(j))
                share = 0.0 if square == 0 else min(1.0, max(0.0, ((px - x0) * dx + (py - y0) * dy) / square))
                away = math.hypot(px - x0 - share * dx, py - y0 - share * dy)
                cover = min(1.0, reach - away) * opacity
                if cover > 0:
                    u, v = (j, i) if steep else (i, j)
                    for channel in range(3):
                        image[v, u, channel] = _blend(image[v, u, channel], colour[channel], cover)
