"""How well a model uses certainty: the two tests of Integrated Certainty Gradients, A.3.1."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ..engine.batch_size import Batches, batches_of
from ..heads import LOGITS, Head

CertaintyModel = Callable[[Tensor, Tensor], Tensor]
BATCH = 64
"""Images per pass, at first: halved where memory runs out."""


def unknowing(
    model: CertaintyModel, x: Float[Tensor, "n c h w"], head: Head = LOGITS, size: int | Batches = BATCH
) -> Float[Tensor, "n k"]:
    """What a model that takes (x, c) predicts at c = 0: probabilities (N, classes), from batches of a size.

    Raises:
        MemoryShortage: not even one image fits the device.
    """

    def asked(part: slice) -> Tensor:
        return head.answers(model(x[part], torch.zeros_like(x[part, :1])))

    with torch.no_grad():
        return torch.cat([found for _, found in batches_of(size).parts(len(x), x.shape[1:], asked)])


def information_absence(
    model: CertaintyModel, x: Float[Tensor, "n c h w"], head: Head = LOGITS, size: int | Batches = BATCH
) -> float:
    """How far the prediction at c = 0 moves with x: mean total variation from the mean prediction (A.3.1).

    Args:
        model: takes pictures and certainty, returns outputs.
        x: pictures as the model takes them, the more different the better.
        head: what the outputs are.
        size: images per pass.

    Returns:
        0 for a model that ignores what it can't rely on, at most 1.
    """
    predictions = unknowing(model, x, head, size)
    return float((predictions - predictions.mean(dim=0)).abs().sum(dim=1).mean() / 2)


def neutrality(
    model: CertaintyModel,
    x: Float[Tensor, "n c h w"],
    shares: Float[Tensor, " k"],
    head: Head = LOGITS,
    size: int | Batches = BATCH,
) -> float:
    """How far the prediction at c = 0 is from the class frequencies at worst: `max |F(x, 0) − E[F(X)]|` (A.3.1).

    Args:
        model: takes pictures and certainty, returns outputs.
        x: pictures as the model takes them.
        shares: fraction of each class in the training data.
        head: what the outputs are.
        size: images per pass.

    Returns:
        the largest difference over pictures and classes; 0 is best.
    """
    predictions = unknowing(model, x, head, size)
    return float((predictions - shares.to(predictions.device)).abs().max())
