"""How maps of photographs are judged beside the metrics: what lies on the frame, and what the means say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..comparison import percent

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


def findings(mean: Mapping[tuple[str, str], float | None], methods: Sequence[str], area: float) -> list[str]:
    """What the table says in words, each sentence from its values."""
    told = []
    for measure, better, what in (
        ("deletion", min, "The pixels that the class needs most come first by"),
        ("insertion", max, "The pixels that bring the class most come first by"),
        ("frame", min, f"Least on the frame, which is {area:.0%} of the picture, puts"),
    ):
        known = {name: value for name in methods if (value := mean[name, measure]) is not None}
        if len(known) > 1:
            best = better(known, key=lambda name: known[name])
            figure = percent(known[best]) if measure == "frame" else f"{measure} {known[best]:.2f}"
            told.append(f"{what} {best} ({figure}).")
    icg, eg = (mean.get((name, "sparseness")) for name in ("icg", "eg"))
    if icg is not None and eg is not None:
        how = "more" if icg > eg else "not more"
        told.append(f"icg's maps are {how} tightly localised than eg's (sparseness {icg:.2f} and {eg:.2f}).")
    return told
