"""Digits far from their place in training, and what a map must do there."""

from __future__ import annotations

import numpy as np

from ..comparison import Means, correlation, known, told
from .data import SIDE, Digits

WIDTH, AWAY = 3 * SIDE, 44
"""Pictures are 28×84, the digit of training in columns 0 to 27, the one explained in columns 44 to 71: farther from the
former, also around the edge, than any pixel reaches through the network. A multiple of 4, see `SmallCNN`."""
GHOST, MOVES = 0.02, 0.95


def placed(found: Digits, left: int) -> np.ndarray:
    """Digits as pictures uint8 (N, 28, 84), their left edge at column `left`."""
    return np.pad(found.images, ((0, 0), (0, 0), (left, WIDTH - SIDE - left)))


def score(away: np.ndarray, home: np.ndarray) -> dict[str, float | None]:
    """How far the map of a digit far from the training's place is that of the same digit at the left, moved.

    Args:
        away: (28, 84) attribution of the digit in columns 44 to 71.
        home: (28, 84) of the same digit in columns 0 to 27.

    Returns:
        `ghost`, the fraction of |away| in the columns of the training's digits; `home`, that of |home| in the columns
        that lie in the same way to the digit; `excess`, their difference, which the place of training alone explains;
        `shifted`, the correlation of `away` with `home` moved around by 44 columns. None where a map is zero or does not
        vary.
    """
    moved = np.roll(home, AWAY, axis=1)

    def left(values: np.ndarray) -> float | None:
        size = np.abs(values)
        return float(size[:, :SIDE].sum() / size.sum()) if size.any() else None

    ghost, at_home = left(away), left(moved)
    excess = None if ghost is None or at_home is None else ghost - at_home
    return {"ghost": ghost, "home": at_home, "excess": excess, "shifted": correlation(away, moved)}


def findings(means: Means) -> list[str]:
    """What the table says in words, each sentence from its values."""
    excess, moved = known(means, "excess"), known(means, "shifted")
    ghosts = [f"{name} ({value:.1%})" for name, value in excess.items() if value > GHOST]
    moves = [f"{name} ({value:.2f})" for name, value in moved.items() if value >= MOVES]
    return [
        *told("A ghost of the training's digits, where nothing is, is shown by", ghosts),
        *told("No ghost:", [name for name, value in excess.items() if value <= GHOST]),
        *told(f"The map moves with the digit (r of {MOVES} or more):", moves),
    ]
