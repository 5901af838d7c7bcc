"""Effective coalitions ([ES] Algorithms 1 and 2) of images and arrays: a method by scores, and where SIG may start."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .. import draws
from ..engine.passes import Passes
from ..errors import AttributionError, BudgetError
from ..players import parse
from ..shapley.coalitions import Coalitions
from ..shapley.effective import draw_effective, least_pool, sample_pool
from ..shapley.effective import effective_shapley as estimated
from ..shapley.game import Game
from ..types import Attribution, Subject
from .absence import game_of
from .common import REPLICATES, at_least
from .shapley_values import maps_of, per_pixel
from .strata import GOLDEN


def effective_shapley(
    passes: Passes,
    subject: Subject,
    *,
    players: str | Tensor = "grid:7x7",
    baseline: str | Tensor = "blur",
    budget: int = 2048,
    tolerance: float = 0.01,
    bins: int = 20,
    draws: int = 1000,
) -> Attribution:
    """Effective Shapley, [ES] Algorithm 1: the mean difference that a player makes to its effective coalitions.

    Coalitions of all sizes form a pool. For each player, the coalitions whose score it changes are grouped by that change
    and their size, drawn in the proportions of Eq. 5, and averaged. Only ratios of Shapley values are estimated: how often
    a player changes nothing is left out, so the values do not sum to a score difference and cannot be compared with those
    of other methods.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        players: the partition, as `--players` takes it.
        baseline: the baseline x' of absent players.
        budget: forward passes that may be spent on the pool, at least n(n + 3)/2.
        tolerance: fraction of the greatest difference in the pool up to which a coalition is not effective; [ES] has 0, but
            no two outputs of a network are equal.
        bins: classes of differences, which in a network's output do not repeat.
        draws: T, effective coalitions drawn for each player, with repetition.

    Raises:
        BudgetError: a budget too small for one coalition of every size.
        UsageError: unknown players or baseline.
    """
    at_least(1, bins=bins, draws=draws)
    at_least(0, tolerance=tolerance)
    partition = parse(players, subject.picture)
    found = estimated(
        game_of(passes, subject, partition, baseline), partition.n, budget=budget, key=_key(subject, "effective-shapley"),
        tolerance=tolerance, bins=bins, count=draws, groups=REPLICATES,
    )  # fmt: skip
    return Attribution(
        per_pixel(found.values, partition, subject.x), passes.score(subject), passes.evaluations, 1,
        stderr=None if found.stderr is None else per_pixel(found.stderr, partition, subject.x),
        deviations=maps_of(found.deviations, partition, subject.x),
        players=partition.labels, player_values=torch.from_numpy(found.values),
    )  # fmt: skip


def _key(subject: Subject, name: str) -> int:
    return draws.stream(subject.seed, subject.key, name)


def effective_coalitions(
    game: Game, n: int, subject: Subject, *, samples: int, pool: int, tolerance: float, bins: int
) -> tuple[Coalitions, np.ndarray, np.ndarray, np.ndarray | None]:
    """Coalitions that [ES] Algorithm 2 integrates from: equally many effective ones of each player, in one list.

    Where the pool's budget buys several pools, each with its share of the samples is a replicate, and their spread gives a
    standard error.

    Args:
        game: v(S) = F(b_S).
        n: number of players.
        subject: the subject whose draws these are.
        samples: how many coalitions, at least one for each player; a player without effective coalitions leaves out its own.
        pool: passes that may be spent on finding them.
        tolerance: see `effective_shapley`.
        bins: see `effective_shapley`.

    Returns:
        coalitions (k), their weights (k,), a place α for each (k,), and their replicates (k,), None where there is one.

    Raises:
        BudgetError: fewer samples than players, or a pool without a coalition of every size.
        AttributionError: no coalition to which any player makes a difference.
    """
    if samples < n:
        raise BudgetError(
            "effective coalitions are drawn for each player", given=samples, allowed=f"samples of {n} or more"
        )
    replicates = max(1, min(REPLICATES, pool // least_pool(n), samples // n))
    edges = [samples * r // replicates for r in range(replicates + 1)]
    parts: list[Coalitions] = []
    for r in range(replicates):
        key = draws.stream(_key(subject, "effective"), r)
        found = sample_pool(game, n, budget=pool // replicates, key=key)
        least = found.tolerance(tolerance)
        each = np.bincount(np.arange(edges[r], edges[r + 1]) % n, minlength=n)  # players in turn
        rows = [
            draw_effective(found, p, count=int(each[p]), tolerance=least, bins=bins, key=draws.stream(key, "draws"))
            for p in range(n)
        ]
        parts.append(Coalitions.pack(found.members[np.concatenate(rows)]))
    parts = [part for part in parts if len(part)]
    if not parts:
        raise AttributionError(
            "no player changes the score of any coalition of the pool", hint="Use coalitions=sampled."
        )
    turns = draws.rows(draws.stream(_key(subject, "effective"), "turn"), 0, len(parts), 1)[:, 0]
    alphas = [(np.arange(len(part)) * GOLDEN + turn) % 1 for part, turn in zip(parts, turns, strict=True)]
    weights = [np.full(len(part), 1 / (len(part) * len(parts))) for part in parts]
    unit = None if len(parts) == 1 else np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Coalitions.stack(parts), np.concatenate(weights), np.concatenate(alphas), unit
