"""The figure of the Local Minimum scenario: the score function, and each method's values on the input of table 2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...render.plots.panels import cycle, panels
from .data import component_score


def draw_components(x: np.ndarray, found: Mapping[str, np.ndarray], path: Path) -> None:
    """Write the score function with the input on it, and the values of all methods beside the scores.

    Args:
        x: (6,) the input.
        found: method → (6,) values over the largest; the first is the components' scores.
        path: the PNG.
    """
    title = "What does each component contribute? Values over the largest, bars cut at ±1.5"
    names = list(found)
    with panels(path, len(names), size=(2.6, 2.1), columns=5, title=title) as axes:
        line = np.linspace(0, 1, 501)
        places = np.arange(len(x))
        for axis, name, colour in zip(axes, names, ["#444444", *cycle(len(names) - 1)], strict=True):
            axis.bar(places, found["scores"], color="#e2e2e2", width=0.9)
            axis.bar(places, np.clip(found[name], -1.5, 1.5), color=colour, width=0.5)
            axis.axhline(0, color="#888888", lw=0.8)
            axis.set_ylim(-1.55, 1.55)
            axis.set_xticks(places, [f"{value:g}" for value in x])
            axis.grid(axis="x", visible=False)
            axis.set_title(name)
        inset = axes[0].inset_axes((0.07, 0.6, 0.42, 0.3))
        inset.plot(line, component_score(line), color="#444444", lw=1)
        inset.plot(x, component_score(x), ".", color="#d1495b", ms=4)
        inset.set_xticks([])
        inset.set_yticks([])
        inset.set_title("score of a value", fontsize=6, weight="normal", pad=2)
