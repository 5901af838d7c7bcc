"""Is the attribution where the object is? Metrics that need a mask; 1 is best, but the ratio has no upper end."""

from __future__ import annotations

import numpy as np
import torch

from ..errors import AttributionError, UsageError
from .case import Case, Measurement


def pointing_game(case: Case, *, tolerance: int = 0) -> Measurement:
    """Whether the most relevant pixel lies on the object, 1 or 0 (Zhang et al. 2018, "Top-down neural attention").

    Args:
        case: what is measured.
        tolerance: pixels by which it may miss; the paper allows 15 on its images.
    """
    if tolerance < 0:
        raise UsageError("tolerance must be 0 or a positive number of pixels", given=tolerance)
    width = case.relevance.shape[1]
    case.rank()  # refuses a map that points nowhere
    at = int(case.relevance.argmax())
    rows, columns = torch.nonzero(case.located(), as_tuple=True)
    distance = ((rows - at // width).double().square() + (columns - at % width).double().square()).min().sqrt()
    return Measurement(float(distance <= tolerance))


def relevance_mass(case: Case) -> Measurement:
    """Fraction of the positive attribution that lies on the object (Arras, Osman, Samek 2022, "CLEVR-XAI", Eq. 1).

    Raises:
        AttributionError: a map without a positive value.
    """
    positive = case.relevance.clamp(min=0)
    if not bool(positive.any()):
        raise AttributionError("the map has no positive value")
    return Measurement(float(positive[case.located()].sum() / positive.sum()))


def inside_outside(case: Case) -> Measurement:
    """Mean attribution of a pixel in the box or mask over that of a pixel outside it, as Selvaraju et al. 2017 (section 8.2,
    dense captioning) measures Grad-CAM; 1 for a map that is the same everywhere.

    Grad-CAM has no negative values; of maps that have, the positive ones count, as in `relevance_mass`.

    Raises:
        AttributionError: a map without a positive value, or with none outside the mask, whose ratio is infinite.
    """
    positive, mask = case.relevance.clamp(min=0), case.located()
    inside, outside = (float(positive[part].mean()) for part in (mask, ~mask))
    if inside == outside == 0:
        raise AttributionError("the map has no positive value")
    if outside == 0:
        raise AttributionError(
            "the map has no positive value outside the mask, so the ratio is infinite",
            hint="relevance-mass, the fraction inside, is 1 there.",
        )
    return Measurement(inside / outside)


def relevance_rank(case: Case) -> Measurement:
    """Fraction of the K most relevant pixels that lie on the object, K its number of pixels (Arras et al. 2022, Eq. 2)."""
    mask = case.located()
    return Measurement(float(mask[case.rank() < int(mask.sum())].double().mean()))


def top_intersection(case: Case, *, share: float = 0.05) -> Measurement:
    """Fraction of the most relevant pixels that lie on the object (Theiner et al. 2022, top-k intersection).

    Args:
        case: what is measured.
        share: fraction of the pixels that count as most relevant; at most as many as the object has.
    """
    if not 0 < share <= 1:
        raise UsageError("share must be above 0 and up to 1", given=share)
    mask = case.located()
    count = min(max(1, round(share * case.pixels)), int(mask.sum()))
    return Measurement(float(mask[case.rank() < count].double().mean()))


def roc_auc(case: Case) -> Measurement:
    """Probability that a pixel of the object is more relevant than one beside it, ties half (area under the ROC curve)."""
    ranks = case.mean_ranks
    inside = case.located().cpu().numpy().ravel()
    m, n = int(inside.sum()), int((~inside).sum())
    return Measurement(float((ranks[inside].sum() - m * (m + 1) / 2) / (m * n)))


def chance(case: Case) -> float:
    """What a random map scores in relevance rank, intersection and pointing game: the object's fraction of the image."""
    return float(np.mean(case.located().cpu().numpy()))
