"""A figure for a paper: a row for each picture, a column for each method ([SIG] Figs. 5, 6); vector text, fonts inside."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from ...files import write_aside
from ..maps.outline import outlined
from ..maps.paint import as_rgb, few_colours, paint
from ..maps.palette import DEFAULT, Palette
from .fitted import flowing, line_inches, write
from .looks import text_inches
from .paper_page import AIR, EDGE, GAP, Page, PaperColumn, PaperRow
from .scales import Bars
from .svg import small_pictures, with_font

DPI = 400
"""Of pictures and maps; journals ask for 300."""
_STYLE: dict[Any, Any] = {
    "text.parse_math": False, "pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "sig",
    "axes.linewidth": 0.4, "text.hinting": "no_hinting",
}  # fmt: skip
_GREY = "#444444"


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
        page = Page(columns, rows, width, palette, common)
        lines = flowing(footnote, page.small, 0.96 * (width - 2 * EDGE))
        bars = Bars.of(
            page.kinds, [one.name for one in columns], [(page.x(c + 1), page.x(c + 2) - GAP) for c in range(len(columns))],
            (page.left, width - EDGE), page.small,
        )  # fmt: skip
        foot = page.tops[-1] + page.heights[-1] + page.limits.height + AIR
        high = foot + bars.height + 0.06 + len(lines) * line_inches(page.small) + AIR
        figure = Figure(figsize=(width, high))
        FigureCanvasAgg(figure)
        _draw_headings(figure, page)
        for place in range(len(rows)):
            _draw_row(figure, page, place)
        bars.draw(figure, high - foot, palette)
        write(figure, (EDGE, high - foot - bars.height - 0.06), lines, page.small, align="left", colour=_GREY)
        kind = path.suffix[1:].lower()
        stream = io.BytesIO()
        known = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
        figure.savefig(stream, format=kind, dpi=DPI, metadata=known)
    content = stream.getvalue()
    write_aside(path, lambda aside: aside.write_bytes(with_font(small_pictures(content)) if kind == "svg" else content))


def _draw_headings(figure: Figure, page: Page) -> None:
    names, units = page.headings
    bottom = float(figure.get_size_inches()[1]) - EDGE - page.head + AIR
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


def _draw_row(figure: Figure, page: Page, place: int) -> None:
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
        (EDGE, top + len(page.above[place]) * line_inches(page.size)),
        page.above[place],
        page.size,
        align="left",
    )
    if page.labels is not None:
        lines, size = page.labels.lines[place], page.labels.size
        x = page.left - 0.02 - len(lines) * line_inches(size)
        write(figure, (x, top - height / 2), lines, size, turned=True)


def _cells(page: Page, row: PaperRow, pixels: tuple[int, int]) -> list[Image.Image | None]:
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


def _draw_limits(figure: Figure, page: Page, place: int, y: float) -> None:
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
