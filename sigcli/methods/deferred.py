"""Plans whose points depend on scores: they are made once the model is at hand, and what that took is counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..catalog import Entry
from ..engine.accumulate import Task
from ..engine.batch_size import Batches, batches_of
from ..engine.passes import Passes
from ..engine.plan import Plan
from ..players import Players
from ..scores.score import Score
from ..shapley.game import Game
from ..types import Subject


@dataclass(frozen=True, eq=False)
class Deferred:
    """A plan that waits for the scores of some coalitions.

    Args:
        players: players of the game v(S) = F(b_S).
        baseline: x' of absent players, see `sigcli.baselines.single.baseline`.
        decide: from the game to the plan.
    """

    players: Players
    baseline: str | Tensor
    decide: Callable[[Game], Plan]


def task(
    entry: Entry,
    options: Mapping[str, Any],
    scorer: Score,
    subject: Subject,
    *,
    batch_size: int | Batches = 16,
    progress: Callable[[int], None] | None = None,
) -> Task:
    """What the engine is to do for one subject by a path method; scores that decide on the plan are asked for here.

    Args:
        entry: entry of a method of kind "path".
        options: options of the method.
        scorer: the score F.
        subject: what is explained.
        batch_size: images per pass, where there are any.
        progress: called after each batch with the number of its images.

    Raises:
        UsageError: options that cannot be used.
        BudgetError: too few passes for the scores that are needed.
    """
    before = time.perf_counter()
    made = entry.load()(subject, **options)
    if not isinstance(made, Deferred):
        return Task(subject, made)
    passes = Passes(scorer, batches_of(batch_size), progress)
    plan = made.decide(passes.game(subject, made.players, made.baseline))
    return Task(subject, replace(plan, spent=passes.evaluations), time.perf_counter() - before)
