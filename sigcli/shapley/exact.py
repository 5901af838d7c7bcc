"""Exact Shapley values, from the table of all coalitions."""

from __future__ import annotations

from fractions import Fraction
from math import factorial

import numpy as np
from jaxtyping import Float64


def exact(values: Float64[np.ndarray, " k"]) -> Float64[np.ndarray, " n"]:
    """Shapley values from the table of all 2^n coalition values, Shapley 1951 ([SIG] Eq. 1).

    >>> exact(np.array([0.0, 0.0, 0.0, 1.0])).tolist()
    [0.5, 0.5]
    """
    return np.array([float(share) for share in exact_fractions(values)])


def exact_fractions(values: Float64[np.ndarray, " k"]) -> list[Fraction]:
    """The same without rounding at the end: Σφ = v(N) - v(∅) exactly wherever sums of table entries are exact in float64.

    φ_i = Σ_k w(k) · (A_i(k+1) - B_i(k)), with A_i(k) and B_i(k) the sums of v over the coalitions of size k with and
    without player i.
    """
    n = len(values).bit_length() - 1
    if len(values) != 2**n or n < 1:
        raise ValueError(f"a table has 2^n entries, got {len(values)}")
    codes = np.arange(2**n, dtype=np.uint32)
    sizes = np.bitwise_count(codes).astype(np.int64)
    total = np.bincount(sizes, values, n + 1)
    weights = [Fraction(factorial(k) * factorial(n - k - 1), factorial(n)) for k in range(n)]
    shares = []
    for player in range(n):
        # Halves with and without the player, as views: index = (high bits, bit of the player, low bits).
        inside = (slice(None), 1)
        part = np.bincount(
            sizes.reshape(-1, 2, 1 << player)[inside].ravel(), values.reshape(-1, 2, 1 << player)[inside].ravel(), n + 1
        )
        without = total - part
        shares.append(
            sum((w * (Fraction(part[k + 1]) - Fraction(without[k])) for k, w in enumerate(weights)), Fraction(0))
        )
    return shares
