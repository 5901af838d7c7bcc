"""How concentrated is the attribution? This does not measure whether it is right."""

from __future__ import annotations

import torch

from ..errors import AttributionError
from .case import Case, Measurement


def _magnitude(case: Case) -> torch.Tensor:
    magnitude = case.relevance.abs().flatten()
    if not bool(magnitude.any()):
        raise AttributionError("the map is zero everywhere")
    return magnitude


def sparseness(case: Case) -> Measurement:
    """Gini index of |attribution| per pixel, 0 (all equal) to nearly 1 (one pixel): Chalasani et al. 2020, section 2.3.

    Raises:
        AttributionError: a map that is zero everywhere.
    """
    ordered = _magnitude(case).sort().values
    d = len(ordered)
    place = torch.arange(1, d + 1, dtype=ordered.dtype, device=ordered.device)
    return Measurement(float(1 - 2 * (ordered / ordered.sum() * (d - place + 0.5) / d).sum()))


def entropy(case: Case) -> Measurement:
    """Entropy of |attribution| / Σ|attribution|, in nats, 0 to log(pixels): Bhatt et al. 2020, Definition 3 ("complexity").

    Raises:
        AttributionError: a map that is zero everywhere.
    """
    share = _magnitude(case)
    share = share / share.sum()
    return Measurement(float(-torch.special.xlogy(share, share).sum()))
