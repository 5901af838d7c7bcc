"""The bundled transformer: torchvision's `VisionTransformer`, small, for the same pictures and classes as `shapes`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor
from torchvision.models import VisionTransformer

from sigcli.models.networks.shapes import MEAN, SIZE, STD
from sigcli.models.networks.weights import read_bundled

__all__ = ["MEAN", "SIZE", "STD", "WEIGHTS", "build", "load"]
PATCH, BLOCKS, HEADS, WIDTH, HIDDEN = 16, 6, 4, 128, 384
SIDE = SIZE // PATCH
"""Tokens across a picture, and down."""
WEIGHTS = Path(__file__).resolve().parents[2] / "data" / "shapes_vit.safetensors"


def build(classes: int) -> VisionTransformer:
    """The network with random weights: 64 patches of 16×16 pixels and a class token, 6 blocks, 4 heads, width 128.

    Args:
        classes: number of classes.

    Returns:
        a network of pictures (N, 3, 128, 128), normalised with `MEAN` and `STD`, whose logits are (N, classes).

    >>> import torch
    >>> build(12)(torch.zeros(2, 3, 128, 128)).shape
    torch.Size([2, 12])
    """
    return VisionTransformer(
        image_size=SIZE, patch_size=PATCH, num_layers=BLOCKS, num_heads=HEADS, hidden_dim=WIDTH, mlp_dim=HIDDEN,
        num_classes=classes,
    )  # fmt: skip


def load(path: Path = WEIGHTS) -> tuple[VisionTransformer, tuple[str, ...]]:
    """The trained network, in eval mode, and its class names.

    Args:
        path: a safetensors file as `scripts/train_shapes_vit.py` writes it, in half precision; the bundled one if not given.

    Raises:
        ModelError: the file is missing, damaged, or of another network.
    """

    def built(metadata: Mapping[str, str], state: Mapping[str, Tensor]) -> tuple[VisionTransformer, tuple[str, ...]]:
        classes = tuple(json.loads(metadata["classes"]))
        net = build(len(classes))
        net.load_state_dict(state)
        return net.eval(), classes

    return read_bundled(path, built, "shapes-vit")
