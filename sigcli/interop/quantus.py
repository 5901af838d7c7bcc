"""Our methods as Quantus's `explain_func`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..attribution.batches import LABEL
from ..attribution.explain import iter_explain
from ..errors import AttributionError, UsageError

if TYPE_CHECKING:
    from torch import nn


def quantus_explain(
    model: nn.Module, inputs: Any, targets: Any, *, method: str = "sig", mean: Any = 0, std: Any = 1, **options: Any
) -> np.ndarray:
    """Attributions of a batch, in the form of Quantus's `explain_func`: `metric(…, explain_func=sigcli.quantus_explain)`.

    Every method of `sig list methods` can be named; Quantus passes `explain_func_kwargs` on:
    `explain_func_kwargs={"method": "gradcam", "settings": {…}}`. Inputs go into the network as they are.

    Args:
        model: the network, in evaluation mode; it gets a copy, as in `sigcli.explain`.
        inputs: (N, C, H, W) floats, an array or a tensor, the network's input.
        targets: (N,) class indices; one number is for all.
        method: one method.
        mean: mean that the inputs were normalised with, in units where a pixel is 0..1; with `std` it tells what black is,
            for baselines and for noise. By default black is 0 and white is 1.
        std: standard deviation, likewise.
        options: further options of `sigcli.explain`: settings, baseline, players, seed, device, batch_size, …

    Returns:
        float32 (N, C, H, W), in the score's unit where the method is complete.

    Raises:
        UsageError: inputs, targets or options that cannot be used.
        AttributionError: the method cannot explain one of the inputs.
    """
    images = _array(inputs)
    if images.ndim != 4 or images.dtype.kind != "f":
        given = f"{images.dtype}, shape {images.shape}"
        raise UsageError(
            "inputs must be floats (N, C, H, W)", given=given, hint="Quantus's channel-last inputs: transpose them."
        )
    labels = _classes(targets, len(images))
    if not isinstance(method, str) or "," in method:
        raise UsageError("quantus_explain takes one method", given=method)
    if not len(images):
        return np.zeros(images.shape, np.float32)
    import torch

    batch = torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(np.array(labels))
    known: dict[str, Any] = {
        "images": iter([batch]),
        "model": model,
        "method": method,
        "target": LABEL,
        "mean": mean,
        "std": std,
        **options,
    }
    found = []
    for item in iter_explain(**known):
        if item.status != "ok" or item.values is None:
            raise AttributionError(f"{method} cannot explain {item.image}: {item.error}")
        found.append(np.broadcast_to(item.values, images.shape[1:]) / (images.shape[1] // len(item.values)))
    return np.stack(found).astype(np.float32)


def _array(values: Any) -> np.ndarray:
    """An array of what a tensor or array holds; numpy has no bf16."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
    return np.asarray(values)


def _classes(targets: Any, count: int) -> np.ndarray:
    """The class index of each of `count` inputs, (N,)."""
    given = _array(targets)
    given = given[:, 0] if given.shape == (count, 1) else given
    if given.dtype.kind not in "iu" or given.shape not in ((), (1,), (count,)):
        raise UsageError(
            "targets must be class indices",
            given="None" if targets is None else f"{given.dtype}, shape {given.shape}",
            allowed=f"integers of shape ({count},), or one integer for all",
            hint="Of one-hot rows take the argmax.",
        )
    return np.broadcast_to(given, count)
