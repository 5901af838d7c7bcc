"""Sign-flip tests and Holm's correction: exact where they say so, right as often as they say; stability over seeds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import permutation_test
from torch import nn

from sigcli.attribution.explain import explain
from sigcli.attribution.select import Chosen
from sigcli.errors import AttributionError
from sigcli.methods import METHODS
from sigcli.metrics.case import Case
from sigcli.metrics.robustness import seed_stability
from sigcli.metrics.significance import EXACT, FLIPS, holm, sign_flip
from sigcli.types import Subject


def test_few_pairs_are_exact_as_scipy_enumerates_them():
    differences = np.random.default_rng(0).normal(0.5, 1.0, (9, 4)).round(1)  # rounded, so that sums are tied
    for column, p_value in zip(differences.T, sign_flip(differences), strict=True):
        theirs = permutation_test((column,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert p_value == pytest.approx(theirs.pvalue, abs=1e-12)


def test_many_pairs_are_near_the_exact_value_and_no_p_value_is_zero(monkeypatch):
    differences = np.random.default_rng(1).normal(0.4, 1.0, (EXACT + 1, 3))
    drawn = sign_flip(differences, seed=3)
    monkeypatch.setattr("sigcli.metrics.significance.EXACT", EXACT + 1)
    exact = sign_flip(differences)
    assert (drawn != exact).any()
    assert np.abs(drawn - exact) == pytest.approx(0, abs=4.5 * 0.5 / FLIPS**0.5)
    assert sign_flip(np.ones((40, 1))).tolist() == [1 / (FLIPS + 1)]


def test_properties_of_sign_flips():
    differences = np.random.default_rng(2).normal(0.3, 1.0, (20, 5))
    found = sign_flip(differences)
    assert (sign_flip(-differences) == found).all()
    assert (sign_flip(7 * differences) == found).all()
    assert (sign_flip(differences[:, ::-1]) == found[::-1]).all()
    assert sign_flip(np.zeros((20, 1))).tolist() == [1.0]
    assert sign_flip(np.empty((0, 2))).tolist() == [1.0, 1.0]


def test_wrong_one_time_in_twenty_where_methods_are_alike():
    """Heavy tails, which break Student's interval of few values: the test is exact for all symmetric laws."""
    p_values = sign_flip(np.random.default_rng(3).standard_t(1.5, (10, 3000)))
    assert np.mean(p_values <= 0.05) == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / 3000) ** 0.5)


def test_holm_by_its_definition():
    p_values = np.random.default_rng(4).uniform(0, 0.2, 9).tolist()
    for alpha in np.linspace(0.01, 1.0, 34):
        rejected: set[int] = set()
        for step, index in enumerate(sorted(range(9), key=p_values.__getitem__)):
            if p_values[index] > alpha / (9 - step):
                break
            rejected.add(index)
        assert {i for i, p in enumerate(holm(p_values)) if p <= alpha} == rejected
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def case(values):
    level = torch.zeros(1, 1, 1)
    return Case(Subject(torch.zeros(1, 4, 4), 0, level, level + 1, 1, 5), values)


def test_stability_is_the_rank_correlation_with_the_map_of_the_next_seed():
    ramp = torch.arange(16.0).reshape(1, 4, 4)
    maps, seeds = [ramp, ramp.exp(), -ramp, torch.zeros(1, 4, 4)], []

    def again(images, target, model=None, seed=None):
        seeds.append((len(images), target, seed))
        return maps.pop(0)[None]

    for expected in (1.0, 1.0, -1.0):
        assert seed_stability(case(ramp), again, True).value == pytest.approx(expected)
    with pytest.raises(AttributionError, match="no ranks"):
        seed_stability(case(ramp), again, True)
    assert seeds == [(1, 0, 6)] * 4
    assert seed_stability(case(ramp), again, False).value == 1.0  # a method without draws is not run again
    assert len(seeds) == 4


OTHERS = {name for name, e in METHODS.items() if e.properties.get("certainty") or e.properties.get("only")}
UNDRAWN = [name for name, entry in METHODS.items() if not Chosen(entry).drawn and name not in OTHERS]
QUICK = [name for name in UNDRAWN if METHODS[name].properties["passes"] <= 256]
REST = [name for name in UNDRAWN if name not in QUICK]


@pytest.mark.parametrize("names", [QUICK, pytest.param(REST, marks=pytest.mark.slow)], ids=["quick", "rest"])
def test_methods_said_to_have_no_draws_have_none(names):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (1, 12, 12, 3), np.uint8)
    less = {"players": "grid:2x2", "steps": 4}
    settings = {f"{m}.{o}": v for m in names for o, v in less.items() if o in METHODS[m].options()}
    one, other = (
        explain(list(pixels), model=net, image_size=12, method=names, settings=settings, seed=seed, write=False)
        for seed in (0, 1)
    )
    assert len({item.method for item in one if item.status == "ok"}) >= 0.8 * len(names)
    for first, second in zip(one, other, strict=True):
        assert first.status == second.status
        assert first.status != "ok" or (first.values == second.values).all(), first.method


def test_baselines_that_are_drawn():
    assert Chosen(METHODS["ig"], {"baseline": "uniform"}).drawn
    assert Chosen(METHODS["ig"], {"baseline": "max-entropy:9"}).drawn
    assert not Chosen(METHODS["ig"], {"baseline": "blur:3"}).drawn
