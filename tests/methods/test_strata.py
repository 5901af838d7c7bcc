"""The nodes of `sig` between coalitions and image."""

import numpy as np
import pytest

from sigcli.methods import METHODS
from sigcli.methods.strata import uneven_strata
from tests.methods.test_sig import subject


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_every_stratum_has_one_node_and_its_length_as_weight(count):
    edges = (np.arange(count + 1) / count) ** 1.5
    for shift in (0.0, 0.013, 0.4999, 0.999999):
        alpha, weight = uneven_strata(shift, count)
        stratum = np.searchsorted(edges, alpha, side="right") - 1
        assert sorted(stratum) == list(range(count))
        assert np.allclose(weight, count * np.diff(edges)[stratum])
        assert weight.sum() == pytest.approx(count, abs=1e-12)


@pytest.mark.parametrize("power", [1, 2, 7])
def test_each_place_alone_is_unbiased(power):
    """Over all shifts the mean at every place is the integral, so whatever coalition stands there, nothing is favoured."""
    shifts = (np.arange(40000) + 0.5) / 40000
    drawn = [uneven_strata(shift, 8) for shift in shifts]
    alpha, weight = (np.stack(part) for part in zip(*drawn, strict=True))
    assert np.allclose((weight * alpha**power).mean(0), 1 / (power + 1), atol=2e-4)


@pytest.mark.parametrize(("samples", "uneven"), [(16, True), (50, True), (17, False)])
def test_weights_of_a_replicate_sum_to_its_draws(samples, uneven):
    """A constant gradient is integrated exactly, also where the last draw has no mirror."""
    plan = METHODS["sig"].load()(subject(), players="pixels", baseline="black", samples=samples)
    sums = np.bincount(plan.unit, plan.weight) * samples
    assert np.allclose(sums, np.bincount(plan.unit), atol=1e-12)
    assert (np.ptp(plan.weight[plan.unit == plan.units - 1]) > 1e-6) == uneven


def test_a_named_rule_has_equal_weights():
    plan = METHODS["sig"].load()(subject(), players="pixels", baseline="black", samples=32, rule="stratified")
    assert np.allclose(plan.weight, 1 / 32)
