"""The papers' own protocol for GridWorld: N baselines from the fraction Q of coalitions, 50 steps each ([SIG] Table 2).

Elsewhere every estimator gets the same number of evaluations. Here a method costs what it costs in [SIG]: the single
baselines are integrated once, in 50 steps; SIG integrates from each of its N coalitions in 50 steps, and draws them from
the pool of coalitions that the network was trained on ([SIG] appendix, "Game Data": "we initially randomly sample a
proportion Q of coalitions. From this subset, we then sample N baselines").

Estimators here are functions `(trial, N) -> Estimate`, named in `ESTIMATORS` by the property `paper`.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64, Int

from .. import draws
from ..engine import quadrature
from ..engine.plan import Reference
from ..methods.common import units
from ..methods.sig import through
from ..players import parse
from ..shapley.coalitions import Coalitions, size_weights
from ..shapley.game import Estimate, members_of
from .estimators import Trial, along, follow

STEPS = 50
"""Nodes of the Riemann sum on each path."""
_RULE = "riemann-middle"


def zero(trial: Trial, baselines: int) -> Estimate:
    """IG from the empty coalition, once."""
    del baselines
    return along(trial, "ig", baseline="zero", steps=STEPS, rule=_RULE)


def mean(trial: Trial, baselines: int) -> Estimate:
    """IG from the mean of the N sampled coalitions, once."""
    del baselines
    return along(trial, "ig", baseline="mean", steps=STEPS, rule=_RULE)


def random(trial: Trial, baselines: int) -> Estimate:
    """IG from one of the N sampled coalitions, once."""
    del baselines
    return along(trial, "ig", baseline="random", steps=STEPS, rule=_RULE)


def sig(trial: Trial, baselines: int) -> Estimate:
    """SIG from N coalitions of the pool, sizes uniform as the proof of [SIG] needs them."""
    return _sig(trial, baselines, np.ones(trial.n))


def sig_algorithm1(trial: Trial, baselines: int) -> Estimate:
    """SIG from N coalitions of the pool, sizes with probability ŵ(k) as [SIG] Algorithm 1 is printed."""
    return _sig(trial, baselines, size_weights(trial.n))


def _sig(trial: Trial, baselines: int, weights: Float64[np.ndarray, " n"]) -> Estimate:
    codes = from_pool(trial.pool, trial.n, baselines, weights, key=draws.stream(trial.key, "pool"))
    drawn = Coalitions.pack(members_of(codes, trial.n))
    nodes, node_weights = quadrature.rule(_RULE)(STEPS)
    shape = (baselines, STEPS)
    plan = through(
        "to-input",
        parse("pixels", trial.subject.x),
        Reference.fixed(torch.zeros_like(trial.subject.x)),
        drawn,
        nodes=np.broadcast_to(nodes, shape),
        weights=np.broadcast_to(node_weights, shape) / baselines,
        unit=units(baselines),
    )
    return follow(trial, plan)


def from_pool(
    pool: Int[np.ndarray, " m"], n: int, count: int, weights: Float64[np.ndarray, " n"], *, key: int
) -> Int[np.ndarray, " count"]:
    """Draw coalitions from a pool: first a size, then one of the pool's coalitions of that size, with replacement.

    Sizes that the pool lacks are not drawn, and the probabilities of the others are divided by their sum. The grand
    coalition is never drawn: IG from it is zero.

    Args:
        pool: codes of the coalitions that may be drawn.
        n: number of players.
        count: how many to draw.
        weights: weights of the sizes k = 0..n-1, up to a factor.
        key: key of the stream of draws.
    """
    sizes = np.bitwise_count(pool.astype(np.uint64)).astype(np.int64)
    order = np.argsort(sizes, kind="stable")
    held = np.bincount(sizes, minlength=n + 1)
    first = np.concatenate([[0], np.cumsum(held)])
    chance = weights * (held[:n] > 0)
    edges = np.cumsum(chance) / chance.sum()
    u = draws.rows(key, 0, count, 2)
    # The last edge is 1 up to rounding, and u is below 1: a draw beyond it belongs to the last size that is there.
    k = np.minimum(np.searchsorted(edges, u[:, 0], side="right"), np.nonzero(chance)[0][-1])
    return pool[order[first[k] + (u[:, 1] * held[k]).astype(np.int64)]]
