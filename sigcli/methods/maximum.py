"""Max SHAP: exact Shapley values of a score that is the largest of what its players bring; no sampling."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from .. import draws
from ..baselines.single import baseline as single_baseline
from ..engine.passes import Passes
from ..errors import AttributionError
from ..players import Players, parse
from ..shapley.closed_forms import max_shap as closed_form
from ..shapley.game import members_of
from ..types import Attribution, Subject
from .common import at_least
from .score_kinds import ANY_SCORE, NO_MAXIMUM
from .shapley_values import per_pixel

_EXACT = 1e-4
"""Fraction of the spread of the scores by which a maximum may miss one."""


def max_shap(
    passes: Passes,
    subject: Subject,
    *,
    players: str | Tensor = "grid:7x7",
    baseline: str | Tensor = "blur",
    checks: int = 64,
) -> Attribution:
    """Max SHAP, Lundberg, Lee 2017, section 4.1: exact Shapley values of a score that is a maximum; others are refused.

    The score is `v(S) = max(max_{i in S} a_i, max_{j not in S} r_j)`. The contributions a and r are read in two ways, and
    the first that agrees with every tested score is taken: a and r are the largest values of a player in the input and in
    the baseline (the network takes the maximum of its inputs), or a_i is the score of player i alone and r the score of the
    baseline (a maximum of any functions of one player each, where the baseline contributes the same for every player).
    Tested are the empty and the full coalition, every player alone, all but one, and random coalitions; or all coalitions
    if there are no more.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        players: the partition, as `--players` takes it.
        baseline: the baseline x' of absent players.
        checks: random coalitions on which the score must be the maximum.

    Raises:
        AttributionError: a score that is not a maximum.
        UsageError: unknown players or baseline, or no checks.

    The cost is 2n + 2 + checks forward passes; the values take O(n²).
    """
    at_least(1, checks=checks)
    partition = parse(players, subject.picture)
    n, reference = partition.n, single_baseline(baseline, subject)
    asked = _asked(n, checks, draws.stream(subject.seed, subject.key, "max-shap"))
    scores = np.asarray(passes.game(subject, partition, baseline)(asked), np.float64)
    alone, empty = scores[2 : 2 + n], scores[0]
    readings = (
        (_largest(subject.x, partition), _largest(reference, partition)),
        (np.maximum(alone, empty), np.full(n, empty)),
    )
    found = next((closed_form(a, r) for a, r in readings if _agrees(scores, asked, a, r)), None)
    if found is None:
        raise AttributionError(NO_MAXIMUM, hint=ANY_SCORE)
    total = float(scores[1] - empty)
    return Attribution(
        values=per_pixel(found, partition, subject.x),
        score=float(scores[1]),
        evaluations=passes.evaluations,
        completeness_gap=abs(float(found.sum()) - total),
        total=total,
        players=partition.labels,
        player_values=torch.from_numpy(found),
    )


def _asked(n: int, checks: int, key: int) -> Bool[np.ndarray, "k n"]:
    """Coalitions: none, all, each player alone, all but one, then random ones of uniform size; or all 2^n."""
    alone = np.eye(n, dtype=bool)
    first = np.concatenate([np.zeros((1, n), bool), np.ones((1, n), bool), alone, ~alone])
    if n < 24 and 2**n <= 2 * n + 2 + checks:
        return np.concatenate([first, members_of(np.arange(2**n), n)[_between(n)]])
    drawn = draws.rows(key, 0, checks, n + 1)
    rank = drawn[:, :n].argsort(1).argsort(1)
    return np.concatenate([first, rank < 2 + np.floor(drawn[:, n:] * (n - 3))])  # sizes 2 to n - 2


def _between(n: int) -> Bool[np.ndarray, " k"]:
    """Which of all coalitions are not asked for otherwise: those of 2 to n - 2 players."""
    sizes = np.bitwise_count(np.arange(2**n))
    return (sizes > 1) & (sizes < n - 1)


def _largest(x: Tensor, partition: Players) -> Float64[np.ndarray, " n"]:
    """The largest value of each player over its pixels and channels."""
    labels = partition.labels.expand_as(x).flatten().cpu()
    start = torch.full((partition.n,), -torch.inf, dtype=torch.float64)
    return start.scatter_reduce(0, labels, x.detach().flatten().cpu().double(), "amax").numpy()


def _agrees(
    scores: Float64[np.ndarray, " k"],
    asked: Bool[np.ndarray, "k n"],
    a: Float64[np.ndarray, " n"],
    r: Float64[np.ndarray, " n"],
) -> bool:
    """Whether every score is the maximum, up to rounding of the network."""
    allowed = _EXACT * np.ptp(scores) + 1e-6 * np.abs(scores).max()
    return bool(np.abs(scores - np.where(asked, a, r).max(1)).max() <= allowed)
