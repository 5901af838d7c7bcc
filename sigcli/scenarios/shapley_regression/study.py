"""The scenario `shapley-regression`: Shapley values of features by training a model on every subset of them. No printing."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from ...errors import UsageError
from ...shapley.exact import exact
from ...shapley.game import members_of
from ..scenario import Scenario, Verdict
from .data import read_table, retrained
from .options import ShapleyRegressionOptions


class ShapleyRegression(Scenario[ShapleyRegressionOptions]):
    """The scenario `shapley-regression`: linear models of a table."""

    files = ("values.csv", "coalitions.csv", "values.png")

    def check(self) -> None:
        """Read the table."""
        super().check()
        self.names, self.x, self.y, self.source = read_table(self.options.data)
        if not 0 <= self.options.row < len(self.x):
            raise UsageError("the table has no such row", given=self.options.row, allowed=f"0 to {len(self.x) - 1}")

    def measure(self) -> None:
        """Fit all models."""
        progress = partial(self.listener.stage, "training")
        self.fits, self.predictions = retrained(self.x, self.y, self.options.row, progress)
        self.shares, self.values = exact(self.fits), exact(self.predictions)

    def verdict(self) -> Verdict:
        row, fits = self.options.row, self.fits
        both = [(float(share), float(value)) for share, value in zip(self.shares, self.values, strict=True)]
        values = [{"r2_share": share, "prediction": value} for share, value in both]
        rows = [{"method": name, **one} for name, one in zip(self.names, values, strict=True)]
        members = members_of(np.arange(len(fits)), len(self.names))
        coalitions = [
            {"features": " ".join(name for name, there in zip(self.names, one, strict=True) if there), "r2": float(r2),
             "prediction": float(f)}
            for one, r2, f in zip(members, fits, self.predictions, strict=True)
        ]  # fmt: skip
        features = [{"feature": name, **one} for name, one in zip(self.names, values, strict=True)]
        return Verdict(
            f"What is each feature worth to a linear model that is trained anew on every subset? {self.source}",
            {"method": "feature", "r2_share": "share of R²", "prediction": f"row {row}"},
            rows,
            self.folder,
            facts=(f"{len(fits):,} models were fitted to {len(self.x):,} rows.",),
            findings=(
                f"The shares sum to {float(self.shares.sum()):.4f}; the full model's R² is {fits[-1]:.4f}.",
                f"The values of row {row} sum to {float(self.values.sum()):.4g}; its prediction is "
                f"{self.predictions[-1]:.4g}, the mean of the target {self.y.mean():.4g}.",
            ),
            records=rows,
            tables={self.files[0]: features, self.files[1]: coalitions},
            figures={self.files[2]: self._bars},
        )

    def _bars(self, path: Path) -> None:
        from ...render.plots.bars import Bars, draw_bars

        heading = f"prediction of row {self.options.row}, less the mean"
        panels = [
            Bars("share of R²", self.names, self.shares, None, "R²"),
            Bars(heading, self.names, self.values, None, "in the target's unit"),
        ]
        title = f"Shapley regression: {len(self.fits):,} models of {len(self.names)} features"
        draw_bars(panels, path, title=title)
