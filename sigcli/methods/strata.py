"""Nodes of SIG: strata of α for coalitions with one node each; strata of all coalitions, where they are within reach."""

from __future__ import annotations

import numpy as np

from .. import draws
from ..shapley.coalitions import Coalitions, all_proper

GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, meet all parts of [0, 1] evenly."""
_BLOCKS, _BLOCK_SIZE = 8, 2
_POWER = 1.5
"""Edges of uneven strata lie at (i/m)^1.5. Chosen on 12 photographs (docs/defaults.md); 2 was no better."""
LARGEST = 16
"""Players beyond which coalitions are sampled whatever the budget."""


def uneven_strata(shift: float | np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """One α in each of `count` strata of [0, 1], narrow near 0, and its weight: the stratum's length times `count`.

    Near the baseline the gradient of a network on images changes and varies most, so more nodes belong there. The strata
    are fixed, and so are the weights, which sum to `count`: where the gradient is constant the integral is exact, and it is
    unbiased for any integrand, whatever the coalition at each place is, since every place meets every stratum.

    Args:
        shift: uniform in [0, 1): which stratum the first place has, and where in the strata the nodes are; or several, (r,).
        count: number of strata.

    Returns:
        α (count,) and weights (count,); of several shifts (r, count) each. Neighbours are far apart in α: they follow the
        golden ratio.
    """
    edges = (np.arange(count + 1) / count) ** _POWER
    turned, inside = np.divmod(np.asarray(shift)[..., None] * count, 1)
    stratum = (np.argsort(np.argsort(np.arange(count) * GOLDEN % 1)) + turned.astype(int)) % count
    length = np.diff(edges)[stratum]
    return edges[stratum] + inside * length, length * count


def suffices(n: int, nodes: int) -> bool:
    """Whether that many nodes are enough for one on each of the 2^n - 1 coalitions, on average.

    From there on strata have less error than sampled coalitions of the same number, and the error falls faster with it:
    there is no variance over coalitions left, only that of where on its segment a gradient is taken.
    """
    return n <= LARGEST and nodes >= max(4, 2**n - 1)


def strata(n: int, nodes: int, key: int) -> tuple[Coalitions, np.ndarray, np.ndarray]:
    """Coalitions and a place α on the segment of each, spread evenly over both, in two independent halves.

    Coalitions lie side by side on a line, each as long as its probability, ordered by size. A half is a systematic sample of
    the line: a coalition of probability p gets p · nodes / 2 nodes, rounded up or down. α is stratified over a coalition's
    nodes; where it has one, α follows the golden ratio, so neighbours meet all parts of [0, 1]. Every node has the same
    weight, and the sum is unbiased for any integrand. Fixed nodes on each coalition are not: eight of them per segment of a
    ReLU network, whose gradient jumps, have more error than sampled coalitions of the same cost.

    Args:
        n: number of players.
        nodes: how many; an odd one is left out, so the halves are equal.
        key: key of the stream of draws.

    Returns:
        coalitions (k), α (k,), and the unit of each node (k,): 2b in the first half and 2b + 1 in the second where it lies
        in part b of the line (see `sigcli.engine.plan.Plan`, `paired`).
    """
    every, probability = all_proper(n)
    place = np.argsort(every.sizes(), kind="stable")
    edges = np.cumsum(probability[place])
    edges /= edges[-1]
    half = nodes // 2
    blocks = min(_BLOCKS, max(1, half // _BLOCK_SIZE))
    # Each part of the line has draws of its own: with one draw for a whole half its parts were not independent, and the
    # standard error, which adds them up as if they were, was up to 13 % too small or 30 % too large.
    shifts = draws.rows(draws.stream(key, "shift"), 0, 2 * blocks, 2).reshape(2, blocks, 2)
    jitter = draws.rows(draws.stream(key, "jitter"), 0, 2, half)
    i = np.arange(half)
    block = i * blocks // half
    rows, alphas = [], []
    for shift, inner in zip(shifts, jitter, strict=True):
        start, turn = shift[block].T
        row = np.searchsorted(edges, (i + start) / half, side="right").clip(max=len(edges) - 1)
        count = np.bincount(row, minlength=len(edges))[row]
        rank = i - np.searchsorted(row, row)
        rows.append(row)
        alphas.append(np.where(count > 1, (rank + inner) / count, (i * GOLDEN + turn) % 1))
    unit = np.concatenate([2 * block, 2 * block + 1])
    order = np.argsort(unit, kind="stable")
    return every.take(place[np.concatenate(rows)[order]]), np.concatenate(alphas)[order], unit[order]
