"""How lines and points of many methods are told apart: by colour, marker and dashes together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from ..maps.layout import flow

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#222222", "#e69f00", "#56b4e9", "#882255")
"""Okabe and Ito 2008 without its yellow, which is lost on white, and with a wine of Tol's."""
_MARKERS = ("o", "s", "D", "^", "v", "p", "X", "<", ">", "P", "*")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.3, 1.3)), (0, (6, 1.6, 1.3, 1.6)))


@dataclass(frozen=True)
class Look:
    """How one method is drawn.

    Args:
        colour: colour of line, points and name.
        marker: marker of its points; another than those of the ten methods before and after it.
        dashes: dashes of its line; another than those of the methods of the same colour.
    """

    colour: str
    marker: str
    dashes: Any


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A look for each name in order; the first 32 differ in colour or dashes, the first 88 in colour or marker."""
    return {
        name: Look(_COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)], _DASHES[i // len(_COLOURS) % len(_DASHES)])
        for i, name in enumerate(dict.fromkeys(names))
    }


@lru_cache(maxsize=4096)
def text_inches(text: str, size: float, weight: str = "normal") -> float:
    """Width of a line of text in inches, at `size` points."""
    font = FontProperties(family="sans-serif", weight=weight, size=size)
    return (
        float(text_to_path.get_text_width_height_descent(text.rstrip(), font, ismath=False)[0]) / 72
        if text.strip()
        else 0.0
    )


def legend_below(figure: Figure, named: dict[str, Look], *, lines: bool = True, note: str = "") -> None:
    """Names of all methods under the panels, in as many columns as fit, so the figure grows; `note` over them."""
    width, height = map(float, figure.get_size_inches())
    widest = max(text_inches(name, 8) for name in named) + 0.75
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, ls=look.dashes if lines else "", lw=1.6, ms=5, label=name)
        for name, look in named.items()
    ]
    columns = max(1, min(len(named), int((width - 0.3) / widest)))
    wrapped = "\n".join(flow(note, len, max(40, int(13.5 * width))))
    rows = -(-len(named) // columns)
    figure.set_size_inches(width, height + 0.18 * (rows - 1 + wrapped.count("\n")))  # what is left is the panels'
    legend = figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, handlelength=3.2 if lines else 1.2, title=wrapped,
        title_fontsize=8, alignment="center",
    )  # fmt: skip
    legend.get_title().set_color("#555555")


def spread(wanted: Sequence[float], gap: float, *, low: float = 0.0, high: float = 1.0) -> list[float]:
    """Places as near to those wanted as may be (least squares), in the same order and at least `gap` apart.

    Args:
        wanted: ascending.
        gap: between two places.
        low: lower limit of the first place, as far as there is room.
        high: upper limit of the last place.

    >>> spread([0.2, 0.5, 0.5], 0.1)
    [0.2, 0.45, 0.55]
    """
    blocks: list[tuple[float, int]] = []  # mean of wanted place less the steps below it, and how many
    for i, place in enumerate(wanted):
        mean, count = place - gap * i, 1
        while blocks and blocks[-1][0] >= mean:
            before, of = blocks.pop()
            mean, count = (before * of + mean * count) / (of + count), of + count
        blocks.append((mean, count))
    top = max(low, high - gap * (len(wanted) - 1))
    bases = [min(max(mean, low), top) for mean, count in blocks for _ in range(count)]
    return [round(base + gap * i, 9) for i, base in enumerate(bases)]
