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
    units = [permutations[i : i + 2] for i in range(0, orders, 2)]
    ends = np.stack([np.zeros(n, bool), np.ones(n, bool)])
    members, weights, entries, first = [], [], [], 0
    for unit in units:
        place = np.argsort(unit, axis=1)
        inner = place[:, None, :] < np.arange(1, n)[None, :, None]
        members.append(np.concatenate([ends, inner.reshape(-1, n)]))
        weights.append(np.array([2 / orders] * 2 + [1 / orders] * (2 * (n - 1))))
        entries += [_entries(order, first, first + 2 + i * (n - 1)) for i, order in enumerate(unit)]
        first += len(members[-1])
    point, player, sign = (np.concatenate(column) for column in zip(*entries, strict=True))
    order = np.argsort(point, kind="stable")
    return _plan(
        partition,
        reference,
        Coalitions.pack(np.concatenate(members)),
        np.concatenate(weights),
        Marginals(point[order], player[order], sign[order] / orders),
        np.repeat(np.arange(len(units)), [len(m) for m in members]),
    )


def _entries(order: np.ndarray, ends: int, inner: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, players and signs of one order's marginals: v after the player's move minus v before it.

    Args:
        order: (n,) players.
        ends: the point of ∅; that of N follows it.
        inner: the point of the order's first corner.
    """
    n = len(order)
    corner = np.concatenate([[ends], inner + np.arange(n - 1), [ends + 1]])
    sign = np.concatenate([np.ones(n), -np.ones(n)])
    return np.concatenate([corner[1:], corner[:-1]]), np.concatenate([order, order]), sign


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
