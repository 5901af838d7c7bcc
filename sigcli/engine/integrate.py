"""The one hot loop: Σ weight · gradient · (x - x'). It turns any plan into an attribution.

Points of all images, coalitions and nodes fill batches of one size; they are expanded from their compact form on the
device, evaluated, and accumulated there in fp32 (fp64 for fp64 inputs). Memory depends on the batch size and not on the
number of points. Nothing else in the package calls autograd in a loop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..errors import SigError
from ..scores.classifier import Score
from ..types import Attribution, Subject
from .accumulate import Piece, Run, Task, accumulate
from .failures import contained
from .memory import Batches, is_out_of_memory
from .plan import endpoints, spread_positions, with_certainty

CHECK_SHARE, CHECK_LEAST = 24, 8
"""The completeness check of a sampled plan spends at most one forward pass per so many gradient evaluations (least 8)."""


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
        check: the completeness check may spend max(8, points/check) forward passes; 1 checks every end point; 0 checks
            nothing and leaves the score out as well (NaN), for those who want the values alone.
        progress: called after each batch with the number of its gradient evaluations.

    Yields:
        Attributions whose tensors are on the subject's device.

    Raises:
        AttributionError: the device runs out of memory with a single image.

    What the model raises comes through as it is.
    """
    loop = _Loop(scorer, Batches(max(1, batch_size)), check, contain=False)
    for found in loop.outcomes(tasks, progress):
        assert isinstance(found, Attribution)  # nothing is contained
        yield found


def outcomes(
    scorer: Score,
    tasks: Iterable[Task],
    *,
    batch_size: int = 16,
    check: int = CHECK_SHARE,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Attribution | SigError]:
    """As `integrate`, but whatever is raised for one task comes in its place, and the others go on.

    Where a batch fails, its tasks are tried one by one in the places that they have in it, so that the others get exactly
    the values of an undisturbed run.
    """
    return _Loop(scorer, Batches(max(1, batch_size)), check, contain=True).outcomes(tasks, progress)


@dataclass(eq=False)
class _Loop:
    scorer: Score
    room: Batches
    check: int
    contain: bool
    buffer: Tensor | None = None
    twin: bool = True

    def outcomes(
        self, tasks: Iterable[Task], progress: Callable[[int], None] | None
    ) -> Iterator[Attribution | SigError]:
        """An attribution, or the error that stands for it, for each task in order."""
        waiting: list[Run] = []
        for pieces in self.batches(tasks, waiting):
            self.evaluate(pieces)
            if progress and pieces:
                progress(sum(p.points.stop - p.points.start for p in pieces))
            while waiting and (waiting[0].error or waiting[0].done == len(waiting[0].task.plan)):
                run, finished = waiting.pop(0), None
                with self._containing(run):
                    finished = None if run.error else self.finish(run)
                found = run.error or finished
                assert found is not None
                yield found

    @contextmanager
    def _containing(self, run: Run) -> Iterator[None]:
        """Whatever is raised within is this run's error."""
        try:
            yield
        except Exception as error:
            if not self.contain:
                raise
            run.error = contained(error)

    def batches(self, tasks: Iterable[Task], waiting: list[Run]) -> Iterator[list[Piece]]:
        """Cut the points of all tasks into batches; a change of image shape ends a batch early."""
        pieces: list[Piece] = []
        filled = 0
        for task in map(_lifted, tasks):
            if pieces and pieces[-1].run.task.subject.x.shape != task.subject.x.shape:
                yield pieces
                pieces, filled = [], 0
            run = Run(task, *_EMPTY)
            with self._containing(run):
                run = Run.start(task)
            waiting.append(run)
            at, k = 0, len(task.plan)
            while at < k and not run.error:
                take = max(1, min(self.room.size - filled, k - at))
                pieces.append(Piece(run, slice(at, at + take), *_EMPTY))
                at, filled = at + take, filled + take
                if filled >= self.room.size:
                    yield pieces
                    pieces, filled = [], 0
        if pieces or waiting:
            yield pieces

    def evaluate(self, pieces: list[Piece]) -> None:
        """Expand, evaluate and accumulate one batch."""
        if not pieces:
            return
        before = time.perf_counter()
        counts = [p.points.stop - p.points.start for p in pieces]
        images = self._room(pieces[0].run.task.subject.x, sum(counts))[: sum(counts)]
        for piece, place in zip(pieces, images.split(counts), strict=True):
            with self._containing(piece.run):
                _expand(piece, place)
        ends = np.cumsum(counts).tolist()
        sound = [
            (p, slice(end - count, end)) for p, end, count in zip(pieces, ends, counts, strict=True) if not p.run.error
        ]
        if not sound:
            return
        targets = torch.from_numpy(np.repeat([p.run.task.subject.target for p in pieces], counts)).to(images.device)
        if len(sound) < len(pieces):  # what could not be made must not disturb the others
            images, targets = (_only(t, [place for _, place in sound]) for t in (images, targets))
        together = self._together(images, targets)
        for piece, place in sound:
            with self._containing(piece.run):
                found = together or self._gradients(_only(images, [place]), _only(targets, [place]))
                _take(piece, found[0][place], found[1][place])
        seconds = time.perf_counter() - before
        for piece, count in zip(pieces, counts, strict=True):
            piece.run.seconds += seconds * count / sum(counts)

    def _together(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor] | None:
        """Scores and gradients of a batch; None where it fails, so that its runs are to be tried one by one."""
        try:
            return self._gradients(images, targets)
        except Exception:
            if not self.contain:
                raise
            return None

    def _room(self, x: Tensor, count: int) -> Tensor:
        """Where points are written, (batch, C, H, W): the same memory for every batch, since new memory has its price."""
        shape = (max(self.room.size, count), *x.shape)
        if self.buffer is None or self.buffer.shape[1:] != shape[1:] or len(self.buffer) < shape[0]:
            self.buffer = torch.empty(shape, dtype=x.dtype, device=x.device)
        return self.buffer

    def _gradients(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and gradients of a batch; in smaller and smaller parts where the device runs out of memory."""
        shape = tuple(images.shape[1:])
        found = self.room.parts(len(images), shape, lambda part: self._filled(images[part], targets[part]), filled=True)
        parts = [part for _, part in found]
        if len(parts) == 1:
            return parts[0]
        return torch.cat([scores for scores, _ in parts]), torch.cat([gradients for _, gradients in parts])

    def _filled(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and gradients.

        Every batch has the same shape: a short one is filled up. Kernels differ with the shape, and their last bits decide
        ties in max-pooling; so a map depends neither on its company nor on where a run was interrupted. A single image has
        kernels of its own on a CPU, and gets a twin, if there is memory for two.
        """
        size = self.room.size
        full = max(size, 2) if images.device.type == "cpu" and self.twin else size
        missing = full - len(images)
        if missing:
            images = torch.cat([images, images[-1:].expand(missing, *images.shape[1:])])
            targets = torch.cat([targets, targets[-1:].expand(missing)])
        try:
            scores, gradients = self.scorer.gradients(images, targets)
        except Exception as error:
            if full == size or not is_out_of_memory(error):
                raise
            self.twin = False
        else:
            return (scores[: full - missing], gradients[: full - missing]) if missing else (scores, gradients)
        return self.scorer.gradients(images[:size], targets[:size])

    def finish(self, run: Run) -> Attribution:
        """Close a run: score, completeness, standard error, players."""
        before = time.perf_counter()
        plan = run.task.plan
        score, total, forwards = self._difference(run) if self.check else (math.nan, None, 0)
        gap = None if total is None else abs(float(run.total.double().sum()) - total)
        values, stderr = run.total, None
        if run.spread is not None:
            stderr = (run.spread.clamp(min=0) / (1 if plan.paired else plan.units - 1)).sqrt()
        if plan.certainty:
            values, stderr = values[-1:], None if stderr is None else stderr[-1:]
        if plan.scale is not None and plan.players is not None:
            scale = plan.players.spread(torch.from_numpy(plan.scale)[None]).to(values)
            values, stderr = values * scale, None  # the error of a ratio is not that of its numerator
        return Attribution(
            values=values,
            score=score,
            gradient_evaluations=len(plan) + plan.spent,
            forward_evaluations=forwards,
            completeness_gap=gap,
            total=total,
            stderr=stderr,
            players=None if plan.players is None else plan.players.labels,
            player_values=None if plan.players is None else plan.players.totals(values),
            seconds=run.seconds + time.perf_counter() - before,
        )

    def _difference(self, run: Run) -> tuple[float, float | None, int]:
        """F(x), the score difference that the values should sum to, and the forward passes spent on both."""
        plan, subject = run.task.plan, run.task.subject
        x = subject.x
        if not plan.multiply:
            return float(self._scores(x[None], subject)[0]), None, 1
        ends = endpoints(plan, max(CHECK_LEAST, len(plan) // self.check) if self.check > 1 else 2 * plan.segments + 1)
        shared = ends.full & (plan.reference.constant or not plan.certainty)  # those that are x itself
        inner = np.nonzero(~shared)[0]
        score = float(self._scores(x[None], subject)[0]) if not len(inner) else 0.0
        total = 0.0
        step = max(1, self.room.size - 1)
        for first in range(0, len(inner), step):
            rows = inner[first : first + step]
            images = _corner_images(
                run, ends.rows.members(rows) if ends.rows else ends.full[rows, None], ends.draw[rows]
            )
            scores = self._scores(torch.cat([x[None], images]) if not first else images, subject)
            if not first:
                score, scores = float(scores[0]), scores[1:]
            total += float(scores @ torch.from_numpy(ends.coefficient[rows]).to(scores))
        total += score * float(ends.coefficient[shared].sum())
        return score, total, 1 + len(inner)

    def _scores(self, images: Tensor, subject: Subject) -> Tensor:
        targets = torch.full((len(images),), subject.target, device=images.device)
        found = self.room.parts(
            len(images), tuple(images.shape[1:]), lambda part: self.scorer.scores(images[part], targets[part])
        )
        return torch.cat([scores for _, scores in found]).double()


_EMPTY = (torch.empty(0), torch.empty(0))


def _take(piece: Piece, score: Tensor, gradient: Tensor) -> None:
    """Add what the model says of a piece's points to its run."""
    if piece.run.task.plan.marginals is not None:
        piece.run.scores[piece.points] = score.double().cpu().numpy()
    accumulate(piece, gradient)


def _only(batch: Tensor, places: list[slice]) -> Tensor:
    """A batch in which some rows stand where they stood, and one of them in every other place."""
    rows = torch.full((len(batch),), places[-1].stop - 1, device=batch.device)
    for place in places:
        rows[place] = torch.arange(place.start, place.stop, device=batch.device)
    return batch[rows]


def _expand(piece: Piece, place: Tensor) -> None:
    """Write the points of a piece as images (k, C, H, W) into their place; keeps what the accumulation needs."""
    run, plan, x = piece.run, piece.run.task.plan, piece.run.task.subject.x
    position, piece.movement = spread_positions(plan, piece.points, x.device, x.dtype)
    reference, piece.delta = run.references(plan.segment[piece.points])
    # Product, then sum, each rounded: as every other implementation of IG does it. A fused multiply-add differs in the last
    # bit, and on flat areas of a picture that bit decides ties in max-pooling, which moves whole gradients.
    torch.mul(position, piece.delta, out=place)
    place += reference


def _lifted(task: Task) -> Task:
    """The task as the loop follows it: a path in certainty is one to the image with a channel of certainty 1."""
    if not task.plan.certainty:
        return task
    return replace(task, subject=replace(task.subject, x=with_certainty(task.subject.x, 1.0)))


def _corner_images(run: Run, members: np.ndarray, draw: np.ndarray) -> Tensor:
    """Images of coalitions, the end of the path on the members and the reference elsewhere, (m, C, H, W)."""
    plan, x = run.task.plan, run.task.subject.x
    reference, delta = run.drawn(draw)
    position = torch.from_numpy(members).to(x)
    maps = position[:, :, None] if plan.players is None else plan.players.spread(position)
    return (maps[:, None] * delta).add_(reference)
