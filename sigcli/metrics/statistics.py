"""Means with honest intervals: of images, of paired differences between methods, of fractions, and of runs of a study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri, stdtrit

from .. import draws

RESAMPLES = 2000
_AT_ONCE = 2**21
UNBOUNDED = (-math.inf, math.inf)
SHARE, CORRELATION, DIFFERENCE = (0.0, 1.0), (-1.0, 1.0), (-2.0, 2.0)
"""Ranges: of fractions, of correlations, and of differences between two correlations."""
FEWEST = 3
"""Values that an interval takes: of two, Student's is 12.7 standard errors to either side, which says nothing."""
DECIDING = 10
"""Values that an interval needs before it may decide: over fewer it covers much less than 95 % where they are skewed."""
FEW = 8
"""With fewer values no resample strays as far as the mean of such samples does: they have no bootstrap interval."""
WILSON, SCORE, STUDENT, BOOTSTRAP = "Wilson", "score", "Student's t", "bootstrap"
"""Kinds of intervals, by the names that tables and captions have for them."""


@dataclass(frozen=True)
class Summary:
    """A mean over images and its 95 % interval.

    Args:
        mean: mean over the images that have a value; None where none has.
        low: lower end of the interval, see `summarise`; None below three images. It does not leave the values' range.
        high: upper end.
        n: images that have a value.
        interval: which of the intervals it is; empty where there is none.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    interval: str = ""


def summarise(
    values: Sequence[float] | Float[np.ndarray, " n"],
    *,
    seed: int = 0,
    within: tuple[float, float] = UNBOUNDED,
    hits: bool = False,
) -> Summary:
    """Mean over images with its 95 % interval, from three images on. docs/evaluate.md has the coverage of each kind.

    * Hits (right or wrong, at every n): Wilson's interval, which has a width where all are right.
    * Three to seven values that lie between two bounds: the score interval, see `_score`, which ends within them.
    * Three to seven others: Student's.
    * Eight or more: expanded percentile bootstrap (Hesterberg 2015, section 5.3), 2000 resamples. The plain percentiles of
      few images are too narrow; the expanded ones are taken where they agree with Student's interval for normal values.

    Args:
        values: one per image.
        seed: seed of the resampling.
        within: least and greatest possible value, for example 0 and 1 of a fraction. An interval that reaches farther ends
            there: no mean lies beyond, so it holds the mean as often as before.
        hits: each value says whether something is right, 0 or 1; between them where an image has several.

    >>> summarise([1.0, 1.0, 1.0])
    Summary(mean=1.0, low=1.0, high=1.0, n=3, interval="Student's t")
    >>> summarise([1.0, 3.0])
    Summary(mean=2.0, low=None, high=None, n=2, interval='')
    """
    known = np.asarray(values, float)
    n = len(known)
    if not n:
        return Summary(None, None, None, 0)
    mean = float(known.mean())
    if n < FEWEST:
        return Summary(mean, None, None, n)
    if hits:
        low, high = wilson(float(known.sum()), n)
        return _ending(mean, low, high, n, within, WILSON)
    if n < FEW:
        return _of_few(known, within)
    tail = float(ndtr(-_student(n) * math.sqrt(n / (n - 1))))
    low, high = np.quantile(_resampled(known, draws.stream(seed, "bootstrap", n)), [tail, 1 - tail])
    return _ending(mean, float(low), float(high), n, within, BOOTSTRAP)


def _resampled(known: Float[np.ndarray, " n"], key: int) -> Float[np.ndarray, " k"]:
    """Means of the resamples, a few million draws at a time: those of all at once take a gigabyte of 20,000 images."""
    n = len(known)
    step = max(1, _AT_ONCE // n)
    parts = ((first, min(step, RESAMPLES - first)) for first in range(0, RESAMPLES, step))
    return np.concatenate([known[(draws.rows(key, first, count, n) * n).astype(int)].mean(1) for first, count in parts])


def _student(n: int) -> float:
    """The 97.5 % point of Student's distribution for n values."""
    return float(stdtrit(n - 1, 0.975))


def _of_few(values: Float[np.ndarray, " n"], within: tuple[float, float]) -> Summary:
    """The interval that needs no resampling: between two bounds the score interval, else Student's."""
    n, mean = len(values), float(values.mean())
    if all(map(math.isfinite, within)):
        return _ending(mean, *_score(values, within), n, within, SCORE)
    half = _student(n) * float(values.std(ddof=1)) / math.sqrt(n)
    return _ending(mean, mean - half, mean + half, n, within, STUDENT)


def _score(values: Float[np.ndarray, " n"], within: tuple[float, float]) -> tuple[float, float]:
    """95 % score interval of the mean of values between two bounds.

    As in a quasi-binomial model (McCullagh and Nelder 1989, section 4.5) the variance at a mean μ in 0..1 is proportional to
    μ(1 - μ), by the factor of the sample. The interval holds every μ with
    |mean - μ| ≤ t √(s²/n · μ(1 - μ)/(mean (1 - mean))): near a bound it is short on that side and long on the other. It is
    Wilson's where values are 0 or 1 (with t for z), and Student's where they vary little.
    """
    least, width = within[0], within[1] - within[0]
    n, mean, variance = len(values), (float(values.mean()) - least) / width, float(values.var(ddof=1)) / width**2
    spread = mean * (1 - mean)
    ratio = _student(n) ** 2 * variance / (n * spread) if variance > 0 and spread > 0 else 0.0
    centre = (mean + ratio / 2) / (1 + ratio)
    half = math.sqrt(ratio * spread + ratio**2 / 4) / (1 + ratio) if spread > 0 else 0.0
    return least + width * (centre - half), least + width * (centre + half)


def _ending(mean: float, low: float, high: float, n: int, within: tuple[float, float], interval: str) -> Summary:
    """The interval, which ends where the range of the values does; it holds the mean, whose last bit may lie beyond."""
    least, greatest = within
    return Summary(mean, min(mean, max(low, least)), max(mean, min(high, greatest)), n, interval)


def paired(
    one: dict[str, float], other: dict[str, float], *, seed: int = 0, within: tuple[float, float] = UNBOUNDED
) -> Summary:
    """Mean of one - other over the images that both have, with its interval.

    Args:
        one: image → value.
        other: image → value.
        seed: seed of the resampling.
        within: least and greatest possible value of either; the difference of two fractions lies within -1..1.
    """
    both = [name for name in one if name in other]
    width = within[1] - within[0]
    return summarise([one[name] - other[name] for name in both], seed=seed, within=(-width, width))


def wilson(right: float, n: int) -> tuple[float, float]:
    """95 % interval of a fraction, within 0..1 however few there are (Wilson 1927, Eq. 1).

    Args:
        right: how many of them count; a fraction where some count in part.
        n: how many there are in all, 1 or more.

    >>> [round(end, 3) for end in wilson(3, 4)]
    [0.301, 0.954]
    """
    z = float(ndtri(0.975))
    share, rest = right / n, z * z / n
    centre = (share + rest / 2) / (1 + rest)
    half = z * math.sqrt(share * (1 - share) / n + rest / (4 * n)) / (1 + rest)
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Interval:
    """A mean over n values, their standard deviation, and the 95 % interval of the mean; None where unknown."""

    mean: float | None
    sd: float | None
    low: float | None
    high: float | None
    n: int

    @staticmethod
    def unknown() -> Interval:
        """Of nothing."""
        return Interval(None, None, None, None, 0)


def mean_interval(values: Sequence[float], within: tuple[float, float] = UNBOUNDED) -> Interval:
    """Mean, sd and 95 % interval over the values that are numbers; `n` says how many those are.

    The interval is Student's, of fewer than eight values between two bounds the score interval; there is none below three.

    Args:
        values: one per run; NaN where it has none.
        within: least and greatest possible value, which the interval does not leave.

    >>> mean_interval([1.0, 2.0, float("nan")]).n
    2
    """
    known = np.array([v for v in values if not np.isnan(v)], float)
    n = len(known)
    if not n:
        return Interval.unknown()
    mean = float(known.mean())
    sd = float(known.std(ddof=1)) if n > 1 else None
    if sd is None or n < FEWEST:
        return Interval(mean, sd, None, None, n)
    if n < FEW:
        found = _of_few(known, within)
        return Interval(mean, sd, found.low, found.high, n)
    half = _student(n) * sd / n**0.5
    found = _ending(mean, mean - half, mean + half, n, within, STUDENT)
    return Interval(mean, sd, found.low, found.high, n)
