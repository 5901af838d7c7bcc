import math

import numpy as np
import pytest

from sigcli.engine import quadrature
from sigcli.errors import UsageError


@pytest.mark.parametrize("name", quadrature.RULES)
@pytest.mark.parametrize("steps", [2, 3, 10, 50])
def test_weights_sum_to_one_and_nodes_are_inside(name, steps):
    nodes, weights = quadrature.RULES[name](steps)
    assert len(nodes) == len(weights) == steps
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    assert 0 <= nodes.min() <= nodes.max() <= 1


@pytest.mark.parametrize("name", quadrature.RULES)
def test_order_of_convergence(name):
    rule = quadrature.RULES[name]
    exact = math.e - 1

    def error(steps):
        nodes, weights = rule(steps)
        return abs((weights * np.exp(nodes)).sum() - exact)

    if math.isinf(rule.order):
        assert error(8) < 1e-13
        return
    few, many = 16, 128
    rate = math.log(error(few) / error(many)) / math.log(many / few)
    assert rate == pytest.approx(rule.order, abs=0.15)


def test_stratified_is_unbiased_and_beats_independent_nodes():
    rng = np.random.default_rng(0)
    nodes, weights = quadrature.stratified(rng.random((4000, 16)))
    estimates = (np.exp(nodes) * weights).sum(1)
    assert estimates.mean() == pytest.approx(math.e - 1, abs=4 * estimates.std() / math.sqrt(4000))
    independent = np.exp(rng.random((4000, 16))).mean(1)
    assert estimates.std() < independent.std() / 10
    coarse = (np.exp(quadrature.stratified(rng.random((4000, 4)))[0])).mean(1).std()
    assert math.log(coarse / estimates.std()) / math.log(4) == pytest.approx(1.5, abs=0.15)


def test_faults_are_told():
    with pytest.raises(UsageError, match="Did you mean 'trapezoid'"):
        quadrature.rule("trapezoidal")
    with pytest.raises(ValueError, match="at least 2 steps"):
        quadrature.RULES["trapezoid"](1)
    with pytest.raises(ValueError, match="is not a rule"):
        quadrature.Rule("bad", lambda steps: (np.linspace(0, 1, steps), np.full(steps, 0.5 / steps)), 1)(4)
