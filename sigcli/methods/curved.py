"""Paths that are not straight lines between images: Blur IG, Guided IG; and IDGI's division of each step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..baselines.single import baseline as single_baseline
from ..baselines.single import gaussian_blur
from ..engine.passes import Passes
from ..errors import UsageError
from ..types import Attribution, Subject
from .common import at_least, positive
from .libragrad import corrigible

_WIDEST = 50 / 224


@corrigible
def blur_ig(passes: Passes, subject: Subject, *, steps: int = 50, sigma: float | None = None) -> Attribution:
    """Blur Integrated Gradients, Xu, Venugopalan, Sundararajan 2020, Eq. 4: IG along images of less and less blur.

    The path's derivative is exact: the difference of the images at the ends of each step. The gradient is that in its
    middle. Values sum to F(x) - F(x under the widest blur), up to the reported gap.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        steps: gradient evaluations along the path, evenly spaced in σ.
        sigma: the widest blur in pixels; by default 50/224 of the shorter side, as the authors have it.

    Raises:
        UsageError: counts or blur out of range.
    """
    at_least(1, steps=steps)
    widest = min(subject.x.shape[-2:]) * _WIDEST if sigma is None else sigma
    positive(sigma=widest)

    def images(part: slice) -> Tensor:
        return torch.stack(
            [_blurred(subject.x, widest * (1 - (i + 0.5) / steps)) for i in range(part.start, part.stop)]
        )

    values = torch.zeros_like(subject.x, dtype=torch.float64)
    before = start = _blurred(subject.x, widest)
    for part, _, gradients in passes.gradients(images, steps, subject):
        for i, gradient in zip(range(part.start, part.stop), gradients, strict=True):
            after = _blurred(subject.x, widest * (1 - (i + 1) / steps))
            values += (gradient * (after - before)).double()
            before = after
    return _complete(passes, subject, values, start)


def _blurred(x: Tensor, sigma: float) -> Tensor:
    return gaussian_blur(x[None], sigma)[0] if sigma > 1e-6 else x


@corrigible
def idgi(passes: Passes, subject: Subject, *, baseline: str | Tensor = "black", steps: int = 50) -> Attribution:
    """Important Direction Gradient Integration, Yang, Wang, Bilgic 2023, Algorithm 1, on the straight path of IG.

    The change of the score on a step is divided in proportion to the squared gradient at its start, so values sum to
    F(x) - F(x') exactly wherever no gradient vanishes.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        baseline: the baseline x'.
        steps: gradient evaluations along the line.

    Raises:
        UsageError: unknown baseline, or counts out of range.
    """
    at_least(1, steps=steps)
    x, reference = subject.x, single_baseline(baseline, subject)
    alpha = (torch.arange(steps, device=x.device, dtype=x.dtype) / steps)[:, None, None, None]
    values = torch.zeros_like(x, dtype=torch.float64)
    waiting: tuple[Tensor, Tensor] | None = (
        None  # score and shares of the last point, whose step ends in the next batch
    )
    for _, score, gradient in passes.gradients(lambda p: reference + alpha[p] * (x - reference), steps, subject):
        squares, found = gradient.double().square(), score.double()
        shares = squares / squares.sum((1, 2, 3), keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
        if waiting is not None:
            values += waiting[1] * (found[0] - waiting[0])
        values += (shares[:-1] * found.diff()[:, None, None, None]).sum(0)
        waiting = found[-1], shares[-1]
    if waiting is not None:
        values += waiting[1] * (passes.score(subject) - waiting[0])
    return _complete(passes, subject, values, reference)


@corrigible
def guided_ig(
    passes: Passes,
    subject: Subject,
    *,
    baseline: str | Tensor = "black",
    steps: int = 50,
    fraction: float = 0.25,
    distance: float = 0.02,
) -> Attribution:
    """Guided Integrated Gradients, Kapishnikov et al. 2021, section 4: values of small gradient move first.

    The path depends on the gradients step by step, so nothing is batched.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        baseline: the baseline x'.
        steps: gradient evaluations along the path.
        fraction: fraction of the values that may move at a time, those of smallest gradient.
        distance: how far a value may be ahead of or behind the straight path, 0..1 (the authors' max_dist).

    Raises:
        UsageError: unknown baseline, or numbers out of range.
    """
    at_least(1, steps=steps)
    positive(fraction=fraction)
    if not 0 <= distance <= 1 or fraction > 1:
        raise UsageError("guided-ig needs fraction and distance in 0..1", given=f"{fraction}, {distance}")
    reference = single_baseline(baseline, subject)
    end, start = subject.x.double(), reference.double()
    values, at = torch.zeros_like(end), start.clone()
    for step in range(1, steps + 1):
        now = at.to(subject.x.dtype)[None]
        ((_, _, gradient),) = passes.gradients(lambda _, now=now: now, 1, subject)
        for moved in _step(at, gradient[0].double(), (start, end), step / steps, fraction, distance):
            values += (moved - at) * gradient[0].double()
            at = moved
    return _complete(passes, subject, values, reference)


def _step(
    at: Tensor, gradient: Tensor, ends: tuple[Tensor, Tensor], alpha: float, fraction: float, distance: float
) -> Iterator[Tensor]:
    """Where the path goes in one step, until it is as near the end as the straight path would be."""
    start, end = ends
    behind = start + (end - start) * max(alpha - distance, 0.0)
    ahead = start + (end - start) * min(alpha + distance, 1.0)
    whole = (end - start).abs().sum()
    target = whole * (1 - alpha)
    size = gradient.abs()
    while True:
        late = (at - behind) * (end - start).sign() < 0
        at = torch.where(late, behind, at)
        left = (end - at).abs().sum()
        if torch.isclose(left, target, rtol=1e-9, atol=1e-9):
            yield at
            return
        size = torch.where(at == ahead, torch.inf, size)
        rank = max(0, int(fraction * (size.numel() - 1)))
        threshold = size.flatten().sort().values[rank]
        chosen = (size <= threshold) & (size < torch.inf)
        room = ((at - ahead).abs() * chosen).sum()
        if not bool(room > 0):  # all are as far ahead as they may be
            yield at
            return
        gamma = float((left - target) / room)
        at = torch.where(chosen, ahead if gamma > 1 else at + gamma * (ahead - at), at)
        yield at
        if gamma <= 1:
            return


def _complete(passes: Passes, subject: Subject, values: Tensor, start: Tensor) -> Attribution:
    """An attribution that should sum to F(x) - F(start)."""
    score = passes.score(subject)
    target = torch.tensor([subject.target], device=subject.x.device)
    total = score - float(passes.scorer.scores(start[None], target)[0])
    gap = abs(float(values.sum()) - total)
    return Attribution(values.to(subject.x.dtype), score, passes.evaluations, 2, completeness_gap=gap, total=total)
