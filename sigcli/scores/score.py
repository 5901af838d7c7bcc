"""What the engine needs of a score F, and the precision that a model runs in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from .evened import Evened

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
_FP16_SCALE = 1024.0


@runtime_checkable
class Score(Protocol):
    """All that the engine needs of a score F: its values, and its values with their gradients."""

    def scores(self, images: Tensor, targets: Tensor) -> Tensor:
        """F of each image at its target, (N, C, H, W) and (N,) → (N,), without gradient."""
        ...

    def gradients(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """F of each image, (N,), and ∂F/∂image, (N, C, H, W)."""
        ...


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which a model runs in that precision; on CUDA with algorithms that give the same bits each time."""
    if device.type == "cuda":
        return _cuda(precision)
    return nullcontext() if precision in ("fp32", "tf32") else _reduced(precision, device)


def _reduced(precision: str, device: torch.device) -> torch.autocast:
    # Without the cache of casts, which holds on to images until the outermost autocast ends; frozen weights are not in it.
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return torch.autocast(device.type, dtype=dtype, cache_enabled=False)


def differentiated(
    score: Callable[[Tensor], Tensor], images: Float[Tensor, "n c h w"], precision: str
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n c h w"]]:
    """A score of each image, (N, C, H, W) → (N,), and its gradient by the image.

    Args:
        score: each image's own score, in the images' type.
        images: (N, C, H, W).
        precision: precision of the model, see `Scorer`.
    """
    leaf = images.detach().requires_grad_()
    even = Evened() if len(images) == 1 and images.device.type == "cpu" else nullcontext()
    with torch.enable_grad(), autocast(precision, images.device), even:
        scores = score(leaf)
        # fp16 gradients of a probability underflow; a power of two scales them up and back without rounding.
        scale = _FP16_SCALE if precision == "fp16" else 1.0
        (gradient,) = torch.autograd.grad(scores.sum() * scale, leaf)
    return scores.detach(), gradient if scale == 1.0 else gradient / scale


class _cuda(AbstractContextManager[None]):  # noqa: N801 - used like torch's own lower-case contexts
    """One precision on CUDA, inside the block only.

    torch lets cuDNN convolve in TF32 unless told otherwise, which has 10 bits of mantissa and is no fp32; and it lets cuDNN
    choose algorithms that add in any order.
    """

    def __init__(self, precision: str) -> None:
        self.tf32 = precision == "tf32"
        plain = precision in ("fp32", "tf32")
        self.inner = nullcontext() if plain else _reduced(precision, torch.device("cuda"))

    def __enter__(self) -> None:
        products, convolutions = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        self.before = bool(products), convolutions, torch.backends.cudnn.deterministic
        self._set(self.tf32, self.tf32, True)
        self.inner.__enter__()

    def __exit__(self, *error: object) -> None:
        self.inner.__exit__(*error)  # type: ignore[arg-type]
        self._set(*self.before)

    @staticmethod
    def _set(products: bool, convolutions: bool, deterministic: bool) -> None:
        torch.backends.cuda.matmul.allow_tf32 = products
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.backends.cudnn.deterministic = deterministic
