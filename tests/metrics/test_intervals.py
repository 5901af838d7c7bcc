"""Intervals and bands stay where their values can be, for every metric of the catalogue."""

import math

import numpy as np
import pytest

from sigcli.evaluation.tables import curve_rows, paired_rows, summary_rows
from sigcli.evaluation.value import MetricValue
from sigcli.metrics import METRICS
from sigcli.metrics.statistics import bootstrap, paired
from sigcli.scenarios.comparison import means_of

FRACTIONS = {
    "deletion", "insertion", "iaccuracy", "accuracy", "top-5-accuracy", "calibration-error", "information-absence",
    "neutrality", "pointing-game", "relevance-mass", "relevance-rank", "top-intersection", "roc-auc", "sparseness",
}  # fmt: skip
BOTH_SIGNS = {
    "morf", "lerf", "faithfulness-correlation", "sensitivity-n", "parameter-randomisation", "random-logit",
}  # fmt: skip


def figure(method, metric, image, value):
    curve = np.full(3, value)
    return MetricValue(
        image=image, method=method, target=0, metric=metric, imputation="", value=value, at=np.arange(3.0), curve=curve,
        measure=metric,
    )  # fmt: skip


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_states_its_range(name):
    low, high = METRICS[name].properties["range"]
    if name in FRACTIONS:
        assert (low, high) == (0, 1)
    elif name in BOTH_SIGNS:
        assert (low, high) == (-1, 1)
    else:
        assert (low, high) in {(0, math.inf), (-math.inf, 1)}


@pytest.mark.parametrize("name", sorted(FRACTIONS | BOTH_SIGNS))
@pytest.mark.parametrize("values", [(1.0, 0.0, 1.0), (0.99, 0.999, 1.0, 0.4, 1.0, 1.0, 1.0, 0.98, 1.0)])
def test_no_row_of_any_table_leaves_the_range(name, values):
    figures = [figure("a", name, f"{i}.png", v) for i, v in enumerate(values)]
    figures += [figure("b", name, f"{i}.png", 1 - v) for i, v in enumerate(values)]
    low, high = METRICS[name].properties["range"]
    rows = [row for _, _, row in summary_rows(figures, 0)] + curve_rows(figures, 0)
    assert len(rows) == 8
    for row in rows:
        assert low <= row["ci_low"] <= row["mean"] <= row["ci_high"] <= high
    for row in paired_rows(figures, 0):
        assert low - high <= row["ci_low"] <= row["mean"] <= row["ci_high"] <= high - low


def test_an_interval_within_the_range_is_left_alone():
    values = np.random.default_rng(1).uniform(0.4, 0.6, 20)
    assert bootstrap(values, within=(0, 1)) == bootstrap(values)
    one = {str(i): float(v) for i, v in enumerate(values)}
    other = dict.fromkeys(one, 0.5)
    assert paired(one, other, within=(0, 1)) == paired(one, other)


@pytest.mark.parametrize("n", [3, 5, 8, 12])
def test_ending_at_the_range_costs_no_coverage(n):
    """The mean of shares near 1 lies in the interval as often as before: what is cut off holds no mean."""
    generator = np.random.default_rng(n)
    cut = whole = 0
    for _ in range(150):
        values = generator.beta(8, 1, n)
        for bounded in (True, False):
            found = bootstrap(values, **({"within": (0.0, 1.0)} if bounded else {}))
            holds = found.low <= 8 / 9 <= found.high
            cut, whole = cut + (bounded and holds), whole + (not bounded and holds)
    assert cut == whole


def test_means_of_scenarios_are_shares_or_signed():
    rows = [{"method": "m", "share": v, "r": v} for v in (1.0, 0.9, 0.2)]
    found = means_of(rows, ["share", "r"], 0, signed=["r"])
    assert found["m", "share"].low == 0
    assert found["m", "share"].high == found["m", "r"].high == 1
    assert -1 <= found["m", "r"].low < 0
