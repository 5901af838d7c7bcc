"""Nodes and weights on [0, 1]. A rule is data that checks itself when it is used; adding one is one line of the table.

Weights sum to 1 in every rule, so the integral of a constant is exact (captum's `riemann_trapezoid` sums to 0.98 at
50 steps). `order` is the rate p of the error O(steps^-p) on a smooth integrand; the tests fit it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from jaxtyping import Float64

from ..errors import unknown

Nodes = tuple[Float64[np.ndarray, " q"], Float64[np.ndarray, " q"]]


@dataclass(frozen=True)
class Rule:
    """A quadrature rule on [0, 1].

    Args:
        name: what a user types.
        build: steps → (nodes, weights), both float64 of length steps.
        order: rate of convergence on a smooth integrand; infinity for a spectral rule.
        minimum: the least number of steps.
    """

    name: str
    build: Callable[[int], Nodes]
    order: float
    minimum: int = 1

    def __call__(self, steps: int) -> Nodes:
        """Nodes and weights; raises ValueError where steps is too small or the weights do not sum to 1."""
        if steps < self.minimum:
            raise ValueError(f"{self.name} needs at least {self.minimum} steps, got {steps}")
        nodes, weights = self.build(steps)
        if abs(weights.sum() - 1) > 1e-9 or nodes.min() < 0 or nodes.max() > 1:
            raise ValueError(f"{self.name} with {steps} steps is not a rule on [0, 1]")
        return nodes, weights


@lru_cache(maxsize=8)  # 256 nodes take 40 ms, as much as three gradients of a small network
def _gauss_legendre(steps: int) -> Nodes:
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    rule = (nodes + 1) / 2, weights / 2
    for array in rule:
        array.flags.writeable = False  # they are shared
    return rule


def _riemann(offset: float, steps: int) -> Nodes:
    return (np.arange(steps) + offset) / steps, np.full(steps, 1 / steps)


def _trapezoid(steps: int) -> Nodes:
    weights = np.full(steps, 1 / (steps - 1))
    weights[[0, -1]] /= 2
    return np.linspace(0, 1, steps), weights


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in [
        Rule("gauss-legendre", _gauss_legendre, float("inf")),
        Rule("riemann-left", partial(_riemann, 0.0), 1),
        Rule("riemann-right", partial(_riemann, 1.0), 1),
        Rule("riemann-middle", partial(_riemann, 0.5), 2),
        Rule("trapezoid", _trapezoid, 2, minimum=2),
    ]
}
STRATIFIED = "stratified"


def stratified(offsets: Float64[np.ndarray, "k q"]) -> tuple[Float64[np.ndarray, "k q"], Float64[np.ndarray, " q"]]:
    """Stratified random nodes: one uniform node in each of q equal parts of [0, 1]; unbiased for every integrand.

    Args:
        offsets: (k, q) uniform numbers, a row per integral; they place the node within its part.

    Returns:
        (k, q) nodes and (q,) weights. The error of one integral falls as q^-1.5 on a smooth integrand.
    """
    steps = offsets.shape[1]
    return (np.arange(steps) + offsets) / steps, np.full(steps, 1 / steps)


def rule(name: str) -> Rule:
    """The deterministic rule of that name; raises UsageError with the nearest right name."""
    if name not in RULES:
        raise unknown("quadrature rule", name, [*RULES, STRATIFIED])
    return RULES[name]
