"""Runs that go on until their map is exact enough: how long each may be, and when it has enough.

A sampled method that names in the table what it `grows` by gives nested runs: the draws of a short one are the first of a
long one. So a run can be looked at, and continued, without asking the model anything twice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..catalog import Entry
from ..engine.accumulate import Task
from ..engine.passes import Images, Passes
from ..engine.plan import Plan
from ..errors import AttributionError, BudgetError
from ..scores.score import Score
from ..types import Attribution, Subject
from .deferred import Deferred

REPLICATES = 8
"""Replicates before the first look: the spread of fewer says too little of an error."""
PATIENCE = 20
"""A run is looked at again after this part of its length at the latest where its end is near."""
BLOCKS: Mapping[str, tuple[str, int]] = {
    "16 samples": ("samples", 16),
    "2 orders": ("orders", 2),
    "1 sample": ("samples", 1),
}
"""What a method can grow by: the option that counts its draws, and how many of them are a replicate."""
TOLERANCE, MOST = "tolerance", "max-evaluations"
MOST_TIMES = 16
"""A run may by default cost this many times the method's default."""


@dataclass(frozen=True, eq=False)
class Aim:
    """When a map is exact enough.

    Args:
        tolerance: the relative standard error aimed at.
        most: evaluations of the model that one map may take.
        error: the relative standard error, of values (H, W), channels summed, and their deviations (g, H, W).
    """

    tolerance: float
    most: int
    error: Callable[[Float[Tensor, "h w"], Float[Tensor, "g h w"]], float]


def grows(entry: Entry) -> bool:
    """Whether a run of a method can be continued."""
    return "grows" in entry.properties


@dataclass(eq=False)
class Length:
    """How long one run is, in draws.

    Args:
        entry: the method; `grows` of its line says what a replicate is.
        aim: what it aims at.
        each: evaluations that a draw costs, once known.
    """

    entry: Entry
    aim: Aim
    each: float = 0.0
    draws: int = field(init=False)
    stopped: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self.option, self.block = BLOCKS[self.entry.properties["grows"]]
        self.draws = self.block * REPLICATES

    @property
    def set(self) -> dict[str, int]:
        """The option that makes a run as long."""
        return {self.option: self.draws}

    def check(self) -> None:
        """Raise BudgetError where the fewest replicates cost too much."""
        if self.draws * self.each > self.aim.most:
            raise BudgetError(
                f"{REPLICATES} replicates of {self.entry.name} cost more than --max-evaluations",
                given=self.aim.most, allowed=f"{math.ceil(self.draws * self.each)} or more",
            )  # fmt: skip

    def goes_on(self, values: Tensor, deviations: Tensor | None) -> bool:
        """Whether the run is to be longer; then it is.

        Args:
            values: (C, H, W) of this length.
            deviations: see `sigcli.types.Attribution`.

        Raises:
            AttributionError: no deviations.
        """
        if deviations is None:
            raise AttributionError(f"{self.entry.name} has no standard error with these options, so no tolerance")
        error = self.aim.error(values.sum(0).to(deviations), deviations)
        if error <= self.aim.tolerance:
            return self._stop(TOLERANCE)
        room = int(self.aim.most / self.each) // self.block * self.block
        if room <= self.draws:
            return self._stop(MOST)
        self.draws = min(self._next(error), room)
        return True

    def _next(self, error: float) -> int:
        """Where to look again: half of the way to where the error should be small enough, or a little further."""
        more = self.draws / PATIENCE
        if math.isfinite(error):
            away = self.draws * ((error / self.aim.tolerance) ** 2 - 1)
            more = min(max(more, away / 2), self.draws)
        return self.draws + max(1, int(more / self.block)) * self.block

    def _stop(self, why: str) -> bool:
        self.stopped = f"{why}: {self.option}={self.draws}"
        return False


@dataclass(eq=False)
class Grown:
    """A plan that grows, see `sigcli.engine.accumulate.Growth`.

    Args:
        length: how long it is.
        make: the plan with some options set.
    """

    length: Length
    make: Callable[..., Plan]

    @property
    def stopped(self) -> str:
        """See `sigcli.engine.accumulate.Growth`."""
        return self.length.stopped

    def longer(self, plan: Plan, values: Tensor, deviations: Tensor | None) -> Plan | None:
        """See `sigcli.engine.accumulate.Growth`."""
        del plan
        return self.make(**self.length.set) if self.length.goes_on(values, deviations) else None


def growing_task(entry: Entry, options: Mapping[str, Any], subject: Subject, aim: Aim) -> Task:
    """What the engine is to do for one subject by a path method until its map is exact enough.

    Raises:
        BudgetError: the fewest replicates cost more than the run may.
        AttributionError: a plan without a standard error.
    """
    before, length = time.perf_counter(), Length(entry, aim)

    def make(**more: Any) -> Plan:
        made = entry.load()(subject, **{**options, **more})
        if isinstance(made, Deferred) or made.scale is not None:
            raise AttributionError(f"{entry.name} cannot go on with these options, so it takes no tolerance")
        return made

    plan = make(**length.set)
    if plan.unit is None:  # all coalitions are enumerated: nothing is random
        return Task(subject, plan, time.perf_counter() - before)
    if plan.paired:  # nodes spread over all coalitions at once cannot be continued
        options = {**options, "coalitions": "sampled"}
        plan = make(**length.set)
    elif options.get("coalitions", "auto") == "auto" and "coalitions" in entry.options():
        options = {**options, "coalitions": "sampled"}  # as it began, however long it becomes
    length.each = len(plan) / length.draws
    length.check()
    return Task(subject, plan, time.perf_counter() - before, Grown(length, make))


@dataclass(eq=False)
class Remembered(Passes):
    """Passes of a method that is called again with more draws: the images that it asked for before are not passed again."""

    _known: list[Tensor] = field(default_factory=list, init=False)
    _turn: int = field(default=0, init=False)

    def rewind(self) -> None:
        """The method is called again."""
        self._turn = 0

    def scores(self, images: Images, count: int, subject: Subject, scorer: Score | None = None) -> Float[Tensor, " k"]:
        """See `Passes.scores`; the first images of this call are those of the same call before."""
        if self._turn == len(self._known):
            self._known.append(torch.empty(0, dtype=torch.float64, device=subject.x.device))
        known, turn = self._known[self._turn], self._turn
        self._turn += 1
        first = len(known)
        if count > first:
            new = super().scores(
                lambda part: images(slice(part.start + first, part.stop + first)), count - first, subject, scorer
            )
            self._known[turn] = known = torch.cat([known, new])
        return known[:count].clone()


def grown(entry: Entry, options: Mapping[str, Any], passes: Remembered, subject: Subject, aim: Aim) -> Attribution:
    """Explain one subject with a direct method that looks at scores alone, until its map is exact enough.

    Raises:
        BudgetError: the fewest replicates cost more than the run may.
        AttributionError: a method without a standard error.
    """
    length = Length(entry, aim)
    while True:
        passes.rewind()
        found = entry.load()(passes, subject, **{**options, **length.set})
        length.each = passes.evaluations / length.draws
        length.check()
        if not length.goes_on(found.values, found.deviations):
            return replace(found, stopped=length.stopped)
