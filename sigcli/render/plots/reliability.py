"""The reliability diagram: does the model's confidence match its accuracy?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ...metrics.classifier import Reliability
from .panels import panels

_BAR, _GAP = "#2b6ca3", "#d1495b"


def draw_reliability(found: Reliability, path: Path) -> None:
    """Accuracy against confidence, bin by bin, with the number of images in each (Guo 2017, Fig. 1)."""
    middle, width = (found.edges[:-1] + found.edges[1:]) / 2, 0.94 * float(found.edges[1] - found.edges[0])
    total = int(np.sum(found.count))
    with panels(path, 2, size=(3.9, 3.7), title=None) as (above, below):
        _bins(above, found, middle, width)
        above.set_title(f"expected calibration error {found.error:.3f}")
        above.set_xlabel("confidence (probability of the predicted class)")
        above.set_ylabel("share of right predictions")
        above.set_xlim(0, 1)
        above.set_ylim(0, 1.02)
        above.legend(loc="upper center", bbox_to_anchor=(0.5, -0.19), ncols=2)
        below.bar(middle, found.count, width, color="#7a7a7a")
        below.set_title(f"{total} image{'' if total == 1 else 's'}")
        below.set_xlabel("confidence")
        below.set_ylabel("images in the bin")
        below.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        below.set_xlim(0, 1)


def _bins(axis: Axes, found: Reliability, middle: np.ndarray, width: float) -> None:
    """Bars of the accuracy; hatched from there to the mean confidence, whichever is higher, so colours never mix."""
    full = found.count > 0
    accuracy, confidence = found.accuracy[full], found.confidence[full]
    axis.bar(middle[full], accuracy, width, color=_BAR, label="accuracy")
    for sign, hatch, label in ((1, "////", "gap: overconfident"), (-1, "....", "gap: underconfident")):
        gap = np.where(sign * (confidence - accuracy) > 0, confidence - accuracy, 0.0)
        if np.any(gap):
            ground = "white" if sign > 0 else _BAR
            axis.bar(middle[full], gap, width, bottom=accuracy, fc=ground, ec=_GAP if sign > 0 else "white", hatch=hatch,
                     lw=0.8, label=label)  # fmt: skip
    axis.plot([0, 1], [0, 1], color="#888888", lw=1, ls="--", label="confidence = accuracy")
