"""A figure for a paper: a row for each picture, a column for each method ([SIG] Figs. 5, 6); vector text, fonts inside."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from ...files import write_aside
from ..maps.legend import ENDS, number
from ..maps.outline import outlined
from ..maps.paint import as_rgb, few_colours, paint
from ..maps.palette import DEFAULT, Palette
from .fitted import LEAST, Fitted, broken, fitted, flowing, line_inches, write
from .looks import text_inches
from .scales import Bars, Kind
from .svg import small_pictures, with_font

DPI = 400
"""Of pictures and maps; journals ask for 300."""
_STYLE: dict[Any, Any] = {
    "text.parse_math": False, "pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "sig",
    "axes.linewidth": 0.4, "text.hinting": "no_hinting",
}  # fmt: skip
_GAP, _EDGE, _AIR = 0.04, 0.02, 0.03  # inches
_GREY = "#444444"


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
class _Page:
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
        room = self.width - 2 * _EDGE
        texts = [f"{row.label} {row.share}".strip() for row in self.rows]
        return [broken(text, self.size, room, anywhere=True) or [] for text in texts]

    @cached_property
    def left(self) -> float:
        """Where the pictures begin."""
        return _EDGE + (0.0 if self.labels is None else self.labels.most * line_inches(self.labels.size) + 0.02)

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
        return self.left + column * (self.cell + _GAP)

    @cached_property
    def head(self) -> float:
        """Height of the headings."""
        names, units = self.headings
        if names.turned:
            return max(names.height, units.height) + _AIR
        return names.height + units.height + _AIR

    @cached_property
    def tops(self) -> list[float]:
        """How far below the upper edge the rows' pictures begin."""
        places, y = [], _EDGE + self.head
        for lines, height in zip(self.above, self.heights, strict=True):
            y += len(lines) * self._line
            places.append(y)
            y += height + self.limits.height + _GAP + _AIR
        return places

    @property
    def _line(self) -> float:
        return line_inches(self.size)

    def _cell(self, left: float) -> float:
        columns = len(self.columns)
        return max(0.05, (self.width - left - _EDGE - columns * _GAP) / (columns + 1))

    def _heights(self, cell: float) -> list[float]:
        return [min(1.5, row.picture.shape[0] / row.picture.shape[1]) * cell for row in self.rows]


def paper_figure(
    path: Path,
    columns: Sequence[PaperColumn],
    rows: Sequence[PaperRow],
    *,
    width: float,
    footnote: str,
    palette: Palette = DEFAULT,
    common: bool = False,
) -> None:
    """Draw and write a figure as the ending of `path` says: .pdf, .svg or .png.

    Args:
        path: the file, written aside and renamed.
        columns: the methods.
        rows: pictures and their maps.
        width: of the figure, in inches.
        footnote: the rule of the scales, below the figure.
        palette: the colours.
        common: maps of a row and unit share one scale, whose end is told once.
    """
    with rc_context(_STYLE):
        page = _Page(columns, rows, width, palette, common)
        lines = flowing(footnote, page.small, 0.96 * (width - 2 * _EDGE))
        bars = Bars.of(
            page.kinds, [one.name for one in columns], [(page.x(c + 1), page.x(c + 2) - _GAP) for c in range(len(columns))],
            (page.left, width - _EDGE), page.small,
        )  # fmt: skip
        foot = page.tops[-1] + page.heights[-1] + page.limits.height + _AIR
        high = foot + bars.height + 0.06 + len(lines) * line_inches(page.small) + _AIR
        figure = Figure(figsize=(width, high))
        FigureCanvasAgg(figure)
        _draw_headings(figure, page)
        for place in range(len(rows)):
            _draw_row(figure, page, place)
        bars.draw(figure, high - foot, palette)
        write(figure, (_EDGE, high - foot - bars.height - 0.06), lines, page.small, align="left", colour=_GREY)
        kind = path.suffix[1:].lower()
        stream = io.BytesIO()
        known = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
        figure.savefig(stream, format=kind, dpi=DPI, metadata=known)
    content = stream.getvalue()
    write_aside(path, lambda aside: aside.write_bytes(with_font(small_pictures(content)) if kind == "svg" else content))


def _draw_headings(figure: Figure, page: _Page) -> None:
    names, units = page.headings
    bottom = float(figure.get_size_inches()[1]) - _EDGE - page.head + _AIR
    for place, (name, unit) in enumerate(zip(names.lines, units.lines, strict=True)):
        middle = page.x(place) + page.cell / 2
        if names.turned:
            wide = len(name) * line_inches(names.size) + len(unit) * line_inches(units.size)
            write(figure, (middle - wide / 2, bottom), name, names.size, turned=True, align="left")
            beside = middle - wide / 2 + len(name) * line_inches(names.size)
            write(figure, (beside, bottom), unit, units.size, turned=True, align="left", colour=_GREY)
            continue
        write(figure, (middle, bottom + units.height + len(name) * line_inches(names.size)), name, names.size)
        write(figure, (middle, bottom + units.height), unit, units.size, colour=_GREY)


def _draw_row(figure: Figure, page: _Page, place: int) -> None:
    """Pictures of a row with what stands beside, above and below."""
    wide, high = map(float, figure.get_size_inches())
    row, height, top = page.rows[place], page.heights[place], high - page.tops[place]
    pixels = max(round(DPI * page.cell), 1), max(round(DPI * height), 1)
    for column, cell in enumerate(_cells(page, row, pixels)):
        axes = figure.add_axes((page.x(column) / wide, (top - height) / high, page.cell / wide, height / high))
        axes.set(xticks=(), yticks=())
        for spine in axes.spines.values():
            spine.set_color("#999999")
        if cell is None:
            size = min(page.size, page.size * 0.9 * page.cell / text_inches("failed", page.size))
            axes.text(0.5, 0.5, "failed", size=size, ha="center", va="center", color="#666666")
        else:
            axes.imshow(np.asarray(cell), interpolation="none", aspect="auto")
    _draw_limits(figure, page, place, top - height - 0.01)
    write(
        figure,
        (_EDGE, top + len(page.above[place]) * line_inches(page.size)),
        page.above[place],
        page.size,
        align="left",
    )
    if page.labels is not None:
        lines, size = page.labels.lines[place], page.labels.size
        x = page.left - 0.02 - len(lines) * line_inches(size)
        write(figure, (x, top - height / 2), lines, size, turned=True)


def _cells(page: _Page, row: PaperRow, pixels: tuple[int, int]) -> list[Image.Image | None]:
    """The picture and the maps of a row."""
    cells: list[Image.Image | None] = [
        outlined(as_rgb(row.picture).resize(pixels, Image.Resampling.BICUBIC), row.region)
    ]
    for column, values, limit in zip(page.columns, row.maps, row.limits, strict=True):
        if values is None:
            cells.append(None)
            continue
        table = few_colours(page.palette.table(values, turned=column.turned))
        cells.append(outlined(paint(-values if column.turned else values, limit, pixels, table=table), row.region))
    return cells


def _draw_limits(figure: Figure, page: _Page, place: int, y: float) -> None:
    """Where the colours of each map end, below it; under maps that share a scale once, with a line along all of them."""
    wide, high = map(float, figure.get_size_inches())
    row, count = page.rows[place], len(page.columns)
    for first in range(count):
        lines = page.limits.lines[place * count + first]
        if not lines:
            continue
        last = first
        while page.joined(row, last):
            last += 1
        left, right = page.x(first + 1), page.x(last + 1) + page.cell
        size = page.limits.size
        if page.limits.turned:
            at = ((left + right - line_inches(size)) / 2, y)
            write(figure, at, lines, size, turned=True, align="right", colour=_GREY)
            continue
        write(figure, ((left + right) / 2, y), lines, size, colour=_GREY)
        if last > first:
            half = text_inches(lines[0], size) / 2 + 0.04
            level = (y - 0.5 * line_inches(size)) / high
            for ends in ((left, (left + right) / 2 - half), ((left + right) / 2 + half, right)):
                figure.add_artist(Line2D([one / wide for one in ends], [level, level], lw=0.4, color="#999999"))
