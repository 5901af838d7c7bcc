"""The model's own answer to a sample: its likeliest classes, and how likely the explained one is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..comparisons import pair_of
from ..heads import Head
from ..names import printable

if TYPE_CHECKING:
    from ..models.model import Model

MOST = 5
"""How many answers are kept of a sample."""


class Prediction(NamedTuple):
    """One answer of the model.

    Args:
        index: number of the class; of a single output 0 is no and 1 is yes.
        name: of the class, or `class 7` where classes have no names.
        probability: that the head gives it; labels that do not exclude each other have one each.
    """

    index: int
    name: str
    probability: float


def predictions_of(model: Model, outputs: Tensor | None) -> tuple[Prediction, ...]:
    """The likeliest answers, best first, at most `MOST`; none where outputs have no probabilities or are not of classes.

    Args:
        model: whose head reads the outputs.
        outputs: (K,) of one sample, which the search for its targets has computed anyway; None where it has not.
    """
    if outputs is None or not model.head.asks:
        return ()
    shares = model.head.answers(outputs[None].cpu().double())[0]
    order = torch.sort(shares, descending=True, stable=True).indices[:MOST].tolist()
    return tuple(Prediction(i, printable(model.answer(i)), float(shares[i])) for i in order)


def chance_of(head: Head, outputs: Tensor | None, target: int) -> float | None:
    """The probability of the class that is explained; None where there is none, and of a comparison of two classes."""
    if outputs is None or not head.asks or pair_of(target, len(outputs)) is not None:
        return None
    return float(head.chance(outputs[None].cpu().double(), target)[0])


def percent(share: float) -> str:
    """A probability as people read it.

    >>> percent(0.9234), percent(0.0213), percent(0.99996), percent(0.0000213)
    ('92 %', '2.1 %', '> 99.9 %', '< 0.1 %')
    """
    if share < 0.001:
        return "< 0.1 %"
    if share > 0.999:
        return "> 99.9 %" if share < 1 else "100 %"
    return f"{100 * share:.1f} %" if share < 0.0995 or share >= 0.995 else f"{100 * share:.0f} %"
