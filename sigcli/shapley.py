"""Shapley values of any game: exact from a table, or estimated within a budget of evaluations.

A game is a function from a (k, n) matrix of memberships to k values. A model with a partition, the GridWorld table and a
test's toy game are all games; an estimator sees nothing else of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import comb, factorial

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from . import draws
from .coalitions import Coalitions, of_sizes, orders
from .errors import BudgetError, UsageError

Game = Callable[[Bool[np.ndarray, "k n"]], Float[np.ndarray, " k"]]
_CHUNK = 1 << 16


@dataclass(frozen=True, eq=False)
class Estimate:
    """Estimated Shapley values.

    Args:
        values: (n,), in the game's unit.
        evaluations: coalitions whose value was asked for.
        stderr: (n,) standard error of the values, or None where there is none to be had.
    """

    values: Float64[np.ndarray, " n"]
    evaluations: int
    stderr: Float64[np.ndarray, " n"] | None = None


def members_of(codes: Int[np.ndarray, " k"], n: int) -> Bool[np.ndarray, "k n"]:
    """Memberships of coalitions given as whole numbers: player i is a member where bit i is set."""
    return ((codes[:, None] >> np.arange(n)) & 1).astype(bool)


def table(game: Game, n: int) -> Float64[np.ndarray, " k"]:
    """Values of all 2^n coalitions, (2^n,), indexed by their codes (see `members_of`)."""
    if n > 24:
        raise UsageError(f"2^{n} coalitions are too many to enumerate", allowed="at most 24 players")
    parts = [game(members_of(np.arange(i, min(i + _CHUNK, 2**n)), n)) for i in range(0, 2**n, _CHUNK)]
    return np.concatenate(parts).astype(np.float64)


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


def permutation(game: Game, n: int, *, budget: int, key: int = 0) -> Estimate:
    """Mean marginal contribution along random orders in antithetic pairs (Castro 2009; Mitchell 2022).

    Args:
        game: see `Game`.
        n: number of players.
        budget: evaluations that may be spent; v(∅) and v(N) are asked for once, each order for the n - 1 between.
        key: of the stream of draws.

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
    return Estimate(pairs.mean(0), 2 + count * (n - 1), _standard_error(pairs))


def _standard_error(replicates: Float[np.ndarray, "r n"]) -> Float64[np.ndarray, " n"] | None:
    r = len(replicates)
    return None if r < 2 else replicates.std(0, ddof=1).astype(np.float64) / np.sqrt(r)


def kernel_shap(game: Game, n: int, *, budget: int, key: int = 0) -> Estimate:
    """KernelSHAP: weighted least squares over coalitions, with Σφ = v(N) - v(∅) (Lundberg and Lee 2017, Theorem 2).

    Sizes are taken from the outside inwards: as long as all coalitions of sizes k and n-k fit the budget they are all
    taken; of the others as many as are left are drawn, in pairs with their complements, without repetition, sizes
    stratified by the kernel. With a budget of 2^n the values are exact.

    Raises:
        BudgetError: a budget below 2n + 2.
    """
    if budget < 2 * n + 2:
        raise BudgetError("the budget is too small for KernelSHAP", given=budget, allowed=f"{2 * n + 2} or more")
    if n == 1:
        ends = game(np.array([[False], [True]])).astype(np.float64)
        return Estimate(ends[1:] - ends[0], 2)
    members, weights = _kernel_coalitions(n, budget - 2, key)
    ends = game(np.stack([np.zeros(n, bool), np.ones(n, bool)])).astype(np.float64)
    found = game(members).astype(np.float64) - ends[0]
    total = ends[1] - ends[0]
    # The constraint takes out the last player; what is left is an ordinary weighted least squares problem.
    design = members[:, :-1].astype(np.float64) - members[:, -1:]
    aim = found - members[:, -1] * total
    root = np.sqrt(weights)[:, None]
    free = np.linalg.lstsq(design * root, aim * root[:, 0], rcond=None)[0]
    return Estimate(np.append(free, total - free.sum()), len(members) + 2)


def _kernel_coalitions(n: int, budget: int, key: int) -> tuple[Bool[np.ndarray, "k n"], Float64[np.ndarray, " k"]]:
    """Coalitions of sizes 1..n-1 and their weights under the Shapley kernel (n-1) / (C(n,k) k (n-k))."""
    mass = np.array([0.0] + [(n - 1) / (k * (n - k)) for k in range(1, n)])  # of all coalitions of a size
    parts, weights = [], []
    low = 1
    while low <= n - low:
        sizes = sorted({low, n - low})
        need = sum(comb(n, k) for k in sizes)
        if need > budget:
            break
        for k in sizes:
            parts.append(_all_of_size(n, k))
            weights.append(np.full(comb(n, k), mass[k] / comb(n, k)))
        budget, low = budget - need, low + 1
    left = np.arange(low, n - low + 1)
    if len(left) and budget >= 2:
        drawn, counts = _drawn_pairs(n, left, mass, budget // 2, key)
        parts.append(drawn)
        weights.append(counts / counts.sum() * mass[left].sum())
    return np.concatenate(parts), np.concatenate(weights)


def _all_of_size(n: int, size: int) -> Bool[np.ndarray, "k n"]:
    rows = np.array(list(combinations(range(n), size)))
    members = np.zeros((len(rows), n), bool)
    np.put_along_axis(members, rows, True, axis=1)
    return members


def _drawn_pairs(
    n: int, sizes: Int[np.ndarray, " m"], mass: Float64[np.ndarray, " n"], pairs: int, key: int
) -> tuple[Bool[np.ndarray, "k n"], Float64[np.ndarray, " k"]]:
    """Distinct coalitions with their complements, and how often each was drawn, until `pairs` distinct ones are there."""
    edges = np.cumsum(mass[sizes]) / mass[sizes].sum()
    bits = np.zeros((0, -(-n // 8)), np.uint8)
    for batch in range(64):
        # A golden-ratio sequence over the kernel's distribution of sizes: stratified at every length.
        at = (np.arange(pairs) * 0.6180339887498949 + draws.rows(key, batch, 1, 1)[0, 0]) % 1
        k = sizes[np.searchsorted(edges, at, side="right").clip(max=len(sizes) - 1)]
        drawn = of_sizes(k, n, draws.stream(key, "members"), batch * pairs).members()
        # Of a coalition and its complement the one without the first player stands for both.
        bits = np.concatenate([bits, np.packbits(drawn ^ drawn[:, :1], axis=1)])
        _, first, counts = np.unique(bits, axis=0, return_index=True, return_counts=True)
        if len(first) >= pairs:
            break
    chosen = np.argsort(first)[:pairs]
    members = Coalitions(bits[first[chosen]], n).members()
    both = np.stack([members, ~members], 1).reshape(-1, n)
    return both, np.repeat(counts[chosen].astype(np.float64), 2)
