"""What all removal metrics ask of a model: images with some pixels replaced, in batches that run across metrics and images.

An image of a step is never made on the host: a rank per pixel and a count per step say which pixels are replaced, and the
images of a batch are put together on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ..engine.batch_size import Batches, batches_of
from ..engine.batches import Batcher, Call
from ..engine.request import Request
from ..errors import SigError
from ..heads import LOGITS, Head
from .case import Judge, Outputs

Fill = Callable[[Bool[Tensor, "m h w"]], Float[Tensor, "m c h w"]]
"""Replacement that depends on what is replaced: (m, H, W) removed pixels → (m, C, H, W) images to take their values from."""


@runtime_checkable
class Perturbation(Protocol):
    """One image in several altered forms, which are made batch by batch."""

    @property
    def x(self) -> Float[Tensor, "c h w"]:
        """The image."""
        ...

    @property
    def target(self) -> int:
        """The class whose score is followed."""
        ...

    def __len__(self) -> int:
        """How many forms there are."""
        ...

    def images(self, steps: slice) -> Float[Tensor, "m c h w"]:
        """Some of them."""
        ...


@dataclass(frozen=True, eq=False)
class Removal:
    """One image whose pixels are replaced step by step.

    Args:
        x: (C, H, W) the image.
        target: the class whose score is followed.
        rank: (H, W) order of replacement, 0 first.
        counts: (k,) at step i the pixels of rank below counts[i] are replaced.
        fill: (C, H, W) replacement, or a function of the removed pixels.
        insert: start from the replacement and bring the image's own pixels back, in the same order.
    """

    x: Float[Tensor, "c h w"]
    target: int
    rank: Int64[Tensor, "h w"]
    counts: Int64[Tensor, " k"]
    fill: Float[Tensor, "c h w"] | Fill
    insert: bool = False

    def __len__(self) -> int:
        return len(self.counts)

    def images(self, steps: slice) -> Float[Tensor, "m c h w"]:
        """The images of some steps."""
        counts = self.counts[steps, None, None]
        return _replaced(self.x, self.rank >= counts if self.insert else self.rank < counts, self.fill)


@dataclass(frozen=True, eq=False)
class Subsets:
    """One image, whole at first and then with one set of pixels after another replaced.

    Args:
        x: (C, H, W) the image.
        target: the class whose score is followed.
        removed: i → (H, W) the pixels of the i-th set.
        count: number of sets.
        fill: replacement, see `Removal`.
    """

    x: Float[Tensor, "c h w"]
    target: int
    removed: Callable[[int], Bool[Tensor, "h w"]]
    count: int
    fill: Float[Tensor, "c h w"] | Fill

    def __len__(self) -> int:
        return self.count + 1

    def images(self, steps: slice) -> Float[Tensor, "m c h w"]:
        """The images of some steps; step 0 is the whole image."""
        nothing = torch.zeros(self.x.shape[-2:], dtype=torch.bool, device=self.x.device)
        removed = torch.stack([self.removed(i - 1) if i else nothing for i in range(steps.start, steps.stop)])
        return _replaced(self.x, removed, self.fill)


def _replaced(
    x: Float[Tensor, "c h w"], removed: Bool[Tensor, "m h w"], fill: Float[Tensor, "c h w"] | Fill
) -> Float[Tensor, "m c h w"]:
    # Interpolation with weights of 0 and 1 gives exactly one or the other, four times as fast on a CPU as torch.where.
    found = fill if isinstance(fill, Tensor) else fill(removed)
    return torch.lerp(x[None], found if found.ndim == 4 else found[None], removed[:, None].to(x.dtype))


@dataclass(eq=False)
class Steps:
    """What the model says of each altered image.

    Args:
        score: (k,) the target's output as the network gives it, float64; of a region or a box the score that is explained.
        probability: (k,) its probability.
        predicted: (k,) the class of the highest probability; of a single output 1 above one half and 0 below; of a box 1
            where it is still found and 0 where not.
        error: what was raised instead, where errors are contained.
    """

    score: Float[Tensor, " k"]
    probability: Float[Tensor, " k"]
    predicted: Int64[Tensor, " k"]
    error: SigError | None = None


def follow(
    model: Outputs | Judge,
    removals: Iterable[Perturbation],
    *,
    batch_size: int | Batches = 64,
    head: Head = LOGITS,
    filled: bool = False,
    contain: bool = False,
) -> Iterator[Steps]:
    """Run the model on all steps of all removals; yields their results in order.

    Args:
        model: outputs of images; or a score that judges them itself.
        removals: read lazily; a change of image size ends a batch early.
        batch_size: images per forward pass; halved where memory runs out, see `Batches`.
        head: what the outputs are; of no account where the score judges them.
        filled: fill up a short batch; see `sigcli.engine.batches.Batcher`.
        contain: whatever is raised for one removal is in its `Steps.error`, and the others continue; see there.
    """
    call = _judged(model) if isinstance(model, Judge) else _outputs(model)
    batcher = Batcher(call, batches_of(batch_size), filled=filled, contain=contain)
    for done in batcher.run(_Followed(removal, head) for removal in removals):
        done.steps.error = done.error
        yield done.steps


def _outputs(model: Outputs) -> Call:
    return lambda images, _: (model.outputs(images).double(),)


def _judged(model: Judge) -> Call:
    def call(images: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        score, probability, predicted = model.judged(images, targets)
        return score.double(), probability.double(), predicted

    return call


@dataclass(eq=False)
class _Followed(Request):
    """An image in its altered forms, as a request, and the model's outputs for them."""

    removal: Perturbation
    head: Head
    steps: Steps = field(init=False)

    def __post_init__(self) -> None:
        k, device = len(self.removal), self.like.device
        score, probability = torch.full((2, k), torch.nan, dtype=torch.float64, device=device)
        self.steps = Steps(score, probability, torch.full((k,), -1, dtype=torch.long, device=device))

    def __len__(self) -> int:
        return len(self.removal)

    @property
    def like(self) -> Tensor:
        return self.removal.x

    @property
    def target(self) -> int:
        return self.removal.target

    def write(self, items: slice, place: Tensor) -> None:
        place.copy_(self.removal.images(items))

    def take(self, items: slice, *answers: Tensor) -> None:
        outputs, *more = answers
        if more:  # a judge's
            self.steps.score[items], self.steps.probability[items], self.steps.predicted[items] = outputs, *more
            return
        self.steps.score[items] = self.head.value(outputs, self.target)
        if self.head.asks:
            self.steps.probability[items] = self.head.chance(outputs, self.target)
            self.steps.predicted[items] = self.head.chosen(outputs, self.target)
