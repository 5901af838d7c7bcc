"""Plain gradients: no path, or a path of one point."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from .. import draws
from ..baselines.single import baseline as single_baseline
from ..engine.plan import Plan, Reference, straight
from ..types import Subject
from .common import at_least, positive
from .integrated_gradients import noisy
from .libragrad import corrigible

_ONE = np.ones((1, 1))


@corrigible
def gradient(subject: Subject) -> Plan:
    """∂F/∂x at the input, Simonyan, Vedaldi, Zisserman 2014; in score per unit of the model's input."""
    return straight(Reference.fixed(subject.x), _ONE, _ONE, multiply=False)


@corrigible
def input_x_gradient(subject: Subject, *, baseline: str | Tensor = "zero") -> Plan:
    """(x - x')·∂F/∂x at the input, Shrikumar et al. 2016; with the baseline "zero" it is input times gradient.

    It is Integrated Gradients with one node at α = 1, so it equals IG where F is linear along the path.

    Args:
        subject: what is explained.
        baseline: x', the image that is subtracted from the input; "zero" is 0 in the network's own input.
    """
    return straight(Reference.fixed(single_baseline(baseline, subject)), _ONE, _ONE)


@corrigible
def smoothgrad(subject: Subject, *, samples: int = 50, sigma: float = 0.15) -> Plan:
    """Mean of ∂F/∂x over Gaussian noise on the input, Smilkov et al. 2017.

    Args:
        subject: what is explained.
        samples: number of noisy images.
        sigma: standard deviation of the noise, as a fraction of the pixel range.
    """
    at_least(1, samples=samples)
    positive(sigma=sigma)
    reference = Reference(noisy(subject, sigma, draws.stream(subject.seed, subject.key, "smoothgrad", "noise")))
    nodes = np.zeros((samples, 1))
    return straight(reference, nodes, np.full((samples, 1), 1 / samples), unit=np.arange(samples), multiply=False)
