"""Walks with gradients at their corners: plans whose points are coalitions, and whose scores are marginal contributions."""

from __future__ import annotations

import numpy as np

from .. import draws
from ..engine.plan import Marginals, Plan, Reference
from ..players import Players
from ..shapley.coalitions import Coalitions, size_weights
from ..shapley.coalitions import orders as random_orders
from ..types import Subject


def sampled_corners(partition: Players, reference: Reference, subject: Subject, orders: int) -> Plan:
    """Corners of random walks. A pair of orders is one replicate: ∅, N, and the n-1 corners between of each order.

    Args:
        partition: partition of the pixels into n players.
        reference: the baseline x'.
        subject: what is explained.
        orders: number of orders, even.
    """
    n = partition.n
    permutations = random_orders(n, orders, draws.stream(subject.seed, subject.key, "sig-walk", "orders"))
    pairs, inner = orders // 2, n - 1  # corners between, of each order
    place = np.argsort(permutations, axis=1)
    members = np.empty((pairs, 2 * n, n), bool)
    members[:, 0], members[:, 1] = False, True
    members[:, 2:] = (place[:, None] < np.arange(1, n)[:, None]).reshape(pairs, 2 * inner, n)
    point, player, sign = _entries(permutations)
    order = np.argsort(point, kind="stable")
    return _plan(
        partition,
        reference,
        Coalitions.pack(members.reshape(-1, n)),
        np.tile(np.repeat([2 / orders, 1 / orders], [2, 2 * inner]), pairs),
        Marginals(point[order], player[order], sign[order] / orders),
        np.repeat(np.arange(pairs), 2 * n),
    )


def _entries(permutations: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, players and signs of the marginals: v after a player's move minus v before it, order by order.

    Args:
        permutations: (orders, n) players. The 2n points of a pair are ∅, N, and the corners between of either order.
    """
    orders, n = permutations.shape
    ends = np.arange(orders)[:, None] // 2 * (2 * n)
    corners = np.empty((orders, n + 1), np.int64)
    corners[:, :1], corners[:, n:] = ends, ends + 1
    corners[:, 1:n] = ends + 2 + np.arange(orders)[:, None] % 2 * (n - 1) + np.arange(n - 1)
    point = np.concatenate([corners[:, 1:], corners[:, :-1]], axis=1)
    sign = np.tile(np.repeat([1.0, -1.0], n), orders)
    return point.ravel(), np.concatenate([permutations, permutations], axis=1).ravel(), sign


def all_corners(partition: Players, reference: Reference) -> Plan:
    """Every coalition as a corner, with the Shapley weights of the moves that meet there: the mean over all n! orders."""
    n = partition.n
    codes = np.arange(2**n, dtype=np.int64)
    members = ((codes[:, None] >> np.arange(n)) & 1).astype(bool)
    size = members.sum(1)
    shapley = size_weights(n)
    begins = np.where(size < n, shapley[np.minimum(size, n - 1)], 0.0)
    ends = np.where(size > 0, shapley[np.maximum(size - 1, 0)], 0.0)
    coefficient = np.where(members, ends[:, None], -begins[:, None])
    # Shared among the n-|S| moves that begin at a corner, and among the |S| that end there; both give 1/C(n,|S|).
    weight = np.where(size < n, begins * (n - size), ends * size)
    marginals = Marginals(np.repeat(codes, n), np.tile(np.arange(n), 2**n), coefficient.ravel())
    return _plan(partition, reference, Coalitions.pack(members), weight, marginals, None)


def _plan(
    partition: Players,
    reference: Reference,
    corners: Coalitions,
    weight: np.ndarray,
    marginals: Marginals,
    unit: np.ndarray | None,
) -> Plan:
    k = len(corners)
    return Plan(
        np.zeros(k), weight, np.arange(k), reference,
        players=partition, start=corners, end=corners, unit=unit, marginals=marginals,
    )  # fmt: skip
