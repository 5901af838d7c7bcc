"""The table of `shapley-regression`, and the models that are fitted to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from ...errors import UsageError
from ...shapley.game import members_of

MOST = 16
"""Features whose 2^n subsets are trained on."""


def retrained(
    x: Float64[np.ndarray, "r n"],
    y: Float64[np.ndarray, " r"],
    row: int,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> tuple[Float64[np.ndarray, " k"], Float64[np.ndarray, " k"]]:
    """R² and one row's prediction of the least-squares model on every subset of the features, (2^n,) by their codes.

    Where features are collinear, the solution of the smallest norm is taken, whose predictions are those of any other.
    """
    centre, mean = x - x.mean(0), y.mean()
    spread = float(((y - mean) ** 2).sum())
    members = members_of(np.arange(2 ** x.shape[1]), x.shape[1])
    fits, predictions = np.zeros(len(members)), np.full(len(members), mean)
    for code, chosen in enumerate(members):
        if code:
            weights = np.linalg.lstsq(centre[:, chosen], y - mean, rcond=None)[0]
            fits[code] = 1 - float(((y - mean - centre[:, chosen] @ weights) ** 2).sum()) / spread
            predictions[code] = mean + centre[row, chosen] @ weights
        if (code + 1) % 64 == 0:
            progress(code + 1, len(members))
    return fits, predictions


def read_table(data: str | Path | None) -> tuple[list[str], np.ndarray, np.ndarray, str]:
    """Names of the features, the features (r, n), the target (r,), and where they come from.

    Raises:
        UsageError: no such file, cells that are no numbers, one column or more than 17, too few rows, a constant target.
    """
    if data is None:
        from sklearn.datasets import load_diabetes

        found: Any = load_diabetes()
        return list(found.feature_names), found.data, found.target, "scikit-learn's diabetes data"
    path = Path(data)
    try:
        heading, *lines = path.read_text(encoding="utf-8-sig").splitlines()
        cells = np.array([[float(cell) for cell in line.split(",")] for line in lines if line.strip()])
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(
            f"the table cannot be read: {error}", given=path, allowed="a CSV of numbers with a heading"
        ) from error
    names = [name.strip() for name in heading.split(",")]
    if cells.ndim != 2 or cells.shape[1] != len(names) or not 3 <= len(names) <= MOST + 1:
        raise UsageError(
            "the table has other columns", given=path, allowed=f"2 to {MOST} features, and the target last"
        )
    if len(cells) < 3 or not np.isfinite(cells).all() or np.ptp(cells[:, -1]) == 0:
        raise UsageError("the table needs 3 rows or more of finite numbers, and a target that varies", given=path)
    return names[:-1], cells[:, :-1], cells[:, -1], path.name
