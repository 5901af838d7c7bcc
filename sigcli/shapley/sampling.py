"""Shapley values from random orders of the players."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

from ..errors import BudgetError
from .coalitions import orders
from .game import Estimate, Game
from .groups import deviations


def permutation(game: Game, n: int, *, budget: int, key: int = 0) -> Estimate:
    """Mean marginal contribution along random orders in antithetic pairs (Castro 2009; Mitchell 2022).

    A pair is one replicate: the standard error and the deviations come from the spread between pairs.

    Args:
        game: see `Game`.
        n: number of players.
        budget: evaluations that may be spent; v(∅) and v(N) are asked for once, each order for the n - 1 between.
        key: key of the stream of draws.

    Raises:
        BudgetError: a budget too small for one pair of orders.
    """
    count = 2 * ((budget - 2) // (2 * (n - 1))) if n > 1 else 2
    if count < 2:
        raise BudgetError("the budget is too small for permutation sampling", given=budget, allowed=f"{2 * n} or more")
    walks = orders(n, count, key)
    place = np.argsort(walks, axis=1)
    inner = place[:, None, :] < np.arange(1, n)[None, :, None]  # (orders, n-1, n): the first 1..n-1 players of each
    ends = game(np.stack([np.zeros(n, bool), np.ones(n, bool)]))
    along = game(inner.reshape(-1, n)).reshape(count, n - 1) if n > 1 else np.zeros((count, 0))
    path = np.concatenate([np.full((count, 1), ends[0]), along, np.full((count, 1), ends[1])], 1)
    marginal = np.take_along_axis(np.diff(path, axis=1), place, axis=1)
    pairs = marginal.reshape(count // 2, 2, n).mean(1).astype(np.float64)
    return Estimate(pairs.mean(0), 2 + count * (n - 1), _standard_error(pairs), deviations(pairs))


def _standard_error(replicates: Float[np.ndarray, "r n"]) -> Float64[np.ndarray, " n"] | None:
    r = len(replicates)
    return None if r < 2 else replicates.std(0, ddof=1).astype(np.float64) / np.sqrt(r)
