"""The scenario `shap-convergence`: Fig. 3 of Lundberg, Lee 2017, how fast estimators near the Shapley value. No printing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import draws
from ..scenario import Scenario, Verdict
from .estimators import ESTIMATORS, FEATURES, lime, tree_game
from .options import ShapConvergenceOptions

__all__ = ["BUDGETS", "ShapConvergence", "lime", "tree_game"]
BUDGETS = {"dense": (22, 50, 100, 200, 400, 800), "sparse": (202, 400, 800, 1600)}
"""Evaluations; KernelSHAP needs 2n + 2, of 10 features and of 100."""


class ShapConvergence(Scenario[ShapConvergenceOptions]):
    """The scenario `shap-convergence`: a tree of all of 10 features, and one of 3 of 100."""

    files = ("estimates.csv", "convergence.png")
    least = (2, "replicates")

    def measure(self) -> None:
        """Replicates of every estimate."""
        seed, replicates = self.options.seed, range(self.options.images)
        self.estimates: list[dict[str, Any]] = []
        for model, budgets in BUDGETS.items():
            game, right, feature = tree_game(model, seed)
            for number, budget in enumerate(budgets):
                for method, estimate in ESTIMATORS.items():
                    keys = [draws.stream(seed, model, method, budget, r) for r in replicates]
                    found = [estimate(game, FEATURES[model], budget, key)[feature] for key in keys]
                    low, middle, high = np.percentile(found, [10, 50, 90])
                    self.estimates.append({
                        "model": model, "method": method, "evaluations": budget, "exact": right, "p10": float(low),
                        "median": float(middle), "p90": float(high),
                    })  # fmt: skip
                self.listener.stage(f"estimating, {model} tree", number + 1, len(budgets))

    def verdict(self) -> Verdict:
        from .figure import draw_convergence

        replicates = f"10th to 90th percentile of {self.options.images} replicates"
        return Verdict(
            f"How fast does one feature's value near the exact one? {replicates}",
            {
                "name": "tree, method", "evaluations": "evaluations", "p10": "10 %", "median": "median", "p90": "90 %",
                "exact": "exact",
            },
            [{**row, "name": f"{row['model']}, {row['method']}"} for row in self.estimates],
            self.folder,
            facts=(
                "Dense: a tree of all 10 features. Sparse: a tree of 3 of 100 features. Absent features have their mean.",
            ),
            findings=_findings(self.estimates),
            records=self.estimates,
            tables={self.files[0]: self.estimates},
            figures={self.files[1]: lambda path: draw_convergence(self.estimates, BUDGETS, path)},
        )  # fmt: skip


def _findings(rows: list[dict[str, Any]]) -> list[str]:
    told = []
    for model in BUDGETS:
        last = [row for row in rows if row["model"] == model and row["evaluations"] == BUDGETS[model][-1]]
        inside = [row["method"] for row in last if row["p10"] - 1e-9 <= row["exact"] <= row["p90"] + 1e-9]
        outside = [row["method"] for row in last if row["method"] not in inside]
        of, beside = ", ".join(inside) or "none", f"; not of {', '.join(outside)}" if outside else ""
        told.append(f"{model}, {last[0]['evaluations']} evaluations: the exact value is in the band of {of}{beside}.")
    return told
