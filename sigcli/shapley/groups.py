"""Replicates in groups: what is kept of them to know the standard error of any sum of what they estimate.

A standard error for each value says nothing of a sum of values, whose errors go together. A few rows of deviations do: the
variance of any linear functional L is Σ L(d)² over them (batch means; Law, Kelton 2000, section 9.5.3).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int

GROUPS = 16
"""Replicates are kept in this many groups at most."""


def group_of(index: int, count: int) -> int:
    """The group of one of `count` replicates: one each for up to 16, then of 2, 4, 8, … that follow one another.

    Since a size is twice the one before, a longer run has the groups of a shorter one, or two of them in one.

    >>> [group_of(i, 5) for i in range(5)], [group_of(i, 17) for i in (0, 1, 2, 15, 16)]
    ([0, 1, 2, 3, 4], [0, 0, 1, 7, 8])
    """
    return index >> group_bits(count)


def group_bits(count: int) -> int:
    """The binary logarithm of the size of a group of `count` replicates."""
    return (-(-count // GROUPS) - 1).bit_length()


def groups_of(count: int) -> int:
    """How many groups `count` replicates have."""
    return group_of(count - 1, count) + 1


def deviations(replicates: Float[np.ndarray, "r n"]) -> Float64[np.ndarray, "g n"] | None:
    """Deviations of the mean of independent replicates, in groups; None of a single one.

    Args:
        replicates: (r, n), each an estimate of the same n values.
    """
    r = len(replicates)
    if r < 2:
        return None
    groups = groups_of(r)
    place = np.array([group_of(i, r) for i in range(r)])
    sums = np.zeros((groups, replicates.shape[1]))
    np.add.at(sums, place, replicates.astype(np.float64) / r)
    share = np.bincount(place)[:, None] / r
    return (sums - share * sums.sum(0)) / np.sqrt(share * (groups - 1))


def stratified_deviations(
    terms: Float[np.ndarray, "m n"], stratum: Int[np.ndarray, " m"], taken: Float[np.ndarray, " s"]
) -> Float64[np.ndarray, "g n"]:
    """Deviations of a sum of terms that were drawn within strata without repetition, in groups (Cochran 1977, section 5.3).

    Args:
        terms: (m, n) what each draw adds to n values.
        stratum: (m,) non-decreasing index of the stratum of each.
        taken: (s,) fraction of each stratum that was drawn, whose rest alone is uncertain.
    """
    groups = min(GROUPS, len(terms))
    group = np.arange(len(terms)) % groups
    count = np.zeros((len(taken), groups))
    np.add.at(count, (stratum, group), 1)
    size = np.maximum(count.sum(1), 1)
    mean = np.zeros((len(taken), terms.shape[1]))
    np.add.at(mean, stratum, terms / size[stratum][:, None])
    # A stratum of one draw has no mean to compare it with: its whole term is uncertain.
    lone = size == 1
    kept = np.where(lone, 1.0, 1 - ((count / size[:, None]) ** 2).sum(1))
    factor = np.sqrt((1 - taken) / kept)
    mean[lone] = 0
    rows = (terms - mean[stratum]) * factor[stratum][:, None]
    found = np.zeros((groups, terms.shape[1]))
    np.add.at(found, group, rows)
    return found
