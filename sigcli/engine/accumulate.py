"""What a plan's points add up to: weighted gradients, replicate by replicate, and the players' exact marginals.

On a CPU sums run point by point in the plan's order: sums in floating point depend on their grouping, and this one never
changes. On other devices, where a call for every point would keep them waiting, a batch's points of one replicate are summed
at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .corrections import correct
from .plan import Plan, spread_positions, with_certainty
from .replicates import add_to_groups, deviations, group_weights, places_of, regrouped
from .request import Request
from .task import Task, begins_with
from .transfer import sent

_SMALL = 1024
_BLOCK = 16
"""Replicates that are folded together: an even number, so pairs are."""


@dataclass(eq=False)
class Run(Request):
    """A task as a request for the points of its plan: they are written as images, and their gradients add up.

    Args:
        task: what is computed; of a path in certainty, with an image that has a channel for it.

    The sums of closed replicates wait in `block` until it is full: a few calls for all of them cost as much as for one.
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
    block: Tensor = field(init=False)
    closed: list[slice] = field(default_factory=list, init=False)
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
        self.block = torch.empty(min(_BLOCK, plan.units), *x.shape, dtype=dtype, device=x.device)
        if plan.marginals is not None:
            self.scores = torch.zeros(len(plan), dtype=torch.float64, device=x.device)
        if plan.unit is not None and plan.units > 1:
            self.mean, self.spread = zeros(), zeros()
            self.groups = torch.zeros(len(group_weights(plan)), *x.shape[1:], dtype=dtype, device=x.device)
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

    @property
    def room(self) -> int:
        """How many more replicates may be closed before they are folded."""
        return len(self.block) - len(self.closed)

    def _follow(self, longer: Plan) -> None:
        """Go on with a plan that begins with the points of the one that was followed."""
        plan, done = self.task.plan, self.done
        if (
            plan.unit is None
            or longer.unit is None
            or self.groups is None
            or plan.paired
            or not begins_with(longer, plan)
        ):
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
    gradient = gradient.to(run.open.dtype)  # of a network in half precision: sums of many points would lose its digits
    if plan.multiply and not plan.reference.constant:
        gradient = gradient * delta
    in_order = _in_order(gradient.device)
    if gradient[0].numel() <= _SMALL or not in_order:
        _accumulate_stretches(run, gradient * movement, _sums_in_order if in_order else _sums)
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
            _close(run)


def _in_order(device: torch.device) -> bool:
    """Whether sums are to run point by point: see above."""
    return device.type == "cpu"


def _accumulate_stretches(run: Run, terms: Tensor, sums: Callable[[Tensor], Tensor]) -> None:
    """The same for a batch's points at once: where a call for each costs more than the network.

    Replicates that are of one length, as most are, and lie within the batch are summed together.
    """
    first, last = run.done, run.done + len(terms)
    ends = _ends(run.task.plan, first, last)
    at = 0
    if (ends and run.opened < first) or not ends:  # what is left of the open one
        end = ends[0] if ends else last
        run.open = sums(torch.cat([run.open[None], terms[: end - first]])[None])[0]
        run.done, at = end, 1
        if not ends:
            return
        _close(run)
    while at < len(ends):
        length, alike = ends[at] - run.done, 1
        while at + alike < len(ends) and alike < run.room and ends[at + alike] == ends[at + alike - 1] + length:
            alike += 1
        rows = terms[run.done - first : run.done - first + alike * length]
        _close_whole(run, sums(rows.reshape(alike, length, *rows.shape[1:])), length)
        at += alike
    if run.done < last:
        run.open, run.done = sums(terms[run.done - first :][None])[0].to(run.open.dtype), last


def _ends(plan: Plan, first: int, last: int) -> list[int]:
    """Where replicates end among the points first..last-1: the index after the last point of each."""
    found: list[int] = []
    if plan.unit is not None:
        there, after = plan.unit[first : min(last, len(plan) - 1)], plan.unit[first + 1 : last + 1]
        found = (np.flatnonzero(there != after) + first + 1).tolist()
    return [*found, last] if last == len(plan) else found


def _sums_in_order(terms: Tensor) -> Tensor:
    """Sums of rows in their order, (m, k, *s) → (m, *s), rounded as if each were added by a call of its own."""
    rows = terms.flatten(2).numpy()
    if rows.shape[2] == 1:  # numpy would add these in another order
        return torch.from_numpy(np.add.accumulate(rows, axis=1)[:, -1]).reshape(len(terms), *terms.shape[2:])
    return torch.from_numpy(np.add.reduce(rows, axis=1)).reshape(len(terms), *terms.shape[2:])


def _sums(terms: Tensor) -> Tensor:
    """Sums of rows, (m, k, *s) → (m, *s)."""
    return terms.sum(1)


def _close(run: Run) -> None:
    """End the open replicate."""
    _close_whole(run, run.open[None], run.done - run.opened)
    run.open.zero_()


def _close_whole(run: Run, sums: Tensor, length: int) -> None:
    """Keep the sums of some replicates, (m, C, H, W), of so many points each; what is full is folded."""
    first = run.opened
    run.block[len(run.closed) : len(run.closed) + len(sums)] = sums
    run.closed += [slice(first + i * length, first + (i + 1) * length) for i in range(len(sums))]
    run.opened = first + len(sums) * length
    run.done = max(run.done, run.opened)
    if not run.room or run.opened == len(run.task.plan):
        _fold(run)


def _fold(run: Run) -> None:
    """Fold the closed replicates into the total and, where there are several, into the weighted mean and spread.

    A block holds a fixed number of them, so sums are grouped alike whatever the batch size.
    """
    plan, values = run.task.plan, run.block[: len(run.closed)]
    if run.fixed is not None and plan.multiply:
        values *= run.fixed[1]
    if plan.marginals is not None:
        if run.fixed is None:
            raise ValueError("marginals need one reference")
        correct(plan, values, run.closed, scores=run.scores, omegas=run.omegas, delta=run.fixed[1][0])
    run.total += values.sum(0)
    if plan.unit is not None and run.groups is not None:
        places = places_of(plan, plan.unit[[points.start for points in run.closed]]).tolist()
        flat = values[:, -1] if plan.certainty else values.sum(1)
        if plan.paired:
            places, flat = places[::2], flat[::2] - flat[1::2]
        add_to_groups(run.groups, places, flat)
        if run.mean is not None and run.spread is not None:
            _spread(run, run.mean, run.spread, values)
    run.closed.clear()


def _spread(run: Run, mean: Tensor, spread: Tensor, values: Tensor) -> None:
    """Add a block to the sum of squared differences: within pairs, or from the weighted mean (Chan et al. 1983)."""
    plan = run.task.plan
    if plan.unit is None or plan.paired:
        spread += (values[::2] - values[1::2]).square().sum(0)
        return
    omega = run.omegas[plan.unit[[points.start for points in run.closed]]]
    weight, before = float(omega.sum()), run.share
    run.share += weight
    column = sent(omega, values.device, values.dtype).reshape(-1, 1, 1, 1)
    middle = values.sum(0) / weight
    spread += ((values / column - middle).square() * column).sum(0)
    step = middle - mean
    spread += step.square() * (before * weight / run.share)
    mean += step * (weight / run.share)


def deviations_of(run: Run) -> Float[Tensor, "g h w"] | None:
    """See `sigcli.types.Attribution.deviations`; None where there is but one replicate.

    Of paired replicates, whose parts of the sum differ, they are sums of the differences within the pairs.
    """
    if run.groups is None or run.task.plan.paired:
        return run.groups
    return deviations(run.groups * run.factor, group_weights(run.task.plan))
