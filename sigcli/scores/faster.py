"""A network that runs faster than it came: weights in bf16, or compiled for batches of one size."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .score import autocast

BACKEND = "inductor"
"""What torch.compile makes programs with."""
_WORSE, _FREE = 1.5, 0.02
_MEMORY = ("out of memory", "can't allocate memory")


@dataclass(eq=False)
class Faster:
    """What runs in place of a network.

    Args:
        of: the network; a score of any other does not use this.
        run: (N, C, H, W) → outputs in the images' type.
        whole: its weights are in bf16, so it runs without autocast.
        size: images of the batches that a compiled program runs; other batches run without it. None where there is none.
        failure: why there is none, though there should be.
    """

    of: Callable[[Tensor], Tensor]
    run: Callable[[Tensor], Tensor]
    whole: bool = False
    size: int | None = None
    failure: str = ""
    _compiled: Callable[[Tensor], Tensor] | None = field(default=None, init=False)

    def gradients_of(self, images: Tensor) -> Tensor:
        """The outputs, to be differentiated: by the compiled program where it is of that size.

        A program that cannot be made, or fails where the network does not, is given up, with the reason in `failure`.
        """
        if len(images) != self.size:
            return self.run(images)
        if self._compiled is None:
            self._compiled = torch.compile(self.run, dynamic=False, backend=BACKEND)
        try:
            return self._compiled(images)
        except Exception as error:
            if any(saying in str(error).lower() for saying in _MEMORY):
                raise
            found = self.run(images)  # what the network itself raises comes through
            self.size, self.failure = None, _line(error)
            return found


def whole_bf16(model: nn.Module, sample: Float[Tensor, "n c h w"]) -> tuple[Faster | None, str]:
    """A copy of a network with all weights in bf16 and channels-last, or None and why there is none.

    It must give outputs and gradients on the sample that are as near those of the network itself as autocast's are: within
    1.5 times their distance, or within 2 %.

    Args:
        model: images → outputs.
        sample: images to compare on.
    """
    try:
        half = copy.deepcopy(model).to(dtype=torch.bfloat16).requires_grad_(False)
        if sample.device.type in ("cpu", "cuda"):
            half = half.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    except Exception as error:  # noqa: BLE001  foreign networks may not be copied or cast
        return None, _line(error)
    found = Faster(model, _cast(half), whole=True)
    try:
        exact, usual, ours = (_tried(run, sample, precision) for run, precision in (
            (model, "fp32"), (model, "bf16"), (found.run, "fp32")
        ))  # fmt: skip
    except Exception as error:  # noqa: BLE001  as above
        return None, _line(error)
    for what, right, near, other in zip(("outputs", "gradients"), exact, usual, ours, strict=True):
        most = max(_WORSE * _apart(near, right), _FREE)
        if not _apart(other, right) <= most:
            return None, f"its {what} would be off by {_apart(other, right):.1%} instead of {_apart(near, right):.1%}"
    return found, ""


def _cast(half: nn.Module) -> Callable[[Tensor], Tensor]:
    def run(images: Tensor) -> Tensor:
        layout = torch.channels_last if images.shape[1] > 1 else torch.preserve_format
        return half(images.to(torch.bfloat16, memory_format=layout)).to(images.dtype)

    return run


def _tried(run: Callable[[Tensor], Tensor], sample: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    """Outputs, and the gradient of the greatest of each row."""
    leaf = sample.detach().requires_grad_()
    with torch.enable_grad(), autocast(precision, sample.device):
        outputs = run(leaf).to(leaf.dtype)
        (gradient,) = torch.autograd.grad(outputs.flatten(1).amax(1).sum(), leaf)
    return outputs.detach(), gradient


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200].rstrip('.')}"


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm().clamp(min=1e-30))
