"""Gradients for linear and nearly linear models: GradientSHAP and Linear SHAP."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .. import draws
from ..baselines.single import baseline as single_baseline
from ..engine.passes import Passes
from ..engine.replicates import Groups
from ..errors import AttributionError
from ..types import Attribution, Subject
from .common import at_least, one_of
from .libragrad import corrigible
from .references import references
from .score_kinds import ANY_SCORE, NOT_LINEAR

_LINEAR = 1e-4


@corrigible
def gradient_shap(
    passes: Passes,
    subject: Subject,
    *,
    samples: int = 64,
    sigma: float = 0.0,
    baselines: Literal["images", "uniform"] = "images",
) -> Attribution:
    """GradientSHAP, Lundberg, Lee 2017 as in captum: the mean of (x + ε - r)·∂F at r + α (x + ε - r), r and α random.

    With sigma 0 it is Expected Gradients (`eg`, which stratifies α).

    Args:
        passes: the passes of the model.
        subject: what is explained.
        samples: draws of a reference r, α and noise ε.
        sigma: standard deviation of ε, as a fraction of the pixel range.
        baselines: "images" draws r from the other images (with replacement only once all were used), "uniform" is uniform
            noise.

    Raises:
        AttributionError: no other images.
        UsageError: counts out of range.
    """
    at_least(2, samples=samples)
    one_of(("images", "uniform"), baselines=baselines)
    x, key = subject.x, draws.stream(subject.seed, subject.key, "gradient-shap", baselines)
    drawn = references(subject, baselines, samples, key, "gradient-shap")
    alpha = torch.from_numpy(draws.rows(draws.stream(key, "alpha"), 0, samples, 1)[:, 0]).to(x)[:, None, None, None]

    def ends(part: slice) -> tuple[Tensor, Tensor]:
        indices = torch.arange(part.start, part.stop)
        noise = (
            draws.normal16(draws.stream(key, "noise"), indices, x.numel(), x.device).to(x.dtype).reshape(-1, *x.shape)
        )
        return drawn.sample(indices).to(x), x + noise * (sigma * (subject.high - subject.low))

    def images(part: slice) -> Tensor:
        start, end = ends(part)
        return start + alpha[part] * (end - start)

    mean, square = torch.zeros_like(x, dtype=torch.float64), torch.zeros_like(x, dtype=torch.float64)
    groups = Groups(samples, mean[0])
    for part, _, gradient in passes.gradients(images, samples, subject):
        start, end = ends(part)
        terms = (gradient * (end - start)).double()
        mean += terms.sum(0) / samples
        square += terms.square().sum(0) / samples
        groups.add(part.start, terms)
    stderr = ((square - mean.square()).clamp(min=0) / (samples - 1)).sqrt()
    return Attribution(
        mean.to(x.dtype), passes.score(subject), passes.evaluations, 1, stderr=stderr.to(x.dtype),
        deviations=groups.deviations(),
    )  # fmt: skip


def linear_shap(passes: Passes, subject: Subject, *, baseline: str | Tensor = "blur") -> Attribution:
    """Linear SHAP, Lundberg, Lee 2017, Corollary 1: w (x - x') for a score that is linear in the image; others are refused.

    The weights are the gradient, which must be the same at the image and at the baseline, and account for the difference.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        baseline: x'; the paper takes the mean, the default is that of all Shapley values here.

    Raises:
        AttributionError: a score that is not linear.
        UsageError: unknown baseline.
    """
    reference = single_baseline(baseline, subject)
    both = torch.stack([subject.x, reference])
    parts = list(passes.gradients(lambda part: both[part], 2, subject))
    scores, weights = torch.cat([s for _, s, _ in parts]), torch.cat([g for _, _, g in parts])
    values = weights[0] * (subject.x - reference)
    total = float(scores[0].double() - scores[1].double())
    gap = abs(float(values.double().sum()) - total)
    apart = float((weights[0] - weights[1]).norm())
    if apart > _LINEAR * float(weights[0].norm()) or gap > _LINEAR * max(float(values.abs().sum()), abs(total)):
        raise AttributionError(NOT_LINEAR, hint=ANY_SCORE)
    return Attribution(values, float(scores[0]), passes.evaluations, completeness_gap=gap, total=total)
