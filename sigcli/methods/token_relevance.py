"""The layer-wise relevance propagation of transformer attribution, Chefer, Gur, Wolf, CVPR 2021, section 3.

It starts with 1 at the logit and is wanted at the attention weights of each block. Where the paper is silent, the rule is
that of the authors' code: LayerNorm, softmax and functions of single values pass relevance on as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from ..errors import MisfitError
from ..heads import LOGITS
from .attention import Tokens, by_head
from .carrying import carried
from .held import Held, held
from .operators import ELEMENTWISE, MAXIMA, MOVING, PRODUCTS, flaw, is_linear, title
from .tracing import Slot, Step, plain, replay
from .weighted import has_weights, places, positive

_SUMS = frozenset(["add", "sub", "rsub"])
_PASSING = ELEMENTWISE | {
    "_softmax", "_safe_softmax", "native_layer_norm", "native_group_norm", "neg", "native_batch_norm",
    "_native_batch_norm_legit_no_training", "cudnn_batch_norm",
}  # fmt: skip


def relevances(found: Tokens, images: Tensor, target: int) -> list[Tensor]:
    """The relevance of each block's attention weights, (heads, L, L), for the logit of a class.

    Args:
        found: the network.
        images: (1, C, H, W).
        target: the class, or a number of `sigcli.comparisons`.

    Raises:
        MisfitError: an operator without a rule after the first attention.
    """
    rules = _Rules(found)
    with torch.enable_grad():
        logit = LOGITS.value(replay(found.tape, rules, (images.detach(),))[:1], target)[0]
        given = torch.autograd.grad(logit, [rules.weights[id(step)] for step in found.weights])
    return [by_head(one) for one in given]


class _Rules:
    """The rule of a step: its result, whose gradient is relevance. Before the first attention weights all is constant."""

    def __init__(self, found: Tokens) -> None:
        self._held: Held = held(found.tape)
        self._wanted = {id(step) for step in found.weights}
        self.weights: dict[int, Tensor] = {}

    def __call__(self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        one = self._held.hold(step, args)
        if one is None or not _carrying(args, kwargs):
            with torch.no_grad():
                result = plain(step, args, kwargs)
        else:
            result = _ruled(*one, kwargs)
        if id(step) in self._wanted:
            result = result if result.requires_grad else result.detach().requires_grad_()
            self.weights[id(step)] = result
        return result


def _carrying(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return any(isinstance(v, Tensor) and v.requires_grad for v in tree_flatten((args, kwargs))[0])


def _ruled(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    moving = [value for value, slot in zip(args, step.args, strict=True) if isinstance(slot, Slot)]
    if step.name in _SUMS and len(moving) == 2:
        return _shared(step, args, kwargs)
    if step.name in PRODUCTS and len(moving) == 2 and not is_linear(step):
        return _propagated(step, args, kwargs, lambda shares: tuple(share / 2 for share in shares))
    if has_weights(step):
        return _weighted(step, args, kwargs)
    single = step.name in _SUMS | _PASSING or (step.name in ("mul", "div") and is_linear(step))
    if single and len(moving) == 1:
        return _passed(step, args, kwargs, moving[0])
    if step.name in MOVING | MAXIMA:
        return step.operator(*args, **kwargs)
    if is_linear(step) and len(moving) == 1:
        return _propagated(step, args, kwargs, lambda shares: shares)
    raise MisfitError(f"transformer attribution has no rule for {flaw(step) or title(step.name)}")


def _passed(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any], x: Tensor) -> Tensor:
    """Relevance goes on as it is; constants and biases get none."""
    value = _value(step, args, kwargs)
    return carried(value, lambda arriving: arriving.sum_to_size(x.shape), x)


def _value(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    with torch.no_grad():
        found = step.operator(*args, **kwargs)
    return found if isinstance(found, Tensor) else found[0]


def _weighted(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """R_j = Σ_k (a_j w_jk)⁺ R_k / Σ_j (a_j w_jk)⁺, Eq. 5; biases get none."""
    at = places(step)[0]
    leaf = args[at].detach().requires_grad_()
    with torch.enable_grad():
        sums = positive(step, tuple(leaf if i == at else v for i, v in enumerate(args)), kwargs, biases=False)

    def back(arriving: Tensor) -> Tensor:
        (shares,) = torch.autograd.grad(sums, leaf, _quotient(arriving, sums.detach()))
        return leaf.detach() * shares

    return carried(_value(step, args, kwargs), back, args[at])


def _propagated(
    step: Step,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    divide: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]],
) -> Tensor:
    """R_j = Σ_k x_j ∂z_k/∂x_j R_k / z_k, Eq. 3, for each factor x; a product's are halved, as by Eq. 10."""
    moving = [i for i, slot in enumerate(step.args) if isinstance(slot, Slot)]
    leaves = [args[i].detach().requires_grad_() for i in moving]
    with torch.enable_grad():
        given = dict(zip(moving, leaves, strict=True))
        z = step.operator(*(given.get(i, v) for i, v in enumerate(args)), **kwargs)

    def back(arriving: Tensor) -> tuple[Tensor, ...]:
        shares = torch.autograd.grad(z, leaves, _quotient(arriving, z.detach()))
        return divide(tuple(leaf.detach() * share for leaf, share in zip(leaves, shares, strict=True)))

    return carried(z, back, *(args[i] for i in moving))


def _shared(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """A sum's relevance in proportion to the summands; scaled so that Σ R stays, in proportion to |Σ R| of each, Eq. 10."""
    value = _value(step, args, kwargs)
    least = torch.zeros_like(args[0]), torch.zeros_like(args[1])
    parts = _value(step, (args[0], least[1]), kwargs), _value(step, (least[0], args[1]), kwargs)

    def back(arriving: Tensor) -> tuple[Tensor, ...]:
        shares = [_quotient(arriving * part, value) for part in parts]
        sums = torch.stack([share.sum() for share in shares])
        scales = _quotient(sums.sign() * arriving.sum(), sums.abs().sum().expand(2))
        return tuple(
            (share * scale).sum_to_size(given.shape) for share, scale, given in zip(shares, scales, args, strict=False)
        )

    return carried(value, back, *args[:2])


def _quotient(one: Tensor, other: Tensor) -> Tensor:
    """One by the other, 0 where the other is 0."""
    return torch.where(other == 0, torch.zeros_like(one), one / other)
