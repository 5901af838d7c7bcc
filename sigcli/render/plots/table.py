"""The table of an evaluation: methods by metrics, and which is best as far as the images show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from ...metrics.statistics import DECIDING, FEWEST
from ..maps.layout import flow
from .looks import text_inches
from .panels import panels

Row = Mapping[str, Any]
_GREY = "#555555"
_NOTE = (
    "{}; ↑ higher, ↓ lower is better. Bold: better than every other method, each by a paired 95 % interval that leaves out "
    f"zero, over at least {DECIDING} images."
)


def intervals_of(rows: Sequence[Row]) -> str:
    """The kinds of intervals in some rows, in words."""
    return ", ".join(dict.fromkeys(row["interval"] for row in rows if row.get("interval")))


def _told(rows: Sequence[Row]) -> str:
    """What the numbers are, in a sentence."""
    known = intervals_of(rows)
    below = f"and below it its 95 % interval ({known})" if known else f"without intervals, which take {FEWEST} images"
    return f"Mean over n images, {below}"


def arrow(better: str) -> str:
    """Up for higher, down for lower, nothing where neither is better."""
    return {"higher": "↑", "lower": "↓"}.get(better, "")


def supported_best(rows: Sequence[Row], pairs: Sequence[Row]) -> set[tuple[str, str, str]]:
    """(method, metric, imputation) that beat every other method by a paired interval that leaves out zero.

    Args:
        rows: rows of `summary.csv`, one for each method, metric and imputation.
        pairs: rows of `summary.csv` with the differences; one over fewer than `DECIDING` images decides nothing.
    """
    best = set()
    for row in rows:
        if row["mean"] is None or not row["better"]:
            continue
        sign = 1 if row["better"] == "higher" else -1
        kind = row["metric"], row["imputation"]
        beaten = set()
        for pair in pairs:
            if (pair["metric"], pair["imputation"]) != kind or pair["ci_low"] is None or pair["n"] < DECIDING:
                continue
            low, high = sorted((sign * pair["ci_low"], sign * pair["ci_high"]))
            if pair["method"] == row["method"] and low > 0:
                beaten.add(pair["minus"])
            if pair["minus"] == row["method"] and high < 0:
                beaten.add(pair["method"])
        others = {r["method"] for r in rows if (r["metric"], r["imputation"]) == kind} - {row["method"]}
        if others and beaten >= others:
            best.add((row["method"], *kind))
    return best


def draw_table(rows: Sequence[Row], pairs: Sequence[Row], path: Path) -> None:
    """Methods by metrics: means with intervals, n, and in bold what `supported_best` finds; a note says what bold is."""
    kinds = list(dict.fromkeys((row["metric"], row["imputation"], row["better"]) for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    best = supported_best(rows, pairs)
    found = {(row["method"], row["metric"], row["imputation"]): row for row in rows}
    first = 0.25 + max(text_inches(method, 9, "bold") for method in methods)
    widths = [max(1.6, 0.3 + text_inches(metric, 8.5, "bold")) for metric, *_ in kinds]
    width = max(first + sum(widths), 4.2)
    note = flow(_NOTE.format(_told(rows)), len, int(17 * width))
    top, step = 0.78, 0.42  # inches of the heading, and of a row
    height = top + step * len(methods) + 0.16 + 0.15 * len(note)
    with panels(path, 1, size=(width, height), columns=1) as (axis,):
        axis.set_axis_off()
        axis.set_xlim(0, width)
        axis.set_ylim(height, 0)
        for i, method in enumerate(methods):
            axis.axhline(top + step * i, color="#e0e0e0", lw=0.7)
            axis.text(0.05, top + step * (i + 0.5), method, weight="bold", va="center")
        left = first
        for (metric, imputation, better), wide in zip(kinds, widths, strict=True):
            column = [found.get((method, metric, imputation)) for method in methods]
            marked = [(method, metric, imputation) in best for method in methods]
            numbers = {row["n"] for row in column if row is not None}
            under = [" ".join(t for t in (imputation, arrow(better)) if t)]
            under.append(f"n = {numbers.copy().pop()}" if len(numbers) == 1 else "n differs")
            _heading(axis, left + wide / 2, metric, under)
            for i, (row, strong) in enumerate(zip(column, marked, strict=True)):
                _cell(axis, left + wide / 2, top + step * i, row, strong=strong, counted=len(numbers) != 1)
            left += wide
        axis.text(0.05, top + step * len(methods) + 0.1, "\n".join(note), va="top", fontsize=7.5, color=_GREY)


def _heading(axis: Axes, x: float, metric: str, under: Sequence[str]) -> None:
    axis.text(x, 0.2, metric, ha="center", va="center", weight="bold", fontsize=8.5)
    for line, text in enumerate(under):
        axis.text(x, 0.42 + 0.2 * line, text, ha="center", va="center", fontsize=8, color=_GREY)


def _cell(axis: Axes, x: float, y: float, row: Row | None, *, strong: bool, counted: bool) -> None:
    """Mean over interval, in a row that begins at y; a dash where there is none."""
    if row is None or row["mean"] is None:
        axis.text(x, y + 0.2, "-", ha="center", va="center")
        return
    small = [] if row["ci_low"] is None else [f"{_number(row['ci_low'])} to {_number(row['ci_high'])}"]
    small += [f"n = {row['n']}"] if counted else []
    axis.text(x, y + 0.15, _number(row["mean"]), ha="center", va="center", weight="bold" if strong else "normal")
    axis.text(x, y + 0.31, ", ".join(small), ha="center", va="center", fontsize=6.5, color="#666666")


def _number(value: float) -> str:
    """Three decimals, or three significant digits where these would say nothing.

    >>> _number(0.0), _number(-0.25), _number(1.234e-5), _number(123456.0)
    ('0.000', '-0.250', '1.23e-05', '1.23e+05')
    """
    return f"{value:.3f}" if value == 0 or 5e-4 <= abs(value) < 1e4 else f"{value:.2e}"
