"""The figures of `sig benchmark images`: time and metrics over growing numbers of images, and quality beside cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator
from PIL import Image

from ..shown import through_file
from .looks import Look, legend_below, looks, spread, text_inches
from .names import Mark, Place, plan_names, write_names
from .panels import canvas, even, panels

Row = Mapping[str, Any]
_SIZE = (3.4, 2.6)
"""About the inside of a panel of quality beside cost, in inches."""
_NAME = 0.165
"""Inches from one name to the next under it."""
_COVERED = 0.004
"""Square inches that a name may cover before all names go to a legend: a corner of a letter."""


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


def plot_time(rows: Sequence[Row], path: str | Path | None) -> Image.Image:
    """Seconds against the number of images, as `time.png` has them; also written to `path` where that is given."""
    return through_file(path, lambda file: draw_time(rows, file))


def _methods(rows: Sequence[Row]) -> dict[str, Look]:
    """How each method is drawn, the same in all figures."""
    return looks(row["method"] for row in rows)


def _kinds(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows by metric and imputation."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["metric"], row["imputation"]), []).append(row)
    return groups


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


def log_axis(axis: Any, values: np.ndarray) -> tuple[float, float]:
    """Ticks with plain numbers on a log axis; returns its limits."""
    low, high, ticks = _plain_ticks(values)
    axis.set_ticks(ticks)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
    axis.set_minor_locator(NullLocator())
    return low, high


def draw_time(rows: Sequence[Row], path: Path) -> None:
    """Seconds of each method against the number of images, in all and per image ([SIG] Fig. 9), on log axes.

    Bars reach one standard deviation over images to both sides, as far as a log axis goes.
    """
    times = {(row["method"], row["count"]): row for row in rows if row["seconds"]}
    methods = {name: look for name, look in _methods(rows).items() if any(name == method for method, _ in times)}
    counts = sorted({count for _, count in times})
    title = "Running time of the explanations"
    height = max(3.4, 0.9 + _NAME * len(methods))
    with panels(path, 2, size=(4.4, height), title=title) as axes:
        for axis, column, label in zip(
            axes, ("seconds", "seconds_per_image"), ("seconds, all images", "seconds per image ± sd"), strict=True
        ):
            for name, look in methods.items():
                mine = [times[name, count] for count in counts if (name, count) in times]
                axis.plot([r["count"] for r in mine], [r[column] for r in mine], marker=look.marker, color=look.colour,
                          ls=look.dashes, ms=5, mec="white", mew=0.5, lw=1.5, label=name)  # fmt: skip
            _count_axis(axis, counts)
            axis.set_yscale("log")
            reached = [row[column] for row in times.values()]
            if column == "seconds_per_image":
                reached += _spreads(axis, times, methods)
            axis.set_ylim(log_axis(axis.yaxis, np.array(reached)))
            axis.set_title(label)
            axis.set_xlim(counts[0] / 1.12, counts[-1] * 1.12)
        _ends(axes[1], methods, times, height - 0.6)


def _spreads(axis: Axes, times: Mapping[tuple[str, int], Row], methods: Mapping[str, Look]) -> list[float]:
    """Draw mean ± standard deviation over images where it is known; returns the ends of the bars."""
    ends: list[float] = []
    for (name, count), row in times.items():
        mean, sd = row["seconds_per_image"], row.get("seconds_sd")
        if sd:
            low, high = max(mean - sd, mean / 3), mean + sd
            axis.vlines(count, low, high, color=methods[name].colour, lw=1.6, alpha=0.6)
            ends += [low, high]
    return ends


def _ends(axis: Axes, methods: Mapping[str, Look], times: Mapping[tuple[str, int], Row], height: float) -> None:
    """Name each line at its end, with what it cost per image; where names would touch, as near to the end as may be.

    Args:
        axis: the axis whose limits are set.
        methods: with their looks.
        times: rows by method and count.
        height: height of the axis in inches, about.
    """
    last = {name: max(count for method, count in times if method == name) for name in methods}
    heights = {name: float(times[name, last[name]]["seconds_per_image"]) for name in methods}
    low, high = axis.get_ylim()
    order = sorted(methods, key=lambda name: heights[name])
    wanted = [float(np.log(heights[name] / low) / np.log(high / low)) for name in order]
    for name, place in zip(order, spread(wanted, _NAME / height, low=0.02, high=0.98), strict=True):
        look = methods[name]
        axis.annotate(
            f"{name}  {heights[name]:.3g} s", (last[name], heights[name]), (1.1, place), textcoords="axes fraction",
            va="center", fontsize=8, color=look.colour, weight="bold", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": look.colour, "lw": 0.7, "alpha": 0.7, "shrinkA": 7, "shrinkB": 4,
                        "relpos": (0.0, 0.5)},
        )  # fmt: skip
        axis.plot(1.07, place, look.marker, color=look.colour, ms=5, transform=axis.transAxes, clip_on=False)


def draw_counts(rows: Sequence[Row], path: Path) -> None:
    """Each metric against the number of images: the mean of each method with its 95 % interval ([SIG] Fig. 12).

    Methods stand side by side at each count, since bands of more than two or three hide each other.
    """
    kinds, methods = _kinds(rows), _methods(rows)
    counts = sorted({row["count"] for row in rows})
    nearest = min([2.0, *(later / earlier for earlier, later in pairwise(counts))])
    aside = dict(zip(methods, nearest ** np.linspace(-0.22, 0.22, len(methods) + 2)[1:-1], strict=True))
    title = "Metrics over growing numbers of images (mean, 95 % interval over images)"
    with panels(path, len(kinds), size=(4.2, 3.1), columns=even(len(kinds)), title=title) as axes:
        for axis, ((metric, imputation), found) in zip(axes, kinds.items(), strict=True):
            for name, look in methods.items():
                mine = [row for row in found if row["method"] == name]
                x, mean, low, high = (
                    np.array([row[column] for row in mine], float) for column in ("count", "mean", "ci_low", "ci_high")
                )
                axis.plot(x * aside[name], mean, color=look.colour, ls=look.dashes, lw=0.8, alpha=0.5)
                axis.vlines(x * aside[name], low, high, color=look.colour, lw=1.6, alpha=0.75)
                axis.plot(
                    x * aside[name], mean, look.marker, color=look.colour, ms=5.5, mec="white", mew=0.5, label=name
                )
            _count_axis(axis, counts)
            axis.set_xlim(counts[0] / nearest**0.35, counts[-1] * nearest**0.35)
            axis.grid(axis="x", visible=False)
            axis.set_title(_title(metric, imputation, found[0]["better"]))
            axis.set_ylabel(found[0]["unit"])
        legend_below(canvas(axes), methods)


def _title(metric: str, imputation: str, better: str) -> str:
    name = f"{metric}, {imputation}" if imputation else metric
    return f"{name} ({better} is better)" if better else name


def draw_quality_cost(rows: Sequence[Row], path: Path) -> None:
    """Metric of each method against its seconds per image, one panel per metric and imputation; rows of one count.

    Methods are named beside their points where there is room in every panel, and else in a legend.
    """
    kinds, methods = _kinds(rows), _methods(rows)
    title = f"Quality beside cost, {rows[0]['count']} images (mean, 95 % interval over images)"
    widest = max(text_inches(name, 8, "bold") for name in methods)
    with panels(path, len(kinds), size=(4.2, 3.4), columns=even(len(kinds)), title=title) as axes:
        plans = list[list[Place]]()
        for axis, ((metric, imputation), found) in zip(axes, kinds.items(), strict=True):
            _scales(axis, rows, found, widest)
            for row in found:
                _point(axis, row, methods[row["method"]])
            _arrow(axis, found[0]["better"])
            axis.set_title(f"{metric}, {imputation}" if imputation else metric, loc="left")
            axis.set_xlabel("seconds per image")
            axis.set_ylabel(found[0]["unit"])
            plans.append(plan_names(axis, [_mark(row, methods[row["method"]].colour) for row in found], size=_SIZE))
        if all(place.cost <= _COVERED for plan in plans for place in plan):
            for axis, plan in zip(axes, plans, strict=True):
                write_names(axis, plan)
        else:
            for axis, found in zip(axes, kinds.values(), strict=True):
                _scales(axis, rows, found, 0.0)
            legend_below(canvas(axes), methods, lines=False)


def _scales(axis: Axes, rows: Sequence[Row], found: Sequence[Row], name: float) -> None:
    """Both scales of a panel, with `name` inches free on the right for names."""
    axis.set_xscale("log")
    low, high = log_axis(axis.xaxis, np.array([row["seconds_per_image"] for row in rows], float))
    free = min(name + 0.1, 0.6 * _SIZE[0]) if name else 0.0
    axis.set_xlim(low, high * (high / low) ** (free / (_SIZE[0] - free)))
    bounds = [row[c] for row in found for c in ("mean", "ci_low", "ci_high") if row[c] is not None]
    room = (0.18 if name else 0.06) * ((max(bounds) - min(bounds)) or abs(bounds[0]) or 1.0)
    axis.set_ylim(min(bounds) - room, max(bounds) + room)


def _mark(row: Row, colour: str) -> Mark:
    low, high = (row["mean"] if row[name] is None else row[name] for name in ("ci_low", "ci_high"))
    return Mark(row["method"], row["seconds_per_image"], row["mean"], low, high, colour)


def _point(axis: Axes, row: Row, look: Look) -> None:
    x, y = row["seconds_per_image"], row["mean"]
    if row["ci_low"] is not None:
        axis.plot([x, x], [row["ci_low"], row["ci_high"]], color=look.colour, lw=1.4, alpha=0.75)
    axis.plot(x, y, look.marker, color=look.colour, ms=6.5, mec="white", mew=0.6)


def _arrow(axis: Axes, better: str) -> None:
    """Say where a method should be: cheap, and good as far as the metric has a direction."""
    told = {"higher": "↖ better", "lower": "↙ better", "": "← cheaper"}[better]
    axis.set_title(told, loc="right", fontsize=9, color="#555555", weight="normal")
