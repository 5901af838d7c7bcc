"""What a plan's points add up to: weighted gradients, replicate by replicate, and the players' exact marginals.

On a CPU sums run point by point in the plan's order: sums in floating point depend on their grouping, and this one never
changes. On other devices, where a call for every point would keep them waiting, a batch's points of one replicate are summed
at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..shapley.groups import group_of
from ..types import Subject
from .batches import Request
from .plan import Plan, spread_positions, with_certainty
from .replicates import deviations, regrouped
from .transfer import sent

_SMALL = 1024


@runtime_checkable
class Growth(Protocol):
    """Says, where a plan has been followed to its end, whether a longer one is to be followed."""

    @property
    def stopped(self) -> str:
        """Why no longer one was, once there is none; see `sigcli.types.Attribution.stopped`."""
        ...

    def longer(
        self, plan: Plan, values: Float[Tensor, "c h w"], deviations: Float[Tensor, "g h w"] | None
    ) -> Plan | None:
        """A plan that begins with the points of this one, each with its share of the weight; None where this is enough.

        Args:
            plan: what has been followed.
            values: what it came to.
            deviations: see `sigcli.types.Attribution`.
        """
        ...


@dataclass(frozen=True, eq=False)
class Task:
    """One explanation to compute: a subject on the scorer's device, the plan to follow, and the seconds it took to make.

    With `growth` the plan goes on until that has enough.
    """

    subject: Subject
    plan: Plan
    seconds: float = 0.0
    growth: Growth | None = None


@dataclass(eq=False)
class Run(Request):
    """A task as a request for the points of its plan: they are written as images, and their gradients add up.

    Args:
        task: what is computed; of a path in certainty, with an image that has a channel for it.

    While a plan grows, its weights stay in the measure of the first: sums are to be multiplied by `factor` in the end.
    """

    task: Task
    total: Tensor = field(init=False)
    open: Tensor = field(init=False)
    mean: Tensor | None = field(default=None, init=False)
    spread: Tensor | None = field(default=None, init=False)
    groups: Tensor | None = field(default=None, init=False)
    share: float = field(default=0.0, init=False)
    done: int = field(default=0, init=False)
    fixed: tuple[Tensor, Tensor] | None = field(default=None, init=False)
    omegas: np.ndarray = field(default_factory=lambda: np.ones(1), init=False)
    scores: Tensor = field(default_factory=lambda: torch.empty(0), init=False)
    opened: int = field(default=0, init=False)
    factor: float = field(default=1.0, init=False)
    _longest: Plan | None = field(default=None, init=False)
    _written: tuple[Tensor, Tensor] = field(default=(torch.empty(0), torch.empty(0)), init=False)

    def __post_init__(self) -> None:
        self.seconds = self.task.seconds

    def __len__(self) -> int:
        return len(self.task.plan)

    @property
    def like(self) -> Tensor:
        """The image that is explained, with its certainty where the path is in that."""
        return self.task.subject.x

    @property
    def target(self) -> int:
        """The class that is explained."""
        return self.task.subject.target

    def start(self) -> None:
        """Nothing accumulated yet."""
        x, plan = self.like, self.task.plan
        dtype = torch.promote_types(x.dtype, torch.float32)

        def zeros() -> Tensor:
            return torch.zeros(x.shape, dtype=dtype, device=x.device)

        self.total, self.open = zeros(), zeros()
        if plan.marginals is not None:
            self.scores = torch.zeros(len(plan), dtype=torch.float64, device=x.device)
        if plan.unit is not None and plan.units > 1:
            self.mean, self.spread = zeros(), zeros()
            self.groups = zeros()[0].repeat(len(group_weights(plan)), 1, 1)
            self.omegas = np.bincount(plan.unit, plan.weight) / plan.weight.sum()
        if plan.reference.constant:
            reference = plan.reference.sample(torch.zeros(1, dtype=torch.long))
            self.fixed = reference, self.movement(reference)

    def write(self, items: slice, place: Tensor) -> None:
        """Write points of the plan as images (k, C, H, W); keeps what the accumulation needs of them."""
        plan, x = self.task.plan, self.like
        position, movement = spread_positions(plan, items, x.device, x.dtype)
        reference, delta = self.references(plan.segment[items])
        # Product, then sum, each rounded: as every other implementation of IG does it. A fused multiply-add differs in the
        # last bit, and on flat areas of a picture that bit decides ties in max-pooling, which moves whole gradients.
        torch.mul(position, delta, out=place)
        place += reference
        self._written = movement, delta

    def take(self, items: slice, *answers: Tensor) -> None:
        """Add the model's outputs at the points: their scores and gradients."""
        score, gradient = answers
        (movement, delta), self._written = self._written, (torch.empty(0), torch.empty(0))
        if self.task.plan.marginals is not None:
            self.scores[items] = score.double()
        accumulate(self, items, gradient, movement, delta)
        growth = self.task.growth
        if growth is not None and self.done == len(self.task.plan):
            values = self.total[-1:] if self.task.plan.certainty else self.total
            longer = growth.longer(self.task.plan, values * self.factor, deviations_of(self))
            if longer is not None:
                self._follow(longer)

    def _follow(self, longer: Plan) -> None:
        """Go on with a plan that begins with the points of the one that was followed."""
        plan, done = self.task.plan, self.done
        if plan.unit is None or longer.unit is None or self.groups is None or plan.paired or not _begins(longer, plan):
            raise RuntimeError("a plan can only be followed by one that begins with its replicates")
        growth = float(plan.weight[0] / longer.weight[0])
        marginals = longer.marginals
        if marginals is not None:
            marginals = replace(marginals, coefficient=marginals.coefficient * growth)
            self.scores = torch.cat([self.scores, self.scores.new_zeros(len(longer) - done)])
        self.groups = regrouped(self.groups, plan.units, longer.units)
        self.factor, self._longest = 1 / growth, longer
        self.omegas = np.bincount(longer.unit, longer.weight) / longer.weight.sum() * growth
        self.task = replace(self.task, plan=replace(longer, weight=longer.weight * growth, marginals=marginals))

    @property
    def plan(self) -> Plan:
        """The plan that was followed, in its own measure."""
        return self.task.plan if self._longest is None else self._longest

    def references(self, segments: np.ndarray) -> tuple[Tensor, Tensor]:
        """Reference and x - reference of some segments, each (k or 1, C, H, W)."""
        draw = self.task.plan.draw
        return self.drawn(segments if draw is None else draw[segments])

    def drawn(self, draw: np.ndarray) -> tuple[Tensor, Tensor]:
        """Reference and x - reference of some draws, each (k or 1, C, H, W)."""
        if self.fixed is not None:
            return self.fixed
        x = self.task.subject.x
        reference = self.task.plan.reference.sample(torch.from_numpy(draw.astype(np.int64))).to(x)
        return reference, self.movement(reference)

    def movement(self, reference: Tensor) -> Tensor:
        """End of the path minus its reference, (k, C, H, W): x - x', or certainty alone."""
        x = self.task.subject.x
        if self.task.plan.certainty:
            return with_certainty(torch.zeros_like(x[:-1]), 1.0)[None]
        return x[None] - reference


def _begins(longer: Plan, plan: Plan) -> bool:
    """Whether a plan begins with the points of another."""
    k, segments = len(plan), plan.segments
    ends = (longer.start, plan.start), (longer.end, plan.end)
    return (
        len(longer) > k
        and np.array_equal(longer.alpha[:k], plan.alpha)
        and np.array_equal(longer.segment[:k], plan.segment)
        and all(
            one is other or (one and other and np.array_equal(one.bits[:segments], other.bits)) for one, other in ends
        )
    )


def accumulate(run: Run, points: slice, gradient: Tensor, movement: Tensor, delta: Tensor) -> None:
    """Add the weighted gradients of some points to their run, closing each replicate that ends in them.

    Args:
        run: what they are added to.
        points: which of the plan.
        gradient: (k, C, H, W) at each.
        movement: (k, 1, H, W) or (k, 1, 1, 1) how far each pixel moves there, times the point's weight.
        delta: (k or 1, C, H, W) x - x' of each.
    """
    plan = run.task.plan
    if plan.multiply and not plan.reference.constant:
        gradient = gradient * delta
    here = gradient.device.type == "cpu"
    if gradient[0].numel() <= _SMALL or not here:
        _accumulate_stretches(run, gradient * movement, _add_in_turn if here else _add_at_once)
        return
    if run.done == 0 and plan.players is None:
        run.open = torch.zeros_like(gradient[0], dtype=run.open.dtype)  # sums of one layout are twice as fast
    weights, total = plan.weight[points].tolist(), len(plan.weight)
    for one, moved, weight in zip(gradient, movement, weights, strict=True):
        if plan.players is None:
            run.open.add_(one, alpha=weight)
        else:
            run.open.addcmul_(one, moved)
        run.done += 1
        if run.done == total or (plan.unit is not None and plan.unit[run.done] != plan.unit[run.done - 1]):
            _close_unit(run)


def _accumulate_stretches(run: Run, terms: Tensor, add: Callable[[Tensor, Tensor], None]) -> None:
    """The same, replicate by replicate in place of point by point: where a call for each costs more than the network."""
    unit = run.task.plan.unit
    first = 0
    while first < len(terms):
        left = len(terms) - first
        if unit is not None:
            left = min(left, int(np.searchsorted(unit, unit[run.done], side="right")) - run.done)
        add(run.open, terms[first : first + left])
        run.done, first = run.done + left, first + left
        if run.done == len(run.task.plan) or (unit is not None and unit[run.done] != unit[run.done - 1]):
            _close_unit(run)


def _add_in_turn(total: Tensor, terms: Tensor) -> None:
    """Add rows in their order, rounded as if each were added by a call of its own."""
    rows = torch.cat([total[None], terms]).numpy()
    total.copy_(torch.from_numpy(np.add.accumulate(rows, axis=0)[-1]))


def _add_at_once(total: Tensor, terms: Tensor) -> None:
    """Add the sum of some rows."""
    total += terms.sum(0, dtype=total.dtype)


def _close_unit(run: Run) -> None:
    """Fold the open replicate into the total and, where there are several, into the weighted mean and spread."""
    plan = run.task.plan
    if run.fixed is not None and plan.multiply:
        run.open *= run.fixed[1][0]
    if plan.marginals is not None:
        _correct(run)
    run.total += run.open
    if run.groups is not None and plan.unit is not None:
        unit, flat = int(plan.unit[run.done - 1]), run.open[-1] if plan.certainty else run.open.sum(0)
        sign = -1.0 if plan.paired and unit % 2 else 1.0
        run.groups[_group(plan, unit)] += sign * flat
    if run.mean is not None and run.spread is not None and plan.paired:
        if plan.unit is not None and plan.unit[run.done - 1] % 2 == 0:
            run.mean.copy_(run.open)
        else:
            run.spread += (run.open - run.mean).square()
    elif run.mean is not None and run.spread is not None and plan.unit is not None:
        omega = float(run.omegas[plan.unit[run.done - 1]])
        value = run.open / omega
        run.share += omega
        step = value - run.mean
        run.mean += step * (omega / run.share)
        run.spread += omega * step * (value - run.mean)
    run.open.zero_()
    run.opened = run.done


def _group(plan: Plan, unit: int) -> int:
    """The group that a replicate belongs to; both of a pair to one."""
    return group_of(unit // 2, plan.units // 2) if plan.paired else group_of(unit, plan.units)


def group_weights(plan: Plan) -> Float[np.ndarray, " g"]:
    """The share of the whole that each group of replicates estimates, (g,)."""
    if plan.unit is None:
        return np.ones(1)
    shares = np.bincount(plan.unit, plan.weight) / plan.weight.sum()
    return np.bincount([_group(plan, unit) for unit in range(plan.units)], shares)


def deviations_of(run: Run) -> Float[Tensor, "g h w"] | None:
    """See `sigcli.types.Attribution.deviations`; None where there is but one replicate.

    Of paired replicates, whose parts of the sum differ, they are sums of the differences within the pairs.
    """
    if run.groups is None or run.task.plan.paired:
        return run.groups
    return deviations(run.groups * run.factor, group_weights(run.task.plan))


def _correct(run: Run) -> None:
    """Make each player's sum over the open replicate its exact marginals.

    How often a player is absent from, and present in, the corners of a replicate varies; its values are first brought to
    the same total weight, so a linear score needs no correction. What is then missing goes to the player's values in
    proportion to their magnitude, the least change relative to them; where all are zero (a gradient that vanishes at every
    corner), to its pixels in proportion to |x - x'|.
    """
    plan = run.task.plan
    players, marginals = plan.players, plan.marginals
    if players is None or marginals is None or run.fixed is None:
        raise ValueError("marginals need players and one reference")
    points, like = slice(run.opened, run.done), run.open
    omega = 1.0 if plan.unit is None else float(run.omegas[plan.unit[run.opened]])
    level = omega / (plan.weight[points] @ plan.served(points))
    run.open *= players.spread(sent(level[None], like.device, like.dtype))[0]
    share = run.open.abs()
    flat = (players.totals(share) == 0)[None].to(share)
    share += players.spread(flat)[0] * run.fixed[1][0].abs()
    missing = marginals.of(points, run.scores, players.n) - players.totals(run.open)
    factor = missing / players.totals(share).clamp(min=torch.finfo(share.dtype).tiny)
    run.open += share * players.spread(factor[None].to(share))[0]
