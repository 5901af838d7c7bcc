"""What a metric is given, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy.stats import rankdata
from torch import Tensor

from ..errors import AttributionError
from ..types import Subject


@runtime_checkable
class Outputs(Protocol):
    """All that a metric needs of a model: its outputs, without gradient."""

    def outputs(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """The network's outputs as they are, (N, C, H, W) → (N, classes)."""
        ...


@runtime_checkable
class Judge(Protocol):
    """A score that tells itself what metrics follow: of a region of an image, of a box in it."""

    def judged(
        self, images: Float[Tensor, "n c h w"], targets: Int64[Tensor, " n"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Int64[Tensor, " n"]]:
        """The score of each image at its target, a probability of it (NaN where there is none), and what is predicted."""
        ...

    def identity(self, target: int) -> list[Any]:
        """What a target is, whatever number it has in a run: the same for the same class and place."""
        ...


@dataclass(frozen=True, eq=False)
class Case:
    """One attribution of one image, to be measured.

    Args:
        subject: the image, its target and the range of its pixels.
        values: (C, H, W) attribution, (1, H, W) or (H, W); C as the image has.
        mask: (H, W) where the object is, or None.
        void: (H, W) what is neither object nor ground, so localisation leaves it out; or None.

    Raises:
        AttributionError: values of a shape other than the image's, or that are not all finite; a mask of another size, or
            one that holds nothing or everything but the void.
    """

    subject: Subject
    values: Float[Tensor, "..."]
    mask: Bool[Tensor, "h w"] | None = None
    void: Bool[Tensor, "..."] | None = None
    relevance: Float[Tensor, "h w"] = field(init=False)
    """(H, W) attribution of each pixel, summed over its channels, in float64."""

    def __post_init__(self) -> None:
        size = tuple(self.subject.x.shape[-2:])
        channels, shape = self.subject.x.shape[0], tuple(self.values.shape)
        if shape not in {size, (1, *size), (channels, *size)}:
            raise AttributionError(
                "the attribution does not have the size and the channels of the image", given=shape,
                allowed=f"{size} or ({channels}, {size[0]}, {size[1]})",
            )  # fmt: skip
        if not bool(torch.isfinite(self.values).all()):
            raise AttributionError("the attribution holds NaN or infinity")
        for area in (self.mask, self.void):
            if area is not None and tuple(area.shape) != size:
                raise AttributionError(
                    "the mask does not have the size of the image", given=tuple(area.shape), allowed=f"{size}"
                )
        if self.mask is not None:
            rest = ~self.mask if self.void is None else ~(self.mask | self.void)
            if not bool(self.mask.any()) or not bool(rest.any()):
                raise AttributionError("the mask is empty or covers everything, so there is nothing to locate")
        values = self.values.double().to(self.subject.x.device)
        object.__setattr__(self, "relevance", values if values.ndim == 2 else values.sum(0))

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.relevance.numel()

    def rank(self, *, ascending: bool = False) -> Int64[Tensor, "h w"]:
        """Place of each pixel when they are taken in the order of relevance, 0 first; ties by position.

        Raises:
            AttributionError: a map that is the same everywhere.
        """
        return self._ascending if ascending else self._descending

    @cached_property
    def mean_ranks(self) -> Float[np.ndarray, " pixels"]:
        """Ranks of the relevance from 1, ties at their mean rank."""
        return rankdata(self.relevance.cpu().numpy().ravel())

    @cached_property
    def _descending(self) -> Int64[Tensor, "h w"]:
        return _places(-self.relevance)

    @cached_property
    def _ascending(self) -> Int64[Tensor, "h w"]:
        return _places(self.relevance)

    def located(self) -> Bool[Tensor, "h w"]:
        """The mask on the attribution's device.

        Raises:
            AttributionError: there is no mask.
        """
        if self.mask is None:
            raise AttributionError(
                "localisation needs a mask of the object", hint="Give a folder of masks with --masks."
            )
        return self.mask.to(self.relevance.device)

    def judged(self) -> tuple[Float[Tensor, " pixels"], Bool[Tensor, " pixels"]]:
        """What localisation judges: the relevance of every pixel but the void, and whether it lies on the object.

        Raises:
            AttributionError: there is no mask.
        """
        mask = self.located()
        if self.void is None:
            return self.relevance.flatten(), mask.flatten()
        known = ~self.void.to(mask.device)
        return self.relevance[known], mask[known]


def _places(values: Float[Tensor, "h w"]) -> Int64[Tensor, "h w"]:
    if bool((values == values[0, 0]).all()):
        raise AttributionError("the map is the same everywhere, so it does not rank the pixels")
    order = torch.argsort(values.flatten(), stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    return rank.reshape(values.shape)


@dataclass(frozen=True, eq=False)
class Measurement:
    """A metric's result.

    Args:
        value: the metric's value.
        at: (k,) points of its curve, for example fractions of removed pixels; None where it has none.
        curve: (k,) the curve, of which `value` is the area or mean.
    """

    value: float
    at: Float[np.ndarray, " k"] | None = None
    curve: Float[np.ndarray, " k"] | None = None


def reported(value: float | None, method: str) -> Measurement:
    """A value that the explanation itself reports.

    Args:
        value: the column of `results.csv`, see `column` in the table of metrics.
        method: the method that made the map, for the message.

    Raises:
        AttributionError: the explanation reports no such value.
    """
    if value is None:
        raise AttributionError(
            f"{method} does not report this value, or its array was saved before: see the run's results.csv"
        )
    return Measurement(float(value))
