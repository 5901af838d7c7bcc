"""torch as it is when a program starts: what a caller has switched has no part in the numbers."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")


@contextmanager
def plain_torch() -> Iterator[None]:
    """Without the caller's autocast, inference mode, detection of anomalies, default type and default device.

    Autocast rounds to 8 or 11 bits and inference mode leaves no gradients; `--precision` says how a model runs.
    """
    before = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.autograd.set_detect_anomaly(False))
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        torch.set_default_dtype(torch.float32)
        stack.callback(torch.set_default_dtype, before)
        yield


def stepped(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """The same items, each of them made under `plain_torch`, and the caller's state in between."""
    try:
        while True:
            with plain_torch():
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item
    finally:
        items.close()
