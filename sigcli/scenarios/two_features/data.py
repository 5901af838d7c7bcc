"""The two-feature example of Integrated Certainty Gradients: table 1 and Fig. 2, without a network.

The score says whether either of two features lies between 0.25 and 0.5. Its right answer is known by reasoning alone, and
Integrated Gradients from (0, 0) gives all credit to the feature that has none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...shapley.exact import exact
from ...shapley.game import table

LOW, HIGH, RAMP = 0.25, 0.5, 0.05
"""The range asked for, and how far to either side of its ends the score moves from 0 to 1."""
POINTS: dict[str, tuple[float, float]] = {"A": (0.6, 0.42), "B": (0.65, 0.9)}
"""The inputs of Fig. 2: A has its second feature in the range, B none; straight lines from (0, 0) cross both ranges."""
PAPER: dict[str, dict[str, tuple[float, float]]] = {
    "bshap": {"A": (0.0, 1.0), "B": (0.0, 0.0)},
    "shap": {"A": (-0.09, 0.66), "B": (-0.22, -0.22)},
    "ig": {"A": (1.0, 0.0), "B": (-1.0, 1.0)},
}
"""Table 1. Its first SHAP value is printed as -0.11, worked with a mean of 0.474 where it is 0.434: -0.09 is right."""


def within(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """How far a feature lies in the range, 0..1: straight ramps of 0.1 around both ends."""
    rise = (x - (LOW - RAMP)) / (2 * RAMP)
    fall = (HIGH + RAMP - x) / (2 * RAMP)
    return torch.minimum(rise, fall).clamp(0, 1)


def score(x: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
    """F: whether either feature is in the range, the larger of the two.

    >>> score(torch.tensor([[0.6, 0.42], [0.65, 0.9]])).tolist()
    [1.0, 0.0]
    """
    return within(x).amax(-1)


def logits(images: Float[Tensor, "n 1 1 2"]) -> Float[Tensor, "n 1"]:
    """The same as a network of one output, for inputs of one row and two columns."""
    return score(images.flatten(1))[:, None]


def baseline_shap(point: Sequence[float], baseline: Sequence[float] = (0.0, 0.0)) -> Float[np.ndarray, " 2"]:
    """BShap: absent features have the baseline's value (Sundararajan and Najmi 2020; A.1.2)."""

    def game(members: Bool[np.ndarray, "k n"]) -> Float[np.ndarray, " k"]:
        return score(torch.from_numpy(np.where(members, point, baseline))).numpy()

    return exact(table(game, 2))


def conditional_shap(point: Sequence[float], cells: int = 2000) -> Float[np.ndarray, " 2"]:
    """SHAP: absent features are averaged over U(0, 1) (Lundberg and Lee 2017; A.1.2).

    Args:
        point: the input.
        cells: of the midpoint rule per feature.
    """
    grid = (torch.arange(cells, dtype=torch.float64) + 0.5) / cells
    one, other = (within(torch.tensor(value, dtype=torch.float64)) for value in point)
    line = within(grid)
    values = [
        float(torch.maximum(line[:, None], line[None]).mean()),
        float(torch.maximum(one, line).mean()),
        float(torch.maximum(line, other).mean()),
        float(torch.maximum(one, other)),
    ]
    return exact(np.array(values))
