"""Small arrays on their way to the device, without waiting for it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def sent(array: np.ndarray, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """A numpy array as a tensor on a device.

    A copy from ordinary memory to a CUDA device waits until all that the device was told before is done; one from pinned
    memory does not, so the next batch is prepared while this one is computed.

    Args:
        array: of any shape.
        device: where the tensor is to be.
        dtype: its type; the array's where None.
    """
    tensor = torch.from_numpy(np.array(array))  # a copy: an array may be a view that cannot be written
    if device.type == "cuda":
        tensor = tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device, dtype or tensor.dtype)
