"""The scenario `shapley-regression`: Shapley values of features by training a model on every subset of them. No printing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from ...errors import UsageError
from ...runs.folder import save_table
from ...shapley.exact import exact
from ...shapley.game import members_of
from ..scenario import Progress, Verdict, claim

FILES = ("values.csv", "coalitions.csv", "values.png")
MOST = 16
"""Features whose 2^n subsets are trained on."""


def shapley_regression(
    *,
    data: str | Path | None = None,
    row: int = 0,
    out: str | Path | None = None,
    overwrite: bool = False,
    pictures: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """Shapley regression values, Lipovetsky, Conklin 2001 ([Slides]; Lundberg, Lee 2017, section 2.4).

    A linear model with intercept is fitted anew on every subset S of the features by least squares. Of each feature two
    Shapley values are reported: of v(S) = R² of that model, which shares out what the full model explains of the data, and
    of v(S) = f_S(x_S), which shares out one row's prediction less the mean of the target.

    Args:
        data: a CSV of numbers with a heading, the target in its last column; scikit-learn's diabetes data if not given.
        row: whose prediction is explained, from 0.
        out: the folder; by default sig-shapley-regression, or the next free one.
        overwrite: replace another run in `out`.
        pictures: draw the values.
        progress: called with the stage, what is done of it, and its length.

    Raises:
        UsageError: a table that cannot be used, too many features, or no such row.
        OutputError: the folder cannot be written or holds another run.
    """
    names, x, y, source = read_table(data)
    if not 0 <= row < len(x):
        raise UsageError("the table has no such row", given=row, allowed=f"0 to {len(x) - 1}")
    folder = claim(
        "shapley-regression",
        {"data": None if data is None else str(data), "row": row},
        FILES,
        out=out,
        overwrite=overwrite,
    )
    shown = None if progress is None else lambda done, total: progress("training", done, total)
    fits, predictions = retrained(x, y, row, shown)
    shares, values = exact(fits), exact(predictions)
    rows = [
        {"method": name, "r2_share": float(share), "prediction": float(value)}
        for name, share, value in zip(names, shares, values, strict=True)
    ]
    save_table(
        folder / FILES[0],
        [{"feature": one["method"], **{k: one[k] for k in ("r2_share", "prediction")}} for one in rows],
    )
    members = members_of(np.arange(len(fits)), len(names))
    save_table(folder / FILES[1], [
        {"features": " ".join(name for name, there in zip(names, one, strict=True) if there), "r2": float(r2),
         "prediction": float(f)}
        for one, r2, f in zip(members, fits, predictions, strict=True)
    ])  # fmt: skip
    if pictures:
        from ...render.plots.bars import Bars, draw_bars

        panels = [
            Bars("share of R²", names, shares, None, "R²"),
            Bars(f"prediction of row {row}, less the mean", names, values, None, "in the target's unit"),
        ]
        draw_bars(panels, folder / FILES[2], title=f"Shapley regression: {len(fits):,} models of {len(names)} features")
    sums = float(shares.sum()), float(values.sum())
    return Verdict(
        f"What is each feature worth to a linear model that is trained anew on every subset? {source}",
        {"method": "feature", "r2_share": "share of R²", "prediction": f"row {row}"},
        rows,
        (f"{len(fits):,} models were fitted to {len(x):,} rows.",),
        (
            f"The shares sum to {sums[0]:.4f}; the full model's R² is {fits[-1]:.4f}.",
            f"The values of row {row} sum to {sums[1]:.4g}; its prediction is {predictions[-1]:.4g}, "
            f"the mean of the target {y.mean():.4g}.",
        ),
        rows,
        folder=folder,
    )


def retrained(
    x: Float64[np.ndarray, "r n"],
    y: Float64[np.ndarray, " r"],
    row: int,
    progress: Callable[[int, int], None] | None = None,
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
        if progress is not None and (code + 1) % 64 == 0:
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
