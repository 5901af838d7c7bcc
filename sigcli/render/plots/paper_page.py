"""Where things stand in a figure for a paper, in inches: columns, rows, headings, labels, and the ends of scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..maps.legend import ENDS, number
from ..maps.palette import Palette
from .fitted import LEAST, Fitted, broken, fitted, line_inches
from .looks import text_inches
from .scales import Kind

GAP, EDGE, AIR = 0.04, 0.02, 0.03
"""Inches between pictures, at the edge of the page, and between pictures and text."""


@dataclass(frozen=True)
class PaperColumn:
    """One method.

    Args:
        name: of the method.
        unit: of its maps, '' for none.
        ends: the words of its colour bar for negative and positive values.
        turned: positive values speak against the score, so they have the other colour.
    """

    name: str
    unit: str = ""
    ends: tuple[str, str] = ENDS
    turned: bool = False


@dataclass(frozen=True)
class PaperRow:
    """One picture and target.

    Args:
        label: beside the row.
        picture: uint8 (H, W, 3).
        maps: (H, W) of each method, or None where it failed.
        limits: where the scale of each ends.
        region: (H, W) bool, outlined; None for the whole picture.
        share: below the label, on one line: its probability.
    """

    label: str
    picture: np.ndarray
    maps: Sequence[np.ndarray | None]
    limits: Sequence[float]
    region: np.ndarray | None = None
    share: str = ""


@dataclass(frozen=True)
class Page:
    """What is drawn, and where it stands, in inches.

    Args:
        columns: methods.
        rows: pictures.
        width: of the page.
        palette: the colours.
        common: whether maps of a row and unit share a scale.
    """

    columns: Sequence[PaperColumn]
    rows: Sequence[PaperRow]
    width: float
    palette: Palette
    common: bool

    @cached_property
    def size(self) -> float:
        """Of letters, in points."""
        return 7.0 if self.width < 5 else 8.0

    @cached_property
    def small(self) -> float:
        """Of small letters, in points."""
        return max(LEAST, self.size - 1.5)

    @cached_property
    def labels(self) -> Fitted | None:
        """The labels beside the rows; None where they have no room there and stand above."""
        heights, texts = self._heights(self._cell(2 * self._line)), [(row.label, row.share) for row in self.rows]
        return fitted(texts, self.size, heights)

    @cached_property
    def above(self) -> list[list[str]]:
        """Labels above the rows, in lines; none where they stand beside them."""
        if self.labels is not None:
            return [[] for _ in self.rows]
        room = self.width - 2 * EDGE
        texts = [f"{row.label} {row.share}".strip() for row in self.rows]
        return [broken(text, self.size, room, anywhere=True) or [] for text in texts]

    @cached_property
    def left(self) -> float:
        """Where the pictures begin."""
        return EDGE + (0.0 if self.labels is None else self.labels.most * line_inches(self.labels.size) + 0.02)

    @cached_property
    def cell(self) -> float:
        """Width of a picture."""
        return self._cell(self.left)

    @cached_property
    def heights(self) -> list[float]:
        """Heights of the rows' pictures."""
        return self._heights(self.cell)

    @cached_property
    def units(self) -> list[str]:
        """Units in the headings, one for each column: none where all have the same."""
        found = [one.unit for one in self.columns]
        return found if len(set(found)) > 1 else [""] * len(found)

    @cached_property
    def headings(self) -> tuple[Fitted, Fitted]:
        """Names above the columns, and units below the names; turned where they have no room across."""
        names, rooms = ["input", *(one.name for one in self.columns)], [self.cell] * (1 + len(self.columns))
        across, units = fitted(names, self.size, rooms), fitted(["", *self.units], self.small, rooms, 4)
        if across is not None and units is not None:
            return across, units
        turned = Fitted([[name] for name in names], self.size, turned=True)
        longest = max(text_inches(unit, LEAST) for unit in self.units)
        lines = int((self.cell - self._line) / line_inches(LEAST))  # beside the name
        room = max(turned.height, longest / min(2, lines) * 1.2) if lines > 1 else longest + 1
        told = [broken(unit, LEAST, room, anywhere=True) or [] for unit in ("", *self.units)]
        return turned, Fitted(told, LEAST, turned=True)

    @cached_property
    def limits(self) -> Fitted:
        """What stands below each map: where its colours end."""
        texts = [self.limit(row, place) for row in self.rows for place in range(len(self.columns))]
        found = fitted(texts, self.small, [self.cell] * len(texts), 1)
        return found or Fitted([[text] if text else [] for text in texts], LEAST, turned=True)

    def limit(self, row: PaperRow, place: int) -> str:
        """Where the colours of a map end; of maps beside each other that share a scale, for the first of them."""
        if row.maps[place] is None or (self.common and place and self.joined(row, place - 1)):
            return ""
        limit = row.limits[place]
        if limit == 0:
            return "all zero"
        return f"{'±' if self.kind(row, place).signed else '0 to '}{number(limit, limit)}"

    def joined(self, row: PaperRow, place: int) -> bool:
        """Whether a map and the next share a scale."""
        one, other = place, place + 1
        if not self.common or other == len(self.columns) or row.maps[one] is None or row.maps[other] is None:
            return False
        alike = self.columns[one].unit == self.columns[other].unit and row.limits[one] == row.limits[other]
        return alike and self.kind(row, one).signed == self.kind(row, other).signed

    def kind(self, row: PaperRow, place: int) -> Kind:
        """The colours of a map and the words at their ends."""
        column, values = self.columns[place], row.maps[place]
        table = self.palette.table(np.zeros(1) if values is None else values, turned=column.turned)
        return Kind(column.ends, signed=table is self.palette.signed)

    @property
    def kinds(self) -> dict[tuple[int, int], Kind]:
        """(row, column) → kind of each map."""
        return {
            (number, place): self.kind(row, place)
            for number, row in enumerate(self.rows)
            for place, values in enumerate(row.maps)
            if values is not None
        }

    def x(self, column: int) -> float:
        """The left edge of a column; 0 is the picture."""
        return self.left + column * (self.cell + GAP)

    @cached_property
    def head(self) -> float:
        """Height of the headings."""
        names, units = self.headings
        if names.turned:
            return max(names.height, units.height) + AIR
        return names.height + units.height + AIR

    @cached_property
    def tops(self) -> list[float]:
        """How far below the upper edge the rows' pictures begin."""
        places, y = [], EDGE + self.head
        for lines, height in zip(self.above, self.heights, strict=True):
            y += len(lines) * self._line
            places.append(y)
            y += height + self.limits.height + GAP + AIR
        return places

    @property
    def _line(self) -> float:
        return line_inches(self.size)

    def _cell(self, left: float) -> float:
        columns = len(self.columns)
        return max(0.05, (self.width - left - EDGE - columns * GAP) / (columns + 1))

    def _heights(self, cell: float) -> list[float]:
        return [min(1.5, row.picture.shape[0] / row.picture.shape[1]) * cell for row in self.rows]
