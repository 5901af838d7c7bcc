"""The one loop of all removal metrics: images with some pixels replaced, in batches that run across metrics and images.

An image of a step is never made on the host: a rank per pixel and a count per step say which pixels are replaced, and the
images of a batch are put together on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ..engine.failures import attempted
from ..engine.memory import Batches
from ..errors import SigError
from ..heads import LOGITS, Head
from .case import Outputs

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
        score: (k,) the target's output as the network gives it, float64.
        probability: (k,) its probability.
        predicted: (k,) the class of the highest probability; of a single output 1 above one half and 0 below.
        error: what was raised instead, where errors are contained.
    """

    score: Float[Tensor, " k"]
    probability: Float[Tensor, " k"]
    predicted: Int64[Tensor, " k"]
    done: int = field(default=0)
    error: SigError | None = None


Part = tuple[Perturbation, Steps, slice]
"""Some steps of a removal, as part of a batch."""


def follow(
    model: Outputs,
    removals: Iterable[Perturbation],
    *,
    batch_size: int = 64,
    head: Head = LOGITS,
    filled: bool = False,
    contain: bool = False,
) -> Iterator[Steps]:
    """Run the model on all steps of all removals; yields their results in order.

    Args:
        model: outputs of images.
        removals: read lazily; a change of image size ends a batch early.
        batch_size: images per forward pass; halved for good where memory runs out.
        head: what the outputs are.
        filled: fill up a short batch, as the engine does: kernels differ with the number of images, and with them the last
            bits, so that figures would depend on what else was measured and on where a run was interrupted.
        contain: whatever is raised for one removal is in its `Steps.error`, and the others go on. A batch that fails is
            tried removal by removal, each in the places that it has in it, so that the others get what they get undisturbed.
    """
    waiting: list[tuple[Perturbation, Steps]] = []
    asked = _Asked(model, batch_size, head, filled=filled)
    for batch in _batches(removals, batch_size, waiting):
        try:
            asked(batch, range(len(batch)))
        except Exception:
            if not contain:
                raise
            for number, (_, found, _) in enumerate(batch):
                failure = attempted(partial(asked, batch, [number]))
                found.error = failure if isinstance(failure, SigError) else found.error
        while waiting and (waiting[0][1].error or waiting[0][1].done == len(waiting[0][0])):
            yield waiting.pop(0)[1]


class _Asked:
    """A model that is asked for batches of steps."""

    def __init__(self, model: Outputs, batch_size: int, head: Head, *, filled: bool):
        self._model, self._size, self._batches = model, batch_size, Batches(batch_size)
        self._head, self._filled = head, filled
        self._room: Tensor | None = None

    def __call__(self, batch: Sequence[Part], wanted: Sequence[int]) -> None:
        """Note what the model says of the wanted parts of a batch; the others' places hold one of their images."""
        made = {number: batch[number][0].images(batch[number][2]) for number in wanted}
        spare = next(iter(made.values()))[-1:]
        lengths = [steps.stop - steps.start for _, _, steps in batch]
        parts = [made.get(number, spare.expand(length, *spare.shape[1:])) for number, length in enumerate(lengths)]
        size = spare.shape[1:]
        if self._room is None or self._room.shape[1:] != size or self._room.dtype != spare.dtype:
            self._room = spare.new_empty(self._size, *size)  # memory that is asked for anew costs as much as filling it
        room, count = self._room, sum(lengths)
        torch.cat(parts, out=room[:count])
        if self._filled:
            room[count:] = room[count - 1]
        images = room if self._filled else room[:count]
        said = self._batches.parts(len(images), tuple(size), lambda part: self._model.outputs(images[part]).double())
        outputs = torch.cat([outputs for _, outputs in said])[:count].split(lengths)
        for number in wanted:
            removal, found, steps = batch[number]
            found.score[steps] = outputs[number][:, removal.target]
            found.probability[steps] = self._head.probability(outputs[number])[:, removal.target]
            found.predicted[steps] = self._head.predicted(outputs[number])
            found.done = steps.stop


def _batches(
    removals: Iterable[Perturbation], batch_size: int, waiting: list[tuple[Perturbation, Steps]]
) -> Iterator[list[Part]]:
    batch: list[Part] = []
    filled = 0
    for removal in removals:
        if batch and batch[-1][0].x.shape != removal.x.shape:
            yield batch
            batch, filled = [], 0
        k = len(removal)
        double = {"dtype": torch.float64, "device": removal.x.device}
        found = Steps(
            torch.empty(k, **double),
            torch.empty(k, **double),
            torch.empty(k, dtype=torch.long, device=removal.x.device),
        )
        waiting.append((removal, found))
        at = 0
        while at < k and not found.error:
            take = min(batch_size - filled, k - at)
            batch.append((removal, found, slice(at, at + take)))
            at, filled = at + take, filled + take
            if filled == batch_size:
                yield batch
                batch, filled = [], 0
    if batch:
        yield batch
