"""The images of a run: names, decoding beside the computation, and the set that means and references come from."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ..baselines.single import resized_to
from ..engine.failures import attempted
from ..errors import ImageError, SigError
from ..inputs.given import Given, Source
from ..inputs.images import is_large, read_image
from ..inputs.left_out import listed_names
from ..inputs.picture import Picture
from ..models.preprocess import Preprocess
from ..names import escaped
from ..runs.filenames import run_names

__all__ = ["ImageSet", "Loaded", "decoded", "run_names"]

K = TypeVar("K")
_CACHED = 256
_AHEAD = 4


@dataclass(frozen=True, eq=False)
class Loaded:
    """One decoded image, ready for the model.

    Args:
        name: its name in the run, relative to the folder that all images share, as `sigcli.names.escaped` writes it.
        folder: the folder of its results within the run folder.
        path: path of the file.
        x: (C, H, W) float32 in the model's input space, on the CPU.
        picture: what was decoded.
    """

    name: str
    folder: str
    path: Source
    x: Tensor
    picture: Picture


def decoded(
    paths: Sequence[Source],
    names: Sequence[tuple[str, str]],
    preprocess: Preprocess,
    workers: int,
    read: Callable[[Source], Picture] = read_image,
    places: Iterable[int] | None = None,
    *,
    known: Callable[[int], K | None] = lambda _: None,
) -> Iterator[tuple[int, Loaded | SigError | K]]:
    """Places and images, decoded a few ahead on threads, large ones in their turn; an unreadable one comes as its error.

    Args:
        paths: of all images.
        names: name and folder of each.
        preprocess: brings them to the model.
        workers: threads.
        read: decodes one.
        places: which images are wanted, asked for one by one as they are needed; None for all, in order.
        known: what comes in place of an image that need not be decoded, by its place; called on the threads.
    """

    def load(index: int) -> Loaded:
        picture = read(paths[index])
        return Loaded(*names[index], paths[index], preprocess(picture.pixels), picture)

    def ahead(index: int) -> Loaded | SigError | K | None:
        found = known(index)
        if found is not None:
            return found
        return None if is_large(paths[index]) else attempted(partial(load, index))

    def settled(index: int, found: Future[Loaded | SigError | K | None]) -> tuple[int, Loaded | SigError | K]:
        done = found.result()
        return index, attempted(partial(load, index)) if done is None else done

    with ThreadPoolExecutor(max(1, workers), "decode") as pool:
        waiting: deque[tuple[int, Future[Loaded | SigError | K | None]]] = deque()
        try:
            for index in range(len(paths)) if places is None else places:
                waiting.append((index, pool.submit(ahead, index)))
                if len(waiting) > _AHEAD:
                    yield settled(*waiting.popleft())
            while waiting:
                yield settled(*waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _place(path: Source) -> tuple[tuple[bool, str], ...]:
    """Where a file stands: of each folder its files come first, as `find_images` lists them. Samples in memory stay."""
    if isinstance(path, Given):
        return ()
    *folders, name = Path(path).parts
    return (*((True, folder) for folder in folders), (False, name))


class ImageSet:
    """The images that means and references are drawn from, read when first needed; `notes` tells which cannot be.

    They stand in the order of their paths, in whatever order they were named, so that the same are drawn. Fulfils
    `sigcli.types.Peers`.
    """

    def __init__(self, paths: Sequence[Source], preprocess: Preprocess, read: Callable[[Source], Picture] = read_image):
        self._paths = sorted(paths, key=_place)
        self._preprocess = preprocess
        self._read = read
        self._shape: tuple[int, ...] | None = None
        self._keys: list[int] | None = None
        self._readable: list[Source] = []
        self._unreadable: list[Source] = []
        self._mean: Tensor | None = None
        self._cache: OrderedDict[int, Tensor] = OrderedDict()

    def _scan(self) -> list[int]:
        """Read every image once: its content key, and the running mean of all, in bounded memory."""
        if self._keys is not None:
            return self._keys
        keys: list[int] = []
        total: Tensor | None = None
        shapes: Counter[tuple[int, ...]] = Counter()
        for path in self._paths:
            try:
                picture = self._read(path)
                x = self._preprocess(picture.pixels)
            except ImageError:
                self._unreadable.append(path)
                continue
            shapes[tuple(x.shape)] += 1
            if len(shapes) == 1:
                total = x.double() if total is None else total + x
            keys.append(picture.key)
            self._readable.append(path)
        self._keys = keys
        if (
            shapes
        ):  # without a crop images keep their own size; a mean needs one, that of most, and of these the largest
            self._shape = max(shapes, key=lambda shape: (shapes[shape], math.prod(shape), shape))
        if len(shapes) > 1:
            total = sum((self._fitted(self._read(path)).double() for path in self._readable), torch.zeros(()))
        self._mean = None if total is None else (total / len(keys)).float()
        return keys

    @property
    def notes(self) -> tuple[str, ...]:
        """Which images are left out, as far as they have been read; nothing where none are."""
        names = [escaped(Path(path).name) for path in self._unreadable]
        if not names:
            return ()
        every = f"{len(names)} of {len(self._paths)}"
        return (f"References: {every} cannot be read and are left out ({listed_names(names)}).",)

    def _fitted(self, picture: Picture) -> Tensor:
        return resized_to(self._preprocess(picture.pixels), self._shape or ())

    def __len__(self) -> int:
        return len(self._scan())

    def keys(self) -> Sequence[int]:
        """Content key of each image."""
        return self._scan()

    def image(self, index: int) -> Tensor:
        """(C, H, W) of one image; the last 256 are kept."""
        self._scan()
        if index not in self._cache:
            self._cache[index] = self._fitted(self._read(self._readable[index]))
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        self._cache.move_to_end(index)
        return self._cache[index]

    def mean(self) -> Tensor:
        """Mean over all images, (C, H, W)."""
        self._scan()
        if self._mean is None:
            raise ImageError("none of the reference images can be read")
        return self._mean
