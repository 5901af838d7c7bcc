"""Segmentation networks: whatever they return, as one tensor of scores per class and pixel at the images' size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from sigcli.wrapping import Wrapper

from ..checks import attempt

_OUT = "out"
"""The name that torchvision's segmentation networks give their scores in the dict that they return."""


class Dense(Wrapper):
    """A segmentation network as a module of one tensor.

    Scores at fewer places than the images have pixels are scaled up bilinearly, as torchvision does inside its networks.

    Args:
        inner: (N, C, H, W) → (N, K, h, w), in a dict or an object where `part` names it.
        part: key of a dict, or attribute of an object; None where the output is the tensor itself.
    """

    def __init__(self, inner: nn.Module, part: str | None = None):
        super().__init__(inner)
        self.part = part

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → (N, K, H, W)."""
        scores = _part(self.inner(images), self.part)
        size = images.shape[-2:]
        if scores.shape[-2:] == size:
            return scores
        return interpolate(scores, size, mode="bilinear", align_corners=False)


class Averaged(Wrapper):
    """The mean over all pixels of what a segmentation network gives, by which its kind of outputs is recognised.

    Args:
        inner: (N, C, H, W) → (N, K, H, W).
    """

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """(N, C, H, W) → (N, K)."""
        return self.inner(images).mean((2, 3))


def dense_output(module: nn.Module, sample: Tensor) -> tuple[Dense | None, tuple[str, ...]]:
    """A network that scores every class at every pixel as a `Dense`, with a note; None where it is no such network.

    It is one if it returns a tensor (N, K, h, w) of several places, or one such tensor as `.logits`, as `"out"` of a dict
    or as the only such entry of a dict.

    Args:
        module: the network.
        sample: (N, C, H, W) images that fit it.
    """
    output, _ = attempt(module, sample)
    if _is_dense(output, len(sample)):
        part, told = None, ""
    elif _is_dense(getattr(output, "logits", None), len(sample)):
        part, told = "logits", ", .logits"
    elif isinstance(output, Mapping):
        there = [name for name, value in output.items() if _is_dense(value, len(sample))]
        if _OUT not in there and len(there) != 1:
            return None, ()
        part = _OUT if _OUT in there else there[0]
        told = f", its '{part}'"
    else:
        return None, ()
    scores = _part(output, part)
    count = f"{scores.shape[1]} class{'' if scores.shape[1] == 1 else 'es'}"
    what = f"scores of {count} at {scores.shape[2]}x{scores.shape[3]} places{told}"
    return Dense(module, part), (f"the network gives {what}: it is explained as a segmentation",)


def _part(output: Any, part: str | None) -> Tensor:
    if part is None:
        return output
    return output[part] if isinstance(output, Mapping) else getattr(output, part)


def _is_dense(output: Any, count: int) -> bool:
    return isinstance(output, Tensor) and output.ndim == 4 and len(output) == count and max(output.shape[2:]) > 1
