"""The bundled transformer: torchvision's `VisionTransformer`, small, for the pictures and classes of `shapes`."""

from __future__ import annotations

from pathlib import Path

from torchvision.models import VisionTransformer

from sigcli.models.networks import shapes

PATCH, BLOCKS, HEADS, WIDTH, HIDDEN = 16, 6, 4, 128, 384
WEIGHTS = shapes.WEIGHTS.with_name("shapes_vit.safetensors")  # in half precision


def build(classes: int) -> VisionTransformer:
    """The network with random weights: pictures (N, 3, 128, 128), normalised as those of `shapes`, to logits (N, K)."""
    return VisionTransformer(shapes.SIZE, PATCH, BLOCKS, HEADS, WIDTH, HIDDEN, num_classes=classes)


def load(path: Path = WEIGHTS) -> tuple[VisionTransformer, tuple[str, ...]]:
    """The trained network, in eval mode, and its class names; see `shapes.load`."""
    return shapes.read(path, build, "shapes-vit")
