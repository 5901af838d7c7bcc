"""Where a map of a Burnt Snacks picture lies: on dark squares, on light ones, or elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..comparison import Means, known, told
from .data import ACROSS, CELL, DARK, LIGHT, SIZE, Snacks

NAMED = 0.05
"""A square counts as named where its net attribution is at least this fraction of the map's |attribution|."""


def score(values: np.ndarray, objects: np.ndarray, kinds: np.ndarray) -> dict[str, float]:
    """Where the attribution (H, W) of one picture lies.

    Args:
        values: towards "there is a dark square".
        objects: (H, W), see `Snacks`.
        kinds: (9,), see `Snacks`.

    Returns:
        of a picture with dark squares: `dark_share`, the fraction of the positive attribution on dark squares, pixel by
        pixel; `dark_net`, the same after summing over each shape and over the ground of each place; `dark_found`, the
        fraction of dark squares that are named (see `NAMED`), and `light_blamed`, the fraction of light squares named; of
        one without: `light_share`, the fraction of |attribution| on light squares. What has no meaning is left out.
    """
    size, positive = np.abs(values), values.clip(min=0)
    net = {kind: [values[objects == 1 + p].sum() for p in np.nonzero(kinds == kind)[0]] for kind in (DARK, LIGHT)}
    found: dict[str, float] = {}
    least = NAMED * max(size.sum(), np.finfo(float).tiny)
    if net[DARK]:
        dark = np.isin(objects, 1 + np.nonzero(kinds == DARK)[0])
        if positive.any():
            found["dark_share"] = float(positive[dark].sum() / positive.sum())
        gains = sums(values, objects).clip(min=0)
        if gains.any():
            found["dark_net"] = float(gains[: len(kinds)][kinds == DARK].sum() / gains.sum())
        found["dark_found"] = float(np.mean([value >= least for value in net[DARK]]))
        if net[LIGHT]:
            found["light_blamed"] = float(np.mean([value >= least for value in net[LIGHT]]))
    elif net[LIGHT] and size.any():
        light = np.isin(objects, 1 + np.nonzero(kinds == LIGHT)[0])
        found["light_share"] = float(size[light].sum() / size.sum())
    return found


def sums(values: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Attribution summed over the shape at each of the nine places, then over the ground of each, (18,)."""
    y, x = np.mgrid[:SIZE, :SIZE] // CELL
    part = ACROSS * y + x + np.where(objects > 0, 0, ACROSS**2)
    return np.bincount(part.ravel(), values.ravel(), 2 * ACROSS**2)


def area(known: Snacks, kind: int) -> float:
    """Mean fraction of the pixels that squares of a kind cover: dark ones in class 1, light ones in class 0."""
    rows = [row for row, label in enumerate(known.labels) if bool(label) == (kind == DARK)]
    covered = [np.isin(known.objects[row], 1 + np.nonzero(known.kinds[row] == kind)[0]).mean() for row in rows]
    return float(np.mean(covered))


def centres(objects: np.ndarray, kinds: np.ndarray) -> list[tuple[float, float]]:
    """Centres (y, x) of the dark squares, as fractions of the picture."""
    places = [np.argwhere(objects == 1 + place).mean(0) / SIZE for place in np.nonzero(kinds == DARK)[0]]
    return [(float(y), float(x)) for y, x in places]


def findings(means: Means, methods: Sequence[str]) -> list[str]:
    """What the table says in words, each sentence from its values."""
    found, blamed = known(means, "dark_found"), known(means, "light_blamed")
    right = [name for name in methods if found.get(name, 0) >= 0.8 and not blamed.get(name, 0) > 0.1]
    return [
        *told("At least 80% of the dark squares found, at most 10% of the light ones blamed:", right),
        *told(
            "Attribution transfer: light squares, which mean nothing, are blamed by",
            [f"{name} ({value:.0%})" for name, value in blamed.items() if value > 0.1],
        ),
        *told(
            "Most dark squares are missed by",
            [f"{name} ({value:.0%})" for name, value in found.items() if value < 0.5],
        ),
    ]
