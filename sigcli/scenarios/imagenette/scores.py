"""How maps of photographs are judged beside the metrics: what lies on the frame, and what the means say."""

from __future__ import annotations

import numpy as np

from ..comparison import Means, known, percent

FRAME = 16
"""The frame of a picture is a sixteenth of its side wide."""


def frame_share(values: np.ndarray) -> float | None:
    """Fraction of the |attribution| (H, W) within a sixteenth of the side from the edge; None for a map of zeros."""
    size = np.abs(values)
    inside = frame(size.shape)
    return float(size[~inside].sum() / size.sum()) if size.any() else None


def frame(shape: tuple[int, ...]) -> np.ndarray:
    """Where a picture (H, W) is not frame, bool (H, W)."""
    inside = np.zeros(shape, bool)
    edge = [max(1, side // FRAME) for side in shape]
    inside[edge[0] : shape[0] - edge[0], edge[1] : shape[1] - edge[1]] = True
    return inside


def findings(means: Means, area: float) -> list[str]:
    """What the table says in words, each sentence from its values."""
    said = []
    for measure, better, what in (
        ("deletion", min, "The pixels that the class needs most come first by"),
        ("insertion", max, "The pixels that bring the class most come first by"),
        ("frame", min, f"Least on the frame, which is {area:.0%} of the picture, puts"),
    ):
        found = known(means, measure)
        if len(found) > 1:
            best = better(found, key=lambda name: found[name])
            value = percent(found[best]) if measure == "frame" else f"{measure} {found[best]:.2f}"
            said.append(f"{what} {best} ({value}).")
    icg, eg = (known(means, "sparseness").get(name) for name in ("icg", "eg"))
    if icg is not None and eg is not None:
        how = "more" if icg > eg else "not more"
        said.append(f"icg's maps are {how} tightly localised than eg's (sparseness {icg:.2f} and {eg:.2f}).")
    return said
