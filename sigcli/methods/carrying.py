"""A value whose gradient a rule carries back, in place of the derivative of what made it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Back = Callable[[Tensor], Tensor | tuple[Tensor, ...]]
"""What arrives at a value → what goes on to each of its inputs."""


def carried(value: Tensor, back: Back, *inputs: Tensor) -> Tensor:
    """`value` as a function of `inputs` whose gradient is `back`: the rest is autograd's.

    Args:
        value: any shape, taken as a constant.
        back: what arrives, in the shape of `value` → what goes on, in the shapes of `inputs`.
        inputs: what it depends on.
    """
    return _Carried.apply(value.detach(), back, *inputs)  # type: ignore[no-any-return]


class _Carried(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, back: Back, *inputs: Tensor) -> Tensor:  # type: ignore[override]  # noqa: ARG004
        ctx.back = back
        # Not view_as: it changes the strides of one image in channels-last order, where torch's batch norm then has a
        # wrong gradient.
        return value.detach()

    @staticmethod
    def backward(ctx: Any, arriving: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        gone = ctx.back(arriving)
        return None, None, *(gone if isinstance(gone, tuple) else (gone,))
