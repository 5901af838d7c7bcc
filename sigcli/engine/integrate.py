"""From plans to attributions: Σ weight · gradient · (x - x').

Points of all images, coalitions and nodes fill batches of one size; they are expanded from their compact form on the
device, evaluated, and accumulated there in fp32 (fp64 for fp64 inputs). Memory depends on the batch size and not on the
number of points.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..errors import SigError
from ..scores.score import Score
from ..types import Attribution, Subject
from .accumulate import Run, Task, deviations_of
from .batch_size import Batches, batches_of
from .batches import Batcher
from .failures import attempted
from .plan import endpoints, with_certainty

CHECK_SHARE, CHECK_LEAST = 24, 8
"""The completeness check of a sampled plan spends at most one forward pass per this many gradient evaluations (or 8)."""


def integrate(
    scorer: Score,
    tasks: Iterable[Task],
    *,
    batch_size: int | Batches = 16,
    check: int = CHECK_SHARE,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Attribution]:
    """Follow the plan of every task; yields one attribution per task, in their order.

    Args:
        scorer: the score F.
        tasks: read lazily, a little ahead of what is yielded; batches run across them.
        batch_size: images per gradient evaluation of the model; halved when the device runs out of memory, see `Batches`.
        check: the completeness check may spend max(8, points/check) forward passes; 1 checks every end point; 0 checks
            nothing and leaves the score out as well (NaN), for those who want the values alone.
        progress: called after each batch with the number of its gradient evaluations.

    Yields:
        Attributions whose tensors are on the subject's device.

    Raises:
        AttributionError: the device runs out of memory with a single image.

    What the model raises comes through as it is.
    """
    path = _Path(scorer, batches_of(batch_size), check)
    for run in path.batcher(progress, contain=False).run(map(Run, map(_lifted, tasks))):
        yield path.finish(run)


def outcomes(
    scorer: Score,
    tasks: Iterable[Task],
    *,
    batch_size: int | Batches = 16,
    check: int = CHECK_SHARE,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Attribution | SigError]:
    """Like `integrate`, but whatever is raised for one task comes in its place, and the others continue.

    Where a batch fails, its tasks are tried one by one in the places that they have in it, so the others get exactly
    the values of an undisturbed run.
    """
    path = _Path(scorer, batches_of(batch_size), check)
    for run in path.batcher(progress, contain=True).run(map(Run, map(_lifted, tasks))):
        yield run.error or attempted(partial(path.finish, run))


@dataclass(frozen=True, eq=False)
class _Path:
    """A score whose gradients are summed along paths.

    Args:
        scorer: the score F.
        batches: the size of a batch, which the completeness checks share.
        check: see `integrate`.
    """

    scorer: Score
    batches: Batches
    check: int

    def batcher(self, progress: Callable[[int], None] | None, *, contain: bool) -> Batcher[Run]:
        """What passes runs through the score.

        Every batch has the same shape: a short one is filled up, and a single image gets a twin on a CPU. Kernels differ
        with the shape, and their last bits decide ties in max-pooling; so a map depends neither on its company nor on
        where a run was interrupted.
        """
        return Batcher(self.scorer.gradients, self.batches, filled=True, twins=True, contain=contain, progress=progress)

    def finish(self, run: Run) -> Attribution:
        """Close a run: score, completeness, standard error, players."""
        before = time.perf_counter()
        plan = run.plan
        values, stderr = run.total if run.factor == 1 else run.total * run.factor, None
        score, total, forwards = self._difference(run) if self.check else (math.nan, None, 0)
        gap = None if total is None else abs(float(values.double().sum()) - total)
        if run.spread is not None:
            stderr = (run.spread.clamp(min=0) * run.factor / (1 if plan.paired else plan.units - 1)).sqrt()
        apart = deviations_of(run)
        if plan.certainty:
            values, stderr = values[-1:], None if stderr is None else stderr[-1:]
        if plan.scale is not None and plan.players is not None:
            scale = plan.players.spread(torch.from_numpy(plan.scale)[None]).to(values)
            values, stderr, apart = values * scale, None, None  # the error of a ratio is not that of its numerator
        return Attribution(
            values=values,
            score=score,
            evaluations=len(plan) + plan.spent,
            check_evaluations=forwards,
            completeness_gap=gap,
            total=total,
            stderr=stderr,
            deviations=apart,
            players=None if plan.players is None else plan.players.labels,
            player_values=None if plan.players is None else plan.players.totals(values),
            seconds=run.seconds + time.perf_counter() - before,
            forward_evaluations=plan.spent,
            stopped="" if run.task.growth is None else run.task.growth.stopped,
        )

    def _difference(self, run: Run) -> tuple[float, float | None, int]:
        """F(x), the score difference that the values should sum to, and the forward passes spent on both."""
        plan, subject = run.plan, run.task.subject
        x = subject.x
        if not plan.multiply:
            return float(self._scores(x[None], subject)[0]), None, 1
        ends = endpoints(plan, max(CHECK_LEAST, len(plan) // self.check) if self.check > 1 else 2 * plan.segments + 1)
        shared = ends.full & (plan.reference.constant or not plan.certainty)  # those that are x itself
        inner = np.nonzero(~shared)[0]
        score = float(self._scores(x[None], subject)[0]) if not len(inner) else 0.0
        total = 0.0
        step = max(1, self.batches.size - 1)
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
        found = self.batches.parts(
            len(images), images.shape[1:], lambda part: self.scorer.scores(images[part], targets[part])
        )
        return torch.cat([scores for _, scores in found]).double()


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
