"""How many images fit a gradient evaluation."""

from __future__ import annotations

import torch

from ..scores.score import Score
from .memory import is_out_of_memory


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
