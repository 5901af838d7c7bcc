"""The figures of `sig benchmark images`: time and metrics over growing numbers of images, and quality beside cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from .labels import Mark, label_points
from .plots import cycle, panels

Row = Mapping[str, Any]
_SIZE = (3.4, 2.6)
"""About the inside of a panel of quality beside cost, in inches."""
_MARKERS = "osD^vphX<>"


def draw_benchmark(rows: Sequence[Row], folder: Path) -> None:
    """Write time.png, counts.png and quality-cost.png, those for which there is something to draw."""
    if any(row["seconds"] for row in rows):
        draw_time(rows, folder / "time.png")
    known = [row for row in rows if row["mean"] is not None]
    if known:
        draw_counts(known, folder / "counts.png")
    last = [row for row in known if row["count"] == max(r["count"] for r in rows) and row["seconds_per_image"]]
    if last:
        draw_quality_cost(last, folder / "quality-cost.png")


def _methods(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each method."""
    names = list(dict.fromkeys(row["method"] for row in rows))
    return {
        name: (c, _MARKERS[i % len(_MARKERS)]) for i, (name, c) in enumerate(zip(names, cycle(len(names)), strict=True))
    }


def _kinds(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows by metric and imputation."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["metric"], row["imputation"]), []).append(row)
    return groups


def _columns(count: int) -> int:
    return 2 if count in (2, 4) else 3


def _count_axis(axis: Axes, counts: Sequence[int]) -> None:
    axis.set_xscale("log")
    axis.set_xticks(list(counts), [str(count) for count in counts])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel("images")


def _plain_ticks(values: np.ndarray) -> tuple[float, float, list[float]]:
    """Limits of a log axis with room around the values, and 1, 2, 5 × 10^k within."""
    low, high = float(values.min()) / 1.35, float(values.max()) * 1.35
    ticks = [m * 10.0**k for k in range(-7, 8) for m in (1, 2, 5) if low <= m * 10.0**k <= high]
    return low, high, ticks if len(ticks) < 9 else [t for t in ticks if f"{t:.0e}".startswith("1")]


def _log_axis(axis: Any, values: np.ndarray) -> tuple[float, float]:
    """Ticks with plain numbers on a log axis; returns its limits."""
    low, high, ticks = _plain_ticks(values)
    axis.set_ticks(ticks)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
    axis.set_minor_locator(NullLocator())
    return low, high


def draw_time(rows: Sequence[Row], path: Path) -> None:
    """Seconds of each method against the number of images, in all and per image, on log axes ([SIG] Fig. 9)."""
    times = {(row["method"], row["count"]): row for row in rows if row["seconds"]}
    methods = {name: style for name, style in _methods(rows).items() if any(name == method for method, _ in times)}
    counts = sorted({count for _, count in times})
    title = "Running time of the explanations"
    with panels(path, 2, size=(4.4, 3.4), title=title) as axes:
        for axis, column, label in zip(
            axes, ("seconds", "seconds_per_image"), ("seconds, all images", "seconds per image"), strict=True
        ):
            for name, (colour, marker) in methods.items():
                mine = [times[name, count] for count in counts if (name, count) in times]
                axis.plot([r["count"] for r in mine], [r[column] for r in mine], marker=marker, color=colour, ms=4.5, lw=1.5,
                          label=name)  # fmt: skip
            _count_axis(axis, counts)
            axis.set_yscale("log")
            axis.set_ylim(_log_axis(axis.yaxis, np.array([row[column] for row in times.values()])))
            axis.set_title(label)
        _ends(axes[1], methods, times, counts)


def _ends(axis: Axes, methods: Mapping[str, tuple[str, str]], times: Mapping[Any, Row], counts: Sequence[int]) -> None:
    """Name each line at its end, in order of height, with what it cost per image."""
    last = {name: max(count for method, count in times if method == name) for name in methods}
    heights = {name: float(times[name, last[name]]["seconds_per_image"]) for name in methods}
    low, high = axis.get_ylim()
    place = {name: float(np.log(height / low) / np.log(high / low)) for name, height in heights.items()}
    right, floor = 1.04, -np.inf
    shift = 0.0
    order = sorted(place, key=lambda name: place[name])
    at = dict[str, float]()
    for name in order:  # upwards, each at least a line above the last
        floor = max(place[name], floor + 0.075)
        at[name] = floor
    shift = max(0.0, at[order[-1]] - 1.0)
    for name in order:
        text = f"{name}  {heights[name]:.3g} s"
        axis.text(right, at[name] - shift, text, transform=axis.transAxes, va="center", fontsize=8, color=methods[name][0],
                  weight="bold")  # fmt: skip
    axis.set_xlim(counts[0] / 1.12, counts[-1] * 1.12)


def draw_counts(rows: Sequence[Row], path: Path) -> None:
    """Each metric against the number of images: the mean of each method with its 95 % interval ([SIG] Fig. 12).

    Methods stand side by side at each count, since bands of more than two or three hide each other.
    """
    kinds, methods = _kinds(rows), _methods(rows)
    counts = sorted({row["count"] for row in rows})
    nearest = min([2.0, *(later / earlier for earlier, later in pairwise(counts))])
    aside = dict(zip(methods, nearest ** np.linspace(-0.22, 0.22, len(methods) + 2)[1:-1], strict=True))
    title = "Metrics over growing numbers of images (mean, 95 % interval over images)"
    with panels(path, len(kinds), size=(4.2, 3.1), columns=_columns(len(kinds)), title=title) as axes:
        for axis, ((metric, imputation), found) in zip(axes, kinds.items(), strict=True):
            for name, (colour, marker) in methods.items():
                mine = [row for row in found if row["method"] == name]
                x, mean, low, high = (
                    np.array([row[column] for row in mine], float) for column in ("count", "mean", "ci_low", "ci_high")
                )
                axis.plot(x * aside[name], mean, color=colour, lw=0.8, alpha=0.5)
                axis.vlines(x * aside[name], low, high, color=colour, lw=1.6, alpha=0.75)
                axis.plot(x * aside[name], mean, marker, color=colour, ms=5, mec="white", mew=0.5, label=name)
            _count_axis(axis, counts)
            axis.set_xlim(counts[0] / nearest**0.35, counts[-1] * nearest**0.35)
            axis.grid(axis="x", visible=False)
            axis.set_title(_title(metric, imputation, found[0]["better"]))
            axis.set_ylabel(found[0]["unit"])
        axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")


def _title(metric: str, imputation: str, better: str) -> str:
    name = f"{metric}, {imputation}" if imputation else metric
    return f"{name} ({better} is better)" if better else name


def draw_quality_cost(rows: Sequence[Row], path: Path) -> None:
    """Metric of each method against its seconds per image, one panel per metric and imputation; rows of one count."""
    kinds, methods = _kinds(rows), _methods(rows)
    seconds = np.array([row["seconds_per_image"] for row in rows], float)
    title = f"Quality beside cost, {rows[0]['count']} images (mean, 95 % interval over images)"
    with panels(path, len(kinds), size=(4.2, 3.4), columns=_columns(len(kinds)), title=title) as axes:
        for axis, ((metric, imputation), found) in zip(axes, kinds.items(), strict=True):
            axis.set_xscale("log")
            low, high = _log_axis(axis.xaxis, seconds)
            longest = max(len(name) for name in methods)
            axis.set_xlim(low, high * (high / low) ** ((0.076 * longest + 0.1) / (_SIZE[0] - 0.076 * longest)))
            bounds = [row[c] for row in found for c in ("mean", "ci_low", "ci_high") if row[c] is not None]
            room = 0.18 * ((max(bounds) - min(bounds)) or abs(bounds[0]) or 1.0)
            axis.set_ylim(min(bounds) - room, max(bounds) + room)
            for row in found:
                _point(axis, row, *methods[row["method"]])
            _arrow(axis, found[0]["better"])
            axis.set_title(f"{metric}, {imputation}" if imputation else metric, loc="left")
            axis.set_xlabel("seconds per image")
            axis.set_ylabel(found[0]["unit"])
            label_points(axis, [_mark(row, methods[row["method"]][0]) for row in found], size=_SIZE)


def _mark(row: Row, colour: str) -> Mark:
    low, high = (row["mean"] if row[name] is None else row[name] for name in ("ci_low", "ci_high"))
    return Mark(row["method"], row["seconds_per_image"], row["mean"], low, high, colour)


def _point(axis: Axes, row: Row, colour: str, marker: str) -> None:
    x, y = row["seconds_per_image"], row["mean"]
    if row["ci_low"] is not None:
        axis.plot([x, x], [row["ci_low"], row["ci_high"]], color=colour, lw=1.4, alpha=0.75)
    axis.plot(x, y, marker, color=colour, ms=6.5, mec="white", mew=0.6)


def _arrow(axis: Axes, better: str) -> None:
    """Say where a method should be: cheap, and good as far as the metric has a direction."""
    told = {"higher": "↖ better", "lower": "↙ better", "": "← cheaper"}[better]
    axis.set_title(told, loc="right", fontsize=9, color="#555555", weight="normal")
