"""Is the attribution where the object is? Metrics that need a mask; 1 is best, but the ratio has no upper end.

Void pixels, which belong neither to the object nor to the ground, are left out of both. Pixels of equal value are in no
order, so a figure that needs one is the mean over all their orders: turning map and mask together changes nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from scipy.stats import rankdata
from torch import Tensor

from ..errors import AttributionError, UsageError
from .case import Case, Measurement


def pointing_game(case: Case, *, tolerance: int = 0) -> Measurement:
    """Whether the most relevant pixel lies on the object, 1 or 0 (Zhang et al. 2018, "Top-down neural attention").

    Where several pixels share the maximum, the fraction of them that does: the chance that one drawn among them is a hit.

    Args:
        case: what is measured.
        tolerance: pixels by which it may miss; the paper allows 15 on its images.

    Raises:
        UsageError: a negative tolerance.
        AttributionError: no mask, or a map that is the same everywhere.
    """
    if tolerance < 0:
        raise UsageError("tolerance must be 0 or a positive number of pixels", given=tolerance)
    values, hit = _ordered(case)
    if tolerance:
        distance = np.asarray(distance_transform_edt(~case.located().cpu().numpy()))
        near = torch.from_numpy(distance <= tolerance).to(hit.device)
        hit = near.flatten() if case.void is None else near[~case.void.to(hit.device)]
    return Measurement(float(hit[values == values.max()].double().mean()))


def relevance_mass(case: Case) -> Measurement:
    """Fraction of the positive attribution that lies on the object (Arras, Osman, Samek 2022, "CLEVR-XAI", Eq. 1).

    Raises:
        AttributionError: a map without a positive value.
    """
    values, inside = case.judged()
    positive = values.clamp(min=0)
    if not bool(positive.any()):
        raise AttributionError("the map has no positive value")
    return Measurement(float(positive[inside].sum() / positive.sum()))


def inside_outside(case: Case) -> Measurement:
    """Mean attribution of a pixel in the box or mask over that of a pixel outside it, as Selvaraju et al. 2017 (section 8.2,
    dense captioning) measures Grad-CAM; 1 for a map that is the same everywhere.

    Grad-CAM has no negative values; of maps that have, the positive ones count, as in `relevance_mass`.

    Raises:
        AttributionError: a map without a positive value, or with none outside the mask, whose ratio is infinite.
    """
    values, mask = case.judged()
    inside, outside = (float(values.clamp(min=0)[part].mean()) for part in (mask, ~mask))
    if inside == outside == 0:
        raise AttributionError("the map has no positive value")
    if outside == 0:
        raise AttributionError(
            "the map has no positive value outside the mask, so the ratio is infinite",
            hint="relevance-mass, the fraction inside, is 1 there.",
        )
    return Measurement(inside / outside)


def relevance_rank(case: Case) -> Measurement:
    """Fraction of the K most relevant pixels that lie on the object, K its number of pixels (Arras et al. 2022, Eq. 2).

    Where the K-th place is shared by pixels of equal value, the mean over their orders.
    """
    values, inside = _ordered(case)
    return Measurement(_share_of_top(values, inside, int(inside.sum())))


def top_intersection(case: Case, *, share: float = 0.05) -> Measurement:
    """Fraction of the most relevant pixels that lie on the object (Theiner et al. 2022, top-k intersection).

    Where the last place is shared by pixels of equal value, the mean over their orders.

    Args:
        case: what is measured.
        share: fraction of the pixels that count as most relevant; at most as many as the object has.

    Raises:
        UsageError: a share out of range.
        AttributionError: no mask, or a map that is the same everywhere.
    """
    if not 0 < share <= 1:
        raise UsageError("share must be above 0 and up to 1", given=share)
    values, inside = _ordered(case)
    count = min(max(1, round(share * len(values))), int(inside.sum()))
    return Measurement(_share_of_top(values, inside, count))


def roc_auc(case: Case) -> Measurement:
    """Probability that a pixel of the object is more relevant than one beside it, ties half (area under the ROC curve)."""
    values, mask = case.judged()
    ranks = case.mean_ranks if case.void is None else rankdata(values.cpu().numpy())
    inside = mask.cpu().numpy()
    m, n = int(inside.sum()), int((~inside).sum())
    return Measurement(float((ranks[inside].sum() - m * (m + 1) / 2) / (m * n)))


def chance(case: Case) -> float:
    """What a random map scores in relevance rank, intersection and pointing game: the object's fraction of the image."""
    return float(case.judged()[1].double().mean())


def _ordered(case: Case) -> tuple[Float[Tensor, " pixels"], Bool[Tensor, " pixels"]]:
    """What is judged, of a map that puts the pixels in some order."""
    values, inside = case.judged()
    if bool((values == values[0]).all()):
        raise AttributionError("the map is the same everywhere, so it does not rank the pixels")
    return values, inside


def _share_of_top(values: Float[Tensor, " pixels"], inside: Bool[Tensor, " pixels"], count: int) -> float:
    """Expected fraction of the `count` greatest values that lie inside, over all orders of equal values.

    The places that are left after all greater values go to the pixels of the last value, each with the same chance.
    """
    last = values.topk(count).values[-1]
    above, equal = values > last, values == last
    sure, tied = int(inside[above].sum()), int(inside[equal].sum())
    places, shared = count - int(above.sum()), int(equal.sum())
    return (sure * shared + tied * places) / (shared * count)  # of integers, so rounded once
