"""The figure of `shap-convergence`: medians and bands as evaluations grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...render.plots.looks import legend_below, looks
from ...render.plots.panels import canvas, panels
from .estimators import ESTIMATORS


def draw_convergence(rows: Sequence[Mapping[str, Any]], budgets: Mapping[str, Sequence[int]], path: Path) -> None:
    """Write a panel for each tree.

    Args:
        rows: of estimates.csv.
        budgets: tree → its numbers of evaluations.
        path: the PNG.
    """
    named = looks(ESTIMATORS)
    with panels(
        path, len(budgets), size=(4.6, 3.2), columns=2, title="How fast one feature's value nears the exact one"
    ) as axes:
        for axis, model in zip(axes, budgets, strict=True):
            for method, look in named.items():
                mine = [row for row in rows if (row["model"], row["method"]) == (model, method)]
                at = [row["evaluations"] for row in mine]
                axis.fill_between(
                    at, [r["p10"] for r in mine], [r["p90"] for r in mine], color=look.colour, alpha=0.2, lw=0
                )
                axis.plot(at, [r["median"] for r in mine], color=look.colour, marker=look.marker, ls=look.dashes)
            axis.axhline(next(row["exact"] for row in rows if row["model"] == model), color="#888888", lw=0.9)
            axis.set_xscale("log")
            axis.set_xticks(budgets[model], [str(budget) for budget in budgets[model]])
            axis.minorticks_off()
            axis.set_xlabel("evaluations")
            axis.set_title(f"{model} tree")
        axes[0].set_ylabel("value of the feature")
        told = "Lines with marks: medians. Bands: 10th to 90th percentile. Thin grey line: the exact value."
        legend_below(canvas(axes), named, note=told)
