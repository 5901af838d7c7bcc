"""Detectors of transformers (DETR and its kin) in the form of torchvision's: images in 0..1 in, boxes in pixels out."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sigcli.wrapping import Wrapper

_REPORTED = 0.5
"""The score from which on transformers reports a box, unless it is told otherwise."""


class Sides:
    """How pictures are scaled: the shorter side to a length, but the longer one no further than to another.

    Args:
        shortest: the shorter side in pixels.
        longest: the greatest longer side, or None.
        exact: (height, width) to which pictures are stretched instead.
    """

    def __init__(self, shortest: int | None = None, longest: int | None = None, exact: tuple[int, int] | None = None):
        self.shortest, self.longest, self.exact = shortest, longest, exact

    def of(self, high: int, wide: int) -> tuple[int, int]:
        """(H, W) after scaling.

        >>> Sides(80, 100).of(20, 40), Sides(80, 400).of(20, 40), Sides(exact=(8, 9)).of(20, 40)
        ((50, 100), (80, 160), (8, 9))
        """
        if self.exact is not None or self.shortest is None:
            return self.exact or (high, wide)
        short, long = min(high, wide), max(high, wide)
        side, raw = self.shortest, None
        if self.longest is not None and long / short * side > self.longest:
            raw = self.longest * short / long
            side = round(raw)
        if side == short:
            return high, wide
        other = int((side if raw is None else raw) * long / short)
        return (side, other) if high <= wide else (other, side)


class Queries(Wrapper):
    """A detector that gives a box for each of its queries and scores of all classes for it.

    Args:
        inner: takes `pixel_values`; gives `logits` (N, Q, K or K + 1) and `pred_boxes` (N, Q, 4): centre, width and height
            as fractions of the picture. Of K + 1 logits the last is "no object", and a softmax makes them probabilities;
            of K each has its own sigmoid.
        classes: K.
        sides: how pictures are scaled.
        mean: per channel, for pixels in 0..1.
        std: likewise.
    """

    background = None  # class 0 is one like the others
    mean: Tensor
    std: Tensor

    def __init__(
        self, inner: nn.Module, classes: int, sides: Sides, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__(inner)
        self.num_classes, self.sides = classes, sides
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)
        self.score_thresh, self.nms_thresh, self.detections_per_img = _REPORTED, 1.0, 1_000_000

    def prepared(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 y x"]:
        """Images in 0..1, scaled and normalised as the network takes them."""
        from torchvision.transforms import functional as F  # takes two seconds to import

        size = list(self.sides.of(images.shape[-2], images.shape[-1]))
        scaled = F.resize(images, size, antialias=True) if size != list(images.shape[-2:]) else images
        return (scaled - self.mean) / self.std

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        """Boxes (m, 4), labels (m,) and scores (m,) of each image, (3, H, W) in 0..1."""
        alike = len({image.shape for image in images}) == 1
        batches = [torch.stack(images)] if alike else [image[None] for image in images]
        return [found for batch in batches for found in self._found(batch)]

    def _found(self, images: Tensor) -> list[dict[str, Tensor]]:
        output: Any = self.inner(pixel_values=self.prepared(images))
        logits = output.logits
        apart = logits.shape[-1] == self.num_classes
        chances = logits.sigmoid() if apart else logits.softmax(-1)[..., : self.num_classes]
        centre, size = output.pred_boxes.split(2, -1)
        whole = images.new_tensor([images.shape[-1], images.shape[-2]])
        boxes = torch.cat([(centre - size / 2) * whole, (centre + size / 2) * whole], -1)
        return [self._kept(*one, apart=apart) for one in zip(boxes, chances, strict=True)]

    def _kept(self, boxes: Tensor, chances: Tensor, *, apart: bool) -> dict[str, Tensor]:
        """The boxes of one image that are reported; with a threshold of 0 each of them once for every class."""
        there = chances > self.score_thresh
        if not apart and self.score_thresh > 0:  # a query has one class
            best = torch.zeros_like(there).scatter_(1, chances.argmax(1, keepdim=True), value=True)
            there = there & best
        query, label = torch.nonzero(there, as_tuple=True)
        return {"boxes": boxes[query], "labels": label, "scores": chances[query, label]}
