"""Batch norms whose gradient is right whatever the layout of what arrives.

On a CPU torch (2.14) gives wrong gradients of a batch norm in evaluation mode for a single image whose arriving gradient is
transposed, as where its places become a sequence of tokens.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode


class Evened(TorchFunctionMode):
    """What runs in it gets such batch norms."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        return evened(found) if getattr(func, "__name__", "") == "batch_norm" else found


def evened(found: Any) -> Any:
    """The result of a batch norm, to which gradients arrive in order of memory."""
    first = found if isinstance(found, Tensor) else found[0]
    if first.requires_grad:
        first.register_hook(lambda arriving: arriving.contiguous())
    return found
