"""The bundled embedding network: what a drawn face expresses, whoever it is, as six numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from sigcli.models.networks.weights import read_bundled

SIZE = 96
MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)
WEIGHTS = Path(__file__).resolve().parents[2] / "data" / "expression.safetensors"


class ExpressionNet(nn.Module):
    """Convolutional embedding of a face, (N, 3, 96, 96) → (N, 6).

    It is trained to give the parameters that the face was drawn with, so the Euclidean distance of two embeddings
    follows the difference of two expressions and nothing else about the pair. No module is used twice and nothing is done
    in place.

    >>> import torch
    >>> ExpressionNet()(torch.zeros(2, 3, 96, 96)).shape
    torch.Size([2, 6])
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(3, 16, 5, 2), *_block(16, 32, 3, 2), *_block(32, 48, 3, 1), *_block(48, 64, 3, 2), *_block(64, 96, 3, 1)
        )  # fmt: skip
        # A 4×4 raster is kept: where brows stand above the eyes is a matter of place.
        self.head = nn.Sequential(
            nn.AvgPool2d(3), nn.Flatten(), nn.Linear(96 * 16, 48), nn.ReLU(), nn.Linear(48, 6)
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Faces (N, 3, 96, 96), normalised with `MEAN` and `STD` → embeddings (N, 6)."""
        return self.head(self.features(x))


def load(path: Path = WEIGHTS) -> tuple[ExpressionNet, float]:
    """The trained network, in eval mode, and the distance below which it takes two expressions for the same.

    Args:
        path: a safetensors file as `scripts/train_expression.py` writes it; the bundled one if not given.

    Raises:
        ModelError: the file is missing, damaged, or of another network.
    """

    def built(metadata: Mapping[str, str], state: Mapping[str, Tensor]) -> tuple[ExpressionNet, float]:
        net = ExpressionNet()
        net.load_state_dict(state)
        return net.eval(), float(json.loads(metadata["training"])["threshold"])

    return read_bundled(path, built, "expression")


def _block(inputs: int, outputs: int, side: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, side, stride=stride, padding=side // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
