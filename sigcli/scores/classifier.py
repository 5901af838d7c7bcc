"""The score of a classifier: model + output kind + precision. Images and targets in; scores, or scores and gradients, out.

Nothing above this file knows about classes, devices or where the model came from; what outputs are is said by a `Head`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..errors import unknown
from ..heads import LOGITS, Head
from .faster import Faster
from .score import Precision, autocast, differentiated

Output = Literal["logit", "prob", "logprob", "value"]


@dataclass(frozen=True, eq=False)
class ClassScore:
    """A differentiable scalar score F of an image.

    Args:
        model: (N, C, H, W) → (N, classes) outputs.
        output: "logit" or "value" (the outputs as they are), "prob" or "logprob" of the target class.
        precision: "fp32"; "tf32" lets CUDA multiply in TF32; "bf16" and "fp16" run the model under autocast, unless
            `faster` has its weights in bf16. Scores and gradients come back in the input's type whatever the precision.
        head: what the outputs are; logits, of which a softmax makes probabilities, unless stated otherwise.
        faster: what runs in place of the model, if it is made of this one.
        compares: targets may be comparisons, see `sigcli.comparisons`: the difference of two classes' scores.

    Raises:
        UsageError: unknown output or precision.
    """

    model: Callable[[Tensor], Tensor]
    output: str = "logit"
    precision: str = "fp32"
    head: Head = LOGITS
    compares: bool = False
    faster: Faster | None = None

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
        scores = self.head.score(outputs, self.output)
        if not self.compares:
            return scores.gather(1, targets[:, None])[:, 0]
        classes = scores.shape[1]
        beyond, compared = (targets - classes).clamp(min=0), targets >= classes
        first, second = torch.where(compared, beyond // classes, targets), beyond % classes
        other = torch.where(compared, scores.gather(1, second[:, None])[:, 0], 0.0)
        return scores.gather(1, first[:, None])[:, 0] - other

    def outputs(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """The model's outputs, without gradient: (N, C, H, W) → (N, classes)."""
        faster = self._faster
        run = self.model if faster is None else faster.run
        with torch.no_grad(), autocast(self._around, images.device):
            return run(images).to(images.dtype)

    def scores(self, images: Float[Tensor, "n c h w"], targets: Int64[Tensor, " n"]) -> Float[Tensor, " n"]:
        """F of each image at its target, without gradient: (N,)."""
        return self.select(self.outputs(images), targets)

    def gradients(
        self, images: Float[Tensor, "n c h w"], targets: Int64[Tensor, " n"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n c h w"]]:
        """F of each image and ∂F/∂image: ((N,), (N, C, H, W)). One gradient evaluation per image."""
        faster = self._faster
        run = self.model if faster is None else faster.gradients_of
        return differentiated(lambda leaf: self.select(run(leaf).to(leaf.dtype), targets), images, self._around)

    @property
    def _faster(self) -> Faster | None:
        """What runs in place of the model; nothing where the model was replaced by another since."""
        return self.faster if self.faster is not None and self.faster.of is self.model else None

    @property
    def _around(self) -> str:
        """The precision of what runs around the network's own."""
        return "fp32" if self._faster is not None and self._faster.whole else self.precision
