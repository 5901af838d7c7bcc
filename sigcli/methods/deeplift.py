"""DeepLIFT and DeepSHAP: differences from references, carried back by the rules of `methods.rescale`."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .. import draws
from ..baselines.single import baseline as single_baseline
from ..engine.passes import Passes
from ..engine.replicates import Groups
from ..types import Attribution, Subject
from .common import at_least, one_of
from .operators import check
from .references import references
from .rescale import Pair, reason, rescale
from .tracing import agreed, record, replay, traced


def deeplift(passes: Passes, subject: Subject, *, baseline: str | Tensor = "black") -> Attribution:
    """DeepLIFT with the rescale rule, Shrikumar, Greenside, Kundaje 2017, Eq. 3, 7 and 9.

    The values sum to F(x) - F(x') exactly, up to rounding; so do those of every operator. docs/methods.md has the
    rules of maxima, products, softmax and LayerNorm, which the paper leaves open.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        baseline: the reference x'.

    Raises:
        AttributionError: an operator without a rule, or a network without accessible layers.
    """
    reference = single_baseline(baseline, subject)
    values, differences, score = _deeplift(passes, subject, reference[None])
    total = float(differences[0])
    gap = abs(float(values.double().sum()) - total)
    return Attribution(values[0], score, passes.evaluations, 1, completeness_gap=gap, total=total)


def deepshap(
    passes: Passes, subject: Subject, *, samples: int = 16, baselines: Literal["images", "uniform"] = "images"
) -> Attribution:
    """DeepSHAP, Lundberg, Lee 2017, section 4.2: DeepLIFT averaged over references.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        samples: references drawn.
        baselines: "images" draws them from the other images (with replacement only once all were used), "uniform" draws
            uniform noise.

    Raises:
        AttributionError: as for `deeplift`, or no other images.
    """
    at_least(2, samples=samples)
    one_of(("images", "uniform"), baselines=baselines)
    drawn = references(subject, baselines, samples, draws.stream(subject.seed, subject.key, "deepshap", baselines))
    x, total, score = subject.x, 0.0, 0.0
    mean, spread = torch.zeros_like(x, dtype=torch.float64), torch.zeros_like(x, dtype=torch.float64)
    groups = Groups(samples, mean[0])

    def batch(part: slice) -> tuple[Tensor, Tensor, float]:
        indices = torch.arange(part.start, part.stop)
        return _deeplift(passes, subject, drawn.sample(indices).to(x).expand(len(indices), *x.shape))

    for part, found in passes.batches.parts(samples, x.shape, batch):
        values, differences, score = found
        total += float(differences.sum()) / samples
        mean += values.double().sum(0) / samples
        spread += values.double().square().sum(0) / samples
        groups.add(part.start, values)
    stderr = ((spread - mean.square()).clamp(min=0) / (samples - 1)).sqrt().to(x.dtype)
    gap = abs(float(mean.sum()) - total)
    return Attribution(mean.to(x.dtype), score, passes.evaluations, 1, gap, total, stderr, groups.deviations())


def _deeplift(passes: Passes, subject: Subject, drawn: Tensor) -> tuple[Tensor, Tensor, float]:
    """Values for each reference, (m, C, H, W), the score differences that they should sum to, (m,), and F(x)."""
    images = subject.x.expand_as(drawn).contiguous()
    tape = traced(passes.module, images)
    check(tape, "DeepLIFT", reason)
    leaf = images.requires_grad_()
    with torch.enable_grad():
        outputs = replay(tape, rescale, (Pair(leaf, drawn.contiguous()),))
        scored = record(lambda outputs: passes.select(outputs, subject), outputs.image)
        check(scored, "DeepLIFT", reason)
        scores = replay(scored, rescale, (outputs,))
        (multipliers,) = torch.autograd.grad(scores.x.sum(), leaf)
    passes.spent(len(drawn))
    passes.spent(len(drawn), backward=False)
    values = multipliers * (images.detach() - drawn)
    return values, (scores.image - scores.reference).double(), agreed(passes, subject, scores.image[0])
