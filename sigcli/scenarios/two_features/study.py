"""The scenario `two-features`: Table 1 of Integrated Certainty Gradients, and every path method beside it. No printing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...catalog import Entry
from ...engine.failures import attempted
from ...engine.integrate import integrate
from ...errors import SigError, UsageError
from ...methods.deferred import task
from ...scores.classifier import ClassScore
from ...types import Subject
from ..comparison import Comparison, told
from ..scenario import Verdict
from .data import PAPER, POINTS, baseline_shap, conditional_shap, logits
from .options import TwoFeaturesOptions

_KNOWN = {"bshap": baseline_shap, "shap": conditional_shap}
_NEAR = 0.01


class TwoFeatures(Comparison[TwoFeaturesOptions]):
    """The scenario `two-features`: the function itself, without a network."""

    files = ("values.csv", "landscape.png")
    paths_only = True
    defaults = {
        "ig.baseline": "black", "ig.steps": "10000", "ig.rule": "riemann-middle", "eg.baselines": "uniform",
        "eg.samples": "16384", "agn.samples": "16384", "sig.players": "pixels", "sig.baseline": "black",
        "sig.coalitions": "all", "sig.steps": "10000", "sig.rule": "riemann-middle", "sig-walk.players": "pixels",
        "sig-walk.baseline": "black",
    }  # fmt: skip
    """The score has ramps: a gradient of 10 that comes and goes, so a row is a sum of many nodes to be right as printed."""

    def measure(self) -> None:
        """Values of both inputs by each method."""
        self.found = {name: {point: function(x) for point, x in POINTS.items()} for name, function in _KNOWN.items()}
        self.errors: dict[str, dict[str, np.ndarray]] = {}
        self.failed: list[str] = []
        for number, one in enumerate(self.chosen):
            made = {
                point: attempted(
                    lambda x=x, one=one, key=key: values(x, one.entry, one.options, key=key, seed=self.options.seed)
                )
                for key, (point, x) in enumerate(POINTS.items())
            }
            wrong = next((error for error in made.values() if isinstance(error, SigError)), None)
            if isinstance(wrong, UsageError):
                raise wrong
            if wrong is not None:  # the table has a row for both inputs or none
                self.failed.append(f"{one.name}: {' '.join(str(wrong).split())}")
                continue
            both = {point: pair for point, pair in made.items() if not isinstance(pair, SigError)}
            self.found[one.name] = {point: value for point, (value, _) in both.items()}
            self.errors[one.name] = {point: error for point, (_, error) in both.items() if error is not None}
            self.listener.stage("explaining", number + 1, len(self.chosen))

    def verdict(self) -> Verdict:
        from .figure import draw_two_features

        records = [
            {
                "method": name, "input": point, "feature": feature + 1, "value": float(value),
                "stderr": float(self.errors[name][point][feature]) if point in self.errors.get(name, {}) else None,
            }
            for name, by in self.found.items()
            for point, both in by.items()
            for feature, value in enumerate(both)
        ]  # fmt: skip
        return Verdict(
            "Is either of two features between 0.25 and 0.5?",
            {
                "method": "method", "A1": "A: x1 = 0.6", "A2": "A: x2 = 0.42", "B1": "B: x1 = 0.65", "B2": "B: x2 = 0.9",
                "table": "table 1",
            },
            [_row(name, by, self.errors.get(name, {})) for name, by in self.found.items()],
            self.folder,
            facts=(
                "A: x2 is in the range and x1 is not, so x2 deserves the score of 1. B: neither is, the score is 0.",
                "What is drawn at random carries its standard error; the other rows are right as printed.",
            ),
            findings=_findings(self.found),
            records=records,
            failed=self.failed,
            tables={self.files[0]: records},
            figures={self.files[1]: lambda path: draw_two_features(self.found, path)},
        )  # fmt: skip


def values(
    x: Sequence[float], method: Entry, options: Mapping[str, Any], *, key: int, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Values of both features of one input by a path method, (2,) float64, and their standard errors if drawn."""
    image = torch.tensor(x, dtype=torch.float64).reshape(1, 1, 2)
    level = torch.zeros(1, 1, 1, dtype=torch.float64)
    subject = Subject(image, 0, level, level + 1, key, seed)
    scorer = ClassScore(logits)
    found = next(iter(integrate(scorer, [task(method, options, scorer, subject)], batch_size=4096)))
    return found.values.flatten().numpy(), None if found.stderr is None else found.stderr.flatten().numpy()


def _row(name: str, by: Mapping[str, np.ndarray], errors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    row: dict[str, Any] = {"method": name}
    for point, both in by.items():
        for feature, value in enumerate(both):
            error = f" ± {math.ceil(100 * errors[point][feature]) / 100:.2f}" if point in errors else ""
            row[f"{point}{feature + 1}"] = f"{round(float(value), 2) + 0.0:.2f}{error}" if error else float(value)
    paper = PAPER.get(name)
    if paper is not None:
        apart = max(float(np.abs(np.subtract(by[point], paper[point])).max()) for point in POINTS)
        good = "as printed" if name != "shap" else "as corrected"  # MATH.md: the paper's -0.11 is a slip
        row["table"] = good if apart <= _NEAR else f"off by {apart:.2f}"
    return row


def _findings(found: Mapping[str, Mapping[str, np.ndarray]]) -> list[str]:
    """Who gets the credit for A."""
    both = {name: by["A"] for name, by in found.items()}
    right = [name for name, (one, two) in both.items() if round(float(two), 2) > round(abs(float(one)), 2)]
    wrong = ", ".join(name for name in both if name not in right)
    said = told("In A the feature in the range gets most of the credit by", right)
    if wrong:
        said.append(f"It does not by {wrong}: attribution transfer ([ICG] section 3.1), or no gradient there.")
    return said
