"""The scenario `two-features`: Table 1 of Integrated Certainty Gradients, and every path method beside it. No printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..engine import Task, integrate
from ..runs import save_table
from ..scenarios.two_features import PAPER, POINTS, baseline_shap, conditional_shap, logits
from ..scorer import Scorer
from ..types import Subject
from .scenario import Progress, Verdict, claim, path_methods

METHODS = "ig,eg,agn,sig,sig-walk,gradient"
DEFAULTS = {
    "ig.baseline": "black", "ig.steps": "2000", "ig.rule": "riemann-middle", "eg.baselines": "uniform", "eg.samples": "4096",
    "agn.samples": "4096", "sig.players": "pixels", "sig.baseline": "black", "sig.samples": "512", "sig.steps": "8",
    "sig-walk.players": "pixels", "sig-walk.baseline": "black",
}  # fmt: skip
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
    for number, one in enumerate(chosen):
        found[one.name] = {
            point: values(x, one.entry.load(), one.options, key=number, seed=seed)
            for number, (point, x) in enumerate(POINTS.items())
        }
        if progress is not None:
            progress("explaining", number + 1, len(chosen))
    rows = [_row(name, by) for name, by in found.items()]
    records = [
        {"method": name, "input": point, "feature": feature + 1, "value": float(value)}
        for name, by in found.items()
        for point, both in by.items()
        for feature, value in enumerate(both)
    ]
    save_table(folder / FILES[0], records)
    if pictures:
        from ..render.two_features import draw_two_features

        draw_two_features(found, folder / FILES[1])
    return Verdict(
        "Is either of two features between 0.25 and 0.5?",
        {
            "method": "method", "A1": "A: x1 = 0.6", "A2": "A: x2 = 0.42", "B1": "B: x1 = 0.65", "B2": "B: x2 = 0.9",
            "table": "table 1",
        },
        rows,
        ("A: x2 is in the range and x1 is not, so x2 deserves the score of 1. B: neither is, the score is 0.",),
        _findings(found),
        records,
        folder=folder,
    )  # fmt: skip


def values(x: Sequence[float], plan: Any, options: Mapping[str, Any], *, key: int, seed: int) -> np.ndarray:
    """Values of both features of one input by a path method, (2,) float64."""
    image = torch.tensor(x, dtype=torch.float64).reshape(1, 1, 2)
    level = torch.zeros(1, 1, 1, dtype=torch.float64)
    subject = Subject(image, 0, level, level + 1, key, seed)
    task = Task(subject, plan(subject, **options))
    return next(iter(integrate(Scorer(logits), [task], batch_size=512))).values.flatten().numpy()


def _pairs(method: str | Sequence[str]) -> list[tuple[str, str]]:
    text = method if isinstance(method, str) else ",".join(method)
    return [(item.partition("=")[0].strip(), item) for item in text.split(",")]


def _row(name: str, by: Mapping[str, np.ndarray]) -> dict[str, Any]:
    row: dict[str, Any] = {"method": name}
    for point, both in by.items():
        row |= {f"{point}{feature + 1}": float(value) for feature, value in enumerate(both)}
    paper = PAPER.get(name)
    if paper is not None:
        apart = max(float(np.abs(np.subtract(by[point], paper[point])).max()) for point in POINTS)
        good = "as printed" if name != "shap" else "as corrected"  # MATH.md: the paper's -0.11 is a slip
        row["table"] = good if apart <= _NEAR else f"off by {apart:.2f}"
    return row


def _findings(found: Mapping[str, Mapping[str, np.ndarray]]) -> list[str]:
    """A sentence for each method: who gets the credit for A."""
    right = [name for name, by in found.items() if by["A"][1] > abs(by["A"][0])]
    wrong = [name for name in found if name not in right]
    told = [f"In A the feature in the range gets most of the credit by {', '.join(right)}."] if right else []
    if wrong:
        told.append(
            f"It does not by {', '.join(wrong)}: attribution transfer ([ICG] section 3.1), or no gradient there."
        )
    return told
