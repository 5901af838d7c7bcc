"""Programs of a fixed or a bounded batch size, made to take any."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sigcli.wrapping import Wrapper

LACKS = "it takes a fixed number of {} at a time; one that takes any number, (N, …), has its layers looked into"
"""Why a method of layers cannot use it, and what to do."""


class FixedBatch(Wrapper):
    """A program made for some batch sizes, for any: cut into pieces of the largest, the last one filled up to the least.

    Args:
        program: (batch, C, H, W) → (batch, classes).
        batch: the largest size that it takes.
        least: the smallest, None where it takes one size only.
    """

    def __init__(self, program: nn.Module, batch: int, least: int | None = None):
        super().__init__(program)
        self.batch, self.least = batch, batch if least is None else least

    def forward(self, *inputs: Tensor) -> Any:
        """(N, C, H, W), or two of these, → (N, classes) for any N."""
        count = len(inputs[0])
        lack = max(0, self.least - (count % self.batch or self.batch))
        filled = [torch.cat([x, x[-1:].expand(lack, *x.shape[1:])]) if lack else x for x in inputs]
        outputs = [self.inner(*piece) for piece in zip(*(x.split(self.batch) for x in filled), strict=True)]
        if not all(isinstance(output, Tensor) for output in outputs):
            return outputs[0]
        return torch.cat(outputs)[:count]
