"""The strip below a picture: what is drawn, in words, and what its colours mean, in figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lidarprep.report.canvas import DIM, INK, Pixels, Plot, Sheet, text_size, wrapped
from lidarprep.report.colours import VIRIDIS

# Lengths in ems.
_LINE, _GAP, _MARGIN = 1.4, 1.6, 1.0
_BAR_WIDTH, _CELL_WIDTH = 14.0, 12.0
_MOST_ROWS, _MOST_CELLS = 4, 16

# Narrower pictures than this have a caption only: there is no place for more.
_NARROWEST_WITH_LEGEND = 600


@dataclass(frozen=True)
class Bar:
    """A scale of colours.

    Args:
        title: What is coloured, with its unit.
        ticks: Figures along the bar, evenly, at least two.
        colours: (K, 3) uint8 from the first to the last.
        note: More to say of it.
    """

    title: str
    ticks: Sequence[str]
    colours: Pixels = field(default_factory=lambda: VIRIDIS)
    note: str = ""


@dataclass(frozen=True)
class Swatches:
    """Colours of kinds.

    Args:
        title: What they are kinds of.
        rows: The colour, and what has it.
    """

    title: str
    rows: Sequence[tuple[Sequence[int], str]]


Block = Bar | Swatches


@dataclass(frozen=True)
class Strip:
    """What is below a picture.

    Args:
        title: Its source.
        lines: What is drawn, and what is to be known of it, a sentence each.
        blocks: What its colours mean.
    """

    title: str
    lines: Sequence[str]
    blocks: Sequence[Block] = ()

    def height(self, width: int) -> int:
        """Return its height on a picture of that width, pixels."""
        em = text_size(width)
        rows = max([self._caption_rows(width), *(_rows(block) for block in self._shown(width))])
        return round(em * (rows * _LINE + 2 * _MARGIN * 0.8))

    def _shown(self, width: int) -> Sequence[Block]:
        return self.blocks if width >= _NARROWEST_WITH_LEGEND else ()

    def _caption_width(self, width: int) -> float:
        em = text_size(width)
        taken = sum(_width(block) + _GAP for block in self._shown(width))
        return max(width - em * (taken + 2 * _MARGIN), 18 * em)

    def _caption_rows(self, width: int) -> int:
        return 1 + len(self._caption(width))

    def _caption(self, width: int) -> list[str]:
        size, across = round(text_size(width) * 0.9), self._caption_width(width)
        return [line for text in self.lines for line in wrapped(text, across, size)]

    def draw(self, sheet: Sheet) -> None:
        """Draw it at the bottom of a picture."""
        em, width = sheet.em, sheet.width
        left, top = em * _MARGIN, sheet.height - self.height(width) + em * _MARGIN * 0.8
        titles = wrapped(self.title, self._caption_width(width), em)
        sheet.text((left, top), " ".join(titles[:1]), INK)
        for row, line in enumerate(self._caption(width), 1):
            sheet.text((left, top + row * _LINE * em), line, DIM, size=0.9)
        right = width - em * _MARGIN
        for block in reversed(self._shown(width)):
            right -= em * _width(block)
            if right < left:
                break
            _draw(block, sheet, right, top)
            right -= em * _GAP


def composed(plot: Plot, strip: Strip) -> Sheet:
    """Put a plot on a sheet of its width, with a strip below it."""
    width, height = plot.size
    return Sheet(width, height + strip.height(width), plot)


def _columns(block: Swatches) -> int:
    return -(-min(len(block.rows), _MOST_CELLS) // _MOST_ROWS)


def _rows(block: Block) -> int:
    if isinstance(block, Bar):
        return 4 if block.note else 3
    return 1 + min(len(block.rows), _MOST_ROWS)


def _width(block: Block) -> float:
    return _BAR_WIDTH if isinstance(block, Bar) else _CELL_WIDTH * _columns(block)


def _draw(block: Block, sheet: Sheet, left: float, top: float) -> None:
    em = sheet.em
    sheet.text((left, top), block.title, INK, size=0.9)
    if isinstance(block, Bar):
        width, height = round(_BAR_WIDTH * em), round(0.8 * em)
        shades = block.colours[np.linspace(0, len(block.colours) - 1, width).round().astype(int)]
        sheet.paste(np.broadcast_to(shades, (height, width, 3)), left, top + (_LINE + 0.15) * em)
        for number, tick in enumerate(block.ticks):
            share = number / (len(block.ticks) - 1)
            anchor = "la" if number == 0 else "ra" if share == 1 else "ma"
            sheet.text((left + share * width, top + 2 * _LINE * em), tick, DIM, size=0.9, anchor=anchor)
        if block.note:
            sheet.text((left, top + 3 * _LINE * em), block.note, DIM, size=0.85)
        return
    shown = list(block.rows)
    if len(shown) > _MOST_CELLS:
        shown = [*shown[: _MOST_CELLS - 1], (DIM, f"{len(shown) - _MOST_CELLS + 1} more")]
    for number, (colour, name) in enumerate(shown):
        x = left + (number // _MOST_ROWS) * _CELL_WIDTH * em
        y = top + (1 + number % _MOST_ROWS) * _LINE * em
        sheet.rectangle((x, y + 0.15 * em, x + 0.75 * em, y + 0.9 * em), colour)
        # The built-in font has no narrow cut: long names are cut instead.
        lines = wrapped(name, (_CELL_WIDTH - 1.9) * em, round(em * 0.9))
        whole = len(lines) <= 1
        sheet.text((x + 1.2 * em, y), lines[0] if whole and lines else f"{lines[0]}…" if lines else "", DIM, size=0.9)
