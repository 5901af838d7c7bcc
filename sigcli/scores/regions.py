"""The score of a segmentation network: a class over a region of the image, [Seg-Grad-CAM] Vinogradova et al. 2020, Eq. 3.

The paper sums the scores of a class over the pixels of a region M; here it is their mean, which is that sum over |M|: the
same map in a unit that does not depend on the size of region or image, so a probability stays one. The region is frozen: it
does not follow what the network predicts for a changed image.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ..errors import AttributionError
from .classifier import ClassScore
from .score import autocast

_KEPT = 64


class Regions:
    """Regions of a class, numbered from 1; number 0 stands for class 0 over the whole image, for trials."""

    def __init__(self) -> None:
        self._classes: list[int] = [0]
        self._packed: list[tuple[tuple[int, ...], bytes]] = []  # a run may have many: some 1 to 4 kB each
        self.mask = lru_cache(_KEPT)(self._mask)

    def __len__(self) -> int:
        return len(self._classes)

    def add(self, target: int, mask: Bool[np.ndarray, "h w"]) -> int:
        """Keep a region; returns its number.

        Args:
            target: index of the class.
            mask: True in the region, of the size of the network's input; at least one pixel.
        """
        self._classes.append(target)
        self._packed.append((mask.shape, zlib.compress(np.packbits(mask).tobytes(), 6)))
        return len(self._classes) - 1

    def target(self, number: int) -> int:
        """The class of a region."""
        return self._classes[number]

    def _mask(self, number: int) -> Bool[np.ndarray, "h w"]:
        (high, wide), packed = self._packed[number - 1]
        bits = np.unpackbits(np.frombuffer(zlib.decompress(packed), np.uint8), count=high * wide)
        return bits.reshape(high, wide).astype(bool)


@dataclass(frozen=True, eq=False)
class RegionScore(ClassScore):
    """The mean score of a class over a region of an image. Targets are numbers of regions.

    Args:
        model: (N, C, H, W) → (N, K, H, W) outputs.
        output: "logit" (the outputs as they are), "prob" or "logprob" of each pixel, of which the mean is taken.
        precision: see `ClassScore`.
        head: what the outputs of one pixel are.
        regions: known regions.
    """

    regions: Regions = field(default_factory=Regions)

    def select(self, outputs: Float[Tensor, "n k h w"], targets: Int64[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The score of each image at its region, (N,).

        Raises:
            AttributionError: an image of another size than its region.
        """
        found = outputs.new_empty(0)
        numbers, rows = torch.unique(targets, return_inverse=True)
        order: list[Tensor] = []
        for place, number in enumerate(numbers.tolist()):
            own = torch.nonzero(rows == place)[:, 0]
            order.append(own)
            found = torch.cat([found, self._over(outputs[own], number)])
        return found[torch.argsort(torch.cat(order))]

    def _over(self, outputs: Tensor, number: int) -> Tensor:
        """(n, K, H, W) → (n,), all at one region."""
        pixels = outputs.flatten(2)
        if number:
            mask = self.regions.mask(number)
            if mask.shape != tuple(outputs.shape[2:]):
                given = f"{tuple(mask.shape)} and {tuple(outputs.shape[2:])}"
                raise AttributionError("the region does not have the size of the network's output", given=given)
            pixels = pixels[:, :, torch.from_numpy(np.flatnonzero(mask)).to(outputs.device)]
        at = self.regions.target(number)
        if self.output == "logit":
            return pixels[:, at].mean(1)
        each = pixels.permute(0, 2, 1).reshape(-1, pixels.shape[1])
        return self.head.score(each, self.output)[:, at].reshape(len(outputs), -1).mean(1)

    def outputs(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h w"]:
        """The model's outputs, without gradient: (N, C, H, W) → (N, K, H, W)."""
        with torch.no_grad(), autocast(self.precision, images.device):
            return self.model(images).to(images.dtype)
