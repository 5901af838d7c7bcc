"""Small networks, subjects and games with known answers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from sigcli.methods import METHODS
from sigcli.methods.run import attributions
from sigcli.scores.classifier import ClassScore
from sigcli.types import Attribution, Subject

SMALL: dict[str, dict[str, object]] = {  # cheap settings of methods on a 6×6 image
    "sig": {"players": "2x3", "samples": 24, "baseline": "black"},
    "sig-walk": {"players": "2x3", "orders": 4, "baseline": "black"},
    "ig": {"steps": 24},
    "eg": {"samples": 24},
    "agn": {"samples": 24},
    "smoothgrad": {"samples": 24},
    "deepshap": {"samples": 9},
    "gradient-shap": {"samples": 20},
    "occlusion": {"players": "2x3"},
    "rise": {"samples": 50, "cells": 3},
    "lime": {"samples": 40, "players": "2x3"},
    "bshap": {"players": "2x3", "budget": 42, "baseline": "black"},
    "shapley-sampling": {"players": "2x3", "orders": 8, "baseline": "black"},
    "kernelshap": {"players": "2x3", "budget": 30, "baseline": "black"},
    "low-order-shap": {"players": "2x3", "baseline": "black"},
    "effective-shapley": {"players": "2x3", "budget": 81, "baseline": "black"},
    "max-shap": {"players": "2x3", "baseline": "black"},
    "qii": {"players": "2x3", "samples": 4},
    "blur-ig": {"steps": 9},
    "guided-ig": {"steps": 9},
    "idgi": {"steps": 9},
    "xrai": {"steps": 12},
    "meaningful-perturbation": {"iterations": 6},
    "extremal-perturbation": {"iterations": 6},
    "icg": {"steps": 24},
}


class Images:
    """Peers made of a tensor (N, C, H, W)."""

    def __init__(self, images: Tensor):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def keys(self) -> list[int]:
        return [100 + i for i in range(len(self.images))]

    def image(self, index: int) -> Tensor:
        return self.images[index]

    def mean(self) -> Tensor:
        return self.images.mean(0)


def smooth_net(dtype: torch.dtype = torch.float64, channels: int = 2, side: int = 6, classes: int = 3) -> nn.Module:
    """A small network with curved, interacting outputs."""
    generator = torch.Generator().manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(channels, 4, 3),
        nn.Softplus(),
        nn.Flatten(),
        nn.Linear(4 * (side - 2) ** 2, 8),
        nn.Tanh(),
        nn.Linear(8, classes),
    )
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.5)
    return net.to(dtype).eval().requires_grad_(False)


def relu_net(dtype: torch.dtype = torch.float64, channels: int = 2, classes: int = 3) -> nn.Sequential:
    """A small convolutional classifier that every method can look into: convolutions, in-place ReLUs, pooling, linear."""
    generator = torch.Generator().manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, classes),
    )
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.5)
    return net.to(dtype).eval().requires_grad_(False)


class TokenNet(nn.Module):
    """A small transformer with a class token, written out: patches of 2×2 pixels, `depth` blocks of two heads."""

    def __init__(
        self, dtype: torch.dtype = torch.float64, channels: int = 2, side: int = 6, classes: int = 3, depth: int = 2
    ):
        super().__init__()
        self.patch = nn.Conv2d(channels, 8, 2, stride=2)
        self.start, self.position = (
            nn.Parameter(torch.zeros(1, 1, 8)),
            nn.Parameter(torch.zeros(1, side**2 // 4 + 1, 8)),
        )
        self.blocks = nn.ModuleList(nn.ModuleDict(self._block()) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, classes)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for name, p in self.named_parameters():
                p.copy_(torch.randn(p.shape, generator=generator) * 0.5)
                p.add_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        self.to(dtype).eval().requires_grad_(False)

    @staticmethod
    def _block() -> dict[str, nn.Module]:
        layers = {"norm1": nn.LayerNorm(8), "qkv": nn.Linear(8, 24), "out": nn.Linear(8, 8), "norm2": nn.LayerNorm(8)}
        return {**layers, "up": nn.Linear(8, 12), "down": nn.Linear(12, 8)}

    def weights(self, block: nn.ModuleDict, x: Tensor) -> tuple[Tensor, Tensor]:
        """Attention weights, (n, heads, L, L), and values, (n, heads, L, 4)."""
        q, k, v = block["qkv"](x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        return (q @ k.mT / 2).softmax(-1), v

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).mT
        x = torch.cat([self.start.expand(len(x), -1, -1), x], 1) + self.position
        for block in self.blocks:
            weights, values = self.weights(block, block["norm1"](x))
            x = x + block["out"]((weights @ values).transpose(1, 2).flatten(2))
            x = x + block["down"](nn.functional.gelu(block["up"](block["norm2"](x))))
        return self.head(self.norm(x)[:, 0])


def subject(
    x: Tensor | None = None, *, dtype: torch.dtype = torch.float64, target: int = 1, key: int = 7, seed: int = 0
) -> Subject:
    generator = torch.Generator().manual_seed(2)
    if x is None:
        x = torch.rand(2, 6, 6, generator=generator, dtype=torch.float64).to(dtype)
    channel = (x.shape[0], 1, 1)
    peers = Images(torch.rand(5, *x.shape, generator=generator, dtype=torch.float64).to(x.dtype))
    return Subject(x, target, torch.zeros(channel, dtype=x.dtype), torch.ones(channel, dtype=x.dtype), key, seed, peers)


def attribute(
    model: Callable[[Tensor], Tensor], method: str, who: Subject, *, batch_size: int = 16, check: int = 1, **options
) -> Attribution:
    model = aware(model, method, who.x.shape[0])
    return next(attributions(METHODS[method], options, ClassScore(model), [who], batch_size=batch_size, check=check))


def aware(model: Callable[[Tensor], Tensor], method: str, channels: int) -> Callable[[Tensor], Tensor]:
    """The model as it is, or where a method asks for it one that takes a certainty: it dims pixels that are not sure."""
    if not METHODS[method].properties.get("certainty"):
        return model
    return lambda x: model(x if x.shape[1] == channels else x[:, :channels] * x[:, channels:])


def coalition_values(
    score: Callable[[Tensor], Tensor], x: Tensor, default: Tensor, labels: Tensor
) -> dict[frozenset[int], float]:
    """v(S) = F(b_S) for every coalition of the players in `labels` (H, W)."""
    n = int(labels.max()) + 1
    values = {}
    for size in range(n + 1):
        for members in itertools.combinations(range(n), size):
            mask = torch.isin(labels, torch.tensor(members, dtype=torch.long))
            values[frozenset(members)] = float(score(torch.where(mask, x, default)[None])[0])
    return values


def shapley(values: dict[frozenset[int], float]) -> np.ndarray:
    """Exact Shapley values from the definition ([SIG] Eq. 1)."""
    n = max(map(len, values))
    phi = np.zeros(n)
    for i in range(n):
        for coalition, value in values.items():
            if i not in coalition:
                k = len(coalition)
                weight = math.factorial(k) * math.factorial(n - k - 1) / math.factorial(n)
                phi[i] += weight * (values[coalition | {i}] - value)
    return phi


class Tiny(nn.Module):
    """A small classifier; `flat` makes it insist on one input size."""

    def __init__(self, channels=3, classes=5, flat=None, probabilities=False):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, 4, 3, stride=2), nn.BatchNorm2d(4)
        self.pool = nn.AdaptiveAvgPool2d(1) if flat is None else nn.Identity()
        self.head = nn.Linear(4 if flat is None else 4 * ((flat - 1) // 2) ** 2, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(torch.relu(self.norm(self.conv(images)))).flatten(1))
