"""Means over images with honest intervals: bootstrap over images, and paired differences between methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .. import draws

RESAMPLES = 2000


@dataclass(frozen=True)
class Summary:
    """A mean over images and its 95 % interval.

    Args:
        mean: over the images that have a value; None where none has.
        low: 2.5 % quantile of the means of bootstrap samples; None below two images.
        high: 97.5 % quantile.
        n: images that have a value.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int


def bootstrap(values: Sequence[float] | Float[np.ndarray, " n"], *, seed: int = 0) -> Summary:
    """Percentile bootstrap of the mean over images (Efron and Tibshirani 1993, chapter 13), 2000 resamples.

    Args:
        values: one per image.
        seed: of the resampling.

    >>> bootstrap([1.0, 1.0, 1.0])
    Summary(mean=1.0, low=1.0, high=1.0, n=3)
    """
    known = np.asarray(values, float)
    n = len(known)
    if not n:
        return Summary(None, None, None, 0)
    mean = float(known.mean())
    if n == 1:
        return Summary(mean, None, None, 1)
    chosen = (draws.rows(draws.stream(seed, "bootstrap", n), 0, RESAMPLES, n) * n).astype(int)
    low, high = np.quantile(known[chosen].mean(1), [0.025, 0.975])
    return Summary(mean, float(low), float(high), n)


def paired(one: dict[str, float], other: dict[str, float], *, seed: int = 0) -> Summary:
    """Mean of one - other over the images that both have, with its interval."""
    both = [name for name in one if name in other]
    return bootstrap([one[name] - other[name] for name in both], seed=seed)
