"""How pictures are damaged to train a certainty-aware model (Integrated Certainty Gradients, section 4 and A.3.2).

All functions are pure: they take a `torch.Generator` and change nothing that they are given. Pictures are in 0..1,
certainty is one channel, 1 where a pixel is sure to be itself.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Certainty = Literal["bernoulli", "continuous"]
Data = Literal["uniform", "adversarial"]

COMBINATIONS: tuple[tuple[Data, Certainty], ...] = (
    ("uniform", "bernoulli"),
    ("uniform", "continuous"),
    ("adversarial", "bernoulli"),
    ("adversarial", "continuous"),
)
"""The four kinds of damage, used in equal shares (A.3.3)."""

_NEAR_HALF = 1e-4  # closer to a mean of 1/2 than this, the first term of the series is exact to 1e-12
_BISECTIONS = 80


def continuous_bernoulli_mean(rate: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The mean of a continuous Bernoulli distribution, `λ/(2λ−1) + 1/(2 artanh(1−2λ))`, 1/2 at λ = 1/2.

    Args:
        rate: λ, each in the open interval 0..1.

    Returns:
        the means, float64 (Loaiza-Ganem & Cunningham 2019; A.3.2 calls it e(λ)).

    >>> continuous_bernoulli_mean(torch.tensor([0.5, 0.9])).round(decimals=4).tolist()
    [0.5, 0.6699]
    """
    rate = rate.double()
    slope = torch.logit(rate)
    near = slope.abs() < 1e-3
    safe = torch.where(near, torch.ones_like(slope), slope)
    exact = 1 / -torch.expm1(-safe) - 1 / safe
    return torch.where(near, 0.5 + slope / 12, exact)


def continuous_bernoulli_slope(mean: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The log-odds η = log(λ/(1−λ)) at which a continuous Bernoulli distribution has a given mean.

    The density is proportional to `exp(ηx)`, so η, unlike λ, loses no digits where the mean is near 0 or 1.

    Args:
        mean: each in the closed interval 0..1.

    Returns:
        η, float64: 0 at a mean of 1/2, −inf at 0 and inf at 1; found by bisection (A.3.2: λ' = e⁻¹).

    >>> continuous_bernoulli_slope(torch.tensor([0.5, 0.0])).tolist()
    [0.0, -inf]
    """
    mean = mean.double()
    below = torch.minimum(mean, 1 - mean)
    low = torch.full_like(below, _NEAR_HALF)
    high = 1 / below.clamp_min(1e-300)
    for _ in range(_BISECTIONS):
        middle = torch.sqrt(low * high)
        too_steep = 1 / middle - 1 / torch.expm1(middle) < below
        low, high = torch.where(too_steep, low, middle), torch.where(too_steep, middle, high)
    gap = 0.5 - below
    size = torch.where(gap < _NEAR_HALF, 12 * gap, torch.sqrt(low * high))
    size = torch.where(below <= 0, torch.full_like(size, torch.inf), size)
    return torch.where(mean < 0.5, -size, size)


def continuous_bernoulli(
    mean: Float[Tensor, " n"], shape: tuple[int, ...], generator: torch.Generator
) -> Float[Tensor, "n ..."]:
    """Draws from the continuous Bernoulli distribution with a given mean, by inverting its distribution function.

    Args:
        mean: one mean per item, 0..1.
        shape: the shape of one item.
        generator: where the draws come from.

    Returns:
        values in 0..1, float32 (n, *shape).
    """
    slope = -(continuous_bernoulli_slope(mean).abs().clamp(1e-4, 1e6).float())
    slope = slope.reshape(-1, *([1] * len(shape)))
    uniform = torch.rand((len(mean), *shape), generator=generator)
    low = torch.log1p(uniform * torch.expm1(slope)) / slope
    return torch.where(mean.reshape(slope.shape) < 0.5, low, 1 - low)


def certainty_map(
    kind: Certainty, mean: Float[Tensor, " n"], size: tuple[int, int], generator: torch.Generator
) -> Float[Tensor, "n 1 h w"]:
    """A certainty per pixel, independent with a given mean.

    Args:
        kind: `bernoulli` gives 0 or 1, `continuous` anything between.
        mean: one mean per picture, 0..1.
        size: height and width in pixels.
        generator: where the draws come from.
    """
    if kind == "continuous":
        return continuous_bernoulli(mean, (1, *size), generator)
    draws = torch.rand((len(mean), 1, *size), generator=generator)
    return (draws < mean.reshape(-1, 1, 1, 1)).to(draws.dtype)


def damage_data(kind: Data, images: Float[Tensor, "n c h w"], generator: torch.Generator) -> Float[Tensor, "n c h w"]:
    """What damaged pixels are replaced by: U(0,1) noise, or for each picture another one of the same batch.

    Args:
        kind: `uniform` or `adversarial`.
        images: pictures in 0..1; `adversarial` needs two or more, and never pairs a picture with itself.
        generator: where the draws come from.
    """
    if kind == "uniform":
        return torch.rand(images.shape, generator=generator, dtype=images.dtype)
    shift = int(torch.randint(1, max(len(images), 2), (1,), generator=generator))
    return images.roll(shift, dims=0)


def damaged(
    images: Float[Tensor, "n c h w"],
    certainty: Float[Tensor, "n 1 h w"],
    data: Float[Tensor, "n c h w"],
    generator: torch.Generator,
) -> Float[Tensor, "n c h w"]:
    """Damaged pictures: `D(x, c)_i = x_i` with probability `c_i`, else the damage data (section 4).

    A pixel is kept or lost with all of its channels.
    """
    keep = torch.rand(certainty.shape, generator=generator) < certainty
    return torch.where(keep, images, data)


def training_damage(
    images: Float[Tensor, "n c h w"], generator: torch.Generator
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n 1 h w"]]:
    """Damage a batch for training: the four combinations in turn, each picture's mean certainty from U(0,1).

    Args:
        images: pictures in 0..1; whose classes must be in random order.
        generator: where the draws come from.

    Returns:
        damaged pictures and their certainty, (N,C,H,W) and (N,1,H,W) (A.3.2 and A.3.3).
    """
    size = (images.shape[2], images.shape[3])
    mean = torch.rand(len(images), generator=generator)
    out, certainty = torch.empty_like(images), images.new_empty((len(images), 1, *size))
    adversary = damage_data("adversarial", images, generator)
    for turn, (data, kind) in enumerate(COMBINATIONS):
        mine = slice(turn, None, len(COMBINATIONS))
        if not len(images[mine]):
            continue
        other = adversary[mine] if data == "adversarial" else damage_data(data, images[mine], generator)
        certainty[mine] = certainty_map(kind, mean[mine], size, generator)
        out[mine] = damaged(images[mine], certainty[mine], other, generator)
    return out, certainty
