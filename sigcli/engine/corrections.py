"""Values that are brought to the players' exact marginals, where gradients were taken at the corners of walks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .plan import Marginals, Plan
from .transfer import sent

_TOGETHER = 1 << 22
"""Values that are corrected together: 16 MiB for each of a few temporary tensors."""


def correct(
    plan: Plan,
    values: Float[Tensor, "m c h w"],
    closed: Sequence[slice],
    *,
    scores: Float[Tensor, " k"],
    omegas: Float[np.ndarray, " u"],
    delta: Float[Tensor, "c h w"],
) -> None:
    """Make each player's sum over each replicate its exact marginals, in place.

    How often a player is absent from, and present in, the corners of a replicate varies; its values are first brought to
    the same total weight, so a linear score needs no correction. What is then missing goes to the player's values in
    proportion to their magnitude, the least change relative to them; where all are zero (a gradient that vanishes at every
    corner), to its pixels in proportion to |x - x'|.

    Args:
        plan: of corners, with marginals.
        values: of some consecutive replicates.
        closed: the points of each.
        scores: of all points of the plan.
        omegas: of each replicate its share of the whole.
        delta: x - x'.
    """
    step = max(1, _TOGETHER // values[0].numel())
    for first in range(0, len(values), step):
        some = closed[first : first + step]
        edges = [some[0].start, *(points.stop for points in some)]
        _correct(plan, values[first : first + step], edges, scores=scores, omegas=omegas, delta=delta)


def _correct(
    plan: Plan, values: Tensor, edges: Sequence[int], *, scores: Tensor, omegas: np.ndarray, delta: Tensor
) -> None:
    """The same for replicates between edges, few enough for memory."""
    players, marginals = plan.players, plan.marginals
    if players is None or marginals is None:
        raise ValueError("marginals need players")
    level = sent(_levels(plan, edges, omegas), values.device, values.dtype)
    values *= players.spread(level)[:, None]
    share = values.abs()
    flat = (players.totals(share) == 0).to(share)
    share += players.spread(flat)[:, None] * delta.abs()
    missing = _marginal(marginals, edges, scores, players.n) - players.totals(values)
    factor = missing / players.totals(share).clamp(min=torch.finfo(share.dtype).tiny)
    values += share * players.spread(factor.to(share))[:, None]


def _levels(plan: Plan, edges: Sequence[int], omegas: np.ndarray) -> Float[np.ndarray, "m n"]:
    """What brings each player's values to the same total weight in the replicates between edges."""
    first = edges[0]
    served = plan.served(slice(first, edges[-1]))
    found = []
    for begins, ends in itertools.pairwise(edges):
        omega = 1.0 if plan.unit is None else float(omegas[plan.unit[begins]])
        found.append(omega / (plan.weight[begins:ends] @ served[begins - first : ends - first]))
    return np.stack(found)


def _marginal(marginals: Marginals, edges: Sequence[int], scores: Tensor, n: int) -> Float[Tensor, "m n"]:
    """What each player adds in the replicates between edges, by the scores of all points in fp64: on their device."""
    at = np.searchsorted(marginals.point, edges)
    row = np.repeat(np.arange(len(edges) - 1) * n, np.diff(at))
    some = slice(at[0], at[-1])
    every = (row + marginals.player[some], marginals.point[some], marginals.coefficient[some])
    place, point, factor = (sent(array, scores.device) for array in every)
    found = torch.zeros((len(edges) - 1) * n, dtype=scores.dtype, device=scores.device)
    return found.index_add_(0, place, factor * scores[point]).unflatten(0, (-1, n))
