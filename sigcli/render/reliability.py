"""The reliability diagram: does the model's confidence mean what it says?"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..metrics.classifier import Reliability
from .plots import panels


def draw_reliability(found: Reliability, path: Path) -> None:
    """Accuracy against confidence, bin by bin, with the number of images in each (Guo 2017, Fig. 1)."""
    full = found.count > 0
    width = float(found.edges[1] - found.edges[0])
    middle = (found.edges[:-1] + found.edges[1:]) / 2
    with panels(path, 2, size=(3.9, 3.4), title=None) as (above, below):
        above.plot([0, 1], [0, 1], color="#888888", lw=1, ls="--", label="confidence = accuracy")
        above.bar(middle[full], found.accuracy[full], 0.94 * width, color="#2b6ca3", label="accuracy")
        gap = found.confidence[full] - found.accuracy[full]
        above.bar(
            middle[full], gap, 0.94 * width, bottom=found.accuracy[full], color="#d1495b", alpha=0.35, label="gap"
        )
        above.set_title(f"expected calibration error {found.error:.3f}")
        above.set_xlabel("confidence (probability of the predicted class)")
        above.set_ylabel("share of right predictions")
        above.set_xlim(0, 1)
        above.set_ylim(0, 1.02)
        above.legend(loc="upper left")
        below.bar(middle, found.count, 0.94 * width, color="#7a7a7a")
        below.set_title(f"{int(np.sum(found.count))} images")
        below.set_xlabel("confidence")
        below.set_ylabel("images in the bin")
        below.set_xlim(0, 1)
