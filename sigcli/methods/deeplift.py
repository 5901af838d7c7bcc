"""Rules that carry relevance back through the layers, by captum: DeepLIFT, DeepSHAP and LRP."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from .. import draws
from ..baselines.single import baseline as single_baseline
from ..errors import AttributionError
from ..passes import Passes
from ..types import Attribution, Subject
from .common import at_least, one_of
from .references import references
from .rewriting import captum_at_work, check_rules, rewritten

_LINEAR = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten)
_DEEPLIFT = (
    *_LINEAR, nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.MaxPool2d, nn.Softmax
)  # fmt: skip


def deeplift(passes: Passes, subject: Subject, *, baseline: str | Tensor = "black") -> Attribution:
    """DeepLIFT with the rescale rule, Shrikumar, Greenside, Kundaje 2017, Eq. 3, 8 and 9.

    captum's rule for max-pooling loses a part where input and reference have their maxima in different places, and its rule
    for the softmax (output prob) subtracts the mean over the classes; the completeness gap says how much is missing.

    Args:
        passes: of the model.
        subject: what is explained.
        baseline: the reference x'.

    Raises:
        AttributionError: a layer without a rule, a network that cannot be looked into, or the output logprob.
    """
    reference = single_baseline(baseline, subject)
    values, differences = _deeplift(passes, subject, reference[None])
    score, total = passes.score(subject), float(differences[0])
    gap = abs(float(values.double().sum()) - total)
    return Attribution(values[0], score, passes.evaluations, 1, completeness_gap=gap, total=total)


def deepshap(
    passes: Passes, subject: Subject, *, samples: int = 16, baselines: Literal["images", "uniform"] = "images"
) -> Attribution:
    """DeepSHAP, Lundberg, Lee 2017, section 4.2: DeepLIFT averaged over references.

    Args:
        passes: of the model.
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
    x = subject.x
    mean, spread, total = torch.zeros_like(x, dtype=torch.float64), torch.zeros_like(x, dtype=torch.float64), 0.0
    for first in range(0, samples, passes.batch_size):
        indices = torch.arange(first, min(first + passes.batch_size, samples))
        values, differences = _deeplift(
            passes, subject, drawn.sample(indices.to(x.device)).to(x).expand(len(indices), *x.shape)
        )
        total += float(differences.sum()) / samples
        mean += values.double().sum(0) / samples
        spread += values.double().square().sum(0) / samples
    stderr = ((spread - mean.square()).clamp(min=0) / (samples - 1)).sqrt().to(x.dtype)
    gap = abs(float(mean.sum()) - total)
    score = passes.score(subject)
    return Attribution(mean.to(x.dtype), score, passes.evaluations, 1, gap, total, stderr)


def _deeplift(passes: Passes, subject: Subject, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Values for each reference, (m, C, H, W), and the score differences that they should sum to, (m,)."""
    from captum.attr import DeepLift

    if passes.output == "logprob":
        plain = passes.head.output == "logit"
        hint = (
            "Use --output logit or prob." if plain else "Give the network without its last layer, or use --output prob."
        )
        raise AttributionError("DeepLIFT has no rule for a log-softmax", hint=hint)
    x = subject.x
    network = rewritten(passes.module, x, capped="relus")
    check_rules(network, "DeepLIFT", _DEEPLIFT, ("add", "iadd", "sub", "mean"))
    ending = passes.head.layer() if passes.output == "prob" else None
    scored = network if ending is None else nn.Sequential(network, ending)
    images = x.expand_as(drawn).contiguous()
    with torch.enable_grad(), captum_at_work("DeepLIFT"), passes.precision(x.device):
        values = DeepLift(scored).attribute(images, drawn.contiguous(), target=subject.target)
    passes.spent(2 * len(drawn))
    targets = torch.full((len(drawn) + 1,), subject.target, device=x.device)
    scores = passes.scorer.scores(torch.cat([x[None], drawn]), targets).double()
    return values.detach().to(x.dtype), scores[0] - scores[1:]


def lrp(
    passes: Passes, subject: Subject, *, rule: Literal["epsilon", "gamma", "alpha1-beta0"] = "epsilon"
) -> Attribution:
    """Layer-wise relevance propagation, Bach et al. 2015; rules as in Montavon et al. 2019, section 10.2.

    Values sum to the logit less the relevance that biases take up.

    Args:
        passes: of the model.
        subject: what is explained.
        rule: of convolutions and linear layers; pooling, batch norms and sums of branches keep ε.

    Raises:
        AttributionError: a layer without a rule, a network that cannot be looked into, or a score that is no logit.
    """
    from captum.attr import LRP
    from captum.attr._utils.custom_modules import Addition_Module
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule

    one_of(("epsilon", "gamma", "alpha1-beta0"), rule=rule)
    passes.needs_logit("LRP")
    x = subject.x[None]
    network = rewritten(passes.module, subject.x, additions=True)
    check_rules(network, "LRP", (*_LINEAR, nn.ReLU, nn.Tanh, nn.MaxPool2d, Addition_Module), ())
    made = {"epsilon": EpsilonRule, "gamma": GammaRule, "alpha1-beta0": Alpha1_Beta0_Rule}[rule]
    for part in network.modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            part.rule = made()  # type: ignore[assignment]  captum takes it away afterwards
        elif isinstance(part, nn.Flatten):
            part.rule = EpsilonRule()  # type: ignore[assignment]
    with torch.enable_grad(), captum_at_work("LRP"), passes.precision(x.device):
        values = LRP(network).attribute(x.clone(), target=subject.target)
    passes.spent(2)
    return Attribution(values[0].detach().to(x.dtype), passes.score(subject), passes.evaluations, 1)  # type: ignore[index]
