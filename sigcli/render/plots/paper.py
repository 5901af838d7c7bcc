"""A figure for a paper: a row for each picture, a column for each method ([SIG] Figs. 5, 6); vector text, fonts inside."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ...files import write_aside
from ..maps.outline import outlined
from ..maps.paint import as_rgb, few_colours, paint, scale_strip
from ..maps.palette import DEFAULT, Palette
from .looks import text_inches
from .svg import small_pictures, with_font

DPI = 400
"""Of pictures and maps; journals ask for 300."""
_STYLE: dict[Any, Any] = {
    "text.parse_math": False, "pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "sig",
    "axes.linewidth": 0.4, "text.hinting": "no_hinting",
}  # fmt: skip
_GAP, _EDGE, _BAR, _LINE = 0.04, 0.02, 0.07, 1.25  # inches; the last in heights of letters
_MOST_BAR = 1.6


@dataclass(frozen=True)
class PaperRow:
    """One picture and target.

    Args:
        label: beside the row.
        picture: uint8 (H, W, 3).
        maps: (H, W) of each method, red positive; None where it failed.
        limits: where the scale of each ends.
        region: (H, W) bool, outlined; None for the whole picture.
    """

    label: str
    picture: np.ndarray
    maps: Sequence[np.ndarray | None]
    limits: Sequence[float]
    region: np.ndarray | None = None


@dataclass(frozen=True)
class _Places:
    """Where things stand, in inches from the lower left."""

    size: float
    left: float
    cell: float
    heights: Sequence[float]
    bottom: float
    height: float

    def row(self, number: int) -> float:
        """The lower edge of a row."""
        return self.bottom + sum(height + _GAP for height in self.heights[number + 1 :])


def paper_figure(
    path: Path,
    methods: Sequence[str],
    rows: Sequence[PaperRow],
    *,
    width: float,
    footnote: str,
    ends: tuple[str, str],
    palette: Palette = DEFAULT,
) -> None:
    """Draw and write a figure as the ending of `path` says: .pdf, .svg or .png.

    Args:
        path: the file, written aside and renamed.
        methods: names of the columns.
        rows: pictures and their maps.
        width: of the figure, in inches.
        footnote: the rule of the scales, below the figure.
        ends: what the colours at the ends of the scale say.
        palette: the colours.
    """
    with rc_context(_STYLE):
        size = 7.0 if width < 5 else 8.0
        lines = _wrapped(footnote, size - 1.5, 0.96 * (width - 2 * _EDGE))
        places = _placed(rows, len(methods), width, size, len(lines))
        figure = Figure(figsize=(width, places.height))
        FigureCanvasAgg(figure)
        _draw_cells(figure, methods, rows, places, palette)
        _draw_scale(figure, places, ends, palette, rows)
        line = _LINE * (size - 1.5) / 72
        for number, text in enumerate(lines):
            y = (len(lines) - 1 - number) * line + 0.03
            figure.text(_EDGE / width, y / places.height, text, size=size - 1.5, color="#444444", va="bottom")
        kind = path.suffix[1:].lower()
        stream = io.BytesIO()
        known = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
        figure.savefig(stream, format=kind, dpi=DPI, metadata=known)
    content = stream.getvalue()
    write_aside(path, lambda aside: aside.write_bytes(with_font(small_pictures(content)) if kind == "svg" else content))


def _placed(rows: Sequence[PaperRow], methods: int, width: float, size: float, lines: int) -> _Places:
    letter = _LINE * size / 72
    left = _EDGE + letter + 0.02
    cell = (width - left - _EDGE - methods * _GAP) / (methods + 1)
    heights = [min(1.5, row.picture.shape[0] / row.picture.shape[1]) * cell for row in rows]
    bottom = lines * _LINE * (size - 1.5) / 72 + 0.06 + _BAR + letter + 0.08
    return _Places(size, left, cell, heights, bottom, bottom + sum(heights) + _GAP * len(rows) + letter + _EDGE)


def _draw_cells(
    figure: Figure, methods: Sequence[str], rows: Sequence[PaperRow], places: _Places, palette: Palette
) -> None:
    wide, high = map(float, figure.get_size_inches())
    for number, row in enumerate(rows):
        bottom, height = places.row(number), places.heights[number]
        pixels = max(round(DPI * places.cell), 1), max(round(DPI * height), 1)
        photo = outlined(as_rgb(row.picture).resize(pixels, Image.Resampling.BICUBIC), row.region)
        cells: list[Image.Image | None] = [photo]
        for values, limit in zip(row.maps, row.limits, strict=True):
            painted = None if values is None else paint(values, limit, pixels, table=few_colours(palette.table(values)))
            cells.append(None if painted is None else outlined(painted, row.region))
        for column, (name, cell) in enumerate(zip(("input", *methods), cells, strict=True)):
            x = places.left + column * (places.cell + _GAP)
            axes = figure.add_axes((x / wide, bottom / high, places.cell / wide, height / high))
            axes.set(xticks=(), yticks=())
            for spine in axes.spines.values():
                spine.set_color("#999999")
            if cell is None:
                axes.text(0.5, 0.5, "failed", size=places.size, ha="center", va="center", color="#666666")
            else:
                axes.imshow(np.asarray(cell), interpolation="none", aspect="auto")
            if number == 0:
                axes.set_title(_cut(name, places.size, places.cell), size=places.size, pad=2.5)
        label = _cut(row.label, places.size, height)
        middle = (bottom + height / 2) / high
        figure.text((places.left - 0.025) / wide, middle, label, size=places.size, rotation=90, ha="right", va="center")


def _draw_scale(
    figure: Figure, places: _Places, ends: tuple[str, str], palette: Palette, rows: Sequence[PaperRow]
) -> None:
    """The colours of signed maps and, where there are such maps, those of maps without negative values."""
    wide, high = map(float, figure.get_size_inches())
    used = {
        len(palette.table(values)): palette.table(values) for row in rows for values in row.maps if values is not None
    }
    long = min(_MOST_BAR, (wide - places.left) / (1.15 * max(1, len(used))))
    y = places.bottom - 0.05 - _BAR
    for number, table in enumerate(used[size] for size in sorted(used, reverse=True)):
        x = wide - _EDGE - (number + 1) * long - number * 0.25
        axes = figure.add_axes((x / wide, y / high, long / wide, _BAR / high))
        axes.imshow(np.asarray(scale_strip((512, 8), table=few_colours(table))), interpolation="none", aspect="auto")
        axes.set(xticks=(), yticks=())
        signed = len(table) == max(used) and len(table) % 4 == 1 and table is palette.signed
        words = (ends[0], "0", ends[1]) if signed else ("0", "", ends[1])
        for place, word, align in zip((0, 0.5, 1), words, ("left", "center", "right"), strict=True):
            axes.text(place, -0.35, word, size=places.size - 1, ha=align, va="top", transform=axes.transAxes)


def _cut(text: str, size: float, room: float) -> str:
    """A text that is no wider than a place."""
    if text_inches(text, size) <= room:
        return text
    while text and text_inches(text + "…", size) > room:
        text = text[:-1]
    return text.rstrip() + "…"


def _wrapped(text: str, size: float, room: float) -> list[str]:
    """A text in lines of at most so many inches, none of which breaks before a unit."""
    lines: list[str] = []
    for word in re.split(r" +(?!%|px\b)", text):
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and text_inches(joined, size) <= room:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines
