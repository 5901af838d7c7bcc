"""Intervals and bands stay where their values can be, for every metric of the catalogue."""

import math

import hypothesis.strategies as hypothesis
import numpy as np
import pytest
from hypothesis import given, settings
from scipy import stats

from sigcli.evaluation.tables import curve_rows, paired_rows, summary_rows
from sigcli.evaluation.value import MetricValue
from sigcli.metrics import METRICS, statistics
from sigcli.metrics.statistics import mean_interval, paired, summarise
from sigcli.scenarios.comparison import means_of

FRACTIONS = {
    "deletion", "insertion", "iaccuracy", "accuracy", "top-5-accuracy", "calibration-error", "information-absence",
    "neutrality", "pointing-game", "relevance-mass", "relevance-rank", "top-intersection", "roc-auc", "sparseness",
}  # fmt: skip
BOTH_SIGNS = {
    "morf", "lerf", "faithfulness-correlation", "sensitivity-n", "parameter-randomisation", "random-logit", "seed-stability",
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
    assert summarise(values, within=(0, 1)) == summarise(values)
    one = {str(i): float(v) for i, v in enumerate(values)}
    other = dict.fromkeys(one, 0.5)
    assert paired(one, other, within=(0, 1)) == paired(one, other)


@pytest.mark.parametrize("n", [3, 5, 8, 12])
def test_ending_at_the_range_costs_no_coverage(n):
    """The mean of shares near 1 lies in the interval at least as often as in one that knows of no range."""
    generator = np.random.default_rng(n)
    cut = whole = 0
    for _ in range(150):
        values = generator.beta(8, 1, n)
        for bounded in (True, False):
            found = summarise(values, **({"within": (0.0, 1.0)} if bounded else {}))
            holds = found.low <= 8 / 9 <= found.high
            cut, whole = cut + (bounded and holds), whole + (not bounded and holds)
    assert cut > 0.85 * 150
    assert cut == whole if n >= 8 else cut >= whole


@pytest.mark.parametrize("hits", [False, True])
@pytest.mark.parametrize("within", [(0.0, 1.0), (-1.0, 1.0), (0.0, math.inf), (-math.inf, math.inf)])
def test_two_images_have_no_interval(within, hits):
    """A probability of two images would read -2.7 to 3.8."""
    for values in ([0.3], [0.3, 0.8]):
        found = summarise(values, within=within, hits=hits)
        assert (found.low, found.high, found.interval) == (None, None, "")
        assert found.mean == pytest.approx(np.mean(values))
        assert (mean_interval(values, within).low, mean_interval(values, within).n) == (None, len(values))
    assert paired({"a": 1.0, "b": 0.5}, {"a": 0.0, "b": 0.25}, within=(0, 1)).low is None


def held(values, least, greatest, mu):
    """Whether a mean lies in the score interval, by its definition: variance in proportion to (μ - least)(greatest - μ)."""
    n, mean = len(values), np.mean(values)
    variance = np.var(values, ddof=1) * (mu - least) * (greatest - mu) / ((mean - least) * (greatest - mean))
    return (mean - mu) ** 2 <= stats.t.ppf(0.975, n - 1) ** 2 * variance / n


@settings(deadline=None, max_examples=60)
@given(
    hypothesis.lists(hypothesis.floats(0, 1), min_size=3, max_size=7),
    hypothesis.sampled_from([(0, 1), (-1, 1), (-2, 2)]),
)
def test_a_few_bounded_values_have_the_score_interval(shares, within):
    least, greatest = within
    values = [least + share * (greatest - least) for share in shares]
    found = summarise(values, within=within)
    assert found.interval == "score"
    assert least <= found.low <= found.mean <= found.high <= greatest
    if np.std(values) < 1e-3:
        return
    width = found.high - found.low
    assert held(values, least, greatest, found.low + 1e-6 * width)
    assert held(values, least, greatest, found.high - 1e-6 * width)
    for outside in (found.low - 1e-6 * width, found.high + 1e-6 * width):
        assert not least < outside < greatest or not held(values, least, greatest, outside)


def test_turned_around_the_interval_turns_around():
    values = np.array([0.9, 1.0, 0.4, 0.97])
    one, other = summarise(values, within=(0, 1)), summarise(1 - values, within=(0, 1))
    assert (1 - other.high, 1 - other.low) == pytest.approx((one.low, one.high))
    scaled = summarise(2 * values - 1, within=(-1, 1))
    assert ((scaled.low + 1) / 2, (scaled.high + 1) / 2) == pytest.approx((one.low, one.high))


def test_values_that_vary_little_have_students_interval():
    values = 0.5 + 1e-4 * np.array([-1.0, 0.5, 2.0, 0.0, -0.7])
    within, free = summarise(values, within=(0, 1)), summarise(values)
    assert free.interval == "Student's t"
    expected = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    assert (free.low, free.high) == pytest.approx(expected)
    assert (within.low, within.high) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("n", [3, 7, 8, 24])
@pytest.mark.parametrize("right", [0, 2, 3])
def test_hits_have_wilsons_interval(n, right):
    """All images right is no proof that all ever are: the bootstrap would say 1 to 1."""
    found = summarise([1.0] * right + [0.0] * (n - right), within=(0, 1), hits=True)
    oracle = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert found.interval == "Wilson"
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=1e-12)


def test_the_pointing_game_counts_hits():
    figures = [figure("a", "pointing-game", f"{i}.png", 1.0) for i in range(8)]
    ((_, summary, row),) = summary_rows(figures, 0)
    assert row["interval"] == "Wilson"
    assert summary.high == row["ci_high"] == 1
    assert 0.6 < row["ci_low"] < 0.7


@pytest.mark.parametrize(("n", "kind"), [(2, ""), (3, "score"), (7, "score"), (8, "bootstrap")])
def test_tables_name_the_interval(n, kind):
    figures = [figure(m, "deletion", f"{i}.png", 0.1 * i + 0.05 * k) for k, m in enumerate("ab") for i in range(n)]
    rows = [row for _, _, row in summary_rows(figures, 0)] + paired_rows(figures, 0) + curve_rows(figures, 0)
    assert {row["interval"] for row in rows} == {kind}
    assert {row["ci_low"] is None for row in rows} == {n < 3}
    free = [figure("a", "entropy", f"{i}.png", float(i)) for i in range(n)]
    assert summary_rows(free, 0)[0][2]["interval"] == kind.replace("score", "Student's t")


def test_runs_of_a_study_keep_to_their_range():
    found = mean_interval([0.99, 0.2, 0.97], (-1, 1))
    assert -1 <= found.low < found.mean < found.high <= 1
    free = mean_interval([0.99, 0.2, 0.97])
    assert free.high > 1
    many = mean_interval([1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], (0, 1))
    assert many.high == 1


def test_means_of_scenarios_are_shares_or_signed():
    rows = [{"method": "m", "share": v, "r": v} for v in (1.0, 0.9, 0.2)]
    found = means_of(rows, ["share", "r"], 0, signed=["r"])
    assert 0 < found["m", "share"].low < found["m", "share"].high < 1
    assert -1 < found["m", "r"].low < 0
    assert found["m", "r"].high < 1


def test_resamples_are_the_same_however_many_are_drawn_at_once(monkeypatch):
    """Thousands of images are resampled part by part, which changes no figure."""
    values = np.random.default_rng(0).gamma(1.0, size=50)
    whole = statistics.summarise(values, seed=3)
    monkeypatch.setattr(statistics, "_AT_ONCE", 50 * 7)
    assert statistics.summarise(values, seed=3) == whole
