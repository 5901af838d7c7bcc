"""A scorer: model + output kind + precision. Images and targets in; scores, or scores and gradients, out.

Nothing above this file knows about classes, devices or where the model came from; what outputs are is said by a `Head`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..errors import unknown
from ..heads import LOGITS, Head

Output = Literal["logit", "prob", "logprob"]
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


@dataclass(frozen=True, eq=False)
class Scorer:
    """A differentiable scalar score F of an image.

    Args:
        model: (N, C, H, W) → (N, classes) outputs.
        output: "logit" (the outputs as they are), "prob" or "logprob" of the target class.
        precision: "fp32"; "tf32" lets CUDA multiply in TF32; "bf16" and "fp16" run the model under autocast. Scores and
            gradients come back in the input's type whatever the precision.
        head: what the outputs are; logits, of which a softmax makes probabilities, where nobody says otherwise.

    Raises:
        UsageError: unknown output or precision.
    """

    model: Callable[[Tensor], Tensor]
    output: str = "logit"
    precision: str = "fp32"
    head: Head = LOGITS

    def __post_init__(self) -> None:
        for kind, value, choices in (
            ("output", self.output, get_args(Output)),
            ("precision", self.precision, get_args(Precision)),
        ):
            if value not in choices:
                raise unknown(kind, value, choices)

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """The precision in which the model runs, for code that runs it itself."""
        return autocast(self.precision, device)

    def select(self, outputs: Float[Tensor, "n k"], targets: Int64[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The score of each row of outputs at its target, (N,)."""
        return self.head.score(outputs, self.output).gather(1, targets[:, None])[:, 0]

    def outputs(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """The model's outputs, without gradient: (N, C, H, W) → (N, classes)."""
        with torch.no_grad(), autocast(self.precision, images.device):
            return self.model(images).to(images.dtype)

    def scores(self, images: Float[Tensor, "n c h w"], targets: Int64[Tensor, " n"]) -> Float[Tensor, " n"]:
        """F of each image at its target, without gradient: (N,)."""
        return self.select(self.outputs(images), targets)

    def gradients(
        self, images: Float[Tensor, "n c h w"], targets: Int64[Tensor, " n"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n c h w"]]:
        """F of each image and ∂F/∂image: ((N,), (N, C, H, W)). One gradient evaluation per image."""
        return differentiated(
            lambda leaf: self.select(self.model(leaf).to(leaf.dtype), targets), images, self.precision
        )


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which a model runs in that precision."""
    if precision == "tf32":
        return _tf32()
    if precision == "fp32":
        return nullcontext()
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return torch.autocast(device.type, dtype=dtype)


def differentiated(
    score: Callable[[Tensor], Tensor], images: Float[Tensor, "n c h w"], precision: str
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n c h w"]]:
    """A score of each image, (N, C, H, W) → (N,), and its gradient by the image.

    Args:
        score: each image's own score, in the images' type.
        images: (N, C, H, W).
        precision: of the model, see `Scorer`.
    """
    leaf = images.detach().requires_grad_()
    with torch.enable_grad(), autocast(precision, images.device):
        scores = score(leaf)
        # fp16 gradients of a probability underflow; a power of two scales them up and back without rounding.
        scale = _FP16_SCALE if precision == "fp16" else 1.0
        (gradient,) = torch.autograd.grad(scores.sum() * scale, leaf)
    return scores.detach(), gradient if scale == 1.0 else gradient / scale


class _tf32(AbstractContextManager[None]):  # noqa: N801 - used like torch's own lower-case contexts
    """Allow TF32 matrix products and convolutions inside the block only."""

    def __enter__(self) -> None:
        self.before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True

    def __exit__(self, *_: object) -> None:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = self.before
