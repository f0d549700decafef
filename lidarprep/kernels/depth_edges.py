"""Depth and intensity edges of a cloud as a camera sees them, by a grid of directions.

Directions are places on the stereographic plane of the camera's frame: (2x, 2y) / (range + z), which is (tan-like)
radians about the middle. The projection keeps angles, so an edge has the same direction in it as in the image, and it
holds any camera that sees less than the whole sphere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lidarprep.kernels.jit import inlined, kernel

# Kinds of features.
DEPTH, INTENSITY, PLAIN = 0, 1, 2

# Columns of a feature: position in the camera's frame, metres; direction across the edge (two); weight; kind.
FEATURE_COLUMNS = 7

_MOST_NEIGHBOURS = 16

# The difference of intensity across an edge is so many times the deviation on its sides.
_STANDS_OUT = 2.0


@kernel
def in_view(positions: Any, transform: Any, view: Any, nearest: float, out: Any, rows: Any) -> int:
    """Choose the points within a window of the stereographic plane, in the camera's frame.

    Args:
        positions: (N, 3) float32 or float64, metres; rows with NaN or infinity are left out.
        transform: (3, 4) float64 [R | t], camera from points.
        view: (4,) lowest and highest u, lowest and highest v of the window.
        nearest: Points nearer than this to the camera are left out, metres.
        out: (N, 3) float64: gets u, v and the range in metres of each chosen point.
        rows: (N,) int64: gets their rows.

    Returns:
        Number of points chosen.
    """
    t00, t01, t02, t03 = transform[0, 0], transform[0, 1], transform[0, 2], transform[0, 3]
    t10, t11, t12, t13 = transform[1, 0], transform[1, 1], transform[1, 2], transform[1, 3]
    t20, t21, t22, t23 = transform[2, 0], transform[2, 1], transform[2, 2], transform[2, 3]
    count = 0
    for row in range(positions.shape[0]):
        px = np.float64(positions[row, 0])
        py = np.float64(positions[row, 1])
        pz = np.float64(positions[row, 2])
        x = t00 * px + t01 * py + t02 * pz + t03
        y = t10 * px + t11 * py + t12 * pz + t13
        z = t20 * px + t21 * py + t22 * pz + t23
        distance = np.sqrt(x * x + y * y + z * z)
        depth = distance + z
        if not (distance >= nearest and distance < np.inf and depth > 0.01 * distance):  # NaN is none of these
            continue
        u = 2.0 * x / depth
        v = 2.0 * y / depth
        if u < view[0] or u > view[1] or v < view[2] or v > view[3]:
            continue
        out[count, 0] = u
        out[count, 1] = v
        out[count, 2] = distance
        rows[count] = row
        count += 1
    return count


@kernel
def bucket(places: Any, view: Any, cell: float, starts: Any, order: Any) -> None:
    """Sort points into the cells of a grid by counting.

    Args:
        places: (N, 3) float64 u, v, range, within the window.
        view: (4,) the window.
        cell: Edge of a cell.
        starts: (rows, columns + 1) int64, all 0: gets where each cell's points begin in `order`; the last of a row is
            where the row ends.
        order: (N,) int64: gets the rows of `places` in the order of the cells.
    """
    columns = starts.shape[1] - 1
    rows = starts.shape[0]
    counts = np.zeros(rows * columns + 1, np.int64)
    cells = np.empty(places.shape[0], np.int64)
    for row in range(places.shape[0]):
        column = min(np.int64((places[row, 0] - view[0]) / cell), columns - 1)
        line = min(np.int64((places[row, 1] - view[2]) / cell), rows - 1)
        cells[row] = line * columns + column
        counts[cells[row] + 1] += 1
    for number in range(rows * columns):
        counts[number + 1] += counts[number]
    for line in range(rows):
        for column in range(columns + 1):
            starts[line, column] = counts[line * columns + column]
    for row in range(places.shape[0]):
        order[counts[cells[row]]] = row
        counts[cells[row]] += 1


@inlined
def _furthest(sorted_places: Any, starts: Any) -> Any:
    """Return the longest range in each cell and those around it."""
    rows, columns = starts.shape[0], starts.shape[1] - 1
    own = np.zeros((rows, columns), np.float64)
    for line in range(rows):
        for column in range(columns):
            for at in range(starts[line, column], starts[line, column + 1]):
                own[line, column] = max(own[line, column], sorted_places[at, 2])
    around = np.zeros((rows, columns), np.float64)
    for line in range(rows):
        for column in range(columns):
            for other_line in range(max(0, line - 1), min(rows, line + 2)):
                for other_column in range(max(0, column - 1), min(columns, column + 2)):
                    around[line, column] = max(around[line, column], own[other_line, other_column])
    return around


@inlined
def _insert(row: Any, distance: Any, found: Any, near: Any, near_squared: Any) -> Any:
    """Insert a neighbour into the sorted list of the nearest; return how many there are."""
    at = found
    if found == _MOST_NEIGHBOURS:
        if distance >= near_squared[found - 1]:
            return found
        at = found - 1
    else:
        found += 1
    while at > 0 and near_squared[at - 1] > distance:
        near_squared[at] = near_squared[at - 1]
        near[at] = near[at - 1]
        at -= 1
    near_squared[at] = distance
    near[at] = row
    return found


@kernel
def edges(
    places: Any,
    values: Any,
    view: Any,
    cell: float,
    starts: Any,
    order: Any,
    reach: float,
    step: Any,
    every: Any,
    features: Any,
    contrasts: Any,
) -> int:
    """Judge each point by its nearest neighbours in direction: on a depth edge, or in a smooth place.

    A point is hidden, and left out, if more than half of its neighbours are nearer by the step: it is seen past them
    only from the lidar. On a depth edge, some neighbour is further by the step, some neighbour on the other side is
    not, and the slope of the inverse range to the far side is four times that to the other, so that grazed ground and
    slanted walls are none. Its feature lies half way to the nearest far neighbour, at the near range.

    Args:
        places: (N, 3) float64 u, v, range in metres.
        values: (N,) float64 the rank of the intensity, from 0 to 1; or empty.
        view: (4,) the window.
        cell: Edge of a cell of the grid.
        starts, order: What `bucket` filled.
        reach: Radius that neighbours are looked for within, radians.
        step: (2,) a step in depth: at least so many metres, and such a part of the range.
        every: (2,) int64: only every so many-th point is looked at, of those with a step in depth in the cells around
            it, and of those without.
        features: (N, 7): gets a row for each depth edge and each smooth point, as FEATURE_COLUMNS says; of a smooth
            point, the direction is that of the intensity's gradient.
        contrasts: (N,) float64: gets the contrast of the intensity's rank across each smooth point; the feature's
            weight is 0 where that is no edge.

    Returns:
        Number of features.
    """
    rows, columns = starts.shape[0], starts.shape[1] - 1
    near = np.empty(_MOST_NEIGHBOURS, np.int64)
    near_squared = np.empty(_MOST_NEIGHBOURS, np.float64)
    with_values = values.shape[0] > 0
    # Neighbours lie side by side in memory.
    sorted_places = np.empty((places.shape[0], 4), np.float64)
    for at in range(places.shape[0]):
        for axis in range(3):
            sorted_places[at, axis] = places[order[at], axis]
        sorted_places[at, 3] = values[order[at]] if with_values else 0.0
    furthest = _furthest(sorted_places, starts)
    total, met, smooth = 0, 0, 0
    for row in range(places.shape[0]):
        u, v, distance = places[row, 0], places[row, 1], places[row, 2]
        scale = 1.0 + 0.25 * (u * u + v * v)  # of the plane, there
        limit = reach * scale
        column = min(np.int64((u - view[0]) / cell), columns - 1)
        line = min(np.int64((v - view[2]) / cell), rows - 1)
        gap = max(step[0], step[1] * distance)
        if furthest[line, column] <= distance + gap:
            smooth += 1
            if smooth % every[1]:
                continue
        else:
            met += 1
            if met % every[0]:
                continue
        rings = np.int64(np.ceil(limit / cell))
        found = 0
        bound = limit * limit
        # Lines of cells from the point's own outwards: the later ones are mostly beyond the nearest found already.
        for turn in range(2 * rings + 1):
            other_line = line + ((turn + 1) // 2 if turn % 2 else -(turn // 2))
            if other_line < 0 or other_line >= rows:
                continue
            away = 0.0
            if other_line < line:
                away = v - (view[2] + (other_line + 1) * cell)
            elif other_line > line:
                away = view[2] + other_line * cell - v
            if away * away > bound:
                continue
            half = np.sqrt(bound - away * away)
            first = max(np.int64((u - half - view[0]) / cell), 0)
            last = min(np.int64((u + half - view[0]) / cell), columns - 1)
            for at in range(starts[other_line, first], starts[other_line, last + 1]):
                du = sorted_places[at, 0] - u
                dv = sorted_places[at, 1] - v
                squared = du * du + dv * dv
                if squared > bound or (squared == 0.0 and order[at] == row):
                    continue
                found = _insert(at, squared, found, near, near_squared)
                if found == _MOST_NEIGHBOURS:
                    bound = near_squared[found - 1]
        if found < 4:
            continue
        nearer, further, nearest_far = 0, 0, -1
        mean_u, mean_v = 0.0, 0.0
        for at in range(found):
            other = near[at]
            difference = sorted_places[other, 2] - distance
            if difference < -gap:
                nearer += 1
            elif difference > gap:
                further += 1
                mean_u += sorted_places[other, 0] - u
                mean_v += sorted_places[other, 1] - v
                if nearest_far < 0:
                    nearest_far = at
        if 2 * nearer > found:
            continue
        length = np.sqrt(mean_u * mean_u + mean_v * mean_v)
        if further == 0:
            if nearer > 0:
                continue
            features[total, 6] = PLAIN
            features[total, 3] = 0.0
            features[total, 4] = 0.0
            features[total, 5] = 0.0
            contrasts[total] = 0.0
            if with_values:
                at_row = places[row, 0], places[row, 1], values[row]
                _contrast(at_row, sorted_places, near, found, features[total], contrasts[total : total + 1])
                features[total, 5] *= _trust(distance)
            _place(u, v, distance, features[total])
            total += 1
            continue
        if length == 0.0:
            continue
        far = near[nearest_far]
        far_u, far_v = sorted_places[far, 0] - u, sorted_places[far, 1] - v
        separation = np.sqrt(near_squared[nearest_far])
        to_far = (1.0 / distance - 1.0 / sorted_places[far, 2]) / max(separation, 1e-9)
        change, way = 0.0, 0.0
        for at in range(found):
            other = near[at]
            du, dv = sorted_places[other, 0] - u, sorted_places[other, 1] - v
            apart = np.sqrt(near_squared[at])
            if du * far_u + dv * far_v < -0.5 * apart * separation and sorted_places[other, 2] - distance <= gap:
                change += abs(1.0 / distance - 1.0 / sorted_places[other, 2])
                way += apart
        if way == 0.0 or to_far * way <= 4.0 * change:
            continue
        degrees = np.degrees(separation / scale)
        depth = sorted_places[far, 2] - distance
        features[total, 3] = mean_u / length
        features[total, 4] = mean_v / length
        features[total, 5] = min(np.sqrt(depth), 3.0) * (0.15 / max(degrees, 0.15)) * _trust(distance)
        features[total, 6] = DEPTH
        contrasts[total] = 0.0
        _place(u + 0.5 * far_u, v + 0.5 * far_v, distance, features[total])
        total += 1
    return total


@inlined
def _place(u: Any, v: Any, distance: Any, feature: Any) -> None:
    """Set a feature's position to that of a place of the plane at a range."""
    squared = 0.25 * (u * u + v * v)
    factor = distance / (1.0 + squared)
    feature[0] = u * factor
    feature[1] = v * factor
    feature[2] = (1.0 - squared) * factor


@inlined
def _trust(distance: Any) -> Any:
    """Return how far a feature counts by its range: of near things, camera and lidar see different sides."""
    return min(max((distance - 3.0) / 7.0, 0.05), 1.0)


@inlined
def _contrast(place: Any, sorted_places: Any, near: Any, found: Any, feature: Any, contrast: Any) -> None:
    """Compare the values on both sides of a point, as the gradient of a plane through the neighbours' values has them.

    Sets the gradient's direction, the difference of the sides' means, and the weight: 1 where the difference stands
    out of the deviation within the sides, else 0.
    """
    u, v, own = place
    uu, uv, vv, ux, vx = 0.0, 0.0, 0.0, 0.0, 0.0
    for at in range(found):
        other = near[at]
        du = sorted_places[other, 0] - u
        dv = sorted_places[other, 1] - v
        dx = sorted_places[other, 3] - own
        uu += du * du
        uv += du * dv
        vv += dv * dv
        ux += du * dx
        vx += dv * dx
    determinant = uu * vv - uv * uv
    if determinant <= 1e-3 * (uu + vv) * (uu + vv):  # all on a line
        return
    across = (vv * ux - uv * vx) / determinant
    down = (uu * vx - uv * ux) / determinant
    steepness = np.sqrt(across * across + down * down)
    if steepness == 0.0:
        return
    high, low, above, below, squares = 0.0, 0.0, 0, 0, 0.0
    for at in range(found):
        other = near[at]
        value = sorted_places[other, 3]
        squares += value * value
        if across * (sorted_places[other, 0] - u) + down * (sorted_places[other, 1] - v) > 0.0:
            high += value
            above += 1
        else:
            low += value
            below += 1
    if above < 3 or below < 3:
        return
    difference = high / above - low / below
    within = max((squares - high * high / above - low * low / below) / found, 0.0)
    feature[3] = across / steepness
    feature[4] = down / steepness
    feature[5] = 1.0 if difference > _STANDS_OUT * np.sqrt(within) else 0.0
    contrast[0] = difference
