"""Methods that read a transformer's attention weights: rollout, attention times gradient, and Chefer's two.

A map of tokens is brought to the image as Grad-CAM's is: bilinearly, in equal shares for the channels. In the equations
below A is a block's weights after the softmax, (heads, L, L), rows for the tokens that attend; F the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ..engine.passes import Passes
from ..types import Attribution, Subject
from .attention import Tokens, by_head, tokens
from .cam import on_pixels
from .common import one_of
from .token_relevance import relevances
from .tracing import Step, agreed, plain, replay


def attention_rollout(
    passes: Passes, subject: Subject, *, heads: Literal["mean", "max", "min"] = "mean"
) -> Attribution:
    """Attention rollout, Abnar, Zuidema 2020, section 3: Â_B ⋯ Â_1 with Â = ½ A + ½ I, whatever the class.

    The row of the class token is the map; where the scores read no class token, the mean over the rows that they read.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        heads: how the heads of A become one: their mean, as in the paper, or their largest or least weights; rows of Â
            are divided by their sums.

    Raises:
        AttributionError: no attention between all tokens (convolutional networks, windows, merged tokens), or a network
            without accessible layers.
    """
    one_of(("mean", "max", "min"), heads=heads)
    found = tokens(passes.module, subject.x[None])
    with torch.no_grad():
        outputs, weights = _weights(found, subject.x[None])
        score = passes.select(outputs, subject)[0]
        joint = torch.eye(weights[0].shape[-1]).to(weights[0])
        for one in weights:
            fused = one.mean(0) if heads == "mean" else one.amax(0) if heads == "max" else one.amin(0)
            mixed = 0.5 * fused + 0.5 * torch.eye(*fused.shape).to(fused) if len(fused) > 1 else fused  # no shortcut
            joint = mixed / mixed.sum(-1, keepdim=True) @ joint
    passes.spent(1, backward=False)
    return _shown(passes, subject, found, joint, score)


def attention_gradient(passes: Passes, subject: Subject, *, relu: bool = True) -> Attribution:
    """Attention weights times their gradients in the last block: E_h[(A ⊙ ∂F/∂A)⁺], Serrano, Smith 2019, section 4.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        relu: keep only evidence for the class.

    Raises:
        AttributionError: as for `attention_rollout`.
    """
    found, weights, gradients, score = _gradients(passes, subject)
    product = weights[-1] * gradients[-1]
    return _shown(passes, subject, found, (product.relu() if relu else product).mean(0), score)


def generic_attention(passes: Passes, subject: Subject) -> Attribution:
    """Generic attention relevance, Chefer, Gur, Wolf, ICCV 2021, Eq. 5 and 6: R ← R + Ā R with Ā = E_h[(A ⊙ ∂F/∂A)⁺].

    R starts as the identity, which says that every token is itself, and is taken from the result again.

    Args:
        passes: the passes of the model.
        subject: what is explained.

    Raises:
        AttributionError: as for `attention_rollout`.
    """
    found, weights, gradients, score = _gradients(passes, subject)
    steps = [(one * other).relu().mean(0) for one, other in zip(weights, gradients, strict=True)]
    return _shown(passes, subject, found, _joined(steps), score)


def transformer_attribution(passes: Passes, subject: Subject) -> Attribution:
    """Transformer attribution, Chefer, Gur, Wolf, CVPR 2021, Eq. 13 and 14: Π (I + E_h[(R_A ⊙ ∂F/∂A)⁺]).

    R_A is the relevance of the attention weights for the logit, by the paper's LRP.
    The identity, which says that every token is itself, is taken from the result again.

    Args:
        passes: the passes of the model.
        subject: what is explained.

    Raises:
        AttributionError: as for `attention_rollout`, an operator without a rule, or a score that is not a logit.
    """
    passes.needs_logit("Transformer attribution")
    relevant = relevances(tokens(passes.module, subject.x[None]), subject.x[None], subject.target)
    passes.spent(1)
    found, _, gradients, score = _gradients(passes, subject)
    steps = [(one * other).relu().mean(0) for one, other in zip(relevant, gradients, strict=True)]
    return _shown(passes, subject, found, _joined(steps), score)


def _joined(steps: Sequence[Tensor]) -> Tensor:
    """(I + Ā_B) ⋯ (I + Ā_1) - I; Ā_B instead of I + Ā_B where the last block pools, which has no shortcut."""
    count = steps[0].shape[-1]
    joint = steps[0].new_zeros(count, count)
    for one in steps:
        joint = one @ joint + one + (joint if len(one) == count else 0)
    return joint


def _weights(found: Tokens, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Outputs, and each block's attention weights, (heads, L, L)."""
    outputs, raw = _run(found, images)
    return outputs, [by_head(one) for one in raw]


def _run(found: Tokens, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    given: dict[int, Tensor] = {}

    def watch(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = plain(step, args, kwargs)
        if id(step) in wanted:
            given[id(step)] = result
        return result

    wanted = {id(step) for step in found.weights}
    outputs = replay(found.tape, watch, (images,))
    return outputs, [given[id(step)] for step in found.weights]


def _gradients(passes: Passes, subject: Subject) -> tuple[Tokens, list[Tensor], list[Tensor], Tensor]:
    """Each block's attention weights, the gradient of the score by them, (heads, L, L) each, and the score."""
    found = tokens(passes.module, subject.x[None])
    with torch.enable_grad():
        outputs, weights = _run(found, subject.x[None].detach().clone().requires_grad_())
        score = passes.select(outputs, subject)[0]
        gradients = torch.autograd.grad(score, weights)
    passes.spent(1)
    return found, [by_head(w.detach()) for w in weights], [by_head(g) for g in gradients], score.detach()


def _shown(passes: Passes, subject: Subject, found: Tokens, relevance: Tensor, score: Tensor) -> Attribution:
    """An attribution from what each token owes to each, (L, L)."""
    owed = found.map(relevance)
    note = found.note if bool(owed.any()) else "the map is 0 everywhere: no attention weight speaks for the class"
    value = agreed(passes, subject, score)
    return Attribution(on_pixels(owed, subject), value, passes.evaluations, note=note)
