"""LRP's rules for what transformers are made of beside layers with weights: AttnLRP, Achtibat et al. 2024, section 3.3.

Relevance is kept as R/z, as in `sigcli.methods.relevance`, so a rule is a function with a gradient of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .carrying import carried
from .operators import BIASED
from .tracing import Step

Found = tuple[Tensor, Tensor | None]
"""A result, and the part of it that is a bias, whose relevance goes to nobody."""


def attended(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Found:
    """The result of a softmax, a norm or a product of two values, with the rule's gradient; and the bias in it."""
    if step.name in _NORMS:
        return _NORMS[step.name](*args)
    return _softmax(step, args, kwargs) if step.name in ATTENDING else _halved(step, args, kwargs)


def _softmax(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Found:
    """R_i = x_i (R_i - s_i Σ_j R_j): the Taylor expansion at x, whose constant is a bias."""
    found = step.operator(*args, **kwargs)
    with torch.no_grad():
        part = torch.where(found == 0, torch.zeros_like(found), found * args[0])  # masked entries are -∞
        offset = found - part + found * part.sum(step.args[1], keepdim=True)
    return found, offset


def _halved(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Found:
    """Half of a product's relevance to each factor, in proportion to the summands."""
    moving = [i for i, value in enumerate(args) if isinstance(value, Tensor) and value.requires_grad]
    leaves = [args[i].detach().requires_grad_() for i in moving]

    def product(values: Sequence[Tensor]) -> Tensor:
        given = dict(zip(moving, values, strict=True))
        return step.operator(*(given.get(i, value) for i, value in enumerate(args)), **kwargs)

    def back(arriving: Tensor) -> tuple[Tensor, ...]:
        return tuple(share / 2 for share in torch.autograd.grad(z, leaves, arriving))

    with torch.enable_grad():
        z = product(leaves)
    with torch.no_grad():
        offset = product([torch.zeros_like(leaf) for leaf in leaves]) if step.name in BIASED else None
    return carried(z, back, *(args[i] for i in moving)), offset


def _layer_norm(x: Tensor, shape: list[int], weight: Tensor | None, bias: Tensor | None, eps: float) -> Found:
    """R_i as it arrives, but for the mean and the bias: the standard deviation is a constant."""
    dims = list(range(-len(shape), 0))
    scale = (x.detach().var(dims, correction=0, keepdim=True) + eps).rsqrt()
    normed = (x - x.mean(dims, keepdim=True)) * scale
    normed = normed if weight is None else normed * weight
    return (normed, None) if bias is None else (normed + bias, bias.expand(normed.shape))


def _group_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, *sizes: Any) -> Found:
    n, channels, places, groups, eps = sizes
    normed, _ = _layer_norm(x.reshape(n, groups, -1), [channels // groups * places], None, None, eps)
    normed = normed.reshape(n, channels, places)
    normed = normed if weight is None else normed * weight[:, None]
    if bias is None:
        return normed.reshape(x.shape), None
    offset = bias[:, None].expand(normed.shape)
    return (normed + offset).reshape(x.shape), offset.reshape(x.shape)


_NORMS: dict[str, Callable[..., Found]] = {"native_layer_norm": _layer_norm, "native_group_norm": _group_norm}
SOFTMAX = frozenset(["_softmax", "_safe_softmax"])
ATTENDING = SOFTMAX | _NORMS.keys()
"""The operators, next to products."""
