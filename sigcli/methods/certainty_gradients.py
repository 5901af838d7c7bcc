"""Integrated Certainty Gradients: a path in certainty, at a fixed image."""

from __future__ import annotations

import numpy as np

from .. import draws
from ..engine.plan import Plan, certainty_reference, straight
from ..types import Subject
from .common import at_least, line_nodes, positive
from .integrated_gradients import noisy


def icg(
    subject: Subject, *, steps: int = 50, samples: int = 1, sigma: float = 0.05, rule: str = "gauss-legendre"
) -> Plan:
    """Integrated Certainty Gradients, `ICG_i = ∫₀¹ ∂F(x, α·1)/∂c_i dα` ([ICG] section 4).

    The certainty c of every pixel goes from 0 (nothing is known) to 1, while the image stays as it is: there is no baseline
    image to choose. Needs a certainty-aware network, trained with damaged inputs. One value per
    pixel, (1, H, W); they sum to F(x, 1) - F(x, 0).

    Args:
        subject: what is explained.
        steps: gradient evaluations along the path; at least 64 for probabilities, which jump.
        samples: number of paths; several are averaged, each of the image with low noise ([ICG] A.4.1 takes 5).
        sigma: standard deviation of that noise, as a fraction of the pixel range; unused with one path.
        rule: gauss-legendre, riemann-left, riemann-right, riemann-middle, trapezoid or stratified (random).

    Raises:
        UsageError: an unknown rule, counts below 1, or an invalid sigma.
    """
    at_least(1, samples=samples, steps=steps)
    key = draws.stream(subject.seed, subject.key, "icg")
    nodes, weights = line_nodes(rule, steps, samples, draws.stream(key, rule))
    if samples == 1:
        return straight(certainty_reference(subject.x), nodes, weights, certainty=True)
    positive(sigma=sigma)
    noise = noisy(subject, sigma, draws.stream(key, "noise"))
    return straight(certainty_reference(noise), nodes, weights / samples, unit=np.arange(samples), certainty=True)
