"""Bars of shares by method, with their intervals and what chance would give."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...metrics.statistics import Summary
from ...render.plots.panels import panels

_OURS, _OTHERS = "#d1495b", "#9a9a9a"


def draw_shares(
    summary: Mapping[tuple[str, str], Summary], chance: float, measures: Mapping[str, str], path: Path
) -> None:
    """One panel for each measure, a bar for each method.

    Args:
        summary: (method, measure) → mean share with its interval.
        chance: share of the pixels, drawn as a line where the measure counts them.
        measures: name → title.
        path: the PNG.
    """
    methods = list(dict.fromkeys(method for method, _ in summary))
    with panels(path, len(measures), size=(4.6, 0.9 + 0.27 * len(methods)), columns=len(measures)) as axes:
        for axis, (measure, title) in zip(axes, measures.items(), strict=True):
            for place, method in enumerate(methods):
                found = summary[method, measure]
                if found.mean is None:
                    continue
                ours = method.startswith(("sig", "walk"))
                axis.barh(place, found.mean, color=_OURS if ours else _OTHERS, height=0.72)
                if found.low is not None and found.high is not None:
                    span = [[found.mean - found.low], [found.high - found.mean]]
                    axis.errorbar(found.mean, place, xerr=span, color="#222222", lw=1.1, capsize=2.5)
                axis.text(
                    1.01, place, f"{found.mean:.2f}", va="center", fontsize=8, transform=axis.get_yaxis_transform()
                )
            if measure != "outside_face":
                axis.axvline(chance, color="#444444", lw=1, ls="--")
                axis.text(chance, -0.62, " their share of the pixels", fontsize=7, va="bottom", color="#444444")
            axis.set_yticks(range(len(methods)), methods)
            axis.set_ylim(len(methods) - 0.4, -0.95)
            axis.set_xlim(left=0)
            axis.set_title(title, fontsize=9)
            axis.grid(axis="y", visible=False)
