"""A baseline learned from the model: the image about which it is least certain."""

from __future__ import annotations

import math
import weakref

import torch
from jaxtyping import Float
from torch import Tensor

from .. import draws
from ..errors import AttributionError, UsageError
from ..heads import LOGITS, NO_CLASSES, OTHER_HEAD, Head
from ..types import Subject

STEPS = 200
_RATE, _START, _ENOUGH = 0.02, 0.05, 0.999
_LEARNED: weakref.WeakKeyDictionary[Subject, dict[str, Tensor]] = weakref.WeakKeyDictionary()


def max_entropy(subject: Subject, argument: str) -> Float[Tensor, "c h w"]:
    """The maximum-entropy baseline of [SIG]'s reference Tan 2023: class probabilities as even as an image can make them.

    A gradient ascent (Adam, in the pixel range) on the entropy of the probabilities, from the middle of the range with a
    little noise that is seeded by the image; it ends after `argument` steps (default 200) or once the entropy is 99.9 % of
    that of equal probabilities, and gives the image of highest entropy on the way. One gradient evaluation a step, which the
    method's own count leaves out; learned once per image.

    Args:
        subject: the subject whose model is asked.
        argument: number of steps, or nothing.

    Raises:
        AttributionError: no model was given, it has no gradient, or it gives NaN.
        UsageError: an invalid number of steps, or a network without probabilities.
    """
    if argument and (not argument.isdigit() or int(argument) < 1):
        raise UsageError("baseline 'max-entropy' needs a number of steps of at least 1", given=argument)
    if not subject.head.asks:
        raise UsageError(f"the baseline 'max-entropy' cannot be learned: {NO_CLASSES}", hint=f"{OTHER_HEAD}.")
    if subject.model is None:
        raise AttributionError("the baseline 'max-entropy' is learned from the model, and the subject has none")
    known = _LEARNED.setdefault(subject, {})
    if argument not in known:
        known[argument] = _learn(subject, int(argument or STEPS))
    return known[argument]


def entropy(outputs: Float[Tensor, "n k"], head: Head = LOGITS) -> Float[Tensor, " n"]:
    """Entropy of the probabilities of each row, in nats; of several labels the sum of theirs."""
    logs = head.distributions(outputs)
    return -(logs.exp() * logs).sum((1, 2))


def _learn(subject: Subject, steps: int) -> Tensor:
    x, model = subject.x, subject.model
    key = draws.stream(subject.seed, subject.key, "baseline", "max-entropy")
    noise = draws.uniform16(key, torch.zeros(1, dtype=torch.long), x.numel(), x.device).to(x).reshape(x.shape)
    level = (0.5 + _START * (noise - 0.5)).requires_grad_()  # in 0..1
    optimiser = torch.optim.Adam([level], lr=_RATE)
    best, highest = level.detach().clone(), -math.inf
    for _ in range(steps):
        with torch.enable_grad():
            outputs = model((subject.low + level * (subject.high - subject.low))[None])  # type: ignore[misc]
            if not outputs.requires_grad:
                raise AttributionError(
                    "the baseline 'max-entropy' is learned by gradients, and the model is not differentiable"
                )
            found = entropy(outputs, subject.head)[0]
            (level.grad,) = torch.autograd.grad(-found, level)
        value = float(found.detach())
        if not math.isfinite(value):
            raise AttributionError("the model gives NaN or infinity while the baseline is learned")
        if value > highest:
            best, highest = level.detach().clone(), value
        questions, answers = subject.head.distributions(outputs.detach()).shape[1:]
        if value >= _ENOUGH * questions * math.log(answers):
            break
        optimiser.step()
        with torch.no_grad():
            level.clamp_(0, 1)
    return subject.low + best * (subject.high - subject.low)
