"""The table of `sig benchmark methods`: every method beside a reference, with paired intervals and corrected p-values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from ..metrics import METRICS
from ..metrics.significance import holm, sign_flip
from ..metrics.statistics import FEWEST, Summary, paired
from .benchmark_tables import Spent, cost_cells
from .tables import Group, Row, by_group, image_values, measures, summary_rows
from .value import MetricValue

BETTER, WORSE, LEVEL = "better", "worse", "level"
"""Verdicts: what a method is beside the reference."""
ALPHA = 0.05
"""Chance of a wrong verdict: of each by its interval, of any of them by Holm's correction."""
Values = dict[str, float]
"""Image → value."""


def methods_rows(
    values: Sequence[MetricValue], costs: Sequence[Spent], images: Sequence[str], against: str, seed: int
) -> list[Row]:
    """Rows of `methods.csv`, one for each method, metric and imputation; the method of the best mean rank comes first.

    Args:
        values: metric values of all images and methods.
        costs: costs of all explanations that were made.
        images: names of all images.
        against: the reference, with which every other method is compared.
        seed: seed of the bootstrap and of the random signs.
    """
    groups = {group: image_values(members) for group, members in by_group(values).items()}
    kinds = measures(values)
    ranks = mean_ranks(groups, kinds)
    told = {method: _cost(costs, method, images) for method, _, _ in groups}
    means = {group: row for group, _, row in summary_rows(values, seed)}
    compared = _compared(groups, kinds, against, seed)
    kept = ("unit", "better", "mean", "ci_low", "ci_high", "interval", "n", "failed")
    return [
        {
            "method": method, "metric": metric, "imputation": imputation,
            **{name: means[method, metric, imputation][name] for name in kept},
            "against": "" if method == against else against, **compared[method, metric, imputation],
            "mean_rank": ranks.get(method), **told[method],
        }
        for method, metric, imputation in sorted(groups, key=lambda group: ranks.get(group[0], len(groups)))
    ]  # fmt: skip


def _cost(costs: Sequence[Spent], method: str, images: Sequence[str]) -> Row:
    cells = cost_cells(costs, method, set(images))
    made = sum(one.method == method for one in costs)
    known = cells["gradient_evaluations"] is not None
    spent = cells["gradient_evaluations"] + cells["forward_evaluations"] if known else 0
    return {**cells, "evaluations_per_map": spent / made if made else None}


def _compared(groups: dict[Group, Values], kinds: dict[str, str], against: str, seed: int) -> dict[Group, Row]:
    """The cells of each group that compare it with the reference: empty where that cannot be."""
    found: dict[Group, Row] = {group: _cells(Summary(None, None, None, 0), None) for group in groups}
    apart: dict[Group, np.ndarray] = {}
    for group, mine in groups.items():
        theirs = groups.get((against, *group[1:]))
        if group[0] == against or theirs is None:
            continue
        facts = METRICS[kinds[group[1]]].properties
        difference = paired(mine, theirs, seed=seed, within=facts["range"])
        found[group] = _cells(difference, facts["higher_is_better"])
        if found[group]["verdict"]:
            apart[group] = np.array([mine[image] - theirs[image] for image in mine if image in theirs])
    p_values = _p_values(apart, seed)
    for (group, p_value), corrected in zip(p_values.items(), holm(list(p_values.values())), strict=True):
        row = found[group]
        row |= {"p_value": p_value, "holm_p_value": corrected}
        row["holds"] = "yes" if corrected <= ALPHA and row["verdict"] != LEVEL else "no"
    return found


def _cells(difference: Summary, higher: bool | None) -> Row:
    known = difference.low is not None and higher is not None and difference.n >= FEWEST
    return {
        "difference": difference.mean, "difference_low": difference.low, "difference_high": difference.high,
        "difference_n": difference.n or None, "verdict": _verdict(difference, bool(higher)) if known else "",
        "p_value": None, "holm_p_value": None, "holds": "",
    }  # fmt: skip


def _verdict(difference: Summary, higher: bool) -> str:
    """What the method is beside the reference, as far as the interval of the difference tells."""
    low, high = difference.low or 0.0, difference.high or 0.0
    if low <= 0 <= high:
        return LEVEL
    return BETTER if (low > 0) == higher else WORSE


def _p_values(differences: dict[Group, np.ndarray], seed: int) -> dict[Group, float]:
    """Of every comparison, those over as many images together."""
    found: dict[Group, float] = {}
    for n in dict.fromkeys(map(len, differences.values())):
        alike = [group for group, values in differences.items() if len(values) == n]
        together = np.stack([differences[group] for group in alike], 1)
        found |= dict(zip(alike, sign_flip(together, seed=seed).tolist(), strict=True))
    return {group: found[group] for group in differences}


def ranked(metric: str) -> bool:
    """Whether a metric of the catalogue counts for the rank: it measures the map, and has a direction.

    What the method does when it runs again, and what an explanation reports of itself, say nothing of the map's quality.
    """
    facts = METRICS[metric].properties
    return facts["scope"] == "map" and not facts["column"] and facts["higher_is_better"] is not None


def mean_ranks(groups: dict[Group, Values], kinds: dict[str, str]) -> dict[str, float]:
    """Method → mean over metrics and imputations of its rank by the mean value; 1 is the best, ties share their mean rank.

    A column ranks the methods over the images for which all of them that have a value have one.

    Args:
        groups: image → value, by method, metric and imputation.
        kinds: what each metric is in the catalogue.
    """
    found: dict[str, list[float]] = {}
    for column in dict.fromkeys(group[1:] for group in groups):
        if not ranked(kinds[column[0]]):
            continue
        having = {group[0]: values for group, values in groups.items() if group[1:] == column and values}
        common = set.intersection(*map(set, having.values())) if having else set()
        if not common:
            continue
        sign = -1 if METRICS[kinds[column[0]]].properties["higher_is_better"] else 1
        means = [sign * float(np.mean([values[image] for image in sorted(common)])) for values in having.values()]
        for method, rank in zip(having, rankdata(means), strict=True):
            found.setdefault(method, []).append(float(rank))
    return {method: float(np.mean(ranks)) for method, ranks in found.items()}
