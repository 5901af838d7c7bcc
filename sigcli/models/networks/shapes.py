"""The bundled network: a small classifier of drawn objects that also takes a certainty per pixel."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from sigcli.models.networks.weights import read_bundled

N = TypeVar("N", bound=nn.Module)
SIZE = 128
MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)
WEIGHTS = Path(__file__).resolve().parents[2] / "data" / "shapes.safetensors"


class ShapesNet(nn.Module):
    """Convolutional classifier of (picture, certainty).

    The certainty is one more input channel and is merged with the colours by a 1×1 convolution of 64 channels with ReLU
    (Integrated Certainty Gradients, A.3). No module is used twice and nothing is done in place, so hooks, scripting and
    export see an ordinary feed-forward network.

    Args:
        classes: number of classes.

    >>> ShapesNet(12)(torch.zeros(2, 3, 128, 128)).shape
    torch.Size([2, 12])
    """

    def __init__(self, classes: int):
        super().__init__()
        self.certain = nn.Sequential(nn.Conv2d(4, 64, 1), nn.ReLU())
        # Averaging 2×2 before the first stride keeps the gradient of neighbouring pixels alike: no chequered maps.
        self.features = nn.Sequential(
            nn.AvgPool2d(2),
            *_block(64, 40, 2),
            *_block(40, 64, 1),
            *_block(64, 96, 2),
            *_block(96, 96, 1),
            *_block(96, 128, 2),
            *_block(128, 128, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(128, classes)

    def forward(self, x: Tensor, certainty: Tensor | None = None) -> Tensor:
        """Scores of each class.

        Args:
            x: pictures (N, 3, H, W), normalised with `MEAN` and `STD`; any size from 32, made for 128.
            certainty: how far each pixel can be relied on, (N, 1, H, W) in 0..1; 1 everywhere if not given.

        Returns:
            logits (N, classes).
        """
        if certainty is None:
            certainty = torch.ones_like(x[:, :1])
        return self.head(self.features(self.certain(torch.cat((x, certainty), dim=1))))


def load(path: Path = WEIGHTS) -> tuple[ShapesNet, tuple[str, ...]]:
    """The trained network, in eval mode, and its class names.

    Args:
        path: a safetensors file as `scripts/train_shapes.py` writes it; the bundled one if not given.

    Raises:
        ModelError: the file is missing, damaged, or of another network.
    """
    return read(path, ShapesNet, "shapes")


def read(path: Path, build: Callable[[int], N], name: str) -> tuple[N, tuple[str, ...]]:
    """A classifier of drawn objects from its file, in eval mode, and its class names; `build` takes their number."""

    def built(metadata: Mapping[str, str], state: Mapping[str, Tensor]) -> tuple[N, tuple[str, ...]]:
        classes = tuple(json.loads(metadata["classes"]))
        net = build(len(classes))
        net.load_state_dict(state)
        return net.eval(), classes

    return read_bundled(path, built, name)


def _block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
