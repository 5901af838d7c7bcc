"""Maxima and minima one member of which is a constant: functions of single values, such as a ReLU's cap.

Which entries of a value are constants follows from how it was put together (stack, cat, padding, assignment), not from
its numbers: an inactive unit still depends on the image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

from .operators import ELEMENTWISE, MAXIMA, MOVING
from .tracing import Step

_ELEMENTWISE = frozenset([
    *ELEMENTWISE, "add", "sub", "rsub", "neg", "mul", "div", "maximum", "minimum", "square",
    "native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm",
])  # fmt: skip
_JOINING = frozenset([
    "cat", "stack", "index_put", "slice_scatter", "select_scatter", "where", "masked_fill", "constant_pad_nd", "im2col",
    "tril", "triu",
])  # fmt: skip
"""What may put constants next to values that depend on the image."""
_SUMS = frozenset(
    ["sum", "mean", "avg_pool1d", "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "upsample_nearest2d"]
)
_FILLED = {"masked_fill": 2, "constant_pad_nd": 2}
"""Where the number stands that fills entries."""


class Moving:
    """Which entries of the values of a replay depend on the image; noted where some do not."""

    def __init__(self) -> None:
        self._known = WeakTensorKeyDictionary()

    def of(self, value: Tensor) -> Tensor:
        """1 where an entry depends on the image, else 0, in the value's shape."""
        if value.requires_grad:
            return self._known[value] if value in self._known else torch.ones_like(value, requires_grad=False)
        return torch.zeros_like(value)

    def note(self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any], found: Any) -> None:
        """Note the entries of what a step gave for these arguments."""
        given = [v for v in tree_flatten((args, kwargs))[0] if isinstance(v, Tensor) and v.is_floating_point()]
        if step.name not in _JOINING and not any(v in self._known for v in given if v.requires_grad):
            return
        with torch.no_grad():
            marks = self._marks(step, args, kwargs)
        for value, mark in zip(tree_flatten(found)[0], marks, strict=False):
            if isinstance(value, Tensor) and value.requires_grad and not bool((mark > 0).all()):
                self._known[value] = (mark > 0).to(value).detach().expand(value.shape)

    def _marks(self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
        if step.name in _ELEMENTWISE:
            marks = [self.of(v) for v in args if isinstance(v, Tensor) and v.requires_grad]
            return [sum(marks[1:], marks[0])]
        if step.name not in MOVING | _SUMS | MAXIMA | {"amax", "amin"}:
            return []  # each entry is made of many
        sign = -1 if step.name == "amin" else 1

        def swap(value: Any) -> Any:
            return sign * self.of(value) if isinstance(value, Tensor) and value.is_floating_point() else value

        marked, keywords = tree_map(swap, (list(args), kwargs))
        at = _FILLED.get(step.name, len(marked))
        marked[at:] = [0.0 for _ in marked[at:]]
        return [sign * v for v in tree_flatten(step.operator(*marked, **keywords))[0]]


@dataclass(frozen=True, eq=False)
class Rule(ABC):
    """What a step of a replay does in place of its operator.

    Args:
        moving: which entries depend on the image, noted after each step.
    """

    moving: Moving = field(default_factory=Moving, kw_only=True)

    def __call__(self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do the step."""
        found = self.ruled(step, args, kwargs)
        self.moving.note(step, args, kwargs, found)
        return found

    @abstractmethod
    def ruled(self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the step gives by this rule."""


def capped(
    step: Step, args: tuple[Any, ...], kwargs: dict[str, Any], moving: Moving
) -> tuple[Callable[[Tensor], Tensor], Tensor] | None:
    """A maximum or minimum with constants as a function of single values, and its argument; None for all other steps.

    The argument is the maximum of those members that depend on the image, and the function the maximum with the others.
    """
    least = step.name in ("minimum", "amin")
    if step.name in ("maximum", "minimum"):
        dtype = torch.result_type(*args[:2])
        x = torch.stack([v.to(dtype) for v in torch.broadcast_tensors(*args[:2])])
        marks = torch.stack([v.to(dtype) for v in torch.broadcast_tensors(*map(moving.of, args[:2]))])
    elif step.name in MAXIMA | {"amax", "amin"}:
        x, marks = args[0], moving.of(args[0])
    else:
        return None
    if bool(marks.all()):
        return None

    def largest(values: Tensor) -> Tensor:
        if step.name in ("maximum", "minimum"):
            return values.amin(0) if least else values.amax(0)
        found = step.operator(values, *args[1:], **kwargs)
        return found if isinstance(found, Tensor) else found[0]

    outside = torch.inf if least else -torch.inf
    own = largest(x.masked_fill(marks == 0, outside))
    with torch.no_grad():
        some = (-largest(-marks) if least else largest(marks)) > 0
        bound = torch.where(some, largest(x.masked_fill(marks > 0, outside)), outside)
        constant = largest(x.detach())
    join = torch.minimum if least else torch.maximum
    return (lambda value: join(value, bound)), torch.where(some, own, constant)
