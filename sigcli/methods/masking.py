"""Masks that are optimised: what must be taken from an image to lower its score, and what suffices to keep it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from ..baselines.single import baseline as single_baseline
from ..baselines.single import gaussian_blur
from ..engine.passes import Passes
from ..errors import AttributionError, UsageError
from ..types import Attribution, Subject
from .common import at_least, positive

_BLUR = 5 / 224
"""σ of what smooths the mask of meaningful perturbation, of the shorter side."""
_REACH = 21 / 224
"""How far a cell of an extremal mask reaches, of the shorter side."""
_SHARP, _GROWTH = 20.0, 16.0
"""Of extremal masks: the inverse temperature of the smooth maximum, and how much the area's weight grows in all."""
_FINE = 64
"""The shorter side from which extremal masks are worked out for every second pixel."""
_MOMENTS = 0.9, 0.999
"""Of Adam (Kingma, Ba 2015): how much of the means of gradients and of their squares stays in a step."""
_NOTHING = (
    "nothing is deleted: no part was found that lowers the score by more than its size costs "
    "(--set sparsity={:g} is too much)"
)
Size = tuple[int, int]


def meaningful_perturbation(
    passes: Passes,
    subject: Subject,
    *,
    baseline: str | Tensor = "blur",
    iterations: int = 300,
    cells: int = 28,
    sparsity: float = 2e-3,
    smoothness: float = 1e-2,
    rate: float = 0.1,
) -> Attribution:
    """Meaningful perturbation, Fong, Vedaldi 2017: the smallest smooth part whose deletion lowers the score.

    A mask m of few cells, 1 where the image stays and 0 where the baseline stands, is scaled to the image bilinearly and
    smoothed. Adam minimises F(m) + λ₁ Σ (1 - m) + λ₂ Σ |∇m|³ over its cells, which start at 1 and stay in 0..1. Where
    no cell leaves 1, since every first bit that is deleted raises the score, larger parts may lower it: then they start
    anew at 0, all deleted (at ½ if that raises the score), and what is found counts if its sum is below that of deleting
    nothing. Values are the deleted fraction 1 - m of each pixel, in equal shares for the channels.

    The score is measured as a fraction, (F - F(x'))/|F(x) - F(x')|, which for the paper's probability of a sure class is the
    probability itself; so λ₁ and λ₂ mean the same for logits. The paper moves the image by up to 4 pixels at random in
    each iteration and starts from a disc; here every iteration asks for the image as it is, and nothing is drawn.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        baseline: what stands where the mask is 0; the paper's is a blur.
        iterations: gradient evaluations, one after another.
        cells: of the mask in each direction, at most one a pixel.
        sparsity: λ₁, of the sum over cells of what is deleted.
        smoothness: λ₂, of the sum over cells of the cubes of differences between neighbours.
        rate: learning rate of Adam.

    Raises:
        UsageError: unknown baseline, or numbers out of range.
        AttributionError: the score of the baseline is that of the image.
    """
    at_least(1, iterations=iterations, cells=cells)
    at_least(0, sparsity=sparsity, smoothness=smoothness)
    positive(rate=rate)
    height, width = subject.x.shape[-2:]
    mask = torch.ones(1, 1, min(cells, height), min(cells, width)).to(subject.x)

    def grown(mask: Tensor) -> Tensor:
        scaled = functional.interpolate(mask, (height, width), mode="bilinear", align_corners=False)
        return gaussian_blur(scaled, _BLUR * min(height, width))[0, 0]

    def penalty(mask: Tensor, _: Tensor, __: int) -> Tensor:
        steps = mask.diff(dim=2).abs().pow(3).sum() + mask.diff(dim=3).abs().pow(3).sum()
        return sparsity * (1 - mask).sum() + smoothness * steps

    reference = single_baseline(baseline, subject)
    found = _optimised(
        passes, subject, reference, mask, grown, penalty, rate=rate, iterations=iterations, sign=1.0
    )  # fmt: skip
    if found.anew:
        image = reference + found.mask * (subject.x - reference)
        left = passes.score(replace(subject, x=image)) / found.whole + float(
            penalty(found.cells, found.mask, iterations)
        )
        if not left < found.score / found.whole:
            found = replace(found, mask=torch.ones_like(found.mask))
    made = _attribution(passes, subject, 1 - found.mask, found.score)
    return made if float(found.mask.min()) < 1 - 1e-6 else replace(made, note=_NOTHING.format(sparsity))


def extremal_perturbation(
    passes: Passes,
    subject: Subject,
    *,
    baseline: str | Tensor = "blur",
    iterations: int = 300,
    area: float = 0.1,
    cells: int = 32,
    weight: float = 10.0,
    rate: float = 0.05,
) -> Attribution:
    """Extremal perturbation, Fong, Patrick, Vedaldi 2019: the part of a given area that keeps most of the score.

    A mask m of cells is spread over the image by a smooth maximum: m(u) = smax_v k(u - v) m(v), which is as smooth as the
    kernel k and can still reach 1. Adam maximises F(m) - λ mean (sorted m - r)², r as many ones as the area has pixels and
    else zeros; λ grows sixteenfold, as in the authors' 800 iterations. Values are m, in equal shares for the channels.

    The score is measured as a fraction, as in `meaningful_perturbation`, so λ is about a thirtieth of the authors', who take
    logits. Nothing is drawn: they also move the image at random.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        baseline: what stands where the mask is 0; the paper's is a blur.
        iterations: gradient evaluations, one after another.
        area: fraction of the image that the mask keeps.
        cells: of the mask in each direction, at most one a pixel; below 20 there are gaps between what they reach.
        weight: λ at the start.
        rate: learning rate of Adam.

    Raises:
        UsageError: unknown baseline, or numbers out of range.
        AttributionError: the score of the baseline is that of the image.
    """
    at_least(1, iterations=iterations, cells=cells)
    positive(area=area, weight=weight, rate=rate)
    if area >= 1:
        raise UsageError("area must be under 1", given=area)
    height, width = subject.x.shape[-2:]
    counts = min(cells, height), min(cells, width)
    mask = torch.full((1, 1, *counts), 0.5).to(subject.x)
    ones = round(area * height * width)
    wanted = (torch.arange(height * width) >= height * width - ones).to(subject.x)

    def penalty(_: Tensor, spread: Tensor, iteration: int) -> Tensor:
        if iteration == 0:  # all are alike: a sorted order would mean nothing
            return 0 * spread.sum()
        return weight * _GROWTH ** (iteration / iterations) * (spread.flatten().sort().values - wanted).square().mean()

    spread = _spreading(counts, (height, width), subject.x)
    found = _optimised(
        passes, subject, single_baseline(baseline, subject), mask, spread, penalty,
        rate=rate, iterations=iterations, sign=-1.0,
    )  # fmt: skip
    return _attribution(passes, subject, found.mask, found.score)


def _spreading(cells: Size, size: Size, like: Tensor) -> Callable[[Tensor], Tensor]:
    """The smooth maximum over nearby cells: (1, 1, *cells) → (*size). Beyond the image's edge the cells at it go on.

    It is so smooth that it is worked out for every second pixel of a picture and scaled bilinearly.
    """
    coarse = tuple(side // 2 if min(size) >= _FINE else side for side in size)
    reach, axes = _REACH * min(coarse), []
    for count, side in zip(cells, coarse, strict=True):
        step = side / count
        radius = math.ceil(2 * reach / step)  # where the kernel is at 0.01
        places = torch.arange(side, device=like.device, dtype=like.dtype)[:, None] + 0.5
        near = (places / step).floor().long() + torch.arange(-radius, radius + 1, device=like.device)
        axes.append((near.clamp(0, count - 1), places - (near + 0.5) * step))
    (rows, y), (columns, x) = axes
    distance = (y[:, None, :, None].square() + x[None, :, None, :].square()).sqrt() / reach
    kernel = torch.exp(-2 * (distance - 0.5).clamp(min=0).square())

    def spread(mask: Tensor) -> Tensor:
        near = (mask[0, 0][rows[:, None, :, None], columns[None, :, None, :]] * kernel).flatten(2)
        found = (near * (_SHARP * near).softmax(2)).sum(2)
        return functional.interpolate(found[None, None], size, mode="bilinear", align_corners=False)[0, 0]

    return spread


@dataclass(frozen=True, eq=False)
class _Found:
    """What an optimisation ended with.

    Args:
        mask: (H, W).
        cells: of which it was made.
        score: F(x).
        whole: |F(x) - F(x')|, the unit of scores as fractions.
        anew: no cell could move at the start, so it was left for another one.
    """

    mask: Tensor
    cells: Tensor
    score: float
    whole: float
    anew: bool


def _optimised(
    passes: Passes,
    subject: Subject,
    reference: Tensor,
    cells: Tensor,
    grown: Callable[[Tensor], Tensor],
    penalty: Callable[[Tensor, Tensor, int], Tensor],
    *,
    rate: float,
    iterations: int,
    sign: float,
) -> _Found:
    """The mask that minimises sign · fraction of the score + penalty.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        reference: what stands where the mask is 0, (C, H, W).
        cells: of the mask at the start.
        grown: cells → the mask (H, W).
        penalty: cells, mask (H, W) and the number of the iteration → what is added to the score.
        rate: learning rate of Adam.
        iterations: gradient evaluations.
        sign: 1 to lower the score, -1 to raise it.
    """
    score, fall = _fall(passes, subject, reference)
    whole = abs(fall)
    adam, anew = _Adam(rate), False
    for iteration in range(iterations):
        leaf = cells.clone().requires_grad_()
        with torch.enable_grad():
            spread = grown(leaf)
            added = penalty(leaf, spread, iteration)
        image = reference + spread.detach() * (subject.x - reference)
        ((_, _, gradient),) = passes.gradients(lambda _, image=image: image[None], 1, subject)
        by_mask = sign / whole * (gradient[0] * (subject.x - reference)).sum(0)
        (slope,) = torch.autograd.grad([spread, added], [leaf], [by_mask, torch.ones_like(added)])
        moved = (cells - adam.step(slope)).clamp(0, 1)
        if sign > 0 and iteration == 0 and torch.equal(moved, cells):  # held at the bound, for good
            moved, adam, anew = torch.full_like(cells, 0.0 if fall > 0 else 0.5), _Adam(rate), True
        cells = moved
    return _Found(grown(cells), cells, score, whole, anew)


def _fall(passes: Passes, subject: Subject, reference: Tensor) -> tuple[float, float]:
    """F(x), and F(x) - F(x'); raises AttributionError where that is nothing."""
    score = passes.score(subject)
    fall = score - passes.score(replace(subject, x=reference))
    if not abs(fall) > 1e-6 * max(1.0, abs(score)):
        raise AttributionError(
            "the score of the baseline is that of the image, so no part of it can be deleted or kept",
            hint="Choose another baseline: sig list baselines.",
        )
    return score, fall


class _Adam:
    """Adam's steps by hand: torch's own takes seconds to import."""

    def __init__(self, rate: float) -> None:
        self.rate, self.count = rate, 0
        self.mean: Tensor | float = 0.0
        self.square: Tensor | float = 0.0

    def step(self, slope: Tensor) -> Tensor:
        """What is to be subtracted after a gradient."""
        self.count += 1
        self.mean = _MOMENTS[0] * self.mean + (1 - _MOMENTS[0]) * slope
        self.square = _MOMENTS[1] * self.square + (1 - _MOMENTS[1]) * slope**2
        unbiased = self.mean / (1 - _MOMENTS[0] ** self.count)
        spread = torch.as_tensor(self.square / (1 - _MOMENTS[1] ** self.count)).sqrt()
        return self.rate * unbiased / (spread + 1e-8)


def _attribution(passes: Passes, subject: Subject, found: Tensor, score: float) -> Attribution:
    """A mask (H, W) in equal shares for the channels."""
    values = (found / subject.x.shape[0]).to(subject.x.dtype).expand_as(subject.x).contiguous()
    return Attribution(values, score, passes.evaluations, 2)
