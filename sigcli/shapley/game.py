"""Games and what is estimated of them.

A game is a function from a (k, n) matrix of memberships to k values. A model with a partition, the GridWorld table and a
test's toy game are all games; an estimator sees nothing else of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from ..errors import UsageError

Game = Callable[[Bool[np.ndarray, "k n"]], Float[np.ndarray, " k"]]
_CHUNK = 1 << 16


@dataclass(frozen=True, eq=False)
class Estimate:
    """Estimated Shapley values.

    Args:
        values: (n,), in the game's unit.
        evaluations: coalitions whose value was asked for.
        stderr: (n,) standard error of the values, or None if there is none.
        deviations: (g, n) such that Σ L(d)² over them estimates the variance of any linear functional L of the values.
    """

    values: Float64[np.ndarray, " n"]
    evaluations: int
    stderr: Float64[np.ndarray, " n"] | None = None
    deviations: Float64[np.ndarray, "g n"] | None = None


def members_of(codes: Int[np.ndarray, " k"], n: int) -> Bool[np.ndarray, "k n"]:
    """Memberships of coalitions given as integers: player i is a member where bit i is set."""
    return ((codes[:, None] >> np.arange(n)) & 1).astype(bool)


def table(game: Game, n: int) -> Float64[np.ndarray, " k"]:
    """Values of all 2^n coalitions, (2^n,), indexed by their codes (see `members_of`)."""
    if n > 24:
        raise UsageError(f"2^{n} coalitions are too many to enumerate", allowed="at most 24 players")
    parts = [game(members_of(np.arange(i, min(i + _CHUNK, 2**n)), n)) for i in range(0, 2**n, _CHUNK)]
    return np.concatenate(parts).astype(np.float64)
