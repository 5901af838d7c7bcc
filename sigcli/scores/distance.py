"""A scorer for two images: minus the distance of the image that is explained to a second one, which is held fixed.

Nothing above this file knows that there are two. The second images are numbered, and a subject's target is the number of
its own. Positive attribution pulls the pair together, negative attribution pushes it apart, as in [SIG] Fig. 5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..errors import AttributionError, unknown
from .score import Precision, autocast, differentiated

DISTANCES = ("distance", "cosine-distance")
"""What a user may ask for: Euclidean, or 1 - cosine, between the embeddings of the two images."""

SMOOTHING = 1e-4
"""ε of the Euclidean distance, as a fraction of the second image's embedding norm.

The distance √(‖u-v‖²) has a kink where the embeddings u and v agree: no gradient there, and one of length 1 but arbitrary
direction (rounding) beside it. √(‖u-v‖² + ε²) - ε is smooth, still 0 there, with gradient 0, and never more than ε below.
"""


@runtime_checkable
class Partners(Protocol):
    """The second images, by number."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def image(self, index: int) -> Tensor:
        """The second image of that number, (C, H, W) in the model's input space, on the model's device."""
        ...


def explained(output: str) -> str:
    """What is explained where a user asks for that distance: minus it, so red (positive) means closer.

    >>> explained("cosine-distance")
    'minus cosine-distance'
    """
    return f"minus {output}"


def euclidean(
    embeddings: Float[Tensor, "n k"], partners: Float[Tensor, "n k"], smoothing: float = SMOOTHING
) -> Float[Tensor, " n"]:
    """√(‖u-v‖² + ε²) - ε with ε = smoothing · ‖v‖, see `SMOOTHING`; in the unit of the embeddings.

    >>> euclidean(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
    tensor([5.])
    """
    epsilon = (smoothing * partners.norm(dim=1)).clamp(min=1e-12)
    return ((embeddings - partners).square().sum(1) + epsilon.square()).sqrt() - epsilon


def cosine(embeddings: Float[Tensor, "n k"], partners: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """1 - cosine of the angle between u and v: 0 for one direction, 2 for opposite ones; smooth where u = v."""
    return 1 - torch.nn.functional.cosine_similarity(embeddings, partners, dim=1)


_KINDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"distance": euclidean, "cosine-distance": cosine}


@dataclass(frozen=True, eq=False)
class EmbeddingDistance:
    """Minus the distance between the embeddings of an image and of its partner; fulfils `sigcli.scores.score.Score`.

    The partners are embedded once each. Targets are numbers of partners.

    Args:
        model: (N, C, H, W) → (N, K) embeddings.
        partners: the second images.
        distance: one of `DISTANCES`.
        precision: see `sigcli.scores.classifier.ClassScore`.

    Raises:
        UsageError: unknown distance or precision.
    """

    model: Callable[[Tensor], Tensor]
    partners: Partners
    distance: str = "distance"
    precision: str = "fp32"
    _embedded: dict[int, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self.distance, self.precision)

    @property
    def output(self) -> str:
        """What the scores are."""
        return explained(self.distance)

    def outputs(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Embeddings of images, without gradient."""
        with torch.no_grad(), autocast(self.precision, images.device):
            return self.model(images).to(images.dtype)

    def scores(self, images: Float[Tensor, "n c h w"], targets: Int64[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Minus the distance of each image to the partner of that number, without gradient: (N,)."""
        return -_KINDS[self.distance](self.outputs(images), self._partners(targets))

    def gradients(
        self, images: Float[Tensor, "n c h w"], targets: Int64[Tensor, " n"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n c h w"]]:
        """Minus the distance and its gradient by the first image: ((N,), (N, C, H, W))."""
        partners, kind = self._partners(targets), _KINDS[self.distance]
        return differentiated(lambda leaf: -kind(self.model(leaf).to(leaf.dtype), partners), images, self.precision)

    def _partners(self, targets: Tensor) -> Tensor:
        numbers, rows = torch.unique(targets, return_inverse=True)
        return torch.stack([self._embedding(number) for number in numbers.tolist()])[rows]

    def _embedding(self, number: int) -> Tensor:
        if number not in self._embedded:
            found = self.outputs(self.partners.image(number)[None])[0]
            if not bool(torch.isfinite(found).all()):
                raise AttributionError("the embedding of the second image holds NaN or infinity")
            if self.distance == "cosine-distance" and not bool(found.any()):
                raise AttributionError(
                    "cosine distance is undefined: the embedding of the second image is zero",
                    hint="Use --output distance.",
                )
            self._embedded[number] = found
        return self._embedded[number]


@dataclass(frozen=True, eq=False)
class PairDistance:
    """Minus the distance that a model of two images gives; fulfils `Score`. Targets are numbers of partners.

    Args:
        model: ((N, C, H, W), (N, C, H, W)) → (N,) distances.
        partners: the second images; brought to the size of the first where they differ.
        precision: see `sigcli.scores.classifier.ClassScore`.

    Raises:
        UsageError: unknown precision.
    """

    model: Callable[[Tensor, Tensor], Tensor]
    partners: Partners
    precision: str = "fp32"

    def __post_init__(self) -> None:
        _check("distance", self.precision)

    @property
    def output(self) -> str:
        """What the scores are."""
        return explained("distance")

    def scores(self, images: Float[Tensor, "n c h w"], targets: Int64[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Minus the distance of each image to the partner of that number, without gradient: (N,)."""
        with torch.no_grad(), autocast(self.precision, images.device):
            return -self.model(images, self._partners(images, targets)).to(images.dtype)

    def gradients(
        self, images: Float[Tensor, "n c h w"], targets: Int64[Tensor, " n"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n c h w"]]:
        """Minus the distance and its gradient by the first image: ((N,), (N, C, H, W))."""
        partners = self._partners(images, targets)
        return differentiated(lambda leaf: -self.model(leaf, partners).to(leaf.dtype), images, self.precision)

    def _partners(self, images: Tensor, targets: Tensor) -> Tensor:
        numbers, rows = torch.unique(targets, return_inverse=True)
        found = [self.partners.image(number).to(images) for number in numbers.tolist()]
        size = tuple(images.shape[-2:])
        fitted = [
            image
            if tuple(image.shape[-2:]) == size
            else torch.nn.functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
            for image in found
        ]
        return torch.stack(fitted)[rows]


def _check(distance: str, precision: str) -> None:
    for kind, value, choices in (("output", distance, DISTANCES), ("precision", precision, get_args(Precision))):
        if value not in choices:
            raise unknown(kind, value, choices)
