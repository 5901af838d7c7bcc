"""The score of a segmentation network: a class over a region of the image, [Seg-Grad-CAM] Vinogradova et al. 2020, Eq. 3.

The paper sums the scores of a class over the pixels of a region M; here it is their mean, which is that sum over |M|: the
same map in a unit that does not depend on the size of region or image, so a probability stays one. The region is frozen: it
does not follow what the network predicts for a changed image. A target may compare two classes (`sigcli.comparisons`): the
score is then the difference of theirs over one region.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ..comparisons import pair_of
from ..errors import AttributionError
from .classifier import ClassScore
from .score import autocast

_KEPT = 64


class Regions:
    """Regions of a class, numbered from 1; number 0 stands for class 0 over the whole image, for trials."""

    def __init__(self) -> None:
        self._classes: list[int] = [0]
        self._packed: list[tuple[tuple[int, ...], bytes]] = []  # a run may have many: some 1 to 4 kB each
        self._numbers: dict[tuple[int, str], int] = {}
        self._digests: list[str] = [""]
        self.mask = lru_cache(_KEPT)(self._mask)

    def __len__(self) -> int:
        return len(self._classes)

    def add(self, target: int, mask: Bool[np.ndarray, "h w"]) -> int:
        """Keep a region; returns its number, which is the same for the same class and pixels.

        Args:
            target: index of the class, or the number of a comparison of two.
            mask: True in the region, of the size of the network's input; at least one pixel.
        """
        bits = np.packbits(mask).tobytes()
        digest = hashlib.blake2b(bits + str(mask.shape).encode(), digest_size=16).hexdigest()
        number = self._numbers.setdefault((target, digest), len(self._classes))
        if number == len(self._classes):
            self._classes.append(target)
            self._packed.append((mask.shape, zlib.compress(bits, 6)))
            self._digests.append(digest)
        return number

    def identity(self, number: int) -> list[Any]:
        """What a region is, whatever number it has in this run: its class, and a digest of its pixels."""
        return [self._classes[number], self._digests[number]]

    def target(self, number: int) -> int:
        """The class of a region, or the number of a comparison."""
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
        parts = [self._over(pixels, number) for number, pixels in self._of_regions(outputs, targets)]
        return torch.cat(parts)[_back(targets)]

    def _of_regions(self, outputs: Tensor, targets: Tensor) -> Iterator[tuple[int, Float[Tensor, "m k p"]]]:
        """Number of each region, and the outputs of its images at its p pixels; the regions by number."""
        for number in torch.unique(targets).tolist():
            pixels = outputs[targets == number].flatten(2)
            if number:
                mask = self.regions.mask(number)
                if mask.shape != tuple(outputs.shape[2:]):
                    given = f"{tuple(mask.shape)} and {tuple(outputs.shape[2:])}"
                    raise AttributionError("the region does not have the size of the network's output", given=given)
                pixels = pixels[:, :, torch.from_numpy(np.flatnonzero(mask)).to(outputs.device)]
            yield number, pixels

    def _over(self, pixels: Float[Tensor, "m k p"], number: int) -> Float[Tensor, " m"]:
        """The score of images at one region."""
        at, pair = self.regions.target(number), pair_of(self.regions.target(number), pixels.shape[1])
        if self.output not in ("logit", "value"):
            pixels = _as_pixels(self.head.score(_as_rows(pixels), self.output), len(pixels))
        return pixels[:, at].mean(1) if pair is None else (pixels[:, pair[0]] - pixels[:, pair[1]]).mean(1)

    def judged(
        self, images: Float[Tensor, "n c h w"], targets: Int64[Tensor, " n"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Int64[Tensor, " n"]]:
        """What metrics follow: the score, the mean probability of the class over the region, and what is predicted there.

        Predicted is the class whose mean probability over the region is highest; of a single output 1 where it is above one
        half; where two classes are compared, the likelier of the two. Of values (a regression at each pixel) there is
        neither: NaN and -1.
        """
        outputs = self.outputs(images)
        found = [self._judged(pixels, number) for number, pixels in self._of_regions(outputs, targets)]
        back = _back(targets)
        score, probability, predicted = (torch.cat(parts)[back] for parts in zip(*found, strict=True))
        return score, probability, predicted

    def _judged(self, pixels: Float[Tensor, "m k p"], number: int) -> tuple[Tensor, Tensor, Tensor]:
        count, score = len(pixels), self._over(pixels, number)
        if not self.head.asks:
            return score, torch.full_like(score, torch.nan), torch.full((count,), -1).to(score.device)
        at, rows = self.regions.target(number), _as_rows(pixels).double()
        probability = self.head.chance(rows, at).reshape(count, -1).mean(1)
        pair = pair_of(at, pixels.shape[1])
        if pair is not None:
            return score, probability, torch.where(probability > 1 / 2, *torch.tensor(pair, device=score.device))
        if self.head.single:
            return score, probability, (probability > 1 / 2).long()
        return score, probability, _as_pixels(self.head.probability(rows), count).mean(2).argmax(1)

    def identity(self, target: int) -> list[Any]:
        """What a target is, whatever number it has in a run."""
        return self.regions.identity(target)

    def class_of(self, target: int) -> int:
        """The class of a region."""
        return self.regions.target(target)

    def rivals(self, target: int, classes: int) -> list[int]:
        """The other classes."""
        return [other for other in range(classes) if other != self.regions.target(target)]

    def instead(self, target: int, other: int) -> int:
        """The same region, of another class."""
        return self.regions.add(other, self.regions.mask(target))

    def outputs(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h w"]:
        """The model's outputs, without gradient: (N, C, H, W) → (N, K, H, W)."""
        with torch.no_grad(), autocast(self.precision, images.device):
            return self.model(images).to(images.dtype)


def _back(targets: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """Where in answers that stand by region each image's own is."""
    return torch.argsort(torch.argsort(targets, stable=True), stable=True)


def _as_rows(pixels: Float[Tensor, "m k p"]) -> Float[Tensor, "r k"]:
    return pixels.permute(0, 2, 1).reshape(-1, pixels.shape[1])


def _as_pixels(rows: Float[Tensor, "r k"], count: int) -> Float[Tensor, "m k p"]:
    return rows.reshape(count, -1, rows.shape[1]).permute(0, 2, 1)
