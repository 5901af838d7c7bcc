"""[ES] section B.2.2 and Theorem 3: what IG gives a player along its own segment S → S ∪ i, beside v(S ∪ i) - v(S).

Only one player moves on such a segment, so completeness makes the integral equal to the marginal difference; what is left is
quadrature error, and it shows how straight the network is between two coalitions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int

from .. import draws
from ..engine.integrate import Task, integrate
from ..engine.plan import Plan, Reference
from ..engine.quadrature import rule
from ..players import parse
from ..shapley.coalitions import Coalitions, of_sizes
from .estimators import Trial

STEPS = (1, 50)


@dataclass(frozen=True, eq=False)
class Segments:
    """Segments S → S ∪ i of one network.

    Args:
        player: (m,) the player i that moves.
        size: (m,) players in S.
        marginal: (m,) v(S ∪ i) - v(S).
        integral: steps → (m,) IG of player i along the segment with that many Gauss-Legendre nodes.
    """

    player: Int[np.ndarray, " m"]
    size: Int[np.ndarray, " m"]
    marginal: Float64[np.ndarray, " m"]
    integral: dict[int, Float64[np.ndarray, " m"]]


def sample_segments(trial: Trial, *, per_player: int = 8, steps: tuple[int, ...] = STEPS) -> Segments:
    """Segments of every player from random coalitions, whose sizes are spread over 0..n-1.

    Args:
        trial: the network.
        per_player: segments for each player.
        steps: numbers of Gauss-Legendre nodes to try.
    """
    n = trial.n
    player = np.repeat(np.arange(n), per_player)
    size = np.tile(np.linspace(0, n - 1, per_player).round().astype(int), n)
    key = draws.stream(trial.key, "segments")
    # A coalition of the n-1 others: drawn among n-1 players, with the moving player's place left open.
    others = of_sizes(size, n - 1, key).members() if n > 1 else np.zeros((len(size), 0), bool)
    start = np.zeros((len(size), n), bool)
    start[np.arange(n)[None, :] != player[:, None]] = others.ravel()
    end = start.copy()
    end[np.arange(len(end)), player] = True
    values = trial.networks.game(trial.run)(np.concatenate([start, end]))
    integral = {count: _integrals(trial, start, end, player, count) for count in steps}
    return Segments(player, size, values[len(start) :] - values[: len(start)], integral)


def _integrals(
    trial: Trial, start: np.ndarray, end: np.ndarray, player: np.ndarray, steps: int
) -> Float64[np.ndarray, " m"]:
    nodes, weights = rule("gauss-legendre")(steps)
    partition = parse("pixels", trial.subject.x)
    reference = Reference.fixed(torch.zeros_like(trial.subject.x))
    tasks = [
        Task(
            trial.subject,
            Plan(
                nodes, weights, np.zeros(steps, np.int64), reference, players=partition,
                start=Coalitions.pack(start[i : i + 1]), end=Coalitions.pack(end[i : i + 1]),
            ),
        )
        for i in range(len(player))
    ]  # fmt: skip
    found = integrate(trial.networks, tasks, batch_size=1024)
    return np.array([float(a.values.flatten()[i]) for a, i in zip(found, player, strict=True)])
