"""The papers' protocol for GridWorld, against loops written from [SIG]."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sigcli.errors import UsageError
from sigcli.gridworld import ESTIMATORS
from sigcli.gridworld.paper import STEPS, from_pool
from sigcli.gridworld.rewards import REWARDS
from sigcli.gridworld.run import run_gridworld
from sigcli.gridworld.standin import Recipe
from sigcli.gridworld.study import Condition, measure, prepare
from sigcli.gridworld.world import World

PAPER = [name for name, entry in ESTIMATORS.items() if entry.properties["paper"]]


@pytest.fixture(scope="module")
def trained():
    """Two networks on the 1x3 grid, 7 players."""
    recipe = Recipe(steps=100, batch=64)
    return prepare(Condition(World(1, 3), "r2", REWARDS["r2"]), runs=2, coverage=0.4, seed=4, recipe=recipe)


def path_gradients(network, run, start, steps):
    """Σ over a Riemann sum of (1 - start) · gradient, by autograd, one point at a time."""
    total = torch.zeros(len(start))
    for j in range(steps):
        point = (start + (j + 0.5) / steps * (1 - start)).requires_grad_()
        h = point
        for layer, (w, b) in enumerate(zip(network.weights, network.biases, strict=True)):
            h = w[run] @ (h.relu() if layer else h) + b[run]
        (gradient,) = torch.autograd.grad(h[0], point)
        total += (1 - start) * gradient / steps
    return total.double().numpy()


def test_single_baselines_are_integrated_once_in_fifty_steps(trained):
    for run in range(2):
        codes = trained.codes[run][:9]
        sampled = ((codes[:, None] >> np.arange(7)) & 1).astype(np.float32)
        starts = {"zero": np.zeros(7, np.float32), "mean": sampled.mean(0)}
        for name, start in starts.items():
            found = measure(trained, name, 9, protocol="paper")[run].estimate
            expected = path_gradients(trained.networks, run, torch.from_numpy(start), STEPS)
            np.testing.assert_allclose(found.values, expected, atol=2e-5)
            assert found.evaluations == STEPS
        random = measure(trained, "random", 9, protocol="paper")[run].estimate.values
        each = [path_gradients(trained.networks, run, torch.from_numpy(row), STEPS) for row in sampled]
        assert min(np.abs(random - one).max() for one in each) < 2e-5


@pytest.mark.parametrize(
    ("name", "weight"), [("sig", lambda k: 1.0), ("sig-algorithm1", lambda k: 1 / math.comb(6, k))]
)
def test_sig_comes_to_the_mean_over_its_pool(name, weight, trained):
    """With many draws: sizes of the pool by their weights, within a size all coalitions of the pool alike."""
    pool = trained.codes[0]
    sizes = np.array([int(code).bit_count() for code in pool])
    present = [k for k in range(7) if (sizes == k).any()]
    total = sum(weight(k) for k in present)
    expected = np.zeros(7)
    for code, k in zip(pool, sizes, strict=True):
        if k < 7:
            start = torch.tensor([float(code >> i & 1) for i in range(7)])
            share = weight(k) / total / (sizes == k).sum()
            expected += share * path_gradients(trained.networks, 0, start, STEPS)
    found = measure(trained, name, 3000, protocol="paper")[0].estimate
    assert found.evaluations == 3000 * STEPS
    assert np.abs(found.values - expected).max() < 5 * found.stderr.max()
    assert found.stderr.max() < 0.05 * np.abs(expected).max()


def test_only_the_pool_is_drawn_from_whatever_it_lacks():
    pool = np.array([0b1111111, 0b0000111, 0b0111000, 0b0111111])
    codes = from_pool(pool, 7, 4000, np.ones(7), key=3)
    values, counts = np.unique(codes, return_counts=True)
    assert values.tolist() == [0b0000111, 0b0111000, 0b0111111]  # the grand coalition never
    assert counts / 4000 == pytest.approx([0.25, 0.25, 0.5], abs=0.04)
    np.testing.assert_array_equal(codes[:50], from_pool(pool, 7, 50, np.ones(7), key=3))


def test_a_study_by_the_papers_protocol(tmp_path):
    options = {"grid": "1x3", "reward": "r1", "runs": 2, "steps": 30, "samples": 20, "protocol": "paper"}
    study = run_gridworld(**options, sweep="samples", out=tmp_path)
    assert study.estimators == tuple(PAPER)
    assert {m.estimate.evaluations for m in study.cases[0].measured} == {STEPS, 20 * STEPS}
    assert {p.value for p in study.cases[0].sweep} == {5, 10, 20, 40, 80}
    assert (tmp_path / "timing.csv").exists()
    assert not (tmp_path / "error.png").exists()
    with pytest.raises(UsageError, match="the papers do not run sig-walk"):
        run_gridworld(**options, estimators="sig,sig-walk", write=False)
    with pytest.raises(UsageError, match="protocol"):
        run_gridworld(**{**options, "protocol": "papers"}, write=False)
