"""The rotation of a camera by which its images' edges and the points' edges agree best.

After Levinson and Thrun, "Automatic online calibration of cameras and lasers", RSS 2013: depth edges of the points are
looked up in the gradients of the images, at the pose as given and at small rotations of it. Here the edges are
oriented, smooth places count against, and frames and parts of the image vote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lidarprep.checks._edges import EdgeFeatures, EdgeMap
from lidarprep.kernels import image_edges

# The search goes so many degrees about each axis, in steps of one.
REACH_DEGREES = 4

# Places of the coarse search that are refined, at least so many degrees from one another.
_PLACES, _APART_DEGREES = 3, 1.0

# The refinement: step in degrees, blur, every how many features, and how many places are left for it.
_REFINEMENT = ((0.5, 1, 2, 4), (0.25, 2, 1, 2), (0.125, 2, 1, 1))

# The blur by which places are compared, and the features of the coarse search.
COMPARED, _EVERY = 2, 4

# Parts of the image that vote: vertical strips with so many features.
_STRIPS, _FEATURES_IN_STRIP = 6, 20

# A place and those around it, in steps.
_AROUND = np.array(list(product((-1.0, 0.0, 1.0), repeat=3)))

# A degree to each side; about the optical axis, little moves.
_BESIDE = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])

# Every how many rotations of the grid tell what scores are usual.
_SPARSE = 7

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class View:
    """One frame as a camera sees it: edges of its image, and where the points expect them."""

    maps: Sequence[EdgeMap]
    features: EdgeFeatures


@dataclass(frozen=True, eq=False)
class Found:
    """Where the edges of images and points agree best.

    Args:
        degrees: (3,) the rotation about the camera's x, y and z axes, as a rotation vector: new camera from old.
        best, given: Score there and at the pose as given, in deviations of the scores of all rotations, by maps that
            are blurred wide.
        fine_best, fine_given: The same by the least blurred maps.
        beside: The mean score by these at a degree to each side of the best place.
        frames_gained, strips_gained: Which parts of the frames, and of the strips of the image, score better there.
    """

    degrees: Array
    best: float
    given: float
    fine_best: float
    fine_given: float
    beside: float
    frames_gained: float
    strips_gained: float

    @property
    def angle(self) -> float:
        """Angle of the rotation, degrees."""
        return float(np.linalg.norm(self.degrees))


def rotation_matrices(degrees: Array) -> Array:
    """(R, 3, 3) matrices of rotation vectors (R, 3) in degrees, by Rodrigues' formula."""
    vectors = np.radians(degrees).reshape(-1, 3)
    angle = np.linalg.norm(vectors, axis=1)[:, None, None]
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    cross = np.stack((zero, -z, y, z, zero, -x, -y, x, zero), axis=1).reshape(-1, 3, 3)
    first = np.sinc(angle / np.pi)
    second = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.asarray(np.eye(3) + first * cross + second * (cross @ cross))


def _scores(views: Sequence[View], degrees: Array, blur: int, every: int = 1) -> Array:
    """(frames, R) scores of rotation vectors, not weighed."""
    rotations = rotation_matrices(degrees).astype(np.float32)
    scores = np.empty((len(views), len(rotations)))
    for row, view in zip(scores, views, strict=True):
        edges, features = view.maps[blur], view.features
        image_edges.score_rotations(
            edges.maps, edges.low, edges.per_unit, rotations, features.directions, features.starts, every, row
        )
    return scores * every


def search(views: Sequence[View]) -> Found:
    """Find the rotation by which edges of images and points agree best."""
    weights = np.sqrt([view.features.depth_edges for view in views])
    weights /= weights.sum()
    axis = np.arange(-REACH_DEGREES, REACH_DEGREES + 1.0)
    grid = np.array(list(product(axis, axis, axis)))
    coarse = weights @ _scores(views, grid, 0, _EVERY)
    places = _best_places(grid, coarse)
    for step, blur, every, left in _REFINEMENT:
        known: dict[tuple[float, ...], float] = {}  # places overlap
        refined = [_refined(views, weights, place, step, blur, every, known) for place in places]
        ranked = sorted(refined, key=lambda one: -one[1])
        places = [place for place, _ in ranked[:left]]
    both = np.array([places[0], np.zeros(3)])
    of_frames = _scores(views, both, COMPARED)
    sparse = weights @ _scores(views, grid[::_SPARSE], COMPARED, 2)
    around = weights @ _scores(views, places[0] + _BESIDE, COMPARED)
    best, given, *beside = _deviations(np.concatenate((weights @ of_frames, around)), sparse)
    wide_best, wide_given = _deviations(weights @ _scores(views, both, 0), coarse)
    return Found(
        degrees=both[0],
        best=wide_best,
        given=wide_given,
        fine_best=best,
        fine_given=given,
        beside=float(np.mean(beside)),
        frames_gained=float((of_frames[:, 0] > of_frames[:, 1]).mean()),
        strips_gained=_strips_gained(views, weights, both),
    )


def _deviations(scores: Array, of_all: Array) -> list[float]:
    """Return scores in robust deviations from the median of all."""
    middle = np.median(of_all)
    unit = 1.4826 * float(np.median(np.abs(of_all - middle))) or 1.0
    return [float(score) for score in (scores - middle) / unit]


def _best_places(grid: Array, scores: Array) -> list[Array]:
    """Choose the best places of the grid that are apart from one another, and no rotation."""
    places: list[Array] = [np.zeros(3)]
    for row in np.argsort(-scores, kind="stable"):
        if all(np.linalg.norm(grid[row] - place) > _APART_DEGREES for place in places[1:]):
            places.append(grid[row])
        if len(places) > _PLACES:
            break
    return places


def _refined(
    views: Sequence[View],
    weights: Array,
    place: Array,
    step: float,
    blur: int,
    every: int,
    known: dict[tuple[float, ...], float],
) -> tuple[Array, float]:
    """Climb from a place to where all steps are down; return it and its score. `known` are scores of this step."""
    best = -np.inf
    for _ in range(3):
        candidates = place + step * _AROUND
        keys = [tuple(candidate) for candidate in candidates.tolist()]
        new = [row for row, key in enumerate(keys) if key not in known]
        if new:
            scored = weights @ _scores(views, candidates[new], blur, every)
            known.update(zip([keys[row] for row in new], scored.tolist(), strict=True))
        scores = [known[key] for key in keys]
        best = max(scores)
        moved = candidates[scores.index(best)]
        if np.array_equal(moved, place):
            break
        place = moved
    return place, best


def _strips_gained(views: Sequence[View], weights: Array, both: Array) -> float:
    """Return the part of the image's vertical strips that score better at the first rotation than at the second."""
    rotations = rotation_matrices(both).astype(np.float32)
    gains, counts = np.zeros(_STRIPS), np.zeros(_STRIPS, np.int64)
    for weight, view in zip(weights, views, strict=True):
        edges, features = view.maps[COMPARED], view.features
        values = np.empty((2, len(features.directions)), np.float32)
        for row, rotation in zip(values, rotations, strict=True):
            image_edges.values_at(
                edges.maps, edges.low, edges.per_unit, rotation, features.directions, features.starts, row
            )
        place = 2 * features.directions[:, 0] / (1 + features.directions[:, 2])
        width = edges.maps.shape[2] / edges.per_unit / _STRIPS
        strip = np.clip((place - edges.low[0]) / width, 0, _STRIPS - 1).astype(np.int64)
        gains += weight * np.bincount(strip, (values[0] - values[1]).astype(np.float64), _STRIPS)
        counts += np.bincount(strip, minlength=_STRIPS)
    voting = counts >= _FEATURES_IN_STRIP
    return float((gains[voting] > 0).mean()) if voting.any() else 0.0
