"""Means with their 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """A mean over n values, their standard deviation, and Student's 95 % interval of the mean; None where unknown."""

    mean: float | None
    sd: float | None
    low: float | None
    high: float | None
    n: int

    @staticmethod
    def unknown() -> Interval:
        """Of nothing."""
        return Interval(None, None, None, None, 0)


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean, sd and 95 % interval over the values that are numbers; `n` says how many those are.

    >>> mean_interval([1.0, 2.0, float("nan")]).n
    2
    """
    known = np.array([v for v in values if not np.isnan(v)], float)
    n = len(known)
    if not n:
        return Interval.unknown()
    mean = float(known.mean())
    if n == 1:
        return Interval(mean, None, None, None, 1)
    sd = float(known.std(ddof=1))
    half = float(stats.t.ppf(0.975, n - 1)) * sd / n**0.5
    return Interval(mean, sd, mean - half, mean + half, n)
