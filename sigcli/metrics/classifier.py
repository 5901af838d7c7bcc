"""The model itself: how often it is right, and whether its confidence matches its accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from ..errors import UsageError


def accuracy(predicted: Int[np.ndarray, " n"], labels: Int[np.ndarray, " n"]) -> float:
    """Fraction of the images whose predicted class is their label."""
    return float(np.mean(predicted == labels))


def top_accuracy(ranked: Int[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> float:
    """Fraction of the images whose label is among the k classes of highest score."""
    return float(np.mean((ranked == labels[:, None]).any(1)))


def calibration_error(confidence: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> float:
    """Expected calibration error over 15 bins, see `reliability`."""
    return reliability(confidence, right).error


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability diagram.

    Args:
        edges: (b + 1,) of the bins of confidence.
        confidence: (b,) mean confidence in each bin, NaN where it is empty.
        accuracy: (b,) fraction of right answers in each bin, NaN where it is empty.
        count: (b,) images in each bin.
        error: expected calibration error.
    """

    edges: Float[np.ndarray, " e"]
    confidence: Float[np.ndarray, " b"]
    accuracy: Float[np.ndarray, " b"]
    count: Int[np.ndarray, " b"]
    error: float


def reliability(confidence: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"], *, bins: int = 15) -> Reliability:
    """Expected calibration error over equal bins of confidence: Σ (n_b/n)·|accuracy_b - confidence_b| (Guo 2017, Eq. 3).

    Args:
        confidence: (n,) probability of the predicted class.
        right: (n,) whether it was right.
        bins: number of bins on (0, 1].

    >>> reliability(np.array([1.0, 1.0]), np.array([True, False])).error
    0.5
    """
    if bins < 1 or not len(confidence):
        raise UsageError("calibration needs at least one image and one bin", given=f"{len(confidence)}, {bins}")
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, confidence, bins) / count
        share = np.bincount(place, right.astype(float), bins) / count
    error = float(np.nansum(count / count.sum() * np.abs(share - mean)))
    return Reliability(edges, mean, share, count, error)
