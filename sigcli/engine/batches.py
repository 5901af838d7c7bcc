"""The one batcher: everything that asks a model about many images cuts its batches here.

Requests of many items each come as a lazy stream. `Batcher` cuts them into batches that run across requests, all items of a
batch alike in shape; it may fill up a short batch, since kernels differ with the number of images and with them the last
bits; it halves the size where memory runs out; where a batch fails, it tries its requests one by one; and it hands the
requests back in their order. The size itself is of `batch_size`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..errors import SigError
from .batch_size import Batches
from .failures import contained
from .memory import MemoryShortage, is_out_of_memory
from .request import Request

T = TypeVar("T")
R = TypeVar("R", bound=Request)
Answers = tuple[Tensor, ...]
"""A model's outputs for a batch: tensors whose first axis is that of the images."""
Call = Callable[[Tensor, Tensor], Answers]
"""Images (N, C, H, W) and their targets (N,) → the model's outputs."""


@dataclass(eq=False)
class _Open(Generic[R]):
    """A request whose items are not all through, with what it says of itself.

    Args:
        request: itself.
        count: how many items there are, by now: answers may make it ask for more.
        like: see `Request`.
        target: see `Request`.
    """

    request: R
    count: int
    like: Tensor
    target: int

    @property
    def left(self) -> int:
        """How many items are still to go through the model."""
        return self.count - self.request.passed if self.request.error is None else 0


Piece = tuple[_Open[R], slice]
"""Some consecutive items of a request, as part of a batch."""


@dataclass(eq=False)
class Batcher(Generic[R]):
    """Passes a stream of requests through a model, in batches that run across them.

    Args:
        call: the model.
        batches: the size of a batch; others may share it.
        filled: fill up a short batch to the size with its last image. A request's answers then depend neither on its company
            nor on where a run was interrupted.
        twins: on a CPU, which has other kernels for a single image, fill up a batch of one to two while memory lasts.
        contain: whatever is raised for one request becomes its `error`, and the others continue. A batch that fails is tried
            request by request, each in the places that it has in it, so the others get what they get undisturbed.
        progress: called after each batch with the number of its items.
    """

    call: Call
    batches: Batches
    filled: bool = False
    twins: bool = False
    contain: bool = False
    progress: Callable[[int], None] | None = None
    _buffer: Tensor | None = field(default=None, init=False)

    def run(self, requests: Iterable[R]) -> Iterator[R]:
        """Hand back each request in order, once all of its items went through the model or it has an error.

        Args:
            requests: read lazily, no further ahead than a batch reaches. A change of shape ends a batch early.

        Raises:
            MemoryShortage: one image does not fit the device, where errors are not contained.

        What the model and the requests raise comes through as it is, unless errors are contained.
        """
        open_: deque[_Open[R]] = deque()
        for request in requests:
            one = _Open(request, len(request), request.like, request.target)
            if _left(open_) and _kind(open_[-1].like) != _kind(one.like):
                yield from self._emptied(open_, rest=True)
            open_.append(one)
            with self._containing(request):
                request.start()
            yield from self._emptied(open_, rest=False)
        yield from self._emptied(open_, rest=True)

    def _emptied(self, open_: deque[_Open[R]], *, rest: bool) -> Iterator[R]:
        """Pass full batches, and the rest where nothing is to join it; hand back what is done."""
        while True:
            while open_ and not open_[0].left:
                yield open_.popleft().request
            if _left(open_) < (1 if rest else self.batches.size):
                return
            self._pass(open_)

    @contextmanager
    def _containing(self, request: R) -> Iterator[None]:
        """Whatever is raised within is this request's error."""
        try:
            yield
        except Exception as error:
            if not self.contain:
                raise
            request.error = contained(error)

    def _pass(self, open_: Iterable[_Open[R]]) -> None:
        """Pass one batch through the model; where memory runs out, the size is halved and the items are still to come."""
        before = time.perf_counter()
        pieces = self._cut(open_)
        counts = [items.stop - items.start for _, items in pieces]
        total = sum(counts)
        found: list[list[Answers | SigError]] = []
        with self._containing(pieces[0][0].request):  # what does not fit has a batch to itself
            call = partial(self._answers, pieces, _places(counts))
            found = self.batches.attempt(call, pieces[0][0].like.shape, self._count(total))
        for answers in found:
            self._hand_out(pieces, answers)
        seconds = time.perf_counter() - before
        for (one, _), count in zip(pieces, counts, strict=True):
            one.request.seconds += seconds * count / total
        if not found:
            self._buffer = None
        elif self.progress:
            self.progress(total)

    def _hand_out(self, pieces: Sequence[Piece[R]], found: Sequence[Answers | SigError]) -> None:
        """Give each piece of a batch what the model says of it."""
        for (one, items), answers in zip(pieces, found, strict=True):
            request = one.request
            request.passed = items.stop
            if isinstance(answers, SigError):
                request.error = answers
                continue
            with self._containing(request):
                request.take(items, *answers)
                one.count = len(request)

    def _cut(self, open_: Iterable[_Open[R]]) -> list[Piece[R]]:
        """The next items of the open requests, as many as a batch holds."""
        pieces: list[Piece[R]] = []
        room = self.batches.size
        for one in open_:
            count = min(room, one.left)
            if count:
                pieces.append((one, slice(one.request.passed, one.request.passed + count)))
                room -= count
        return pieces

    def _answers(self, pieces: Sequence[Piece[R]], places: Sequence[slice]) -> list[Answers | SigError]:
        """The model's outputs for each piece of a batch, or the error that stands for it."""
        total = places[-1].stop
        images = self._room(pieces[0][0].like, total)
        written = [
            self._attempted(partial(one.request.write, items, images[place]))
            for (one, items), place in zip(pieces, places, strict=True)
        ]
        sound = [place for place, error in zip(places, written, strict=True) if error is None]
        if not sound:
            return [error for error in written if error is not None]
        images[total:] = images[total - 1]
        asked = np.repeat([one.target for one, _ in pieces], [place.stop - place.start for place in places])
        targets = torch.from_numpy(np.append(asked, asked[-1:].repeat(len(images) - total))).to(images.device)
        call = partial(self._asked, images, targets, self._count(total))
        # What could not be written must not disturb the others.
        together = self._attempted(partial(call, None if len(sound) == len(pieces) else sound))
        if isinstance(together, SigError) and len(sound) > 1:
            return [error or self._alone(call, place) for place, error in zip(places, written, strict=True)]
        return [
            error or (together if isinstance(together, SigError) else tuple(one[place] for one in together))
            for place, error in zip(places, written, strict=True)
        ]

    def _alone(self, call: Callable[[Sequence[slice]], Answers], place: slice) -> Answers | SigError:
        """The model's outputs for one piece of a batch that failed, or the error that it fails with itself."""
        found = self._attempted(partial(call, [place]))
        return found if isinstance(found, SigError) else tuple(one[place].clone() for one in found)

    def _attempted(self, call: Callable[[], T]) -> T | SigError:
        """What a call gives, or what it raises where errors are contained; but not that memory ran out."""
        try:
            return call()
        except Exception as error:
            if not self.contain or (is_out_of_memory(error) and not isinstance(error, MemoryShortage)):
                raise
            return contained(error)

    def _asked(self, images: Tensor, targets: Tensor, count: int, wanted: Sequence[slice] | None) -> Answers:
        """The model's outputs for a batch, `count` of them not twins; all but the wanted places hold a wanted image."""
        if wanted is not None:
            rows = torch.full((len(images),), wanted[-1].stop - 1, device=images.device)
            for place in wanted:
                rows[place] = torch.arange(place.start, place.stop, device=images.device)
            images, targets = images[rows], targets[rows]
        try:
            return self.call(images, targets)
        except Exception as error:
            if len(images) <= count or not is_out_of_memory(error):
                raise
        self.twins = False  # there is memory for one
        return self.call(images[:count], targets[:count])

    def _count(self, total: int) -> int:
        """Images of a batch of that many items."""
        return self.batches.size if self.filled else total

    def _room(self, like: Tensor, total: int) -> Tensor:
        """Where a batch is written, (N, C, H, W): the same memory for every batch, since new memory has its price."""
        count = self._count(total)
        if self.twins and like.device.type == "cpu":
            count = max(count, 2)
        room = self._buffer
        if room is None or len(room) < count or _kind(room[0]) != _kind(like):
            room = self._buffer = like.new_empty(max(count, self.batches.size), *like.shape)
        return room[:count]


def _left(open_: Iterable[_Open[R]]) -> int:
    """How many items of some requests are still to go through the model."""
    return sum(one.left for one in open_)


def _kind(item: Tensor) -> tuple[object, ...]:
    """What the items of a batch have in common."""
    return item.shape, item.dtype, item.device


def _places(counts: Sequence[int]) -> list[slice]:
    """Where pieces of these lengths stand in a batch."""
    ends = np.cumsum(counts).tolist()
    return [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
