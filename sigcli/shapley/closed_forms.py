"""Shapley values that need no sampling: of linear models, of maxima, and of games with few players."""

from __future__ import annotations

from itertools import pairwise
from math import comb

import numpy as np
from jaxtyping import Float, Float64

from ..errors import UsageError
from .game import Estimate, Game
from .kernel import kernel_shap

LARGEST_LOW_ORDER = 16


def linear_shap(
    weights: Float[np.ndarray, " n"], x: Float[np.ndarray, " n"], mean: Float[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """Linear SHAP, Lundberg, Lee 2017, Corollary 1: φ_i = w_i (x_i - E[x_i]) for F = w·x + b, (n,).

    >>> linear_shap(np.array([2.0, -1.0]), np.array([1.0, 1.0]), np.array([0.0, 3.0])).tolist()
    [2.0, 2.0]
    """
    return np.asarray(weights, np.float64) * (np.asarray(x, np.float64) - mean)


def low_order_shap(game: Game, n: int) -> Estimate:
    """Low-Order SHAP, Lundberg, Lee 2017, section 4.1: regression with the Shapley kernel on all 2^n coalitions.

    The values are exact; the cost is 2^n evaluations and a system of n - 1 equations.

    Args:
        game: see `sigcli.shapley.game.Game`.
        n: number of players, at most 16.

    Raises:
        UsageError: too many players.
    """
    if n > LARGEST_LOW_ORDER:
        raise UsageError(
            f"low-order SHAP visits all 2^n coalitions, and there are {n} players",
            allowed=f"at most {LARGEST_LOW_ORDER}",
            hint="Use fewer players (--players grid:3x3), or bshap, which samples.",
        )
    return kernel_shap(game, n, budget=max(2**n, 2 * n + 2))


def max_shap(x: Float[np.ndarray, " n"], reference: Float[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Max SHAP, Lundberg, Lee 2017, section 4.1: Shapley values of F = max_i x_i, where absent players have a reference.

    A maximum is the integral over thresholds t of "some value exceeds t". At a threshold the players whose value alone
    exceeds it (b of them) each bring it about with probability c!(b-1)!/(b+c)!, and those whose reference alone does (c of
    them) each take it away with (c-1)!b!/(b+c)!; where one exceeds it with both, nothing depends on anyone. O(n²).

    Args:
        x: (n,) values.
        reference: (n,) values of absent players.

    >>> max_shap(np.array([1.0, 3.0]), np.zeros(2)).tolist()
    [0.5, 2.5]
    """
    x, reference = np.asarray(x, np.float64), np.asarray(reference, np.float64)
    shares = np.zeros(len(x))
    for low, high in pairwise(np.unique(np.concatenate([x, reference]))):
        above, without = x > low, reference > low
        if (above & without).any():
            continue
        b, c = int(above.sum()), int(without.sum())
        # c!(b-1)!/(b+c)! as 1/(b·C(b+c, b)): integers are divided, of which those of 171 players exceed a float.
        if b:
            shares[above] += (high - low) * (1 / (b * comb(b + c, b)))
        if c:
            shares[without] -= (high - low) * (1 / (c * comb(b + c, c)))
    return shares
