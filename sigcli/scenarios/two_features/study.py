"""The scenario `two-features`: Table 1 of Integrated Certainty Gradients, and every path method beside it. No printing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...catalog import Entry
from ...engine.failures import attempted
from ...engine.integrate import integrate
from ...errors import SigError, UsageError
from ...methods.deferred import task
from ...runs.folder import save_table
from ...scores.classifier import ClassScore
from ...types import Subject
from ..scenario import Progress, Verdict, claim, path_methods
from .data import PAPER, POINTS, baseline_shap, conditional_shap, logits

METHODS = "ig,eg,agn,sig,sig-walk,gradient"
DEFAULTS = {
    "ig.baseline": "black", "ig.steps": "10000", "ig.rule": "riemann-middle", "eg.baselines": "uniform",
    "eg.samples": "16384", "agn.samples": "16384", "sig.players": "pixels", "sig.baseline": "black",
    "sig.coalitions": "all", "sig.steps": "10000", "sig.rule": "riemann-middle", "sig-walk.players": "pixels",
    "sig-walk.baseline": "black",
}  # fmt: skip
"""The score has ramps: a gradient of 10 that comes and goes, so that a row is a sum of many nodes to be right as printed."""
FILES = ("values.csv", "landscape.png")
_KNOWN = {"bshap": baseline_shap, "shap": conditional_shap}
_NEAR = 0.01


def two_features(
    *,
    method: str | Sequence[str] = METHODS,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    overwrite: bool = False,
    pictures: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """Whether either of two features lies between 0.25 and 0.5: Table 1 of [ICG], from the function itself.

    Args:
        method: path methods to set beside BShap and SHAP.
        settings: their options.
        seed: of random draws.
        out: the folder; by default sig-two-features, or the next free one.
        overwrite: replace another run in `out`.
        pictures: draw the landscape and the values.
        progress: called with the stage, what is done of it, and its length.

    Raises:
        UsageError: an unknown method or option.
        OutputError: the folder cannot be written or holds another run.
    """
    named = {name for name, _ in _pairs(method)}
    given = {key: value for key, value in DEFAULTS.items() if key.partition(".")[0] in named}
    chosen = path_methods(method, {**given, **(settings or {})})
    spec = {"methods": {one.name: one.resolved() for one in chosen}, "seed": seed}
    folder = claim("two-features", spec, FILES, out=out, overwrite=overwrite)
    found = {name: {point: function(x) for point, x in POINTS.items()} for name, function in _KNOWN.items()}
    errors: dict[str, dict[str, np.ndarray]] = {}
    failed: list[str] = []
    for number, one in enumerate(chosen):
        made = {
            point: attempted(lambda x=x, one=one, key=key: values(x, one.entry, one.options, key=key, seed=seed))
            for key, (point, x) in enumerate(POINTS.items())
        }
        wrong = next((error for error in made.values() if isinstance(error, SigError)), None)
        if isinstance(wrong, UsageError):
            raise wrong
        if wrong is not None:  # the table has a row for both inputs or none
            failed.append(f"{one.name}: {' '.join(str(wrong).split())}")
            continue
        both = {point: pair for point, pair in made.items() if not isinstance(pair, SigError)}
        found[one.name] = {point: value for point, (value, _) in both.items()}
        errors[one.name] = {point: error for point, (_, error) in both.items() if error is not None}
        if progress is not None:
            progress("explaining", number + 1, len(chosen))
    rows = [_row(name, by, errors.get(name, {})) for name, by in found.items()]
    records = [
        {
            "method": name, "input": point, "feature": feature + 1, "value": float(value),
            "stderr": float(errors[name][point][feature]) if point in errors.get(name, {}) else None,
        }
        for name, by in found.items()
        for point, both in by.items()
        for feature, value in enumerate(both)
    ]  # fmt: skip
    save_table(folder / FILES[0], records)
    if pictures:
        from .figure import draw_two_features

        draw_two_features(found, folder / FILES[1])
    return Verdict(
        "Is either of two features between 0.25 and 0.5?",
        {
            "method": "method", "A1": "A: x1 = 0.6", "A2": "A: x2 = 0.42", "B1": "B: x1 = 0.65", "B2": "B: x2 = 0.9",
            "table": "table 1",
        },
        rows,
        (
            "A: x2 is in the range and x1 is not, so x2 deserves the score of 1. B: neither is, the score is 0.",
            "What is drawn at random carries its standard error; the other rows are right as printed.",
        ),
        _findings(found),
        records,
        failed,
        folder,
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


def _pairs(method: str | Sequence[str]) -> list[tuple[str, str]]:
    text = method if isinstance(method, str) else ",".join(method)
    return [(item.partition("=")[0].strip(), item) for item in text.split(",")]


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
    """A sentence for each method: who gets the credit for A."""
    right = [name for name, by in found.items() if round(float(by["A"][1]), 2) > round(abs(float(by["A"][0])), 2)]
    wrong = [name for name in found if name not in right]
    told = [f"In A the feature in the range gets most of the credit by {', '.join(right)}."] if right else []
    if wrong:
        told.append(
            f"It does not by {', '.join(wrong)}: attribution transfer ([ICG] section 3.1), or no gradient there."
        )
    return told
