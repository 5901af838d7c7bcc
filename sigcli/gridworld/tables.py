"""The CSV files of a GridWorld study."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..metrics.statistics import CORRELATION, DIFFERENCE, UNBOUNDED, Interval, mean_interval
from ..runs.folder import save_table
from .results import CaseResult
from .study import Measured, grouped

Row = dict[str, Any]
REFERENCE = "sig"
"""Every other estimator is compared with this one, run by run."""


def write_tables(cases: Sequence[CaseResult], folder: Path) -> None:
    """Write shapley.csv, standin.csv, estimates.csv, summary.csv, timing.csv and segments.csv of the cases so far."""
    for name, rows in (
        ("shapley", _shapley), ("standin", _standin), ("estimates", _estimates), ("summary", summary_rows),
        ("timing", _timing), ("segments", _segments),
    ):  # fmt: skip
        save_table(folder / f"{name}.csv", [row for case in cases for row in rows(case)])


def _head(case: CaseResult) -> Row:
    condition = case.trained.condition
    return {"grid": condition.world.name, "reward": condition.name}


def _shapley(case: CaseResult) -> Iterator[Row]:
    condition = case.trained.condition
    own = np.stack([check.estimate.values for check in case.trained.checks])
    for i, (pair, share) in enumerate(zip(condition.world.players, condition.fractions, strict=True)):
        yield {
            **_head(case), "player": str(pair), "row": pair.cell[0], "column": pair.cell[1], "action": pair.action,
            "shapley": float(share), "exact": str(share), "grand_coalition": condition.values[-1],
            "networks_mean": own[:, i].mean(),
            "networks_sd": own[:, i].std(ddof=1) if len(own) > 1 else None,
        }  # fmt: skip


def _standin(case: CaseResult) -> Iterator[Row]:
    for check in case.trained.checks:
        yield {
            **_head(case), "coverage": case.trained.coverage, "run": check.run, "pearson": check.pearson,
            "spearman": check.spearman, "relative_rmse": check.error,
        }  # fmt: skip


def _everything(case: CaseResult) -> Iterator[tuple[str, float, list[Measured]]]:
    """All measurements with what they belong to: the study's own budget, the error curve, a sweep."""
    coverage = case.trained.coverage
    yield "study", coverage, case.measured
    yield "curve", coverage, case.curve
    for point in case.sweep:
        yield "sweep", point.coverage, point.measured


def _estimates(case: CaseResult) -> Iterator[Row]:
    players = [str(pair) for pair in case.trained.condition.world.players]
    for m in case.measured:
        for i, player in enumerate(players):
            yield {
                **_head(case), "run": m.run, "estimator": m.estimator, "budget": m.budget,
                "evaluations": m.estimate.evaluations, "player": player, "value": m.estimate.values[i],
                "standard_error": None if m.estimate.stderr is None else m.estimate.stderr[i],
            }  # fmt: skip


def summary_rows(case: CaseResult) -> Iterator[Row]:
    """Mean, sd and 95 % interval of each quantity, and `sig`'s value minus this one's in the same runs.

    A positive difference favours `sig` in the correlations and speaks against it in the error.
    """
    for kind, coverage, measured in _everything(case):
        groups = grouped(measured)
        for (estimator, budget), found in groups.items():
            reference = groups.get((REFERENCE, budget))
            evaluations = found[0].estimate.evaluations
            for metric in ("spearman", "pearson", "error"):
                values = [getattr(m, metric) for m in found]
                within = CORRELATION if metric != "error" else (0.0, math.inf)
                row = {
                    **_head(case), "part": kind, "coverage": coverage, "estimator": estimator, "budget": budget,
                    "evaluations": evaluations, "metric": metric, **_columns("", mean_interval(values, within)),
                }  # fmt: skip
                paired = Interval.unknown()
                if reference is not None and estimator != REFERENCE:
                    paired = mean_interval(
                        [getattr(r, metric) - v for r, v in zip(reference, values, strict=True)],
                        DIFFERENCE if metric != "error" else UNBOUNDED,
                    )
                yield {**row, **_columns(f"{REFERENCE}_minus_it_", paired)}


def _columns(prefix: str, interval: Interval) -> Row:
    return {
        f"{prefix}mean": interval.mean, f"{prefix}sd": interval.sd, f"{prefix}ci_low": interval.low,
        f"{prefix}ci_high": interval.high, f"{prefix}n": interval.n,
    }  # fmt: skip


def _timing(case: CaseResult) -> Iterator[Row]:
    groups = grouped(case.measured)
    zero = groups.get(("zero", case.budget))
    base = None if zero is None else float(np.median([m.seconds for m in zero]))
    for (estimator, budget), found in groups.items():
        seconds = [m.seconds for m in found]
        yield {
            **_head(case), "estimator": estimator, "budget": budget, "evaluations": found[0].estimate.evaluations,
            "seconds_mean": float(np.mean(seconds)), "seconds_median": float(np.median(seconds)),
            "over_zero": None if base is None else float(np.median(seconds)) / base,
        }  # fmt: skip


def _segments(case: CaseResult) -> Iterator[Row]:
    players = [str(pair) for pair in case.trained.condition.world.players]
    s = case.segments
    for i in range(len(s.player)):
        yield {
            **_head(case), "player": players[s.player[i]], "size": int(s.size[i]), "marginal": float(s.marginal[i]),
            **{f"ig_{count}": float(values[i]) for count, values in s.integral.items()},
        }  # fmt: skip
