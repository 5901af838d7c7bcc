"""The score of a detector: how sure it is of one box, by D-RISE's similarity [Petsiuk et al. 2021, Eq. 2 to 4].

D-RISE compares a target detection t with what the detector finds in a changed image by the intersection over union of the
boxes (IoU), the cosine of the class probabilities and the objectness, and takes the largest product. Here t has one class c
and the detector gives one score p per box and class, which holds both class and objectness:

    F(x) = max over j of IoU(b_j, b_t) · p_j(c)

over the candidates j of class c. These are all boxes before any is left out for a low score or for a better one beside it,
so F changes continuously where the boxes do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..errors import UsageError
from .score import autocast, differentiated

OUTPUT = "box score"
_LEAST_AREA = 1e-6
_SAME = 0.5
"""Overlap from which on a box that is found counts as the one that was there: that of PASCAL VOC and of COCO's AP50."""
_PRECISIONS = ("fp32", "tf32")


@dataclass(frozen=True)
class Box:
    """A detection that is explained.

    Args:
        label: index of its class.
        box: left, top, right, bottom, in pixels of the network's input.
        place: its place among all that is found in the image, by score, from 0.
        rank: its place among those of its class, from 1.
        score: of the detector.
    """

    label: int
    box: tuple[float, float, float, float]
    place: int = 0
    rank: int = 1
    score: float = 0.0


_TRIAL = Box(1, (0.0, 0.0, 1.0, 1.0))


@runtime_checkable
class Finder(Protocol):
    """A detector, see `sigcli.models.wrappers.detector.Detector`."""

    def __call__(self, images: Tensor) -> Sequence[Any]:
        """What it finds in each image."""
        ...

    def candidates(self, images: Tensor, labels: Sequence[int] | None = None) -> Sequence[Any]:
        """All boxes of each image's class that it considers there."""
        ...


@dataclass(frozen=True, eq=False)
class BoxScore:
    """How well the candidates in an image match a box; fulfils `sigcli.scores.score.Score`. Targets are numbers of boxes.

    Args:
        model: the detector.
        precision: "fp32" or "tf32": boxes in half precision are a pixel wide.
        boxes: those that are explained. Number 0 stands for the left upper pixel and class 1, for trials.

    Raises:
        UsageError: another precision.
    """

    model: Finder
    precision: str = "fp32"
    boxes: list[Box] = field(default_factory=lambda: [_TRIAL])

    numbers: dict[Box, int] = field(default_factory=dict, init=False)
    """Box → its number, of those that were kept by `add`."""

    output = OUTPUT

    def __post_init__(self) -> None:
        if self.precision not in _PRECISIONS:
            raise UsageError("a detector runs in fp32 or tf32", given=self.precision, allowed=", ".join(_PRECISIONS))

    def add(self, box: Box) -> int:
        """Keep a box; returns its number, which is the same for the same box."""
        number = self.numbers.setdefault(box, len(self.boxes))
        if number == len(self.boxes):
            self.boxes.append(box)
        return number

    def identity(self, target: int) -> list[Any]:
        """What a box is, whatever number it has in this run."""
        return [self.boxes[target].label, *self.boxes[target].box]

    def found(self, image: Float[Tensor, "c h w"]) -> Any:
        """What the detector itself finds in one image, by score."""
        with torch.no_grad(), autocast(self.precision, image.device):
            return self.model(image[None])[0].sorted()

    def scores(self, images: Float[Tensor, "n c h w"], targets: Int64[Tensor, " n"]) -> Float[Tensor, " n"]:
        """F of each image at its box, without gradient: (N,); 0 where no candidate of the class overlaps the box."""
        with torch.no_grad(), autocast(self.precision, images.device):
            return self._scores(images, targets)

    def gradients(
        self, images: Float[Tensor, "n c h w"], targets: Int64[Tensor, " n"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n c h w"]]:
        """F of each image and ∂F/∂image, through the score and the box of the candidate that matches best."""
        return differentiated(lambda leaf: self._scores(leaf, targets), images, self.precision)

    def judged(
        self, images: Float[Tensor, "n c h w"], targets: Int64[Tensor, " n"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Int64[Tensor, " n"]]:
        """What metrics follow: F, which is in 0..1, twice; and 1 where the box is still found, else 0.

        It is found while a candidate of its class overlaps it by one half or more and has a score that the detector reports.
        """
        least = float(getattr(self.model, "least", 0.0))
        with torch.no_grad(), autocast(self.precision, images.device):
            each = self._matched(images, targets)
            score = torch.stack([images.new_zeros(()) if not len(p) else (iou * p).max() for iou, p in each])
            there = [bool(((iou >= _SAME) & (p >= least)).any()) for iou, p in each]
        return score, score, torch.tensor(there, device=images.device).long()

    def class_of(self, target: int) -> int:
        """The class of a box."""
        return self.boxes[target].label

    def rivals(self, target: int, classes: int) -> list[int]:
        """The other classes, but for the background."""
        without = (self.boxes[target].label, getattr(self.model, "background", 0))
        return [other for other in range(classes) if other not in without]

    def instead(self, target: int, other: int) -> int:
        """The same box, of another class."""
        return self.add(replace(self.boxes[target], label=other))

    def _scores(self, images: Tensor, targets: Tensor) -> Tensor:
        found = [(iou * p).max() if len(p) else None for iou, p in self._matched(images, targets)]
        # What is found nowhere depends on the image with a gradient of 0.
        return torch.stack([images[i].flatten()[0] * 0 if one is None else one for i, one in enumerate(found)])

    def _matched(self, images: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Of the candidates of each image's class: overlap with its box, and score; (m,) each."""
        wanted = [self.boxes[number] for number in targets.tolist()]
        every = self.model.candidates(images, [box.label for box in wanted])
        return [self._of_box(found, box) for found, box in zip(every, wanted, strict=True)]

    @staticmethod
    def _of_box(found: Any, box: Box) -> tuple[Tensor, Tensor]:
        own = torch.nonzero(found.labels == box.label)[:, 0]
        return overlaps(found.boxes[own], found.boxes.new_tensor([box.box])), found.scores[own]


def overlaps(boxes: Float[Tensor, "m 4"], target: Float[Tensor, "1 4"]) -> Float[Tensor, " m"]:
    """Intersection over union of boxes with a target; 0 for boxes without an area, also if the target has none.

    >>> overlaps(torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0]]), torch.tensor([[1.0, 0.0, 3.0, 2.0]]))
    tensor([0.3333, 0.0000])
    """
    least, most = torch.maximum(boxes[:, :2], target[:, :2]), torch.minimum(boxes[:, 2:], target[:, 2:])
    shared = (most - least).clamp(min=0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1), (target[:, 2:] - target[:, :2]).prod(1)
    return shared / (areas[0] + areas[1] - shared).clamp(min=_LEAST_AREA)
