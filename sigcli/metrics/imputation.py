"""What stands in for removed pixels: a fixed picture, or ROAD's noisy linear interpolation of what is around them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import splu
from torch import Tensor

from .. import draws
from ..baselines.single import baseline
from ..types import Subject
from .removal import Fill

ROAD = "road"
_NOISE = 0.01


@lru_cache(maxsize=8)  # all maps and metrics of an image share its blurred copy
def imputed(name: str, subject: Subject) -> Float[Tensor, "c h w"] | Fill:
    """The replacement of that name: road, or any baseline (black, mean, blur:SIGMA …, see `sig list baselines`).

    Raises:
        UsageError: no such baseline.
        AttributionError: a baseline that needs other images where there are none.
    """
    return Road(subject) if name == ROAD else baseline(name, subject)


class Road:
    """Noisy linear imputation, Rong et al. 2022 ("A consistent and efficient evaluation strategy for attribution methods").

    Each removed pixel is the weighted mean of its eight neighbours (direct ones 1/6, diagonal ones 1/12, their weights
    scaled up at the border), which gives one sparse linear system per image; then a little noise. What is left of an image
    tells less about which pixels were removed than a constant does.
    """

    def __init__(self, subject: Subject):
        self.subject = subject

    def __call__(self, removed: Bool[Tensor, "m h w"]) -> Float[Tensor, "m c h w"]:
        """Images in which the removed pixels are filled in."""
        x = self.subject.x
        key = draws.stream(self.subject.seed, self.subject.key, ROAD)
        noise = draws.normal16(key, torch.zeros(1, dtype=torch.long), x.numel())[0].reshape(x.shape).double()
        span = (self.subject.high - self.subject.low).double().cpu()
        pixels = x.double().cpu().numpy()
        filled = np.stack([_interpolated(pixels, mask) for mask in removed.cpu().numpy()])
        return (torch.from_numpy(filled) + _NOISE * noise * span).to(x)


_NEIGHBOURS = [
    (dy, dx, 1 / 6 if 0 in (dy, dx) else 1 / 12) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)
]


def _interpolated(pixels: Float[np.ndarray, "c h w"], removed: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "c h w"]:
    """Solve value = weighted mean of the neighbours for every removed pixel; black where nothing at all is left."""
    if not removed.any():
        return pixels
    if removed.all():
        return np.zeros_like(pixels)
    height, width = removed.shape
    number = np.full(removed.shape, -1)
    number[removed] = np.arange(removed.sum())
    ys, xs = np.nonzero(removed)
    rows, columns, weights = [np.arange(len(ys))], [np.arange(len(ys))], [np.ones(len(ys))]
    known = np.zeros((len(ys), len(pixels)))
    total = np.zeros(len(ys))
    inside = []
    for dy, dx, weight in _NEIGHBOURS:
        y, x = ys + dy, xs + dx
        ok = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        total += weight * ok
        inside.append((np.nonzero(ok)[0], y[ok], x[ok], weight))
    for at, y, x, weight in inside:
        share = weight / total[at]
        other = number[y, x]
        open_ = other >= 0
        rows.append(at[open_])
        columns.append(other[open_])
        weights.append(-share[open_])
        np.add.at(known, at[~open_], share[~open_, None] * pixels[:, y[~open_], x[~open_]].T)
    system = csr_matrix((np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))))
    filled = pixels.copy()
    filled[:, ys, xs] = splu(system.tocsc()).solve(known).T
    return filled
