"""What pictures are drawn on: a plot of points and lines, on a sheet with a strip of text below it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from lidarprep.errors import RecipeError
from lidarprep.kernels.splat import draw_lines, splat

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

Colour = tuple[int, int, int]
Pixels = NDArray[np.uint8]

GROUND: Colour = (13, 16, 22)
STRIP: Colour = (24, 29, 38)
RULE: Colour = (52, 60, 74)
INK: Colour = (233, 237, 243)
DIM: Colour = (154, 165, 181)

# The smallest picture, and the largest, pixels a side.
_SMALLEST, LARGEST = 64, 10_000

# Letters that Pillow's built-in font lacks, by others that say the same.
_SUBSTITUTES = str.maketrans({"–": "-", "—": "-", "−": "-", "×": "x", "’": "'", "“": '"', "”": '"', "≥": ">", "≤": "<"})
_KNOWN_BEYOND_ASCII = "·°…"


def checked_size(width: int, height: int) -> tuple[int, int]:
    """Return the size of a picture in pixels.

    Raises:
        RecipeError: A side is below 64 or above 10,000 pixels.
    """
    if not all(_SMALLEST <= side <= LARGEST for side in (width, height)):
        raise RecipeError(f"a picture of {width} × {height} pixels; a side has {_SMALLEST} to {LARGEST:,}")
    return int(width), int(height)


def as_drawn(text: str) -> str:
    """Return a text in the letters that the built-in font has: accents are left out, what it lacks is "?"."""
    text = unicodedata.normalize("NFKD", text.translate(_SUBSTITUTES))
    letters = (letter for letter in text if not unicodedata.combining(letter))
    return "".join(
        letter if " " <= letter <= "~" or letter in _KNOWN_BEYOND_ASCII else " " if letter.isspace() else "?"
        for letter in letters
    )


@cache
def font(size: int) -> FreeTypeFont:
    """Return Pillow's built-in font in a size, pixels."""
    loaded: Any = ImageFont.load_default(size)
    return loaded  # type: ignore[no-any-return]


class Plot:
    """A rectangle of pixels that points and lines are drawn into.

    Places are (column, row) pixels; (0, 0) is the centre of the upper left one.

    Args:
        pixels: (H, W, 3) uint8: what is drawn on.
    """

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = np.require(pixels, requirements=("C", "W"))
        self._depth = np.full(pixels.shape[:2], -np.inf, dtype=np.float32)

    @classmethod
    def blank(cls, width: int, height: int) -> Plot:
        """Make an empty one."""
        row = np.tile(np.array(GROUND, np.uint8), width).reshape(width, 3)
        return cls(np.repeat(row[None], height, axis=0))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def points(self, points: NDArray[np.floating[Any]], view: ArrayLike, colours: Pixels, size: int) -> int:
        """Draw points; those with the highest key are seen. Returns how many are within the plot.

        Args:
            points: (N, 3) positions.
            view: (3, 4): column, row and key of a point are view[:, :3] · point + view[:, 3].
            colours: (N, 3), or (1, 3) for all of them.
            size: Pixels across.
        """
        if not len(points):
            return 0
        matrix = np.ascontiguousarray(view, dtype=np.float64)
        positions, colours = np.ascontiguousarray(points), np.require(colours, np.uint8, ("C", "W"))
        return int(splat(_writable(positions), matrix, colours, size, self.pixels, self._depth))

    def line(
        self,
        places: ArrayLike,
        colour: Sequence[int] | Pixels,
        width: float = 2.0,
        opacity: float = 1.0,
        *,
        closed: bool = False,
    ) -> None:
        """Draw a line through places (M, 2); a single place is a dot."""
        ends = np.asarray(places, dtype=np.float64).reshape(-1, 2)
        if len(ends) == 1:
            ends = np.repeat(ends, 2, axis=0)
        after = np.roll(ends, -1, axis=0) if closed else ends[1:]
        self.segments(np.hstack((ends[: len(after)], after)), colour, width, opacity)

    def segments(
        self, segments: NDArray[np.float64], colour: Sequence[int] | Pixels, width: float = 2.0, opacity: float = 1.0
    ) -> None:
        """Draw lines (M, 4): from one place to another. Those with an end that is not finite are left out."""
        if len(segments):
            draw_lines(
                np.ascontiguousarray(segments), np.array(colour, np.uint8), float(width), float(opacity), self.pixels
            )


def _writable(points: NDArray[Any]) -> NDArray[Any]:
    """Return points that the kernel takes: it was compiled for arrays that may be written to."""
    return points if points.flags.writeable else points.copy()


class Sheet:
    """A whole picture, with its plot at the top, that texts are written on.

    Args:
        width, height: Its size, pixels.
        plot: What is drawn at its top.
    """

    def __init__(self, width: int, height: int, plot: Plot) -> None:
        self.em = text_size(width)
        self.width, self.height = width, height
        self.image = Image.new("RGB", (width, height), None)
        self.image.paste(Image.fromarray(plot.pixels), (0, 0))
        self._draw = ImageDraw.Draw(self.image)
        if plot.size[1] < height:
            self._draw.rectangle((0, plot.size[1], width, height), STRIP)
            self._draw.line(((0, plot.size[1]), (width, plot.size[1])), RULE)

    def text(
        self,
        place: tuple[float, float],
        text: str,
        colour: Sequence[int] = INK,
        *,
        size: float = 1.0,
        anchor: str = "la",
        halo: bool = False,
    ) -> None:
        """Write a text at a place; `size` in ems, `anchor` as Pillow names them, `halo`: readable on points."""
        self._draw.text(
            place,
            as_drawn(text),
            tuple(map(int, colour)),
            font(round(self.em * size)),
            anchor,
            stroke_width=max(1, round(self.em * size / 6)) if halo else 0,
            stroke_fill=GROUND,
        )

    def rectangle(self, box: tuple[float, float, float, float], colour: Sequence[int]) -> None:
        """Fill a rectangle: left, top, right, bottom."""
        self._draw.rectangle(box, tuple(map(int, colour)))

    def paste(self, pixels: Pixels, left: float, top: float) -> None:
        """Put (H, W, 3) pixels onto it."""
        self.image.paste(Image.fromarray(np.ascontiguousarray(pixels)), (round(left), round(top)))


def text_size(width: int) -> int:
    """Return the size of the text on a picture of that width, pixels."""
    return min(max(round(width / 85), 11), 40)


@lru_cache(256)
def wrapped(text: str, width: float, size: int) -> list[str]:
    """Break a text into lines of so many pixels at most; a word that is longer is cut."""
    measured = font(size)
    lines: list[str] = []
    for word in as_drawn(text).split():
        while (length := measured.getlength(word)) > width and len(word) > 2:
            word = f"{word[: min(len(word) - 2, int(len(word) * width / length))]}…"
        if lines and measured.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def nice_step(length: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is at most a length."""
    power = 10.0 ** np.floor(np.log10(max(length, 1e-9)))
    return float(power * max(part for part in (1, 2, 5) if power * part <= length * (1 + 1e-9)))
