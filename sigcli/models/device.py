"""Devices: what a user may name, and whether it is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import UsageError, unknown

if TYPE_CHECKING:
    import torch


def _cuda() -> int:
    import torch

    return torch.cuda.device_count()


def _mps() -> int:
    import torch

    return int(torch.backends.mps.is_available())


KINDS: dict[str, Callable[[], int]] = {"cuda": _cuda, "mps": _mps, "cpu": lambda: 1}
"""Kinds of devices, the preferred ones first, and how many of each this machine has."""


def choose_device(device: str) -> str:
    """`auto` → the first kind that is there; any other name is checked.

    Raises:
        UsageError: no device, or one that this machine does not have.

    >>> choose_device("cpu")
    'cpu'
    """
    if device == "auto":
        return next(kind for kind, count in KINDS.items() if count())
    match = re.fullmatch(r"([a-z]+)(?::(\d+))?", device)
    if not match or match[1] not in KINDS:
        raise unknown("device", device, ["auto", "cpu", "cuda", "cuda:0", "mps"])
    if int(match[2] or 0) >= KINDS[match[1]]():
        raise UsageError("this machine has no such device", given=device, allowed=f"auto, {', '.join(_here())}")
    return device


def place_of(device: torch.device | str) -> torch.device:
    """The device of that name; raises UsageError where torch cannot use it here."""
    import torch

    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError("torch cannot use that device here", given=device, allowed=", ".join(_here())) from error
    return place


def _here() -> list[str]:
    """The devices of this machine, by the names that a user may give them."""
    return ["cpu", *(f"cuda:{index}" for index in range(_cuda())), *(["mps"] if _mps() else [])]
