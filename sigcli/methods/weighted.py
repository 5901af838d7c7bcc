"""Layers with weights in a network's record: where their values and weights stand, and the positive part of their sums."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .operators import is_linear
from .tracing import Slot, Step

_PLACES = {"convolution": (0, 1, 2), "addmm": (1, 2, 0), "mm": (0, 1, None), "baddbmm": (1, 2, 0), "bmm": (0, 1, None)}
"""Where the values, the weights and the bias stand among the arguments."""


def has_weights(step: Step) -> bool:
    """Whether a step is a convolution or a linear layer."""
    return step.name in _PLACES and is_linear(step)


def places(step: Step) -> tuple[int, int, int | None]:
    """Where values, weights and bias stand; the weights are the factor that does not depend on the image."""
    values, weights, bias = _PLACES[step.name]
    if not isinstance(step.args[values], Slot):
        values, weights = weights, values
    return values, weights, bias


def positive(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any], *, biases: bool = True) -> Tensor:
    """Σ_j (a_j w_jk)⁺ + b_k⁺, of a layer with weights; without b if asked for."""
    at, weights, bias = places(step)
    x, w, b = args[at], args[weights], None if bias is None else args[bias]
    given = list(args)
    given[at], given[weights] = x.clamp(min=0), w.clamp(min=0)
    if bias is not None and b is not None:
        given[bias] = b.clamp(min=0) if biases else torch.zeros_like(b)
    found = step.operator(*given, **kwargs)
    given[at], given[weights] = x.clamp(max=0), w.clamp(max=0)
    if bias is not None and b is not None:
        given[bias] = torch.zeros_like(b)
    return found + step.operator(*given, **kwargs)
