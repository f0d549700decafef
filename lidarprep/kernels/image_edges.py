"""Edges of an image by their direction, as maps that features are looked up in, and the score of rotations.

A working image is a window of the stereographic plane of the camera's frame, as in `depth_edges`, whatever the
camera's model. Its edges lie in EDGE_DIRECTIONS interleaved channels, which compile to vector instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lidarprep.kernels.jit import inlined, kernel, vectorised

# Directions of a gradient: 0, 45, 90 and 135 degrees, either sign.
EDGE_DIRECTIONS = 4

_HALF_ROOT = np.float32(np.sqrt(0.5))


@kernel
def resample(image: Any, pixels: Any, every: int, out: Any, seen: Any) -> None:
    """Draw the working image, bilinearly, by pixels that are known at every few of its pixels.

    Args:
        image: (H, W) uint8 or float32.
        pixels: (h // every + 2, w // every + 2, 2) float64 places (u, v) in the image of the working image's pixels
            (0, 0), (0, every) …; NaN where there is none.
        every: How many pixels of the working image lie between two of them.
        out: (h, w) float32: gets the working image; the nearest pixel of the image outside it.
        seen: (h, w) bool: gets whether the pixel is within the image.
    """
    height, width = image.shape
    for row in range(out.shape[0]):
        line, down = row // every, (row % every) / every
        for column in range(out.shape[1]):
            place, right = column // every, (column % every) / every
            upper = (1.0 - right) * pixels[line, place, 0] + right * pixels[line, place + 1, 0]
            lower = (1.0 - right) * pixels[line + 1, place, 0] + right * pixels[line + 1, place + 1, 0]
            u = (1.0 - down) * upper + down * lower
            upper = (1.0 - right) * pixels[line, place, 1] + right * pixels[line, place + 1, 1]
            lower = (1.0 - right) * pixels[line + 1, place, 1] + right * pixels[line + 1, place + 1, 1]
            v = (1.0 - down) * upper + down * lower
            inside = u >= 0.0 and v >= 0.0 and u <= width - 1 and v <= height - 1  # NaN is not
            seen[row, column] = inside
            if not inside:
                out[row, column] = 0.0
                continue
            x = min(np.int64(u), width - 2)
            y = min(np.int64(v), height - 2)
            fx, fy = np.float32(u - x), np.float32(v - y)
            one = np.float32(1.0)
            top = (one - fx) * image[y, x] + fx * image[y, x + 1]
            bottom = (one - fx) * image[y + 1, x] + fx * image[y + 1, x + 1]
            out[row, column] = (one - fy) * top + fy * bottom


@kernel
def blur(maps: Any, taps: Any, scratch: Any, out: Any) -> None:
    """Convolve each channel with a symmetric kernel, along both axes; beyond the border are zeros.

    Args:
        maps: (h, w, channels) float32, contiguous.
        taps: (radius + 1,) float32: the kernel's middle and one side.
        scratch: (h, w, channels) float32.
        out: (h, w, channels) float32.
    """
    height, width, channels = maps.shape
    radius = taps.shape[0] - 1
    length = width * channels
    source = maps.reshape(height, length)
    between = scratch.reshape(height, length)
    target = out.reshape(height, length)
    for row in range(height):
        line = between[row]
        for at in range(length):
            line[at] = taps[0] * source[row, at]
        for tap in range(1, radius + 1):
            weight = taps[tap]
            if row >= tap:
                upper = source[row - tap]
                for at in range(length):
                    line[at] += weight * upper[at]
            if row + tap < height:
                lower = source[row + tap]
                for at in range(length):
                    line[at] += weight * lower[at]
    for row in range(height):
        line = target[row]
        own = between[row]
        for at in range(length):
            line[at] = taps[0] * own[at]
        for tap in range(1, radius + 1):
            weight = taps[tap]
            shift = tap * channels
            for at in range(shift, length):
                line[at] += weight * own[at - shift]
            for at in range(length - shift):
                line[at] += weight * own[at + shift]


@kernel
def oriented_gradients(image: Any, seen: Any, out: Any, strength: Any) -> None:
    """Sort the gradient of each pixel by direction: 2 |g · direction| - |g|, at least 0.

    Args:
        image: (h, w) float32, smoothed.
        seen: (h, w) bool: which pixels are within the image; a gradient needs all pixels around.
        out: (h, w, 4) float32.
        strength: (h, w) float32: gets |g|.
    """
    height, width = image.shape
    zero, two = np.float32(0.0), np.float32(2.0)
    for row in range(height):
        for column in range(width):
            strength[row, column] = zero
            for direction in range(EDGE_DIRECTIONS):
                out[row, column, direction] = zero
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            if not (
                seen[row - 1, column - 1]
                and seen[row - 1, column + 1]
                and seen[row + 1, column - 1]
                and seen[row + 1, column + 1]
            ):
                continue
            left = image[row - 1, column - 1] + two * image[row, column - 1] + image[row + 1, column - 1]
            right = image[row - 1, column + 1] + two * image[row, column + 1] + image[row + 1, column + 1]
            top = image[row - 1, column - 1] + two * image[row - 1, column] + image[row - 1, column + 1]
            bottom = image[row + 1, column - 1] + two * image[row + 1, column] + image[row + 1, column + 1]
            gx, gy = right - left, bottom - top
            size = np.sqrt(gx * gx + gy * gy)
            strength[row, column] = size
            out[row, column, 0] = max(zero, two * abs(gx) - size)
            out[row, column, 1] = max(zero, two * _HALF_ROOT * abs(gx + gy) - size)
            out[row, column, 2] = max(zero, two * abs(gy) - size)
            out[row, column, 3] = max(zero, two * _HALF_ROOT * abs(gy - gx) - size)


@kernel
def normalise_and_halve(maps: Any, local: Any, floor: float, most: float, out: Any) -> None:
    """Divide edges by the mean strength around them, cap them, and average 2 × 2 pixels.

    Args:
        maps: (h, w, 4) float32 edges.
        local: (h // 8 + 1, w // 8 + 1) float32 mean strength of blocks of 8 × 8 pixels and around them.
        floor: Added to the mean strength, so that noise in dark places stays small.
        most: The cap.
        out: (h // 2, w // 2, 4) float32.
    """
    cap, quarter, one = np.float32(most), np.float32(0.25), np.float32(1.0)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            factor = one / (local[row // 4, column // 4] + np.float32(floor))
            for direction in range(EDGE_DIRECTIONS):
                total = (
                    min(maps[2 * row, 2 * column, direction] * factor, cap)
                    + min(maps[2 * row, 2 * column + 1, direction] * factor, cap)
                    + min(maps[2 * row + 1, 2 * column, direction] * factor, cap)
                    + min(maps[2 * row + 1, 2 * column + 1, direction] * factor, cap)
                )
                out[row, column, direction] = quarter * total


@kernel
def standardise(maps: Any, seen: Any, out: Any) -> bool:
    """Shift and scale each channel to zero mean and unit deviation over what is seen, and set the rest to 0.

    Args:
        maps: (h, w, 4) float32.
        seen: (h, w) bool.
        out: (4, h, w) float32: gets the channels one after the other.

    Returns:
        Whether there is something to see in each channel.
    """
    height, width, channels = maps.shape
    count = 0
    sums, squares = np.zeros(channels, np.float64), np.zeros(channels, np.float64)
    for row in range(height):
        for column in range(width):
            if seen[row, column]:
                count += 1
                for channel in range(channels):
                    value = np.float64(maps[row, column, channel])
                    sums[channel] += value
                    squares[channel] += value * value
    if count == 0:
        return False
    for channel in range(channels):
        mean = sums[channel] / count
        variance = squares[channel] / count - mean * mean
        if variance <= 1e-12:
            return False
        factor, middle = np.float32(1.0 / np.sqrt(variance)), np.float32(mean)
        for row in range(height):
            for column in range(width):
                value = (maps[row, column, channel] - middle) * factor
                out[channel, row, column] = value if seen[row, column] else np.float32(0.0)
    return True


@inlined
def _chosen(features: Any, starts: Any, every: Any, plane: Any) -> Any:
    """Return every so many-th feature in columns, (4, F), and where the channel of each begins, (F,)."""
    columns = np.empty((4, features.shape[0]), np.float32)
    channels = np.empty(features.shape[0], np.int32)
    count = 0
    for direction in range(EDGE_DIRECTIONS):
        for row in range(starts[direction], starts[direction + 1], every):
            for number in range(4):
                columns[number, count] = features[row, number]
            channels[count] = direction * plane
            count += 1
    return columns[:, :count], channels[:count]


@inlined
def _look_up(
    maps: Any, rotation: Any, chosen: Any, low: Any, per_unit: Any, pixels: Any, right: Any, down: Any, values: Any
) -> None:
    """Set (F,) values to weight × map at the features, rotated, bilinearly; 0 outside.

    Args:
        maps: (4, h, w) float32.
        rotation: (3, 3) float32.
        chosen: What `_chosen` returns.
        low: (2,) u, v of the middle of pixel (0, 0).
        per_unit: Pixels a unit of the plane.
        pixels: (F,) int32, scratch: the pixel to the upper left.
        right, down: (F,) float32, scratch: how far from it.
        values: (F,) float32.
    """
    zero, one, two = np.float32(0.0), np.float32(1.0), np.float32(2.0)
    scale, low_u, low_v = np.float32(per_unit), np.float32(low[0]), np.float32(low[1])
    width = np.int32(maps.shape[2])
    last_u, last_v = np.float32(maps.shape[2] - 1), np.float32(maps.shape[1] - 1)
    r00, r01, r02 = rotation[0, 0], rotation[0, 1], rotation[0, 2]
    r10, r11, r12 = rotation[1, 0], rotation[1, 1], rotation[1, 2]
    r20, r21, r22 = rotation[2, 0], rotation[2, 1], rotation[2, 2]
    columns, channels = chosen
    px, py, pz, weights = columns[0], columns[1], columns[2], columns[3]
    # No branches and no memory that depends on what was computed, so this loop compiles to vector instructions.
    for at in range(channels.shape[0]):
        x = r00 * px[at] + r01 * py[at] + r02 * pz[at]
        y = r10 * px[at] + r11 * py[at] + r12 * pz[at]
        z = r20 * px[at] + r21 * py[at] + r22 * pz[at]
        factor = two / (one + z)
        u = (x * factor - low_u) * scale
        v = (y * factor - low_v) * scale
        inside = (u >= zero) & (v >= zero) & (u < last_u) & (v < last_v)  # NaN is not
        u = u if inside else zero
        v = v if inside else zero
        column, row = np.int32(u), np.int32(v)
        right[at] = u - np.float32(column)
        down[at] = v - np.float32(row)
        pixels[at] = channels[at] + row * width + column
        values[at] = weights[at] if inside else zero
    flat = maps.reshape(-1)
    for at in range(channels.shape[0]):
        upper = np.uint64(pixels[at])  # without a sign, so that it cannot count from the end
        lower = upper + np.uint64(width)
        top = flat[upper] + right[at] * (flat[upper + np.uint64(1)] - flat[upper])
        bottom = flat[lower] + right[at] * (flat[lower + np.uint64(1)] - flat[lower])
        values[at] *= top + down[at] * (bottom - top)


@vectorised
def score_rotations(
    maps: Any, low: Any, per_unit: float, rotations: Any, features: Any, starts: Any, every: int, out: Any
) -> None:
    """Score rotations of a camera by one frame: the sum of weight × map at the features, rotated.

    Args:
        maps: (4, h, w) float32 edges by direction.
        low: (2,) u, v of the middle of pixel (0, 0) on the stereographic plane.
        per_unit: Pixels a unit of the plane.
        rotations: (R, 3, 3) float32, new camera frame from old.
        features: (F, 4) float32 unit direction and weight, those of one edge direction after the other.
        starts: (5,) int64 where the features of each edge direction begin, and the last end.
        every: Look at every so many-th feature.
        out: (R,) float64: gets the scores.
    """
    chosen = _chosen(features, starts, every, maps.shape[1] * maps.shape[2])
    count = chosen[1].shape[0]
    pixels = np.empty(count, np.int32)
    right, down, values = np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.float32)
    for number in range(rotations.shape[0]):
        _look_up(maps, rotations[number], chosen, low, per_unit, pixels, right, down, values)
        total = np.float32(0.0)
        for at in range(count):
            total += values[at]
        out[number] = total


@vectorised
def values_at(maps: Any, low: Any, per_unit: float, rotation: Any, features: Any, starts: Any, out: Any) -> None:
    """Look each feature up, as `score_rotations` does: `out` (F,) float32 gets weight × map."""
    chosen = _chosen(features, starts, 1, maps.shape[1] * maps.shape[2])
    count = chosen[1].shape[0]
    right, down = np.empty(count, np.float32), np.empty(count, np.float32)
    _look_up(maps, rotation, chosen, low, per_unit, np.empty(count, np.int32), right, down, out)
