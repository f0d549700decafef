"""How many numbers a row of bare numbers has: told by the numbers, for files that do not say it.

Read in rows of the right width, each column holds one kind of number: x, y and z of some tens of metres, fractions of
a reflectance, whole numbers of a ring. Read in rows of a wrong width, each column holds a mixture. So the columns of
the right width take the fewest bits to code. Each number counts by its sign, its power of two and whether it is whole;
the histograms of all columns give the code's length. This needs no order of the points: it holds for shuffled and
for sampled clouds, from some fifty points on.

A multiple of the right width codes as well as the width itself, and better where the points alternate between beams:
a VLP-16 measures a lower and an upper beam in turn. Such neighbours lie in the same direction, unlike the pieces of
one row that were taken for points.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTHS = range(3, 13)

# Bits a number that another width has to save before it is believed. Widths that are no multiples save 0.4 and more
# where they are right, and nothing where they are wrong; a multiple tells less.
_SAVED, _SAVED_BY_MULTIPLE = 0.2, 0.1

# And so many bits divided by how many numbers there are: histograms of few numbers are random. Fewer are enough where
# something else speaks against the expected width.
_SAVED_IN_ALL, _SAVED_IN_DOUBT = 80.0, 20.0

# Fewer numbers than this tell nothing.
_FEWEST = 64

# The numbers that are looked at: blocks of them from all over the file.
_BLOCKS, _BLOCK = 12, 2048

# No coordinate is this large: the Earth's centre is 6.4e6 m away. None but 0 is this small: rounding leaves 1e-17 of
# one metre, and whole numbers read as floats are less than 1e-38.
_LARGEST_M, _SMALLEST_M = 1e8, 1e-30

# The share of absurd coordinates above which rows are of another kind; some damaged points are no such case.
_MOST_ABSURD = 0.05

# Classes of numbers: 54 levels of magnitude, whole or not, negative or not.
_CLASSES = 256
_LOWEST_EXPONENT, _LEVELS = 106, 53


@dataclass(frozen=True)
class _Sample:
    """Numbers of a file, their offsets in it, and the class of each."""

    blocks: tuple[tuple[int, NDArray[np.float32]], ...]
    offsets: NDArray[np.int64]
    classes: NDArray[np.int64]

    @classmethod
    def of(cls, numbers: NDArray[np.float32]) -> _Sample:
        blocks = tuple(_blocks(numbers))
        offsets = np.concatenate([np.arange(start, start + len(block)) for start, block in blocks])
        return cls(blocks, offsets, _classes(np.concatenate([block for _, block in blocks])))

    def bits(self, width: int) -> float:
        """Return the bits a number that the columns of rows of this width take, their histograms included."""
        column = self.offsets % width
        counts = np.bincount(column * _CLASSES + self.classes, minlength=width * _CLASSES).reshape(width, _CLASSES)
        rows = np.maximum(counts.sum(axis=1), 2)
        entropies = (counts * np.log2(rows[:, None] / np.maximum(counts, 1))).sum()
        histograms = ((np.maximum((counts > 0).sum(axis=1), 1) - 1) * 0.5 * np.log2(rows)).sum()
        return float(entropies + histograms) / len(self.classes)

    def rows(self, width: int) -> Iterator[NDArray[np.float32]]:
        """Yield the blocks as whole rows of this width."""
        for start, block in self.blocks:
            whole = block[-start % width :]
            yield whole[: len(whole) // width * width].reshape(-1, width)


def row_width(numbers: NDArray[np.float32], expected: int, *, is_doubtful: bool = False) -> int:
    """Return how many numbers a row has: `expected`, unless another width fits far better.

    Args:
        numbers: (N,) float32, row by row.
        expected: The width that the file should have, which stands where the numbers leave doubt.
        is_doubtful: Whether something else speaks against that width; then fewer numbers are enough.
    """
    if len(numbers) < _FEWEST:
        return expected
    sample = _Sample.of(numbers)
    fits = [width for width in WIDTHS if len(numbers) % width == 0 and width != expected]
    width, bits = expected, sample.bits(expected)
    for other in fits:
        is_multiple = other % width == 0
        enough = _SAVED_BY_MULTIPLE if is_multiple else _SAVED
        enough += (_SAVED_IN_DOUBT if is_doubtful and not is_multiple else _SAVED_IN_ALL) / len(sample.classes)
        saved = bits - sample.bits(other)
        if saved > enough and not (is_multiple and _beams_alternate(sample, width, other)):
            width, bits = other, bits - saved
    return width


def is_absurd(numbers: NDArray[np.floating], width: int) -> bool:
    """Return whether rows of this width hold coordinates that no point has: of 1e15 m, or of 1e-40.

    Args:
        numbers: (N,) floats, row by row, N a multiple of `width`. NaN and 0 stand for no return.
        width: How many numbers a row has; the first three are x, y and z.
    """
    rows = numbers.reshape(-1, width)
    rows = rows[:: max(1, len(rows) // (_BLOCKS * _BLOCK // 4))]
    with np.errstate(invalid="ignore"):
        sizes = np.abs(rows[:, :3])
        absurd = (sizes > _LARGEST_M) | ((sizes < _SMALLEST_M) & (sizes > 0))
    return bool(absurd.any(axis=1).mean() > _MOST_ABSURD) if len(rows) else False


def _blocks(numbers: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    if len(numbers) <= _BLOCKS * _BLOCK:
        yield 0, numbers
        return
    for start in np.linspace(0, len(numbers) - _BLOCK, _BLOCKS).astype(int).tolist():
        yield start, numbers[start : start + _BLOCK]


def _classes(numbers: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return each number's class, from 0 to 255."""
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32)
    exponent = (bits >> np.uint32(23) & np.uint32(0xFF)).astype(np.int64)
    level = np.clip(exponent - _LOWEST_EXPONENT, 1, _LEVELS)
    level[bits << np.uint32(1) == 0] = 0  # of either sign
    with np.errstate(invalid="ignore"):
        whole = numbers == np.rint(numbers)
    negative = (bits >> np.uint32(31)).astype(np.int64) * (level > 0)
    classes: NDArray[np.int64] = level + 64 * whole.astype(np.int64) + 128 * negative
    return classes


def _beams_alternate(sample: _Sample, width: int, multiple: int) -> bool:
    """Return whether neighbouring rows of `width` are points of alternating beams, not pieces of one longer row.

    Then they lie in the same direction, as far as the rows one turn of the beams further do. Rows without a return have
    no direction: where one of two beams sees the sky alone, no two neighbours are left, and nothing speaks against it.
    """
    turn = multiple // width
    near, far = [], []
    for rows in sample.rows(width):
        with np.errstate(invalid="ignore"):  # numbers that are no coordinates may be any bits
            direction = np.arctan2(rows[:, 1], rows[:, 0])
            direction[~rows[:, :3].any(axis=1)] = np.nan
        near.append(_angles(direction[1:], direction[:-1]))
        far.append(_angles(direction[turn:], direction[:-turn]))
    between, along = np.concatenate(near), np.concatenate(far)
    if not between.size or not along.size:
        return bool(along.size)
    return bool(np.median(between) <= 3 * np.median(along) + 1e-3 and np.median(along) < np.pi / 8)


def _angles(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the finite angles between directions, radians from 0 to π."""
    with np.errstate(invalid="ignore"):
        turned: NDArray[np.float32] = np.abs((a - b + np.pi) % (2 * np.pi) - np.pi)
    finite: NDArray[np.float32] = turned[np.isfinite(turned)]
    return finite
