"""Coalitions of players: packed bits, the two rules for their sizes, and exact enumeration.

[SIG] contradicts itself over the sizes k = |S|: its proof and Fig. 2 need k uniform on 0..n-1, Algorithm 1 as printed
accepts k with probability ŵ(k) = w(k)/Σw, the weight of ONE coalition of that size (Eq. 4). Both are here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from .. import draws

Members = Bool[np.ndarray, "k n"]
_CHUNK = 1 << 22


@dataclass(frozen=True, eq=False)
class Coalitions:
    """k coalitions of n players, one bit a player.

    Args:
        bits: (k, ceil(n/8)) uint8, as numpy.packbits makes them.
        n: number of players.
    """

    bits: UInt8[np.ndarray, "k b"]
    n: int

    @staticmethod
    def pack(members: Members) -> Coalitions:
        """From a (k, n) array of memberships."""
        return Coalitions(np.packbits(members, axis=1), members.shape[1])

    @staticmethod
    def stack(parts: list[Coalitions]) -> Coalitions:
        """One after the other."""
        return Coalitions(np.concatenate([part.bits for part in parts]), parts[0].n)

    @staticmethod
    def empty(k: int, n: int) -> Coalitions:
        """K times the empty coalition."""
        return Coalitions(np.zeros((k, -(-n // 8)), np.uint8), n)

    @staticmethod
    def full(k: int, n: int) -> Coalitions:
        """K times the grand coalition."""
        return Coalitions(np.repeat(np.packbits(np.ones((1, n), bool), axis=1), k, axis=0), n)

    def members(self, rows: slice | Int[np.ndarray, " m"] = slice(None)) -> Members:
        """Memberships of some coalitions, (m, n)."""
        return np.unpackbits(self.bits[rows], axis=1, count=self.n).astype(bool)

    def __len__(self) -> int:
        return len(self.bits)

    def take(self, rows: Int[np.ndarray, " m"]) -> Coalitions:
        """The coalitions of those indices, in that order."""
        return Coalitions(self.bits[rows], self.n)

    def sizes(self) -> Int[np.ndarray, " k"]:
        """Number of members of each coalition, (k,)."""
        return np.bitwise_count(self.bits).sum(1, dtype=np.int64)


def size_weights(n: int) -> Float[np.ndarray, " n"]:
    """w(k) = k!(n-k-1)!/n! for k = 0..n-1 ([SIG] Eq. 4), the Shapley weight of one coalition of size k."""
    return np.array([math.exp(-math.log(n) - _log_binomial(n - 1, k)) for k in range(n)])


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def sizes_algorithm1(n: int, count: int, key: int) -> Int[np.ndarray, " count"]:
    """Sizes as [SIG] Algorithm 1 is printed: rounds over k = 0..n-1, each accepted with probability w(k)/Σw.

    Args:
        n: number of players.
        count: how many sizes B; the loop is truncated once it has them.
        key: key of the stream of draws; round r uses draw r.

    Returns:
        (count,) sizes in 0..n-1, in the order in which the loop accepts them.
    """
    probability = size_weights(n)
    probability = probability / probability.sum()
    found: list[np.ndarray] = []
    have, first = 0, 0
    rounds = max(16, min(count, _CHUNK // n))
    while have < count:
        u = draws.rows(key, first, rounds, n)
        accepted = np.nonzero(u < probability)[1]
        found.append(accepted)
        have, first = have + len(accepted), first + rounds
    return np.concatenate(found)[:count]


def of_sizes(sizes: Int[np.ndarray, " k"], n: int, key: int, first: int = 0) -> Coalitions:
    """One uniformly random coalition of each size; draw first+i belongs to coalition i."""
    return Coalitions.stack([Coalitions.pack(low) for low, _ in _split(sizes, n, key, first)])


def antithetic(sizes: Int[np.ndarray, " k"], n: int, key: int, first: int = 0) -> Coalitions:
    """For each size k a random coalition S and its mirror of size n-1-k that shares no player with S.

    S holds the first k players of a random order and its mirror the last n-1-k, so the two leave out one common
    player and together hold each of the others once. Both sizes are uniform where k is.

    Returns:
        2·len(sizes) coalitions: S₀, mirror₀, S₁, mirror₁, …
    """
    pairs = [np.stack([low, high], 1).reshape(-1, n) for low, high in _split(sizes, n, key, first)]
    return Coalitions.stack([Coalitions.pack(pair) for pair in pairs])


def _split(sizes: np.ndarray, n: int, key: int, first: int) -> Iterator[tuple[Members, Members]]:
    """For each draw the players before, and those after, the one at place k of a random order; in bounded memory."""
    step = max(1, _CHUNK // n)
    for i in range(0, len(sizes), step):
        part = sizes[i : i + step]
        u = draws.rows(key, first + i, len(part), n)
        pivot = np.sort(u, axis=1)[np.arange(len(part)), np.minimum(part, n - 1)][:, None]
        # A size of n has no player at its place: the whole row is before it.
        whole = (part >= n)[:, None]
        yield (u < pivot) | whole, (u > pivot) & ~whole


def all_proper(n: int) -> tuple[Coalitions, Float[np.ndarray, " k"]]:
    """Every coalition except the grand one, with the probability 1/(n·C(n, k)) that size-uniform sampling gives it."""
    if n > 24:
        raise ValueError(f"2^{n} coalitions are too many to enumerate")
    codes = np.arange(2**n - 1, dtype=np.int64)
    members = ((codes[:, None] >> np.arange(n)) & 1).astype(bool)
    sizes = members.sum(1)
    weights = np.array([1 / (n * math.comb(n, int(k))) for k in range(n)])[sizes]
    return Coalitions.pack(members), weights


def orders(n: int, count: int, key: int, first: int = 0) -> Int[np.ndarray, "k n"]:
    """Random orders of the players, each followed by its reverse (antithetic), `count` in all."""
    u = draws.rows(key, first, (count + 1) // 2, n)
    forward = np.argsort(u, axis=1)
    return np.stack([forward, forward[:, ::-1]], 1).reshape(-1, n)[:count]
