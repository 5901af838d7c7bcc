"""Modules of ours around a network of the user's, and the network's layers under the names that its user knows."""

from __future__ import annotations

from typing import Any

from torch import nn


class Wrapper(nn.Module):
    """A module that feeds a network or reads its outputs. Names of layers leave it out.

    Args:
        inner: the network, or a wrapper of it.
    """

    def __init__(self, inner: Any):
        super().__init__()
        self.inner = inner


def own_layers(module: nn.Module) -> dict[str, nn.Module]:
    """The layers of the network within its wrappers, by name, as the network's own `named_modules()` gives them.

    >>> list(own_layers(Wrapper(Wrapper(nn.Sequential(nn.ReLU())))))
    ['', '0']
    """
    found: dict[str, nn.Module] = {}
    seen: set[nn.Module] = set()

    def visit(part: nn.Module, name: str) -> None:
        if part in seen:
            return
        seen.add(part)
        wraps = isinstance(part, Wrapper)
        if not wraps:
            found[name] = part
        for child, below in part.named_children():
            visit(below, name if wraps else f"{name}.{child}" if name else child)

    visit(module, "")
    return found
