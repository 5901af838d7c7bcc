"""Networks for every method: small ones that fit together with the methods that can explain them.

Used by `tests/device` on a pretend device and by `benchmarks/gpu.py` on a real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

import sigcli
from sigcli.methods import METHODS

from toys import TokenNet, relu_net

FEW = {
    "players": "grid:2x2", "samples": "6", "steps": "4", "orders": "4", "budget": "24", "iterations": "3",
    "draws": "8", "checks": "4", "baseline": "black",
}  # fmt: skip
"""Small budgets: values of the options that a method may have."""


class Certain(nn.Module):
    """Takes a certainty of each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = relu_net(torch.float32, 4)

    def forward(self, x: torch.Tensor, certainty: torch.Tensor | None = None) -> torch.Tensor:
        certainty = torch.ones_like(x[:, :1]) if certainty is None else certainty
        return self.inner(torch.cat([x * certainty, certainty], 1))


class Greatest(nn.Module):
    """The greatest value of the picture, times a number for each class."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.amax((1, 2, 3))[:, None] * self.factor


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 36, 3))


def of_kind(only: str | None, *, certainty: bool = False) -> list[str]:
    """Methods that need such a score, of networks that take a certainty or not."""
    about = {
        name: (entry.properties.get("only"), bool(entry.properties.get("certainty"))) for name, entry in METHODS.items()
    }
    return [name for name, found in about.items() if found == (only, certainty)]


OF_TOKENS = [*of_kind("attention"), "lrp", "gradcam", "deeplift"]
NETWORKS: Mapping[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "convolutions": (lambda: relu_net(torch.float32, 3), of_kind(None)),
    "attention": (lambda: TokenNet(torch.float32, 3), OF_TOKENS),
    "linear": (linear, of_kind("linear")),
    "maximum": (Greatest, of_kind("max")),
    "certainty": (Certain, of_kind(None, certainty=True)),
}


def few(methods: Iterable[str]) -> dict[str, str]:
    """Small budgets, of what these methods have."""
    every = {name for method in methods for name in METHODS[method].options()}
    return {key: value for key, value in FEW.items() if key in every}


def explained(network: nn.Module, methods: list[str], device: str, **options: Any) -> list[sigcli.Explanation]:
    """Maps of two pictures of noise, 6×6."""
    images = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(5))
    options = {"settings": few(methods), "mean": 0, "std": 1, "batch_size": 5, **options}
    return sigcli.explain(images, model=network, method=methods, device=device, **options)


def apart(here: sigcli.Explanation, there: sigcli.Explanation) -> float:
    """The largest difference of two maps, in parts of the largest value."""
    assert here.values is not None, here.error
    assert there.values is not None, there.error
    return float(np.abs(here.values - there.values).max() / np.abs(here.values).max())
