"""KernelSHAP: Shapley values by weighted least squares over coalitions."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Bool, Float64

from .. import draws
from ..errors import BudgetError
from .coalitions import Coalitions, of_sizes
from .game import Estimate, Game
from .groups import stratified_deviations

_TRUSTED = 3
"""Drawn pairs for each player with which a drawn coalition has half of the weight that it stands for."""


def kernel_shap(game: Game, n: int, *, budget: int, key: int = 0) -> Estimate:
    """KernelSHAP: weighted least squares over coalitions, with Σφ = v(N) - v(∅) (Lundberg and Lee 2017, Theorem 2).

    All coalitions of sizes 1 and n-1 are taken. Of the other sizes coalitions are drawn in pairs with their complements,
    without repetition, as many of each size as the kernel gives it or as there are. With a budget of 2^n the values are
    exact. No size is completed before others have their share: that would leave a few coalitions to stand for all others,
    and values worse than those of a smaller budget.

    The standard error is that of a regression on rows drawn within strata, the sizes: what a pair of coalitions adds to the
    values is its residual, enlarged for its leverage (HC3; MacKinnon, White 1985). None is left where all are taken.

    Raises:
        BudgetError: a budget below 2n + 2.
    """
    if budget < 2 * n + 2:
        raise BudgetError("the budget is too small for KernelSHAP", given=budget, allowed=f"{2 * n + 2} or more")
    if n == 1:
        ends = game(np.array([[False], [True]])).astype(np.float64)
        return Estimate(ends[1:] - ends[0], 2)
    members, weights, taken = _kernel_coalitions(n, budget - 2, key)
    ends = game(np.stack([np.zeros(n, bool), np.ones(n, bool)])).astype(np.float64)
    found = game(members).astype(np.float64) - ends[0]
    total = ends[1] - ends[0]
    # The constraint takes out the last player; what is left is an ordinary weighted least squares problem.
    design = members[:, :-1].astype(np.float64) - members[:, -1:]
    aim = found - members[:, -1] * total
    root = np.sqrt(weights)[:, None]
    free = np.linalg.lstsq(design * root, aim * root[:, 0], rcond=None)[0]
    apart = _deviations(design[::2], (aim[::2] - aim[1::2]) / 2, 2 * weights[::2], free, taken)
    stderr = None if apart is None else np.sqrt(np.square(apart).sum(0))
    return Estimate(np.append(free, total - free.sum()), len(members) + 2, stderr, apart)


def _deviations(
    design: Float64[np.ndarray, "p f"],
    aim: Float64[np.ndarray, " p"],
    weights: Float64[np.ndarray, " p"],
    found: Float64[np.ndarray, " f"],
    taken: Float64[np.ndarray, " p"],
) -> Float64[np.ndarray, "g n"] | None:
    """See `Estimate.deviations`; None where every coalition is taken. A pair is one row: its second is minus its first.

    Args:
        design: (p, n-1) rows of pairs.
        aim: (p,) half of the difference within each.
        weights: (p,).
        found: (n-1,) what the regression found.
        taken: (p,) the fraction of all pairs of this size that were taken.
    """
    drawn = taken < 1
    if not drawn.any():
        return None
    solved = np.linalg.solve((design * weights[:, None]).T @ design, design[drawn].T).T * weights[drawn][:, None]
    leverage = (solved * design[drawn]).sum(1)
    terms = solved * ((aim - design @ found)[drawn] / (1 - leverage))[:, None]
    fraction, stratum = np.unique(taken[drawn], return_inverse=True)
    apart = stratified_deviations(terms, stratum, fraction)
    return np.append(apart, -apart.sum(1, keepdims=True), axis=1)


def _kernel_coalitions(
    n: int, budget: int, key: int
) -> tuple[Bool[np.ndarray, "k n"], Float64[np.ndarray, " k"], Float64[np.ndarray, " p"]]:
    """Coalitions of sizes 1..n-1 with their complements; their weights under the Shapley kernel (n-1) / (C(n,k) k (n-k));
    and for each pair the fraction of its size that was taken.

    The coalitions that were drawn of a size share the weight of all of that size. A few cannot stand for all: m drawn pairs
    have a weight of m² / (m² + d²) of that, d = 3n (1 - their share of all such pairs), or the first few besides those of
    sizes 1 and n-1 would make values worse and not better.
    """
    sizes = np.arange(1, n // 2 + 1)
    room = np.array([comb(n, k) // (2 if 2 * k == n else 1) for k in sizes.tolist()], np.float64)
    mass = (n - 1) / (sizes * (n - sizes)) * np.where(2 * sizes == n, 1, 2)  # of all pairs of a size
    counts = _counts(mass, room, budget // 2, key)
    full, drawn = counts == room, (counts < room) & (counts > 0)
    share = mass.copy()
    if drawn.any():
        m = counts[drawn].sum()
        doubt = _TRUSTED * n * (1 - m / room[~full].sum())
        trust = m**2 / (m**2 + doubt**2)
        share[drawn] *= mass[~full].sum() / mass[drawn].sum() * trust
    taken = np.nonzero(counts)[0]
    members = np.concatenate(
        [_some_of_size(n, int(sizes[i]), int(counts[i]), draws.stream(key, "members")) for i in taken]
    )
    weights = np.repeat(share[taken] / counts[taken] / 2, counts[taken].astype(int))
    fraction = np.repeat((counts / room)[taken], counts[taken].astype(int))
    return np.stack([members, ~members], 1).reshape(-1, n), np.repeat(weights, 2), fraction


def _counts(
    mass: Float64[np.ndarray, " s"], room: Float64[np.ndarray, " s"], pairs: int, key: int
) -> Float64[np.ndarray, " s"]:
    """Pairs to take of each size: all of the first, of others in proportion to the kernel as far as there are so many."""
    counts = np.zeros(len(mass))
    counts[0] = room[0]
    for turn in range(64):
        left, free = int(pairs - counts.sum()), mass * (counts < room)
        if left < 1 or not free.any():
            break
        # A golden-ratio sequence over the kernel's distribution of sizes: stratified at every length.
        at = (np.arange(left) * 0.6180339887498949 + draws.rows(key, turn, 1, 1)[0, 0]) % 1
        size = np.searchsorted(np.cumsum(free) / free.sum(), at, side="right").clip(max=np.nonzero(free)[0][-1])
        counts = np.minimum(counts + np.bincount(size, minlength=len(mass)), room)
    return counts


def _some_of_size(n: int, size: int, count: int, key: int) -> Bool[np.ndarray, "k n"]:
    """Distinct coalitions of one size, (count, n), no two of them complements: all, or a random choice."""
    half = 2 * size == n  # here of a coalition and its complement the one without the first player stands for both
    there = comb(n, size) // (2 if half else 1)
    if there <= 4 * count:
        every = _all_of_size(n, size)
        every = every[~every[:, 0]] if half else every
        if count == there:
            return every
        return every[np.sort(np.argsort(draws.rows(draws.stream(key, size), 0, 1, there)[0])[:count])]
    bits = np.zeros((0, -(-n // 8)), np.uint8)
    while True:
        drawn = of_sizes(np.full(count, size), n, draws.stream(key, size), len(bits)).members()
        bits = np.concatenate([bits, np.packbits(drawn ^ drawn[:, :1] if half else drawn, axis=1)])
        first = np.unique(bits, axis=0, return_index=True)[1]
        if len(first) >= count:
            return Coalitions(bits[np.sort(first)[:count]], n).members()


def _all_of_size(n: int, size: int) -> Bool[np.ndarray, "k n"]:
    rows = np.array(list(combinations(range(n), size)))
    members = np.zeros((len(rows), n), bool)
    np.put_along_axis(members, rows, True, axis=1)
    return members
