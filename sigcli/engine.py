"""The one hot loop: Σ weight · gradient · (x - x'). It turns any plan into an attribution.

Points of all images, coalitions and nodes fill batches of one size; they are expanded from their compact form on the
device, evaluated, and accumulated there in fp32 (fp64 for fp64 inputs). Memory depends on the batch size and not on the
number of points. Nothing else in the package calls autograd in a loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .errors import AttributionError
from .paths import Plan, endpoints, spread_positions
from .scorer import Score
from .types import Attribution, Subject

_SMALL = 1024
CHECK_SHARE, CHECK_LEAST = 24, 8
"""The completeness check of a sampled plan spends at most one forward pass per so many gradient evaluations (least 8)."""


@dataclass(frozen=True, eq=False)
class Task:
    """One explanation to compute: a subject on the scorer's device, and the plan to follow."""

    subject: Subject
    plan: Plan


@dataclass(eq=False)
class _Run:
    """What has been accumulated for one task."""

    task: Task
    total: Tensor
    open: Tensor
    mean: Tensor | None = None
    spread: Tensor | None = None
    share: float = 0.0
    done: int = 0
    seconds: float = 0.0
    fixed: tuple[Tensor, Tensor] | None = field(default=None)
    omegas: np.ndarray = field(default_factory=lambda: np.ones(1))

    @staticmethod
    def start(task: Task) -> _Run:
        x, plan = task.subject.x, task.plan
        dtype = torch.promote_types(x.dtype, torch.float32)

        def zeros() -> Tensor:
            return torch.zeros(x.shape, dtype=dtype, device=x.device)

        run = _Run(task, zeros(), zeros())
        if plan.unit is not None and plan.units > 1:
            run.mean, run.spread = zeros(), zeros()
            run.omegas = np.bincount(plan.unit, plan.weight) / plan.weight.sum()
        if plan.reference.constant:
            reference = plan.reference.sample(torch.zeros(1, dtype=torch.long, device=x.device))
            run.fixed = reference, x[None] - reference
        return run

    def references(self, segments: np.ndarray) -> tuple[Tensor, Tensor]:
        """Reference and x - reference of some segments, each (k or 1, C, H, W)."""
        if self.fixed is not None:
            return self.fixed
        plan, x = self.task.plan, self.task.subject.x
        draw = segments if plan.draw is None else plan.draw[segments]
        reference = plan.reference.sample(torch.from_numpy(draw.astype(np.int64)).to(x.device)).to(x)
        return reference, x[None] - reference


@dataclass(eq=False)
class _Piece:
    """Some consecutive points of one run, as part of a batch."""

    run: _Run
    points: slice
    movement: Tensor
    delta: Tensor


def integrate(
    scorer: Score,
    tasks: Iterable[Task],
    *,
    batch_size: int = 16,
    check: int = CHECK_SHARE,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Attribution]:
    """Follow the plan of every task; yields one attribution per task, in their order.

    Args:
        scorer: the score F.
        tasks: read lazily, a little ahead of what is yielded; batches run across them.
        batch_size: images per gradient evaluation of the model; halved for good when the device runs out of memory.
        check: the completeness check may spend max(8, points/check) forward passes; 1 checks every end point.
        progress: called after each batch with the number of its gradient evaluations.

    Yields:
        Attributions whose tensors are on the subject's device.

    Raises:
        AttributionError: the device runs out of memory with a single image.
    """
    loop = _Loop(scorer, max(1, batch_size), check)
    waiting: list[_Run] = []
    for pieces in loop.batches(tasks, waiting):
        loop.evaluate(pieces)
        if progress:
            progress(sum(p.points.stop - p.points.start for p in pieces))
        while waiting and waiting[0].done == len(waiting[0].task.plan):
            yield loop.finish(waiting.pop(0))


@dataclass(eq=False)
class _Loop:
    scorer: Score
    batch_size: int
    check: int
    buffer: Tensor | None = None

    def batches(self, tasks: Iterable[Task], waiting: list[_Run]) -> Iterator[list[_Piece]]:
        """Cut the points of all tasks into batches; a change of image shape ends a batch early."""
        pieces: list[_Piece] = []
        filled = 0
        for task in tasks:
            if pieces and waiting[-1].task.subject.x.shape != task.subject.x.shape:
                yield pieces
                pieces, filled = [], 0
            run = _Run.start(task)
            waiting.append(run)
            at, k = 0, len(task.plan)
            while at < k:
                take = max(1, min(self.batch_size - filled, k - at))
                pieces.append(_Piece(run, slice(at, at + take), *_EMPTY))
                at, filled = at + take, filled + take
                if filled >= self.batch_size:
                    yield pieces
                    pieces, filled = [], 0
        if pieces:
            yield pieces

    def evaluate(self, pieces: list[_Piece]) -> None:
        """Expand, evaluate and accumulate one batch."""
        before = time.perf_counter()
        counts = [p.points.stop - p.points.start for p in pieces]
        images = self._room(pieces[0].run.task.subject.x)[: sum(counts)]
        for piece, place in zip(pieces, images.split(counts), strict=True):
            _expand(piece, place)
        targets = torch.tensor(
            [p.run.task.subject.target for p, n in zip(pieces, counts, strict=True) for _ in range(n)]
        )
        targets = targets.to(images.device)
        gradients = self._gradients(images, targets).split(counts)
        for piece, gradient in zip(pieces, gradients, strict=True):
            _accumulate(piece, gradient)
        seconds = time.perf_counter() - before
        for piece, count in zip(pieces, counts, strict=True):
            piece.run.seconds += seconds * count / sum(counts)

    def _room(self, x: Tensor) -> Tensor:
        """Where points are written, (batch, C, H, W): the same memory for every batch, since new memory has its price."""
        shape = (self.batch_size, *x.shape)
        if self.buffer is None or self.buffer.shape[1:] != shape[1:] or len(self.buffer) < self.batch_size:
            self.buffer = torch.empty(shape, dtype=x.dtype, device=x.device)
        return self.buffer

    def _gradients(self, images: Tensor, targets: Tensor) -> Tensor:
        """Gradients of a batch; in smaller and smaller parts where the device runs out of memory."""
        parts, at, size = [], 0, self.batch_size
        while at < len(images):
            part = self._attempt(images[at : at + size], targets[at : at + size], size)
            if part is not None:
                parts.append(part)
                at += size
                continue
            size //= 2
            self.batch_size = min(self.batch_size, size)
            if images.is_cuda:
                torch.cuda.empty_cache()
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _attempt(self, images: Tensor, targets: Tensor, size: int) -> Tensor | None:
        """Gradients, or None where they do not fit; returning frees the failed attempt's tensors before the next.

        Every batch has the same shape: a short one is filled up. Kernels differ with the shape, and their last bits decide
        ties in max-pooling; so a map depends neither on its company nor on where a run was interrupted. A single image has
        kernels of its own on a CPU, and gets a twin.
        """
        full = max(size, 2) if images.device.type == "cpu" else size
        missing = full - len(images)
        if missing:
            images = torch.cat([images, images[-1:].expand(missing, *images.shape[1:])])
            targets = torch.cat([targets, targets[-1:].expand(missing)])
        try:
            gradients = self.scorer.gradients(images, targets)[1]
        except torch.OutOfMemoryError as error:
            if size > 1:
                return None
            raise AttributionError(
                f"the device has too little memory for one image of {tuple(images.shape[1:])}",
                hint="Use --device cpu, --precision bf16 or a smaller --resize/--crop.",
            ) from error
        return gradients[: full - missing] if missing else gradients

    def finish(self, run: _Run) -> Attribution:
        """Close a run: score, completeness, standard error, players."""
        before = time.perf_counter()
        plan = run.task.plan
        score, total, forwards = self._difference(run)
        gap = None if total is None else abs(float(run.total.double().sum()) - total)
        values, stderr = run.total, None
        if run.spread is not None:
            stderr = (run.spread.clamp(min=0) / (plan.units - 1)).sqrt()
        if plan.scale is not None and plan.players is not None:
            scale = plan.players.spread(torch.from_numpy(plan.scale)[None]).to(values)
            values, stderr = values * scale, None  # the error of a ratio is not that of its numerator
        return Attribution(
            values=values,
            score=score,
            gradient_evaluations=len(plan),
            forward_evaluations=forwards,
            completeness_gap=gap,
            total=total,
            stderr=stderr,
            players=None if plan.players is None else plan.players.labels,
            player_values=None if plan.players is None else plan.players.totals(values),
            seconds=run.seconds + time.perf_counter() - before,
        )

    def _difference(self, run: _Run) -> tuple[float, float | None, int]:
        """F(x), the score difference that the values should sum to, and the forward passes spent on both."""
        plan, subject = run.task.plan, run.task.subject
        x = subject.x
        if not plan.multiply:
            return float(self._scores(x[None], subject)[0]), None, 1
        ends = endpoints(plan, max(CHECK_LEAST, len(plan) // self.check) if self.check > 1 else 2 * plan.segments + 1)
        inner = np.nonzero(~ends.full)[0]
        score = float(self._scores(x[None], subject)[0]) if not len(inner) else 0.0
        total = 0.0
        for first in range(0, len(inner), max(1, self.batch_size - 1)):
            rows = inner[first : first + max(1, self.batch_size - 1)]
            images = _corner_images(run, ends.rows.members(rows) if ends.rows else None, ends.draw[rows])
            scores = self._scores(torch.cat([x[None], images]) if not first else images, subject)
            if not first:
                score, scores = float(scores[0]), scores[1:]
            total += float(scores @ torch.from_numpy(ends.coefficient[rows]).to(scores))
        total += score * float(ends.coefficient[ends.full].sum())
        return score, total, 1 + len(inner)

    def _scores(self, images: Tensor, subject: Subject) -> Tensor:
        targets = torch.full((len(images),), subject.target, device=images.device)
        return self.scorer.scores(images, targets).double()


_EMPTY = (torch.empty(0), torch.empty(0))


def _expand(piece: _Piece, place: Tensor) -> None:
    """Write the points of a piece as images (k, C, H, W) into their place; keeps what the accumulation needs."""
    run, plan, x = piece.run, piece.run.task.plan, piece.run.task.subject.x
    position, piece.movement = spread_positions(plan, piece.points, x.device, x.dtype)
    reference, piece.delta = run.references(plan.segment[piece.points])
    # Product, then sum, each rounded: as every other implementation of IG does it. A fused multiply-add differs in the last
    # bit, and on flat areas of a picture that bit decides ties in max-pooling, which moves whole gradients.
    torch.mul(position, piece.delta, out=place)
    place += reference


def _corner_images(run: _Run, members: np.ndarray | None, draw: np.ndarray) -> Tensor:
    """Images of coalitions, x on the members and the reference elsewhere, (m, C, H, W)."""
    plan, x = run.task.plan, run.task.subject.x
    if run.fixed is not None:
        reference, delta = run.fixed
    else:
        reference = plan.reference.sample(torch.from_numpy(draw.astype(np.int64)).to(x.device)).to(x)
        delta = x[None] - reference
    if members is None or plan.players is None:
        return reference.expand(len(draw), *x.shape)
    position = plan.players.spread(torch.from_numpy(members).to(x))[:, None]
    return (position * delta).add_(reference)


def _accumulate(piece: _Piece, gradient: Tensor) -> None:
    """Add a piece's weighted gradients to its run, closing each replicate that ends in it.

    Point by point, in the plan's order: sums in floating point depend on their grouping, and this one never changes.
    """
    run, plan = piece.run, piece.run.task.plan
    if plan.multiply and not plan.reference.constant:
        gradient = gradient * piece.delta
    if gradient[0].numel() <= _SMALL and gradient.device.type == "cpu":
        _accumulate_rows(run, gradient * piece.movement)
        return
    if run.done == 0 and plan.players is None:
        run.open = torch.zeros_like(gradient[0], dtype=run.open.dtype)  # sums of one layout are twice as fast
    weights = plan.weight[piece.points].tolist()
    for one, movement, weight in zip(gradient, piece.movement, weights, strict=True):
        if plan.players is None:
            run.open.add_(one, alpha=weight)
        else:
            run.open.addcmul_(one, movement)
        run.done += 1
        if run.done == len(plan) or (plan.unit is not None and plan.unit[run.done] != plan.unit[run.done - 1]):
            _close_unit(run)


def _accumulate_rows(run: _Run, terms: Tensor) -> None:
    """The same for inputs of a few features, where a call per point would cost more than the network: rows in turn."""
    unit = run.task.plan.unit
    first = 0
    while first < len(terms):
        left = len(terms) - first
        if unit is not None:
            left = min(left, int(np.searchsorted(unit, unit[run.done], side="right")) - run.done)
        rows = torch.cat([run.open[None], terms[first : first + left]]).numpy()
        run.open.copy_(torch.from_numpy(np.add.accumulate(rows, axis=0)[-1]))
        run.done, first = run.done + left, first + left
        if run.done == len(run.task.plan) or (unit is not None and unit[run.done] != unit[run.done - 1]):
            _close_unit(run)


def _close_unit(run: _Run) -> None:
    """Fold the open replicate into the total and, where there are several, into the weighted mean and spread."""
    plan = run.task.plan
    if run.fixed is not None and plan.multiply:
        run.open *= run.fixed[1][0]
    run.total += run.open
    if run.mean is not None and run.spread is not None and plan.unit is not None:
        omega = float(run.omegas[plan.unit[run.done - 1]])
        value = run.open / omega
        run.share += omega
        step = value - run.mean
        run.mean += step * (omega / run.share)
        run.spread += omega * step * (value - run.mean)
    run.open.zero_()
