"""Straight lines to the input: Integrated Gradients, Expected Gradients, additive Gaussian noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from .. import draws
from ..baselines.single import baseline as single_baseline
from ..engine import quadrature
from ..engine.plan import Plan, Reference, straight
from ..types import Subject
from .common import at_least, bounds, line_nodes, one_of, positive, units
from .libragrad import corrigible
from .references import references


@corrigible
def ig(subject: Subject, *, baseline: str | Tensor = "black", steps: int = 50, rule: str = "gauss-legendre") -> Plan:
    """Integrated Gradients, Sundararajan, Taly, Yan 2017, Eq. 1 ([SIG] Eq. 3).

    Args:
        subject: what is explained.
        baseline: the baseline x', see `sig list baselines`.
        steps: gradient evaluations along the line.
        rule: gauss-legendre, riemann-left, riemann-right, riemann-middle, trapezoid or stratified (random).
    """
    key = draws.stream(subject.seed, subject.key, "ig", rule)
    nodes, weights = line_nodes(rule, steps, 1, key)
    return straight(Reference.fixed(single_baseline(baseline, subject)), nodes, weights)


@corrigible
def eg(
    subject: Subject, *, samples: int = 256, baselines: Literal["images", "uniform"] = "images", steps: int = 1
) -> Plan:
    """Expected Gradients, Erion et al. 2021: E over references r and α ~ U(0,1) of (x - r)·∂F(r + α(x - r)).

    Args:
        subject: what is explained.
        samples: number of references drawn.
        baselines: "images" draws from the other images (with replacement only once all were used); "uniform" draws
            uniform noise, a new one each time.
        steps: stratified random nodes per reference.
    """
    at_least(1, samples=samples, steps=steps)
    one_of(("images", "uniform"), baselines=baselines)
    key = draws.stream(subject.seed, subject.key, "eg", baselines)
    nodes, weights = _stratified_lines(samples, steps, key)
    reference = references(subject, baselines, samples, key, "eg")
    return straight(reference, nodes, weights / samples, unit=units(samples))


@corrigible
def agn(subject: Subject, *, samples: int = 256, sigma: float = 0.5, steps: int = 1) -> Plan:
    """Integrated Gradients from x + Gaussian noise, averaged ("additive Gaussian noise", Sturmfels et al. 2020).

    Args:
        subject: what is explained.
        samples: number of noisy references.
        sigma: standard deviation of the noise, as a fraction of the pixel range.
        steps: stratified random nodes per reference.
    """
    at_least(1, samples=samples, steps=steps)
    positive(sigma=sigma)
    key = draws.stream(subject.seed, subject.key, "agn")
    nodes, weights = _stratified_lines(samples, steps, key)
    reference = Reference(noisy(subject, sigma, draws.stream(key, "noise")))
    return straight(reference, nodes, weights / samples, unit=units(samples))


def noisy(subject: Subject, sigma: float, key: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The image under Gaussian noise: a function of (k,) draw indices giving (k, C, H, W)."""

    def sample(indices: torch.Tensor) -> torch.Tensor:
        x = subject.x
        noise = draws.normal16(key, indices, x.numel(), x.device).to(x.dtype).reshape(-1, *x.shape)
        return x + noise * (sigma * (subject.high - subject.low))

    return sample


def _stratified_lines(samples: int, steps: int, key: int) -> tuple[np.ndarray, np.ndarray]:
    """Random nodes for many lines, (samples, steps); with one node each, they are stratified over a replicate's lines."""
    nodes, weights = line_nodes(quadrature.STRATIFIED, steps, samples, draws.stream(key, "nodes"))
    if steps > 1:
        return nodes, weights
    u = draws.rows(draws.stream(key, "ranks"), 0, samples, 1)[:, 0]
    lengths = np.diff([0, *(last for _, last in bounds(samples))])
    even = len(lengths) if (lengths == lengths[0]).all() else len(lengths) - 1  # the last has what is left over
    cut = int(lengths[:even].sum())
    every = [part.reshape(count, -1) for part, count in ((u[:cut], even), (u[cut:], 1)) if part.size]
    ranks = np.concatenate([np.argsort(np.argsort(part, axis=1), axis=1).ravel() for part in every])
    return ((ranks + nodes[:, 0]) / np.repeat(lengths, lengths))[:, None], weights
