"""What crosses layers: the thing explained and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from .heads import LOGITS, Head

_ROUNDING = 1e-6
"""Of sums in float32, relative to the sum of all |values|."""


@runtime_checkable
class Peers(Protocol):
    """The images that an image is compared with: the mean, random and Expected-Gradients references come from them."""

    def __len__(self) -> int:
        """How many images there are."""
        ...

    def image(self, index: int) -> Tensor:
        """The image of that index, (C, H, W) in the model's input space, on any device."""
        ...

    def mean(self) -> Tensor:
        """The mean of all images, (C, H, W) in the model's input space."""
        ...

    def keys(self) -> Sequence[int]:
        """The content key of each image."""
        ...


@dataclass(frozen=True, eq=False)
class Subject:
    """One image to explain, in the model's input space.

    Args:
        x: (C, H, W) floating point, preprocessed.
        target: what the score is of: the class index for a classifier, or a number of `sigcli.comparisons`.
        low: value of a black pixel in the model's input space, broadcastable to (C, 1, 1).
        high: value of a white pixel, likewise.
        key: 64-bit content key of the image, from which every random draw derives.
        seed: seed of the run.
        peers: the other images, or None where there are none.
        model: images (N, C, H, W) → scores (N, classes) for baselines that are learned from it, or None.
        head: what that model's outputs are.
        prepare: pixels, uint8 (H, W, 3) → (C, H, W), as the image itself was brought to the model; None where none are.
    """

    x: Tensor
    target: int
    low: Tensor
    high: Tensor
    key: int
    seed: int = 0
    peers: Peers | None = None
    model: Callable[[Tensor], Tensor] | None = None
    head: Head = LOGITS
    prepare: Callable[[np.ndarray], Tensor] | None = None

    @property
    def picture(self) -> Tensor:
        """The image in 0..1, (C, H, W)."""
        return (self.x - self.low) / (self.high - self.low)


@dataclass(frozen=True, eq=False)
class Attribution:
    """What an explanation returns.

    Args:
        values: (C, H, W), in the score's unit where the method is complete.
        score: F(x).
        evaluations: passes of one image through the model that were spent on the values, with or without a backward pass.
        check_evaluations: further forward passes, spent on the score and the completeness check.
        completeness_gap: |Σ values − total|, in the score's unit; None where the method makes no such claim.
        total: the score difference that the values should sum to, or None.
        stderr: (C, H, W) standard error of `values`, or None where nothing was sampled.
        deviations: (j, H, W) independent maps D of mean 0, channels summed, such that Σ L(D)² estimates the variance of any
            linear functional L of the map (a pixel of it smoothed, the sum over a region) without bias, with about j degrees
            of freedom (one less where they sum to 0); None where this is not known.
        players: (H, W) player of each position, or None.
        player_values: (n,) sum of the values over each player, or None.
        seconds: wall time of this explanation, or its part of that of shared batches.
        note: what the user should know of this map, a sentence without a full stop; empty where there is nothing.
        forward_evaluations: how many of the evaluations were forward passes alone; `methods.run` notes what was counted.
        stopped: where a run goes on until it is exact enough, why it ended and with which option: "tolerance: samples=512".
    """

    values: Tensor
    score: float
    evaluations: int
    check_evaluations: int = 0
    completeness_gap: float | None = None
    total: float | None = None
    stderr: Tensor | None = None
    deviations: Tensor | None = None
    players: Tensor | None = None
    player_values: Tensor | None = None
    seconds: float = 0.0
    note: str = ""
    forward_evaluations: int = 0
    stopped: str = ""

    @property
    def gradient_evaluations(self) -> int:
        """Forward and backward passes of one image that were spent on the values."""
        return self.evaluations - self.forward_evaluations

    @property
    def relative_gap(self) -> float | None:
        """The completeness gap over the score difference; None where there is no gap, or no difference beyond rounding."""
        if self.completeness_gap is None or self.total is None or abs(self.total) <= 1e-6 * max(1.0, abs(self.score)):
            return None
        return self.completeness_gap / abs(self.total)

    @property
    def standard_error(self) -> float | None:
        """Standard error of the whole map as a vector, sqrt(Σ stderr²), in the score's unit."""
        return None if self.stderr is None else float(self.stderr.double().norm())

    @property
    def relative_standard_error(self) -> float | None:
        """`standard_error` over the map's own norm: 0.1 means that a tenth of the map is sampling noise."""
        if self.stderr is None:
            return None
        return float(self.stderr.double().norm() / self.values.double().norm().clamp(min=1e-30))

    @property
    def sum_standard_error(self) -> float | None:
        """Standard error of the sum of all values, in the score's unit: how far other draws would move it.

        It is 0 where the sums of all replicates are the same but for rounding; None where there are no `deviations`.
        """
        if self.deviations is None:
            return None
        error = float(self.deviations.double().flatten(1).sum(1).norm())
        return error if error > _ROUNDING * float(self.deviations.double().abs().sum()) else 0.0
