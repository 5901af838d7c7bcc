"""Small networks for the scenarios, with or without a certainty channel; each is a feed-forward classifier of images."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SmallCNN(nn.Module):
    """Four convolutions, pooling over all places, and two linear layers; for pictures of some 30 pixels.

    Args:
        classes: number of classes.
        channels: of the pictures.
        certainty: whether it takes a certainty per pixel as one more channel.
        pool: "mean" over all places, or "max".

    >>> SmallCNN(10, 1, certainty=True)(torch.zeros(2, 1, 28, 28), torch.ones(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classes: int, channels: int = 1, *, certainty: bool = False, pool: str = "mean"):
        super().__init__()
        inputs = channels + certainty
        self.certain = certainty
        self.features = nn.Sequential(
            nn.Conv2d(inputs, 16, 3, padding=1),
            nn.ReLU(),
            *_block(16, 24, 2),
            *_block(24, 32, 1),
            *_block(32, 48, 2),
            nn.AdaptiveMaxPool2d(1) if pool == "max" else nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, classes))

    def forward(self, x: Tensor, certainty: Tensor | None = None) -> Tensor:
        """Logits (N, classes) of pictures (N, C, H, W) and their certainty (N, 1, H, W), 1 everywhere if not given."""
        return self.head(self.features(_joined(x, certainty, self.certain)))


class Components(nn.Module):
    """One network for every component, summed over the components, and one for the sum ([ICG] Fig. 13).

    Args:
        classes: number of classes.
        channels: of the input, whose components are its positions.
        certainty: whether it takes a certainty per component as one more channel.
        width: of the hidden layers.
    """

    def __init__(self, classes: int, channels: int = 1, *, certainty: bool = False, width: int = 64):
        super().__init__()
        self.certain = certainty
        self.each = nn.Sequential(
            nn.Conv2d(channels + certainty, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, 32, 1),
        )
        self.total = nn.Sequential(nn.Linear(32, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor, certainty: Tensor | None = None) -> Tensor:
        """Logits (N, classes) of (N, C, H, W) and certainty (N, 1, H, W), 1 everywhere if not given."""
        return self.head(self.total(self.each(_joined(x, certainty, self.certain)).sum((2, 3))))


def _block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def _joined(x: Tensor, certainty: Tensor | None, wanted: bool) -> Tensor:
    if not wanted:
        return x
    return torch.cat((x, torch.ones_like(x[:, :1]) if certainty is None else certainty), dim=1)
