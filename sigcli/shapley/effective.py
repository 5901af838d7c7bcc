"""Effective Shapley ([ES] Algorithm 1): the ratio of Shapley values from the coalitions that make a difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from .. import draws
from ..errors import BudgetError
from .coalitions import of_sizes, size_weights
from .game import Estimate, Game

DRAWS = 1000


@dataclass(frozen=True, eq=False)
class Pool:
    """Sampled coalitions and what each player adds to them.

    Args:
        members: (m, n) the coalitions, their sizes spread evenly over 0..n-1.
        marginal: (m, n) v(S ∪ i) - v(S), NaN where i is a member of S.
        evaluations: coalitions whose value was asked for.
    """

    members: Bool[np.ndarray, "m n"]
    marginal: Float[np.ndarray, "m n"]
    evaluations: int

    def effective(self, player: int, tolerance: float) -> Int[np.ndarray, " e"]:
        """Rows of the coalitions to which the player makes a difference of more than the tolerance."""
        with np.errstate(invalid="ignore"):
            return np.nonzero(np.abs(self.marginal[:, player]) > tolerance)[0]

    def without(self, group: int, groups: int) -> Pool:
        """The pool less one of several groups, in which sizes are as even as in the pool."""
        kept = np.arange(len(self.members)) // self.members.shape[1] % groups != group
        if len(self.members) < groups * self.members.shape[1]:  # fewer rounds over the sizes than groups
            kept = np.arange(len(self.members)) % groups != group
        return Pool(self.members[kept], self.marginal[kept], self.evaluations)

    def tolerance(self, share: float) -> float:
        """A fraction of the greatest difference that any player makes in the pool."""
        return share * float(np.nanmax(np.abs(self.marginal)))


def least_pool(n: int) -> int:
    """Evaluations that a pool with one coalition of every size takes: each of size k and its n - k successors."""
    return sum(1 + n - k for k in range(n))


def sample_pool(game: Game, n: int, *, budget: int, key: int = 0) -> Pool:
    """Random coalitions S, sizes in turn from 0 to n-1, each with all S ∪ i, until the budget is spent.

    Raises:
        BudgetError: a budget that does not buy one coalition of every size, n(n + 3)/2 evaluations.
    """
    need = least_pool(n)
    if budget < need:
        raise BudgetError("the budget is too small for Effective Shapley", given=budget, allowed=f"{need} or more")
    rounds = budget // need
    sizes = np.tile(np.arange(n), rounds)
    left = budget - rounds * need
    for k in np.argsort(draws.rows(draws.stream(key, "sizes"), 0, 1, n)[0]):
        if 1 + n - k <= left:
            sizes, left = np.append(sizes, k), left - (1 + n - k)
    members = of_sizes(sizes, n, draws.stream(key, "members")).members()
    row, player = np.nonzero(~members)
    with_player = members[row].copy()
    with_player[np.arange(len(row)), player] = True
    values = game(np.concatenate([members, with_player])).astype(np.float64)
    marginal = np.full(members.shape, np.nan)
    marginal[row, player] = values[len(members) :] - values[: len(members)][row]
    return Pool(members, marginal, len(values))


def draw_effective(
    pool: Pool, player: int, *, count: int, tolerance: float, bins: int, key: int
) -> Int[np.ndarray, " t"]:
    """Rows of the pool drawn for one player, [ES] Eq. 5: C_jk = normalise(m_j / Σ_j m_j · k!(n-k-1)!/n!) · T.

    m_j counts the effective coalitions of marginal value j (values binned), k is their size. As printed, C_jk does not
    depend on how many coalitions a class (j, k) holds.

    Args:
        pool: the sampled coalitions.
        player: the player whose coalitions are drawn.
        count: T, how many are drawn, with repetition.
        tolerance: differences up to this do not count as effective.
        bins: classes of marginal values.
        key: key of the stream of draws.

    Returns:
        (T,) rows; none where no coalition is effective for the player.
    """
    rows = pool.effective(player, tolerance)
    if not len(rows):
        return rows
    n = pool.members.shape[1]
    value = pool.marginal[rows, player]
    edges = np.linspace(value.min(), value.max(), bins + 1)[1:-1]
    j = np.searchsorted(edges, value)
    k = pool.members[rows].sum(1)
    name, inverse, size = np.unique(j * n + k, return_inverse=True, return_counts=True)
    share = np.bincount(j)[name // n] * size_weights(n)[name % n]
    per_row = (share / share.sum() / size)[inverse]
    # Systematic sampling: each class gets its C_jk draws to within one.
    order = np.argsort(inverse, kind="stable")
    edges = np.cumsum(per_row[order])
    u = draws.rows(key, player, 1, 1)[0, 0]
    at = (np.arange(count) + u) / count * edges[-1]
    return rows[order[np.searchsorted(edges, at, side="right").clip(max=len(rows) - 1)]]


def effective_shapley(
    game: Game, n: int, *, budget: int, key: int = 0, tolerance: float = 0.01, bins: int = 20, count: int = DRAWS,
    groups: int = 0,
) -> Estimate:  # fmt: skip
    """Effective Shapley, [ES] Algorithm 1: the mean marginal value over the drawn effective coalitions of each player.

    What it promises is the *ratio* of Shapley values: the fraction of coalitions that make no difference is left out, so the
    values do not sum to v(N) - v(∅).

    Args:
        game: see `sigcli.shapley.game.Game`.
        n: number of players.
        budget: evaluations that may be spent on the pool.
        key: key of the stream of draws.
        tolerance: fraction of the greatest difference in the pool below which a coalition is not effective.
        bins: classes of marginal values; a network's output does not repeat, so values are binned.
        count: T, effective coalitions drawn for each player.
        groups: where above 1, the standard error comes from so many estimates that each leave out one group of the pool's
            coalitions (the delete-a-group jackknife), at no further evaluation.
    """
    pool = sample_pool(game, n, budget=budget, key=key)

    def estimate(part: Pool) -> Float64[np.ndarray, " n"]:
        least = part.tolerance(tolerance)
        values = np.zeros(n)
        for player in range(n):
            rows = draw_effective(part, player, count=count, tolerance=least, bins=bins, key=draws.stream(key, "draws"))
            values[player] = part.marginal[rows, player].mean() if len(rows) else 0.0
        return values

    if groups < 2:
        return Estimate(estimate(pool), pool.evaluations)
    without = np.stack([estimate(pool.without(group, groups)) for group in range(groups)])
    apart = np.sqrt((groups - 1) / groups) * (without - without.mean(0))
    return Estimate(estimate(pool), pool.evaluations, np.sqrt((groups - 1) * without.var(0)), apart)
