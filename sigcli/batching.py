"""How many images fit a gradient evaluation."""

from __future__ import annotations

import torch

from .scorer import Score


def auto_batch_size(scorer: Score, shape: tuple[int, int, int], device: torch.device) -> int:
    """A batch size for images (C, H, W): from the memory of a CUDA device, from the image's size elsewhere.

    On a CPU small batches are as fast as large ones, since the working set then stays near the caches; the rule depends on
    nothing but the shape, so that the same command gives the same batches and bytes.
    """
    if device.type != "cuda":
        return max(4, min(64, round(8 * 224 * 224 / (shape[-1] * shape[-2]))))
    probe = torch.zeros((8, *shape), device=device)
    targets = torch.zeros(8, dtype=torch.long, device=device)
    try:
        scorer.gradients(probe[:1], targets[:1])  # workspaces are allocated once
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        scorer.gradients(probe, targets)
        per_image = max(1, (torch.cuda.max_memory_allocated(device) - before) // 8)
    except torch.OutOfMemoryError:
        return 1
    free, _ = torch.cuda.mem_get_info(device)
    return int(max(1, min(256, 0.6 * free // per_image)))
