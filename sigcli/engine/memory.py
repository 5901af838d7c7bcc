"""Running out of memory: how it is told from other errors, and batches that are halved until they fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch

from ..errors import AttributionError

T = TypeVar("T")
_SAYINGS = (
    "out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "unable to allocate",
    "alloc_failed", "bad_alloc", "bad allocation",
)  # fmt: skip


class MemoryShortage(AttributionError):  # noqa: N818 - the name says what it is
    """The device cannot take even one image."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or the one that it was raised from, says that memory ran out.

    CUDA has a class of its own for it; the allocator of a CPU, cuBLAS, cuDNN and C++ raise a RuntimeError that says so.
    """
    if error is None:
        return False
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    told = isinstance(error, (RuntimeError, OSError)) and any(saying in text for saying in _SAYINGS)
    return told or is_out_of_memory(error.__cause__)


def too_little_memory(shape: tuple[int, ...]) -> MemoryShortage:
    """The error for a device on which not even one image (C, H, W) fits."""
    return MemoryShortage(
        f"the device has too little memory for one image of {tuple(shape)}",
        hint="Use --device cpu, --precision bf16 or a smaller --resize/--crop.",
    )


@dataclass(eq=False)
class Batches:
    """How many images go through a model at once: halved for good where memory runs out.

    Args:
        size: images per call, at first.
    """

    size: int

    def parts(
        self, count: int, shape: tuple[int, ...], call: Callable[[slice], T], *, filled: bool = False
    ) -> Iterator[tuple[slice, T]]:
        """Yield (which images, what the call gives for them), in order.

        Args:
            count: number of images.
            shape: of one image, for the message.
            call: what is done with some of them.
            filled: the call fills up a short part to `size`.

        Raises:
            MemoryShortage: one image does not fit. The size is then what it was: other images may be smaller.
        """
        at, first = 0, self.size
        while at < count:
            part = slice(at, min(at + self.size, count))
            short, found = _attempt(call, part)
            if not short:
                yield part, found[0]
                at = part.stop
                continue
            tried = self.size if filled else part.stop - part.start
            if tried == 1:
                self.size = first
                raise too_little_memory(shape) from short
            self.size = tried // 2
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()


def _attempt(call: Callable[[slice], T], part: slice) -> tuple[Exception | None, list[T]]:
    """What the call gives, or the error that says that memory ran out, without the tensors of the failed attempt."""
    try:
        return None, [call(part)]
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return error.with_traceback(None), []
