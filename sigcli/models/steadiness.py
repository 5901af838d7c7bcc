"""Is the score of an image a function of that image alone? Every attribution takes it for granted."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sigcli.errors import ModelError
from sigcli.wrapping import Wrapper, own_layers

_ROUNDING, _ROUNDING_ELSEWHERE = 1e-6, 1e-5
"""Of the largest score, between two calls with the same batch: on a CPU, and on devices that add in any order."""
_COMPANY, _COMPANY_ELSEWHERE = 1e-3, 1e-2
"""Likewise between an image alone and in a batch, which run other kernels, on a GPU in TF32."""
_REPEATS = 12
_RANDOM = (
    "It draws random numbers in a pass: give functional dropout training=self.training, take added noise out, and call "
    ".eval() before saving it."
)
_KEEPS = "It keeps something from one call to the next: reset that at the start of its forward pass."
_TRAINING = "It was saved in training mode: call .eval() before saving it."
_MIXES = (
    "Its forward pass mixes the images of a batch, or was saved in training mode: reduce each image alone, and call .eval() "
    "before saving it."
)


def check_steady(module: Callable[[Tensor], Any], sample: Tensor) -> tuple[str, ...]:
    """Compare calls with the same batch, which must agree to rounding, and an image alone with the same in a batch.

    Args:
        module: (N, C, H, W) → (N, classes), in evaluation mode.
        sample: at least two different images.

    Returns:
        a note where the network draws random numbers that did not show in its scores.

    Raises:
        ModelError: scores change from call to call or with the other images, or a pass changes weights or buffers.
    """
    parts = module if isinstance(module, nn.Module) else nn.Module()
    with torch.no_grad():
        before, state = _generators(sample.device), _state(parts)
        first = module(sample.clone())
        drew = _generators(sample.device) != before
        calls = _calls(module, sample, _REPEATS if drew else 1)
        steady = all(
            _same(call, first, _ROUNDING if sample.device.type == "cpu" else _ROUNDING_ELSEWHERE) for call in calls
        )
        changed = [name for name, value in _state(parts).items() if not _unchanged(value, state.get(name))]
        alone = module(sample[:1].clone())
        company = module(torch.cat([sample[:1], 3 * sample[1:]]))  # others that differ more
    if not steady:
        hint = _RANDOM if drew else _KEEPS
        raise ModelError("the network gives different scores for the same images from call to call", hint=hint)
    tolerance = _COMPANY if sample.device.type == "cpu" else _COMPANY_ELSEWHERE
    if not all(_same(alone, found[:1], tolerance) for found in (first, company)):
        raise ModelError(
            "the network's score of an image depends on the other images in the batch", hint=_mixing(parts, changed)
        )
    if changed:
        hint = _TRAINING if any("running_" in name or "num_batches" in name for name in changed) else _KEEPS
        raise ModelError("the network changes its own state in a pass", given=", ".join(changed[:3]), hint=hint)
    note = f"the network draws random numbers in a pass, though its scores were the same in {_REPEATS + 1} calls"
    return (note,) if drew else ()


def _calls(module: Callable[[Tensor], Any], sample: Tensor, count: int) -> Iterator[Tensor]:
    """Scores of the same batch again, each after a call with other images, which a network might remember."""
    for _ in range(count):
        module(sample[1:].clone())
        yield module(sample.clone())


def _same(scores: Tensor, others: Tensor, tolerance: float) -> bool:
    return scores.shape == others.shape and bool((scores - others).abs().max() <= tolerance * others.abs().max())


def _mixing(parts: nn.Module, changed: list[str]) -> str:
    norms = [
        name or type(part).__name__
        for name, part in own_layers(parts).items()
        if "BatchNorm" in str(getattr(part, "original_name", type(part).__name__))
        and getattr(part, "running_mean", None) is None
    ]
    if norms:
        return (
            f"Its batch norm '{norms[0]}' has no running statistics and takes the batch's: train it with "
            "track_running_stats=True, or wrap the network so that it takes one image at a time."
        )
    # Our wrappers, and the empty module that stands for a plain function, are in training mode and have none.
    own = (part for part in parts.modules() if not isinstance(part, Wrapper) and type(part) is not nn.Module)
    return _TRAINING if changed or any(part.training for part in own) else _MIXES


def _generators(device: torch.device) -> tuple[Any, ...]:
    """The states of the random generators that a network may draw from."""
    _, words, place, *_ = np.random.get_state()  # noqa: NPY002  the state of the legacy generator is what is asked for
    states = [torch.get_rng_state()] + ([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])
    return (*(state.numpy().tobytes() for state in states), np.asarray(words).tobytes(), place, random.getstate())


def _state(parts: nn.Module) -> dict[str, Tensor | tuple[int, int]]:
    """Buffers as they are, parameters by their place and number of changes (they are large)."""
    buffers = {name: buffer.detach().clone() for name, buffer in parts.named_buffers()}
    weights = {name: (weight.data_ptr(), weight._version) for name, weight in parts.named_parameters()}
    return {**buffers, **weights}


def _unchanged(value: Tensor | tuple[int, int], before: Tensor | tuple[int, int] | None) -> bool:
    if not isinstance(value, Tensor) or not isinstance(before, Tensor):
        return bool(value == before)
    if value.shape != before.shape or not value.is_floating_point():
        return torch.equal(value, before)
    return bool(((value == before) | (value.isnan() & before.isnan())).all())
