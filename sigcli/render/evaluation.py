"""The figures of an evaluation: curves with bands, a table of methods and metrics, agreement between methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .plots import cycle, panels, signed_colours

Row = Mapping[str, Any]


def draw_evaluation(
    summary: Sequence[Row],
    pairs: Sequence[Row],
    curves: Sequence[Row],
    agreement: Sequence[Row],
    folder: Path,
) -> None:
    """Write curves.png, table.png and agreement.png, those for which there is something to draw."""
    if curves:
        draw_curves(curves, folder / "curves.png")
    draw_table(summary, pairs, folder / "table.png")
    if agreement:
        draw_agreement(agreement, folder / "agreement.png")


def draw_curves(rows: Sequence[Row], path: Path) -> None:
    """One panel per metric and imputation: mean curve of each method with its 95 % band."""
    kinds = list(dict.fromkeys((row["metric"], row["imputation"]) for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    with panels(path, len(kinds), size=(4.6, 3.2), columns=3) as axes:
        for axis, (metric, imputation) in zip(axes, kinds, strict=True):
            for method, colour in zip(methods, cycle(len(methods)), strict=True):
                mine = [r for r in rows if (r["method"], r["metric"], r["imputation"]) == (method, metric, imputation)]
                x, mean, low, high = (
                    np.array([r[c] for r in mine], float) for c in ("at", "mean", "ci_low", "ci_high")
                )
                axis.plot(x, mean, color=colour, lw=1.5, label=method)
                if not np.isnan(low).any():
                    axis.fill_between(x, low, high, color=colour, alpha=0.13, lw=0)
            axis.set_title(f"{metric}, {imputation}" if imputation else metric)
            axis.set_xlabel(
                next(row["along"] for row in rows if (row["metric"], row["imputation"]) == (metric, imputation))
            )
        axes[0].legend()


def supported_best(rows: Sequence[Row], pairs: Sequence[Row]) -> set[tuple[str, str, str]]:
    """(method, metric, imputation) that are better than every other method with an interval that leaves out zero."""
    best = set()
    for row in rows:
        if row["mean"] is None or not row["better"]:
            continue
        sign = 1 if row["better"] == "higher" else -1
        kind = row["metric"], row["imputation"]
        beaten = 0
        for pair in pairs:
            if (pair["metric"], pair["imputation"]) != kind or pair["ci_low"] is None:
                continue
            low, high = sorted((sign * pair["ci_low"], sign * pair["ci_high"]))
            beaten += (pair["method"] == row["method"] and low > 0) + (pair["minus"] == row["method"] and high < 0)
        others = sum((r["metric"], r["imputation"]) == kind for r in rows) - 1
        if others and beaten == others:
            best.add((row["method"], *kind))
    return best


def draw_table(rows: Sequence[Row], pairs: Sequence[Row], path: Path) -> None:
    """Methods by metrics: means with intervals; the best in bold only where its paired intervals leave out zero."""
    kinds = list(dict.fromkeys((row["metric"], row["imputation"], row["better"]) for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    best = supported_best(rows, pairs)
    found = {(row["method"], row["metric"], row["imputation"]): row for row in rows}
    size = (1.4 + 1.75 * len(kinds), 0.9 + 0.42 * len(methods))
    with panels(path, 1, size=size, columns=1) as (axis,):
        axis.set_axis_off()
        axis.set_xlim(0, 1.4 + 1.75 * len(kinds))
        axis.set_ylim(len(methods) + 0.2, -1.1)
        for j, (metric, imputation, better) in enumerate(kinds):
            x = 1.5 + 1.75 * (j + 0.5)
            axis.text(x, -0.75, metric, ha="center", weight="bold", fontsize=8.5)
            axis.text(x, -0.35, " ".join(t for t in (imputation, {"higher": "↑", "lower": "↓"}.get(better, "")) if t),
                      ha="center", fontsize=8, color="#555555")  # fmt: skip
        for i, method in enumerate(methods):
            axis.text(0.05, i + 0.35, method, weight="bold", va="center")
            axis.axhline(i - 0.08, color="#e0e0e0", lw=0.7)
            for j, (metric, imputation, _) in enumerate(kinds):
                row = found.get((method, metric, imputation))
                x = 1.5 + 1.75 * (j + 0.5)
                if row is None or row["mean"] is None:
                    axis.text(x, i + 0.35, "-", ha="center", va="center")
                    continue
                strong = (method, metric, imputation) in best
                axis.text(
                    x, i + 0.25, f"{row['mean']:.3f}", ha="center", va="center", weight="bold" if strong else "normal"
                )
                if row["ci_low"] is not None:
                    axis.text(x, i + 0.62, f"{row['ci_low']:.3f} to {row['ci_high']:.3f}", ha="center", va="center",
                              fontsize=6.5, color="#666666")  # fmt: skip


def draw_agreement(rows: Sequence[Row], path: Path) -> None:
    """Spearman correlation of the maps, and overlap of their top 5 %, for each pair of methods."""
    methods = list(dict.fromkeys(name for row in rows for name in (row["method"], row["other"])))
    m = len(methods)
    side = 1.6 + 0.62 * m
    with panels(path, 2, size=(side + 0.6, side)) as axes:
        for axis, column, title in zip(
            axes, ("spearman", "top_overlap"), ("rank correlation of the maps", "overlap of their top 5 %"), strict=True
        ):
            matrix = np.eye(m)
            for row in rows:
                i, j = methods.index(row["method"]), methods.index(row["other"])
                matrix[i, j] = matrix[j, i] = row[column]
            axis.imshow(matrix, cmap=signed_colours(), vmin=-1, vmax=1)
            for i in range(m):
                for j in range(m):
                    shade = "white" if abs(matrix[i, j]) > 0.6 else "#222222"
                    axis.text(j, i, f"{matrix[i, j]:.2f}", ha="center", va="center", fontsize=8, color=shade)
            axis.set_xticks(range(m), methods, rotation=45, ha="right")
            axis.set_yticks(range(m), methods)
            axis.grid(visible=False)
            axis.set_title(title)
