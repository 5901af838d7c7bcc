"""How maps of digits are judged: what lies on the ground, and what removal by certainty makes of the class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ...metrics.case import Outputs
from ...metrics.removal import Removal, follow
from ...training.loop import Point
from ..comparison import Means, known, told

BLIND = 0.01
"""A method is blind to the ground where this fraction of its |attribution| or less lies there."""
_REMOVALS = 28


def ground_share(values: np.ndarray, image: np.ndarray) -> float | None:
    """Fraction of the |attribution| (H, W) on pixels that are wholly black; None for a map of zeros."""
    size = np.abs(values)
    return float(size[image == 0].sum() / size.sum()) if size.any() else None


def removal(model: Outputs, values: np.ndarray, x: torch.Tensor, target: int) -> dict[str, float]:
    """Deletion and insertion where a removed pixel is one of which the network is told that it knows nothing.

    The certainty is one more channel of the picture, and 0 where a pixel is removed; so nothing has to stand in for it.

    Args:
        model: takes pictures with their certainty as the last channel, (N, C+1, H, W).
        values: (H, W) attribution.
        x: (C, H, W) as the network takes it.
        target: the class whose probability is followed.

    Returns:
        `deletion` and `insertion`: mean probability of the class while the pixels go, or come in, in the map's order.
    """
    known, unknown = (torch.cat((x, torch.full_like(x[:1], level))) for level in (1.0, 0.0))
    order = torch.from_numpy(np.argsort(-values.ravel(), kind="stable"))
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    rank = rank.reshape(values.shape).to(x.device)
    counts = torch.linspace(0, values.size, _REMOVALS + 1, dtype=torch.float64).round().long().to(x.device)
    both = [Removal(known, target, rank, counts, unknown, insert=insert) for insert in (False, True)]
    found = [steps.probability.cpu().numpy() for steps in follow(model, iter(both), batch_size=64)]
    return dict(zip(("deletion", "insertion"), (float(np.trapezoid(c) / _REMOVALS) for c in found), strict=True))


def reached(points: Sequence[Point], accuracy: float) -> int | None:
    """Batches from which on the curve is at an accuracy or above it; None where it is not in the end."""
    below = [number for number, point in enumerate(points) if point.accuracy < accuracy]
    first = below[-1] + 1 if below else 0
    return points[first].step if first < len(points) else None


def findings(means: Means, area: float) -> list[str]:
    """What the table says in words, each sentence from its values."""
    blind = [f"{name} ({share:.1%})" for name, share in known(means, "ground").items() if share <= BLIND]
    said = told(f"Blind to the ground, which is {area:.0%} of the picture:", blind)
    for measure, better, what in (("deletion", min, "most needed"), ("insertion", max, "most sufficient")):
        found = known(means, measure)
        if len(found) > 1:
            best = better(found, key=lambda name: found[name])
            said.append(f"The {what} pixels come first by {best} ({measure} {found[best]:.2f}).")
    agn, eg = known(means, "as_agn").get("icg"), known(means, "as_eg").get("icg")
    if agn is not None and eg is not None:
        nearer, other = ("agn", "eg") if agn >= eg else ("eg", "agn")
        kind = "does not know" if nearer == "agn" else "knows"
        said.append(
            f"icg is nearer to {nearer}, which {kind} the other digits, than to {other} "
            f"(r = {max(agn, eg):.2f} and {min(agn, eg):.2f})."
        )
    return said
