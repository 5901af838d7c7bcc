"""Are differences between paired values more than chance, one alone and many together?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from .. import draws

EXACT = 14
"""Up to so many pairs all signs are tried, 2^13 of them; beyond, `FLIPS` random ones."""
FLIPS = 19_999
_ROUNDING = 1e-12
_NUMBERS = 2**21
"""Numbers that a block of random signs holds."""


def sign_flip(differences: Float[np.ndarray, "n k"], *, seed: int = 0) -> Float[np.ndarray, " k"]:
    """Two-sided p-values of k mean differences over n pairs, by Fisher's sign-flip test (Fisher 1935, section 21).

    If two methods are alike, each difference is as likely to have one sign as the other. The p-value is the fraction of the
    signs under which the mean is at least as far from zero as the one found. It is exact for every law that is symmetric
    about zero, with ties; of random signs the one found counts among them (Phipson, Smyth 2010), so it is never zero.

    Args:
        differences: one row per pair, one column per question.
        seed: seed of the random signs, which all columns share.

    >>> sign_flip(np.array([[1.0, 1.0], [2.0, -1.0], [3.0, 0.0], [4.0, 0.0]])).tolist()
    [0.125, 1.0]
    """
    n = len(differences)
    if not n:
        return np.ones(differences.shape[1])
    found = np.abs(differences.sum(0)) - _ROUNDING * np.abs(differences).sum(0)
    reached = np.zeros(differences.shape[1])
    for signs in _signs(n, seed):
        reached += (np.abs(signs @ differences) >= found).sum(0)
    return reached / 2 ** (n - 1) if n <= EXACT else (reached + 1) / (FLIPS + 1)


def _signs(n: int, seed: int) -> Iterator[Float[np.ndarray, "m n"]]:
    """Rows of ±1: all of them with the first sign held, since both ends count; or random ones."""
    if n <= EXACT:
        yield np.array([(1.0, *rest) for rest in itertools.product((1.0, -1.0), repeat=n - 1)])
        return
    key, step = draws.stream(seed, "sign-flip", n), max(1, _NUMBERS // n)
    for first in range(0, FLIPS, step):
        yield np.where(draws.rows(key, first, min(step, FLIPS - first), n) < 0.5, -1.0, 1.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of several questions (Holm 1979): those at most α are wrong in any one with probability at most α.

    >>> [round(p, 6) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    found, reached = [1.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        reached = max(reached, min(1.0, (len(p_values) - place) * p_values[index]))
        found[index] = reached
    return found
