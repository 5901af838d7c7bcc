"""The figures of `sig benchmark methods`: methods by metrics, and quality beside cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from PIL import Image
from scipy.stats import rankdata

from ..maps.layout import flow
from ..shown import through_file
from .benchmark import log_axis
from .looks import Look, legend_below, looks, text_inches
from .names import Mark, plan_names, write_names
from .panels import canvas, panels
from .table import arrow

Row = Mapping[str, Any]
Column = tuple[str, str]
_BEST, _WORST = np.array(to_rgb("#7fbcd6")), np.array(to_rgb("#ffffff"))
_GREY = "#555555"
_ROW, _CELL, _TOP = 0.27, 0.74, 0.68
"""Inches: height of a row, least width of a cell, height of the headings."""
_SIGNS = {("better", "yes"): "▲", ("better", "no"): "△", ("worse", "yes"): "▼", ("worse", "no"): "▽"}
_PANEL = (4.6, 4.4)
_INSIDE = (3.8, 3.6)
_COVERED = 0.01
_COSTS = {"evaluations_per_map": "evaluations per map", "seconds_per_image": "seconds per image"}


def draw_methods(rows: Sequence[Row], folder: Path) -> None:
    """Write methods.png and methods-cost.png, those for which there is something to draw.

    Args:
        rows: rows of `methods.csv`, the best method first.
        folder: where the figures go.
    """
    if any(row["mean"] is not None for row in rows):
        draw_heat(rows, folder / "methods.png")
    if any(row["mean_rank"] is not None and row["seconds_per_image"] for row in rows):
        draw_costs(rows, folder / "methods-cost.png")


def plot_methods(rows: Sequence[Row], path: str | Path | None) -> Image.Image:
    """Methods by metrics, as `methods.png` has them; also written to `path` where that is given."""
    return through_file(path, lambda file: draw_heat(rows, file))


def _methods(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


def _columns(rows: Sequence[Row]) -> list[Column]:
    return list(dict.fromkeys((row["metric"], row["imputation"]) for row in rows))


def _widths(columns: Sequence[Column]) -> list[float]:
    """Inches of each column: a heading spans all imputations of its metric."""
    shared = {metric: sum(other == metric for other, _ in columns) for metric, _ in columns}
    return [max(_CELL, (0.3 + text_inches(f"{metric} ↑", 8.5, "bold")) / shared[metric]) for metric, _ in columns]


def draw_heat(rows: Sequence[Row], path: Path) -> None:
    """Methods by metrics: means, darker the better their rank in the column, and what differs from the reference."""
    methods, columns = _methods(rows), _columns(rows)
    widths, left = _widths(columns), 0.75 + max(text_inches(name, 9, "bold") for name in methods)
    against = next((row["against"] for row in rows if row["against"]), methods[0])
    width = left + sum(widths) + 2 * _CELL + 0.2
    note = flow(_note(rows, against), len, int(16.5 * width))
    foot = _TOP + _ROW * len(methods)
    with panels(path, 1, size=(width, foot + 0.25 + 0.15 * len(note)), columns=1) as (axis,):
        axis.set_axis_off()
        axis.set_xlim(0, width)
        axis.set_ylim(foot + 0.25 + 0.15 * len(note), 0)
        _names(axis, rows, methods, against, left)
        for column, x, wide in zip(columns, np.cumsum([left, *widths]), widths, strict=False):
            _column(axis, [_at(rows, method, column) for method in methods], x, wide)
        _headings(axis, rows, columns, widths, left)
        _cost_cells(axis, rows, methods, left + sum(widths) + 0.1)
        place = methods.index(against)
        axis.add_patch(Rectangle((0.0, _TOP + _ROW * place), width, _ROW, fill=False, ec="#333333", lw=1.0))
        axis.text(0.05, foot + 0.12, "\n".join(note), va="top", fontsize=7.5, color=_GREY)


def _note(rows: Sequence[Row], against: str) -> str:
    counts = sorted({row["n"] for row in rows if row["n"]})
    images = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return (
        f"Means over {images} images; ↑ higher, ↓ lower is better; the darker, the better in its column; methods by their "
        f"mean rank over the metrics of maps. △ better, ▽ worse than {against} by a paired 95 % interval that leaves out "
        "zero; ▲ ▼: also when all comparisons are taken together (Holm, 5 %)."
    )


def _at(rows: Sequence[Row], method: str, column: Column) -> Row | None:
    return next((row for row in rows if (row["method"], row["metric"], row["imputation"]) == (method, *column)), None)


def _names(axis: Axes, rows: Sequence[Row], methods: Sequence[str], against: str, left: float) -> None:
    axis.text(left - 0.1, _TOP - 0.14, "rank", ha="right", va="center", fontsize=8, color=_GREY)
    ranks = {row["method"]: row["mean_rank"] for row in rows}
    for i, method in enumerate(methods):
        y = _TOP + _ROW * (i + 0.5)
        axis.text(0.06, y, method, va="center", weight="bold" if method == against else "normal")
        rank = "-" if ranks[method] is None else f"{ranks[method]:.1f}"
        axis.text(left - 0.1, y, rank, ha="right", va="center", fontsize=8.5)


def _headings(axis: Axes, rows: Sequence[Row], columns: Sequence[Column], widths: Sequence[float], left: float) -> None:
    """Each metric over its imputations, with its direction."""
    edges = np.cumsum([left, *widths])
    for metric in dict.fromkeys(name for name, _ in columns):
        mine = [i for i, (name, _) in enumerate(columns) if name == metric]
        start, end = edges[mine[0]], edges[mine[-1] + 1]
        better = next(row["better"] for row in rows if row["metric"] == metric)
        title = f"{metric} {arrow(better)}".strip()
        axis.text((start + end) / 2, _TOP - 0.44, title, ha="center", va="center", fontsize=8.5, weight="bold")
        axis.plot([start + 0.08, end - 0.08], [_TOP - 0.29] * 2, color="#bbbbbb", lw=0.8)
        for i in mine:
            middle = (edges[i] + edges[i + 1]) / 2
            axis.text(middle, _TOP - 0.14, columns[i][1], ha="center", va="center", fontsize=8, color=_GREY)


def _column(axis: Axes, cells: Sequence[Row | None], x: float, wide: float) -> None:
    """The means of one metric and imputation, coloured by their rank."""
    shades = _shades(cells)
    for i, (row, shade) in enumerate(zip(cells, shades, strict=True)):
        y = _TOP + _ROW * i
        axis.add_patch(Rectangle((x, y), wide, _ROW, fc=tuple(shade), ec="white", lw=1.0))
        told = "-" if row is None or row["mean"] is None else f"{row['mean']:.3f}"
        axis.text(x + wide / 2 - 0.06, y + _ROW / 2, told, ha="center", va="center", fontsize=8.5)
        sign = "" if row is None else _SIGNS.get((row["verdict"], row["holds"]), "")
        axis.text(x + wide / 2 + 0.17, y + _ROW / 2, sign, ha="left", va="center", fontsize=7, color="#222222")


def _shades(cells: Sequence[Row | None]) -> np.ndarray:
    """A colour (3,) for each cell: the darkest for the best of them, white for the worst and for those without a rank."""
    found = np.tile(_WORST, (len(cells), 1))
    known = {i: row for i, row in enumerate(cells) if row is not None and row["mean"] is not None and row["better"]}
    if len(known) < 2:
        return found
    signed = [round(row["mean"], 3) * (-1 if row["better"] == "higher" else 1) for row in known.values()]
    ranks = rankdata(signed)
    share = (ranks - 1) / (len(known) - 1) if len(set(signed)) > 1 else np.ones(len(known))
    found[list(known)] = _BEST + share[:, None] * (_WORST - _BEST)
    return found


def _cost_cells(axis: Axes, rows: Sequence[Row], methods: Sequence[str], left: float) -> None:
    of_method = {row["method"]: row for row in rows}
    axis.text(left + _CELL, _TOP - 0.44, "cost ↓", ha="center", va="center", fontsize=8.5, weight="bold")
    axis.plot([left + 0.08, left + 2 * _CELL - 0.08], [_TOP - 0.29] * 2, color="#bbbbbb", lw=0.8)
    for j, (column, heading, form) in enumerate(
        (("evaluations_per_map", "evaluations", ",.0f"), ("seconds_per_image", "s/image", ".3g"))
    ):
        x = left + _CELL * (j + 0.9)
        axis.text(x, _TOP - 0.14, heading, ha="right", va="center", fontsize=8, color=_GREY)
        for i, method in enumerate(methods):
            value = of_method[method][column]
            told = "-" if value is None else format(value, form)
            axis.text(x, _TOP + _ROW * (i + 0.5), told, ha="right", va="center", fontsize=8.5)


def draw_costs(rows: Sequence[Row], path: Path) -> None:
    """Mean rank of each method beside its cost: evaluations where they differ, and seconds.

    Methods are named beside their points where there is room in every panel, and else in a legend.
    """
    known = {row["method"]: row for row in rows if row["mean_rank"] is not None and row["seconds_per_image"]}
    axes_of = [column for column in _COSTS if column != "evaluations_per_map" or _differ(known.values(), column)]
    dressed = looks(row["method"] for row in rows)
    title = "Quality beside cost: mean rank over the metrics of maps, 1 is the best"
    with panels(path, len(axes_of), size=_PANEL, title=title) as axes:
        plans = [
            _cost_panel(axis, list(known.values()), dressed, column) for axis, column in zip(axes, axes_of, strict=True)
        ]
        if all(place.cost <= _COVERED for plan in plans for place in plan):
            for axis, plan in zip(axes, plans, strict=True):
                write_names(axis, plan)
        else:
            legend_below(canvas(axes), {name: dressed[name] for name in known}, lines=False)


def _differ(rows: Any, column: str) -> bool:
    values = [row[column] for row in rows if row[column]]
    return bool(values) and max(values) > 1.1 * min(values)


def _cost_panel(axis: Axes, rows: Sequence[Row], dressed: Mapping[str, Look], column: str) -> list[Any]:
    """The points of a panel; returns where their names would stand."""
    mine = [row for row in rows if row[column]]
    axis.set_xscale("log")
    low, high = log_axis(axis.xaxis, np.array([row[column] for row in mine], float))
    free = 0.3 + max(text_inches(row["method"], 8, "bold") for row in mine)
    axis.set_xlim(low, high * (high / low) ** (free / (_INSIDE[0] - free)))
    ranks = [row["mean_rank"] for row in mine]
    room = min(0.7, 0.12 * (max(ranks) - min(ranks)) + 0.3)
    axis.set_ylim(max(ranks) + room, min(ranks) - room)
    axis.yaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    axis.set_xlabel(_COSTS[column])
    axis.set_ylabel("mean rank")
    axis.set_title("↖ better", loc="right", fontsize=9, color=_GREY, weight="normal")
    for row in mine:
        look = dressed[row["method"]]
        axis.plot(row[column], row["mean_rank"], look.marker, color=look.colour, ms=7, mec="white", mew=0.6)
    marks = [_mark(row, column, dressed[row["method"]].colour) for row in mine]
    return plan_names(axis, marks, size=_INSIDE)


def _mark(row: Row, column: str, colour: str) -> Mark:
    rank = row["mean_rank"]
    return Mark(row["method"], row[column], rank, rank, rank, colour)
