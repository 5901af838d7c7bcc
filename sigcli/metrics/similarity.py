"""How similar are the maps of two methods for an image?"""

from __future__ import annotations

import numpy as np

from ..errors import AttributionError, UsageError
from .case import Case


def spearman(one: Case, other: Case) -> float:
    """Rank correlation of the pixels of two maps of one image, ties at their mean rank.

    Raises:
        AttributionError: maps of different sizes, or a map that is constant.
    """
    a, b = _both(one, other)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        raise AttributionError("a map is the same everywhere, so it has no ranks")
    return float(np.corrcoef(one.mean_ranks, other.mean_ranks)[0, 1])


def top_overlap(one: Case, other: Case, *, share: float = 0.05) -> float:
    """Fraction of the most relevant pixels that two maps have in common: |A ∩ B| / |A|.

    Args:
        one: a map.
        other: another of the same image.
        share: fraction of the pixels that count as most relevant.
    """
    if not 0 < share <= 1:
        raise UsageError("share must be above 0 and up to 1", given=share)
    _both(one, other)
    count = max(1, round(share * one.pixels))
    common = (one.rank() < count) & (other.rank().to(one.relevance.device) < count)
    return float(common.sum()) / count


def _both(one: Case, other: Case) -> tuple[np.ndarray, np.ndarray]:
    if one.relevance.shape != other.relevance.shape:
        raise AttributionError("two maps of different sizes cannot be compared")
    return one.relevance.cpu().numpy().ravel(), other.relevance.cpu().numpy().ravel()
