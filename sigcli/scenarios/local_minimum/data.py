"""Local Minimum ([ICG] section 5.2): six components in 0..1, each with a score; class 1 where the scores sum to more than 0.

A component up to 0.5 scores -0.75; above, it scores 0.5 to 1 with a minimum at 0.75 (Fig. 5): near it, less of the component
means more score, although all of it speaks for class 1. What each component contributes is known.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ... import draws
from ...errors import UsageError

COMPONENTS = 6
CLASSES = ("sum of 0 or less", "sum above 0")
EXAMPLE = (0.1, 0.2, 0.3, 0.6, 0.7, 0.9)
"""The input of table 2."""


def component_score(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """F of Fig. 5: -0.75 up to 0.5, and 0.5 + 2·|x - 0.75| above.

    Table 2 states it: its scaled scores are those of f(0.6) = 0.8, f(0.7) = 0.6, f(0.9) = 0.8.

    >>> [round(float(v), 2) for v in component_score(np.array([0.3, 0.6, 0.7, 0.9]))]
    [-0.75, 0.8, 0.6, 0.8]
    """
    x = np.asarray(x, float)
    return np.where(x <= 0.5, -0.75, 0.5 + 2 * np.abs(x - 0.75))


def batch(seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs first..first+count-1 of the stream `seed`, float32 (N, 1, 1, 6) from U(0, 1), and their classes (N,)."""
    if first < 0 or count < 1:
        raise UsageError("inputs are numbered from 0, and at least one must be asked for", given=f"{first}, {count}")
    x = draws.rows(draws.stream(seed, "local-minimum"), first, count, COMPONENTS)
    labels = (component_score(x).sum(1) > 0).astype(np.int64)
    return x.astype(np.float32)[:, None, None], labels
