"""Means with honest intervals: bootstrap over images, paired differences between methods, fractions, and runs of a study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri, stdtrit

from .. import draws

RESAMPLES = 2000
UNBOUNDED = (-math.inf, math.inf)
SHARE, CORRELATION = (0.0, 1.0), (-1.0, 1.0)
FEW = 8
"""With fewer values no resample strays as far as the mean of such samples does: their interval is Student's."""


@dataclass(frozen=True)
class Summary:
    """A mean over images and its 95 % interval.

    Args:
        mean: mean over the images that have a value; None where none has.
        low: lower end of the interval, see `bootstrap`; None below two images. It does not leave the values' range.
        high: upper end.
        n: images that have a value.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int


def bootstrap(
    values: Sequence[float] | Float[np.ndarray, " n"], *, seed: int = 0, within: tuple[float, float] = UNBOUNDED
) -> Summary:
    """Mean over images with its 95 % interval: expanded percentile bootstrap (Hesterberg 2015, section 5.3), 2000 resamples.

    The plain percentiles of few images are too narrow (they hold the mean in 84 % of samples of five, 88 % of ten). The
    expanded ones are taken where they agree with Student's interval for normal values: 93 to 96 % from eight normal values
    on, 89 to 93 % for very skewed ones. Below eight the interval is Student's itself.

    Args:
        values: one per image.
        seed: seed of the resampling.
        within: least and greatest possible value, for example 0 and 1 of a fraction. An interval that reaches farther ends
            there: no mean lies beyond, so it holds the mean as often as before.

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
    student = float(stdtrit(n - 1, 0.975))
    if n < FEW:
        half = student * float(known.std(ddof=1)) / math.sqrt(n)
        return _ending(mean, mean - half, mean + half, n, within)
    chosen = (draws.rows(draws.stream(seed, "bootstrap", n), 0, RESAMPLES, n) * n).astype(int)
    tail = float(ndtr(-student * math.sqrt(n / (n - 1))))
    low, high = np.quantile(known[chosen].mean(1), [tail, 1 - tail])
    return _ending(mean, float(low), float(high), n, within)


def _ending(mean: float, low: float, high: float, n: int, within: tuple[float, float]) -> Summary:
    """The interval, which ends where the range of the values does; it holds the mean, whose last bit may lie beyond."""
    least, greatest = within
    return Summary(mean, min(mean, max(low, least)), max(mean, min(high, greatest)), n)


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
    return bootstrap([one[name] - other[name] for name in both], seed=seed, within=(-width, width))


def wilson(right: int, n: int) -> tuple[float, float]:
    """95 % interval of a fraction, within 0..1 however few there are (Wilson 1927, Eq. 1).

    Args:
        right: how many of them count.
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
    half = float(stdtrit(n - 1, 0.975)) * sd / n**0.5
    return Interval(mean, sd, mean - half, mean + half, n)
