"""What a program set for all of torch, and what is set while this package works."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")


@contextmanager
def own_modes() -> Iterator[None]:
    """Work as on the command line, whatever the caller set: with gradients, without autocast, new tensors in float32.

    A caller's `inference_mode` would leave no gradients, and its `autocast` another precision than the one that was asked
    for. All of it is as it was afterwards.

    The cache of casts is off: torch empties it at the end of the outermost `autocast`, and this is one. With it, a run in
    bf16 kept every image that it asked the model about, and a network in training would keep its first weights.
    """
    default = torch.get_default_dtype()
    with (
        torch.inference_mode(False),
        torch.autocast("cpu", enabled=False, cache_enabled=False),
        torch.autocast("cuda", enabled=False, cache_enabled=False),
    ):
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(default)


def in_own_modes(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """The items of a generator, each made in `own_modes`; between them the caller's are in force."""
    try:
        while True:
            with own_modes():
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item
    finally:
        items.close()
