"""Running out of memory, and losing the device: how they are told from other errors."""

from __future__ import annotations

import torch

from ..errors import AttributionError

_SAYINGS = (
    "out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "unable to allocate",
    "alloc_failed", "bad_alloc", "bad allocation",
)  # fmt: skip

_LOST = (
    "device-side assert", "illegal memory access", "illegal instruction", "misaligned address", "unspecified launch failure",
    "launch timed out", "uncorrectable ecc", "hardware stack error", "invalid program counter", "cuda error: unknown error",
)  # fmt: skip
"""Errors after which every call of this process to CUDA fails (CUDA Runtime API, cudaError)."""


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


def is_device_lost(error: BaseException | None) -> bool:
    """Whether an error, or the one that it was raised from, is one after which the process cannot use its GPU."""
    if error is None:
        return False
    text = str(error).lower()
    told = isinstance(error, RuntimeError) and "cuda error" in text and any(saying in text for saying in _LOST)
    return told or is_device_lost(error.__cause__)


def too_little_memory(shape: tuple[int, ...]) -> MemoryShortage:
    """The error for a device on which not even one image (C, H, W) fits."""
    return MemoryShortage(
        f"the device has too little memory for one image of {tuple(shape)}",
        hint="Use --device cpu, --precision bf16 or a smaller --resize/--crop.",
    )
