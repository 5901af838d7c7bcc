"""How many images go through a model at once: found at first, halved where memory runs out, larger again later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeVar

import torch

from ..names import images_told
from ..scores.score import Score
from .memory import MemoryShortage, is_out_of_memory, too_little_memory

T = TypeVar("T")
_CALM = 64
"""Batches that must fit before a larger one is tried."""
_LONGER = 4
"""How much more patient each larger batch that did not fit makes."""


@dataclass(eq=False)
class Shortages:
    """What became of batches that did not fit, for the note of a run.

    Args:
        failed: how many did not.
        largest: images of the largest of them.
        least: images of the smallest batch that came of it.
        again: images of the largest batch that fitted later; 0 where no larger one did.
    """

    failed: int = 0
    largest: int = 0
    least: int = 0
    again: int = 0

    @property
    def notes(self) -> list[str]:
        """What the user must know, in a list; empty where every batch fitted."""
        if not self.failed:
            return []
        later = f", and up to {self.again} again later" if self.again else ""
        return [
            f"memory ran out at batches of {images_told(self.largest)}: they had {self.least} then{later}, which changes "
            f"maps by rounding only; --batch-size {self.least} avoids the attempts that failed ({self.failed})"
        ]


class Batches:
    """How many images go through a model at once: halved where memory runs out, doubled again where it may be back.

    When 64 full batches have fitted since, one of twice their size is tried, until it is the size at first. Each time that
    memory runs out again after such a try, four times as many must fit before the next: a run whose memory never comes back
    tries a few times only. Batches are counted, and no clock is asked, so equal runs have equal batches.

    Args:
        size: images per call, at first.
        shortages: takes what happens; others may share it.
    """

    def __init__(self, size: int, shortages: Shortages | None = None):
        self.shortages = shortages or Shortages()
        self._size = self._most = max(1, size)
        self._before: int | None = None  # the size before memory ran out, until a batch fits
        self._fitted, self._calm, self._raised = 0, _CALM, False
        self._lost = (0, 0)  # attempts that failed since a batch fitted, and the largest

    @property
    def size(self) -> int:
        """Images per call, by now."""
        return self._size

    def beside(self, size: int) -> Batches:
        """The size for other passes of the same run, which take another share of memory."""
        return Batches(size, self.shortages)

    @cached_property
    def apart(self) -> Batches:
        """The size, at first the same, for methods that pass images through the model themselves."""
        return self.beside(self._most)

    def within(self, most: int) -> Batches:
        """At most so many images of this size; what it learns of memory is known to both."""
        return _Within(self, most)

    def attempt(self, call: Callable[[], T], shape: Sequence[int], count: int | None = None) -> list[T]:
        """What a call gives, in a list; an empty list where memory ran out, and the size is halved for another try.

        Args:
            call: passes a batch through the model.
            shape: shape of one image (C, H, W), for the message.
            count: images in the batch; None where the call makes batches of its own.

        Raises:
            MemoryShortage: one image does not fit. The size is then what it was: other images may be smaller.
        """
        try:
            found = [call()]
        except Exception as error:
            if isinstance(error, MemoryShortage) or not is_out_of_memory(error):
                self._before = None
                raise
            short = error.with_traceback(None)  # which holds the tensors of the failed attempt
        else:
            self._fits(count)
            return found
        before, tried = self._before or self._size, min(count or self._size, self._size)
        self._calm, self._raised = self._calm * (_LONGER if self._raised else 1), False
        self._lost = (self._lost[0] + 1, max(self._lost[1], tried))
        if tried == 1:
            self._size, self._before, self._lost = before, None, (0, 0)
            raise too_little_memory(tuple(shape)) from short
        self._size, self._before, self._fitted = tried // 2, before, 0
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        return []

    def _fits(self, count: int | None) -> None:
        """A batch of so many images fitted, or a call that made its own: try a larger one where that is due."""
        told, (failed, largest), self._before, self._lost = self.shortages, self._lost, None, (0, 0)
        if failed:
            told.failed, told.largest = told.failed + failed, max(told.largest, largest)
            told.least = min(told.least or self._size, self._size)
        if count is None or count < self._size:
            return
        if self._raised:
            told.again = max(told.again, self._size)
        if self._size < self._most:
            self._fitted += 1
            if self._fitted >= self._calm:
                self._size, self._fitted, self._raised = min(2 * self._size, self._most), 0, True

    def parts(self, count: int, shape: Sequence[int], call: Callable[[slice], T]) -> Iterator[tuple[slice, T]]:
        """Yield (which images, what the call gives for them), in order.

        Args:
            count: number of images.
            shape: shape of one image (C, H, W), for the message.
            call: passes some of them through the model.

        Raises:
            MemoryShortage: see `attempt`.
        """
        at = 0
        while at < count:
            part = slice(at, min(at + self.size, count))
            for found in self.attempt(partial(call, part), shape, part.stop - at):
                yield part, found
                at = part.stop


class _Within(Batches):
    """See `Batches.within`."""

    def __init__(self, whole: Batches, most: int):
        super().__init__(most, whole.shortages)
        self._whole = whole

    @property
    def size(self) -> int:
        return min(self._most, self._whole.size)

    def attempt(self, call: Callable[[], T], shape: Sequence[int], count: int | None = None) -> list[T]:
        return self._whole.attempt(call, shape, min(count or self.size, self.size))


def batches_of(size: int | Batches) -> Batches:
    """Batches of that size, or those that were given."""
    return size if isinstance(size, Batches) else Batches(size)


def auto_batch_size(scorer: Score, shape: tuple[int, int, int], device: torch.device) -> int:
    """A batch size for images (C, H, W): from the memory of a CUDA device, from the image's size elsewhere.

    On a CPU small batches are as fast as large ones, since the working set then stays near the caches; the rule depends on
    nothing but the shape, so the same command gives the same batches and bytes.
    """
    by_shape = max(4, min(64, round(8 * 224 * 224 / (shape[-1] * shape[-2]))))
    if device.type != "cuda":
        return by_shape
    probe = torch.zeros((8, *shape), device=device)
    targets = torch.zeros(8, dtype=torch.long, device=device)
    try:
        scorer.gradients(probe[:1], targets[:1])  # workspaces are allocated once
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        scorer.gradients(probe, targets)
        per_image = max(1, (torch.cuda.max_memory_allocated(device) - before) // 8)
    except Exception as error:  # noqa: BLE001
        # A network that will not look at an empty image may take real ones; what it says of those is told image by image.
        return 1 if is_out_of_memory(error) else by_shape
    free, _ = torch.cuda.mem_get_info(device)
    return int(max(1, min(256, 0.6 * free // per_image)))
