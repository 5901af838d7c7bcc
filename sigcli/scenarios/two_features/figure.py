"""The figure of the two-feature example: the landscape with its two straight paths, and what each method says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes

from ...render.plots.panels import panels
from .data import POINTS, score

_COLOURS = ("#2b6ca3", "#d1495b")


def draw_two_features(found: Mapping[str, Mapping[str, np.ndarray]], path: Path) -> None:
    """Write the landscape beside the values of both inputs.

    Args:
        found: method → input → values of both features.
        path: the PNG.
    """
    title = "Is either feature between 0.25 and 0.5? Straight paths from (0, 0) cross the range of the wrong one"
    with panels(path, 3, size=(3.9, 3.6), columns=3, title=title) as axes:
        _landscape(axes[0])
        for axis, point in zip(axes[1:], POINTS, strict=True):
            _values(axis, point, found)
        axes[1].figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower right", ncols=2)


def _landscape(axis: Axes) -> None:
    line = torch.linspace(0, 1, 301)
    grid = torch.cartesian_prod(line, line)
    shown = score(grid).reshape(301, 301).T.numpy()
    axis.imshow(shown, origin="lower", extent=(0, 1, 0, 1), cmap="Greys", vmin=0, vmax=2.2)
    for name, (x, y) in POINTS.items():
        axis.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "-|>", "color": "#d1495b", "lw": 1.6, "shrinkB": 0})
        axis.text(x + 0.02, y + 0.02, name, weight="bold", color="#d1495b", fontsize=12)
    axis.set_xlabel("x1")
    axis.set_ylabel("x2")
    axis.set_title("score: white 0, grey 1")
    axis.grid(visible=False)


def _values(axis: Axes, point: str, found: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    places = np.arange(len(found))[::-1]
    for feature, colour in enumerate(_COLOURS):
        values = [by[point][feature] for by in found.values()]
        axis.barh(places + 0.2 - 0.4 * feature, values, height=0.38, color=colour, label=f"x{feature + 1}")
    axis.axvline(0, color="#888888", lw=0.8)
    axis.set_yticks(places, list(found))
    axis.set_title(f"{point} = {POINTS[point]}: score {float(score(torch.tensor([POINTS[point]]))[0]):g}")
    axis.set_xlabel("value")
    axis.grid(axis="y", visible=False)
