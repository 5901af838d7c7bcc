"""ROAD's noisy linear imputation: each removed pixel becomes the weighted mean of what is around it, and a little noise.

The weighted means of all removed pixels are one symmetric, positive definite linear system per image: a discrete Laplace
equation on the removed pixels with the kept ones as its boundary. It is solved on the device for a batch at a time, by
conjugate gradients with one multigrid V-cycle as preconditioner, in 10 to 15 rounds whatever is removed; a sparse
factorisation per image, as the authors' code and other tools have it, takes the longer the more is removed.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d, pad

from .. import draws
from ..types import Subject

ROAD = "road"
_NOISE = 0.01
_TOLERANCE = 3e-4
"""Residual at which a solution in float32 is left, as a fraction of the pixel range: the noise is thirty times as large."""
_DAMPING = 0.8
_ROUNDS, _COARSEST, _SWEEPS = 200, 4, 8
_CACHED = 2
"""Images solved at once on a CPU: more of them fall out of its cache."""

Planes = Float[Tensor, "m c h w"]


class Road:
    """Noisy linear imputation, Rong et al. 2022 ("A consistent and efficient evaluation strategy for attribution methods").

    Each removed pixel is the weighted mean of its eight neighbours (direct ones 1/6, diagonal ones 1/12, their weights
    scaled up at the border). What is left of an image tells less about which pixels were removed than a constant does.
    """

    def __init__(self, subject: Subject):
        self.subject = subject
        x = subject.x
        key = draws.stream(subject.seed, subject.key, ROAD)
        noise = draws.normal16(key, torch.zeros(1, dtype=torch.long), x.numel())[0].reshape(x.shape)
        self._span = (subject.high - subject.low).to(x)
        self._noise = _NOISE * noise.to(x) * self._span

    def __call__(self, removed: Bool[Tensor, "m h w"]) -> Planes:
        """Images in which the removed pixels are filled in."""
        x = self.subject.x
        tolerance = (_TOLERANCE if x.dtype != torch.float64 else 1e-12) * float(self._span.max())
        step = _CACHED if x.device.type == "cpu" else len(removed)
        parts = [harmonic(x, removed[i : i + step], tolerance) for i in range(0, len(removed), max(1, step))]
        return torch.cat(parts) + self._noise


def harmonic(x: Float[Tensor, "c h w"], removed: Bool[Tensor, "m h w"], tolerance: float) -> Planes:
    """Images whose removed pixels are the weighted means of their neighbours; the image's mean where nothing is left.

    Args:
        x: (C, H, W) the image.
        removed: (m, H, W) pixels to fill in.
        tolerance: greatest residual of a pixel, in the unit of x. An image is left once it is below, whatever the others
            of its batch need.
    """
    open_ = removed & ~removed.all(dim=(1, 2), keepdim=True)
    levels = _levels(open_[:, None].to(x))
    mask, _, total = levels[0]
    kept = torch.where(open_[:, None], torch.zeros_like(x), x)
    kept = torch.where(removed.all(dim=(1, 2))[:, None, None, None], x.mean(dim=(1, 2), keepdim=True), kept)
    filled = torch.zeros_like(kept)
    residual = _spread(kept) * mask
    search = before = product = None
    for _ in range(_ROUNDS):
        active = residual.abs().amax(dim=(1, 2, 3)) > tolerance
        if not bool(active.any()):
            break
        better = _cycle(residual, levels)
        now = _dot(residual, better)
        search = better if search is None else better + _ratio(now, before) * search
        product = (total * search - _spread(search)) * mask
        length = torch.where(active[:, None, None, None], _ratio(now, _dot(search, product)), 0)
        filled = filled + length * search
        residual = residual - length * product
        before = now
    return kept + filled


def _dot(a: Planes, b: Planes) -> Float[Tensor, "m 1 1 1"]:
    return (a * b).sum(dim=(1, 2, 3), keepdim=True)


def _ratio(above: Tensor, below: Tensor | None) -> Tensor:
    assert below is not None
    return torch.where(below > 0, above / below.clamp(min=torch.finfo(below.dtype).tiny), 0)


def _spread(u: Planes) -> Planes:
    """Sum of the eight neighbours with weights 1/6 and 1/12: [1 2 1] x [1 2 1] / 12 less its centre."""
    padded = pad(u, (1, 1, 1, 1))
    rows = padded[..., 1:-1, :] * 2
    rows += padded[..., :-2, :]
    rows += padded[..., 2:, :]
    out = rows[..., 1:-1] * 2
    out += rows[..., :-2]
    out += rows[..., 2:]
    out -= 4 * u
    return out.div_(12)


def _levels(mask: Float[Tensor, "m 1 h w"]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """From fine to coarse: removed pixels, their inverse diagonal, and the diagonal (the weights within the image).

    A coarse cell is open where all its pixels are removed, so the boundary never lies inside one.
    """
    levels = []
    while True:
        total = _spread(torch.ones_like(mask[:1]))
        levels.append((mask, mask / total, total))
        if min(mask.shape[-2:]) <= _COARSEST:
            return levels
        mask = 1 - max_pool2d(1 - mask, 2, 2, ceil_mode=True)


def _cycle(residual: Planes, levels: list[tuple[Tensor, Tensor, Tensor]], depth: int = 0) -> Planes:
    """One symmetric V-cycle from zero: damped Jacobi, correction on the next coarser level, damped Jacobi."""
    mask, inverse, total = levels[depth]
    u = _DAMPING * residual * inverse
    if depth + 1 == len(levels):
        for _ in range(_SWEEPS):
            u = u + _DAMPING * (residual - total * u + _spread(u)) * inverse
        return u
    height, width = u.shape[-2:]
    left = (residual - total * u + _spread(u)) * mask
    coarse = 4 * avg_pool2d(pad(left, (0, width % 2, 0, height % 2)), 2) * levels[depth + 1][0]
    correction = interpolate(_cycle(coarse, levels, depth + 1), scale_factor=2, mode="nearest")
    u = u + correction[..., :height, :width] * mask
    return u + _DAMPING * (residual - total * u + _spread(u)) * inverse
