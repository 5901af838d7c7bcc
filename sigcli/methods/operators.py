"""What kind of function each operator of ATen is: linear, a product, of single values, or a maximum.

A rule method needs no more than the kind. An operator that stands in no table has no rule, and is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..errors import MisfitError
from .tracing import Slot, Step, Tape

MOVING = frozenset(
    [
        *(
            "view",
            "_unsafe_view",
            "reshape",
            "permute",
            "transpose",
            "t",
            "expand",
            "squeeze",
            "unsqueeze",
            "select",
            "slice",
        ),
        *(
            "split",
            "split_with_sizes",
            "unbind",
            "cat",
            "stack",
            "clone",
            "alias",
            "_to_copy",
            "flip",
            "roll",
            "repeat",
        ),
        *("constant_pad_nd", "reflection_pad2d", "replication_pad2d", "index", "gather", "index_select", "masked_fill"),
        *(
            "slice_scatter",
            "select_scatter",
            "diagonal",
            "pixel_shuffle",
            "pixel_unshuffle",
            "unfold",
            "im2col",
            "col2im",
        ),
        *("channel_shuffle", "as_strided", "copy", "tril", "triu", "view_copy", "where", "index_put", "_reshape_alias"),
    ]
)
"""What moves entries to other places, next to constants."""
LINEAR = frozenset([
    *MOVING, "neg", "add", "sub", "rsub", "sum", "mean", "cumsum",
    *("avg_pool1d", "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "adaptive_avg_pool1d", "_adaptive_avg_pool3d"),
    *("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d", "_upsample_bilinear2d_aa"),
    *("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"),
])  # fmt: skip
"""Linear, up to a constant, in all their values that depend on the image together."""
PRODUCTS = frozenset(["mul", "mm", "bmm", "mv", "dot", "addmm", "baddbmm", "addmv", "addcmul", "convolution"])
"""Linear in each of two factors."""
BIASED = frozenset(["addmm", "baddbmm", "addmv", "addcmul"])
"""Products to which their first argument is added."""
PIECES = frozenset([
    "relu", "hardtanh", "clamp", "clamp_min", "clamp_max", "leaky_relu", "_prelu_kernel", "threshold", "abs",
    "hardsigmoid",
    "hardshrink", "softshrink",
])  # fmt: skip
UNIT = frozenset([
    "sigmoid", "tanh", "gelu", "silu", "mish", "elu", "celu", "softplus", "hardswish", "exp", "expm1", "erf", "sin", "cos",
    "atan", "log_sigmoid_forward", "log1p",
])  # fmt: skip
SCALED = frozenset(["reciprocal", "rsqrt", "sqrt", "log", "log2", "log10", "pow"])
ELEMENTWISE = PIECES | UNIT | SCALED
"""Functions of single values: of straight pieces; curved on the scale of 1; curved on the scale of the value itself."""
MAXIMA = frozenset(["max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d", "max"])
"""Maxima with the places where they stand; of `max` the form along one dimension."""
COMPOSED = frozenset([
    "native_layer_norm", "native_group_norm", "_softmax", "_safe_softmax", "_log_softmax", "linalg_vector_norm", "div",
    "amax", "amin", "maximum", "minimum", "square", "var",
])  # fmt: skip
_TITLES = {
    "native_layer_norm": "LayerNorm", "native_group_norm": "GroupNorm", "_softmax": "softmax", "_safe_softmax": "softmax",
    "_log_softmax": "log-softmax", "_prelu_kernel": "prelu", "max_pool2d_with_indices": "max_pool2d",
    "log_sigmoid_forward": "log-sigmoid", "linalg_vector_norm": "a vector's norm",
}  # fmt: skip


def factors(step: Step) -> int:
    """How many of the two factors of a product depend on the image."""
    first = 1 if step.name in BIASED else 0
    return sum(isinstance(value, Slot) for value in step.args[first : first + 2])


def is_linear(step: Step) -> bool:
    """Whether a step is linear, up to a constant, in what depends on the image."""
    if step.name == "div":
        return not isinstance(step.args[1], Slot) and not step.kwargs.get("rounding_mode")
    return step.name in LINEAR or (step.name in PRODUCTS and factors(step) == 1)


def flaw(step: Step) -> str | None:
    """What keeps an operator from being of the kind that the tables say: its name for an error, or None."""
    if "batch_norm" in step.name and step.name[0] != "_" and step.args[5]:
        return "batch norm with the statistics of the batch"
    if step.name == "max" and len(step.args) < 2:
        return "a maximum over all images"
    if step.name in ("where", "masked_fill", "index", "gather", "index_select", "index_put") and _chosen(step):
        return f"{step.name} by values of the image"
    if step.name in ELEMENTWISE and any(isinstance(value, Slot) for value in step.args[1:]):
        return f"{step.name} with bounds that depend on the image"
    return "division with rounding" if step.kwargs.get("rounding_mode") else None


def _chosen(step: Step) -> bool:
    at = {"where": 0, "gather": 2, "index_select": 2}.get(step.name, 1)
    which = step.args[at]
    return any(isinstance(value, Slot) for value in (which if isinstance(which, (list, tuple)) else [which]))


def title(name: str) -> str:
    """The name of an operator as users know it."""
    return _TITLES.get(name, name)


def check(tape: Tape, method: str, reason: Callable[[Step], str | None]) -> None:
    """Raise MisfitError for operators without a rule, naming them all.

    Args:
        tape: what is to be explained.
        method: its name, for the message.
        reason: the name of an operator that has no rule, or None.
    """
    foreign = dict.fromkeys(name for step in tape.steps if (name := flaw(step) or reason(step)))
    if foreign:
        hint = "Methods without rules for operators work: gradcam, input-x-gradient, ig, sig and others."
        raise MisfitError(f"{method} has no rule for {', '.join(foreign)}", hint=hint)


def single(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    """The function of single values that an elementwise step applies to its first argument."""

    def function(x: Tensor) -> Tensor:
        result = step.operator(x, *args[1:], **kwargs)
        return result if isinstance(result, Tensor) else result[0]  # log-sigmoid has a buffer beside its result

    return function


def derivative(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The derivative of a function of single values."""
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(function(leaf).sum(), leaf)[0]


def probed(function: Callable[[Tensor], Tensor], like: Tensor, at: Iterable[float]) -> Iterator[tuple[Tensor, Tensor]]:
    """(argument, result) of a function of single values at some places, in the shape of `like`."""
    for value in at:
        x = torch.full_like(like, value)
        with torch.no_grad():
            yield x, function(x)
