"""How values of six components are judged: by the components' known scores, and by exact BShap."""

from __future__ import annotations

import math

import numpy as np

from ..comparison import Means, correlation, known, told
from .data import component_score

SMALL = 0.05
"""A value below this fraction of the largest says nothing: the method is blind to the component."""


def measures(values: np.ndarray, x: np.ndarray, bshap: np.ndarray) -> dict[str, float | None]:
    """How near the values (6,) of one input are to what its components contribute.

    Returns:
        `score_correlation` and `bshap_correlation`, Pearson's, None where the values do not vary; `wrong_sign`, the
        fraction of components with the other sign than their score; `blind`, the fraction below 5 % of the
        largest value. Values that small count as blind and not as wrong.
    """
    if not np.isfinite(values).all():  # the method failed
        return dict.fromkeys(("score_correlation", "bshap_correlation", "wrong_sign", "blind"))
    scores = component_score(x)
    largest = np.abs(values).max()
    blind = np.abs(values) < SMALL * largest if largest > 0 else np.ones(len(values), bool)
    wrong = ~blind & (np.sign(values) != np.sign(scores))

    return {
        "score_correlation": correlation(values, scores), "bshap_correlation": correlation(values, bshap),
        "wrong_sign": float(wrong.mean()), "blind": float(blind.mean()),
    }  # fmt: skip


def scaled(values: np.ndarray) -> np.ndarray:
    """Values over the largest one, as table 2 shows them; over the largest |value| where none is above 0."""
    top = values.max() if values.max() > 0 else np.abs(values).max()
    return values / top if top > 0 else values


def finite(value: float) -> float | None:
    """A number that is one, else None."""
    return float(value) if math.isfinite(value) else None


def largest_error(values: np.ndarray, error: np.ndarray | None) -> str | None:
    """The largest standard error among scaled values, rounded up; None where nothing was drawn at random."""
    if error is None:
        return None
    top = np.abs(values).max() / np.abs(scaled(values)).max() if values.any() else 1.0
    return f"{math.ceil(100 * float(error.max()) / top) / 100:.2f}"


def findings(means: Means) -> list[str]:
    """What the table says in words, each sentence from its values."""
    agree = [name for name, r in known(means, "bshap_correlation").items() if r >= 0.95 and name != "bshap"]
    wrong = [f"{name} ({value:.0%})" for name, value in known(means, "wrong_sign").items() if value > 0.1]
    blind = [f"{name} ({value:.0%})" for name, value in known(means, "blind").items() if value > 0.2]
    return [
        *told("In agreement with exact BShap (correlation of 0.95 or more):", agree),
        *told("Components of the wrong sign:", wrong),
        *told("Blind to components:", blind),
    ]
