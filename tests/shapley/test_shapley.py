"""Shapley estimators on games whose values are known."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest

from sigcli import draws
from sigcli.errors import BudgetError, UsageError
from sigcli.shapley.coalitions import size_weights
from sigcli.shapley.effective import Pool, draw_effective, effective_shapley, sample_pool
from sigcli.shapley.exact import exact
from sigcli.shapley.game import members_of, table
from sigcli.shapley.kernel import _kernel_coalitions, kernel_shap
from sigcli.shapley.sampling import permutation

SAMPLED = [permutation, kernel_shap]
ALL = [*SAMPLED, effective_shapley]


class Counted:
    """A game from a table, which remembers what it was asked for."""

    def __init__(self, values: np.ndarray):
        self.values, self.asked = values, []

    @property
    def n(self) -> int:
        return len(self.values).bit_length() - 1

    def __call__(self, members: np.ndarray) -> np.ndarray:
        codes = (members * (1 << np.arange(self.n))).sum(1)
        self.asked += codes.tolist()
        return self.values[codes]


def random_game(n: int, seed: int = 0) -> Counted:
    return Counted(np.random.default_rng(seed).normal(size=2**n))


def additive(shares: np.ndarray) -> Counted:
    return Counted(members_of(np.arange(2 ** len(shares)), len(shares)) @ shares + 3.0)


def unanimity(n: int, carrier: list[int]) -> Counted:
    return Counted(members_of(np.arange(2**n), n)[:, carrier].all(1).astype(float))


def over_orders(game: Counted) -> np.ndarray:
    """The definition by orders, slowly."""
    found = np.zeros(game.n)
    orders = list(permutations(range(game.n)))
    for order in orders:
        code = 0
        for player in order:
            found[player] += (game.values[code | 1 << player] - game.values[code]) / len(orders)
            code |= 1 << player
    return found


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_exact_equals_the_mean_over_orders(n):
    game = random_game(n)
    np.testing.assert_allclose(exact(game.values), over_orders(game), atol=1e-12)


def test_exact_on_known_games():
    np.testing.assert_allclose(exact(unanimity(6, [1, 2, 4]).values), [0, 1 / 3, 1 / 3, 0, 1 / 3, 0], atol=1e-12)
    shares = np.array([1.5, -2.0, 0.0, 4.0])
    np.testing.assert_allclose(exact(additive(shares).values), shares, atol=1e-12)
    with pytest.raises(ValueError, match="2\\^n"):
        exact(np.zeros(6))


def test_a_game_and_its_table_agree():
    game = random_game(6)
    np.testing.assert_array_equal(table(game, 6), game.values)
    with pytest.raises(UsageError, match="24 players"):
        table(game, 25)


@pytest.mark.parametrize("estimator", ALL)
@pytest.mark.parametrize("budget", [60, 97, 200])
def test_no_estimator_asks_for_more_than_its_budget(estimator, budget):
    game = random_game(8)
    found = estimator(game, 8, budget=budget, key=3)
    assert found.evaluations == len(game.asked) <= budget
    assert found.evaluations > 0.6 * budget
    again = estimator(random_game(8), 8, budget=budget, key=3)
    np.testing.assert_array_equal(found.values, again.values)
    assert not np.array_equal(found.values, estimator(random_game(8), 8, budget=budget, key=4).values)


@pytest.mark.parametrize("estimator", SAMPLED)
def test_efficiency_and_additive_games(estimator):
    game = random_game(7)
    assert estimator(game, 7, budget=50).values.sum() == pytest.approx(game.values[-1] - game.values[0])
    shares = np.array([1.5, -2.0, 0.0, 4.0, 1e3])
    np.testing.assert_allclose(estimator(additive(shares), 5, budget=14).values, shares, atol=1e-9)


def test_a_player_without_effect_gets_nothing():
    game = unanimity(6, [0, 3])
    for estimator in (permutation, effective_shapley):
        found = estimator(game, 6, budget=120).values
        np.testing.assert_array_equal(found[[1, 2, 4, 5]], 0)


def test_permutation_sampling_is_unbiased_and_knows_its_error():
    game = random_game(6, 5)
    found = [permutation(game, 6, budget=52, key=key) for key in range(400)]
    values = np.stack([f.values for f in found])
    error = values.std(0, ddof=1)
    assert (np.abs(values.mean(0) - exact(game.values)) < 4 * error / 20).all()
    told = np.sqrt(np.mean([f.stderr**2 for f in found], axis=0))
    np.testing.assert_allclose(told, error, rtol=0.2)


@pytest.mark.parametrize("n", [2, 3, 7, 8])
def test_kernel_shap_with_every_coalition_is_exact(n):
    game = random_game(n)
    found = kernel_shap(game, n, budget=max(2**n, 2 * n + 2))
    np.testing.assert_allclose(found.values, exact(game.values), atol=1e-9)
    assert sorted(game.asked) == list(range(2**n))


def test_kernel_shap_asks_for_no_coalition_twice_and_converges():
    errors = {}
    for budget in (40, 120, 400):
        found = []
        for key in range(10):
            game = random_game(9)
            found.append(kernel_shap(game, 9, budget=budget, key=key).values - exact(game.values))
            assert len(set(game.asked)) == len(game.asked)
        errors[budget] = np.sqrt(np.mean(np.square(found)))
    assert errors[400] < 0.5 * errors[120] < 0.35 * errors[40]


@pytest.mark.parametrize(("estimator", "least"), [(permutation, 14), (kernel_shap, 16), (effective_shapley, 35)])
def test_budgets_that_are_too_small(estimator, least):
    estimator(random_game(7), 7, budget=least)
    with pytest.raises(BudgetError, match=f"{least} or more"):
        estimator(random_game(7), 7, budget=least - 1)


def test_the_pool_holds_marginal_differences_of_all_sizes():
    game = random_game(6)
    pool = sample_pool(game, 6, budget=100, key=1)
    assert np.bincount(pool.members.sum(1), minlength=6).min() >= 3
    for row, member in enumerate(pool.members):
        code = int((member * (1 << np.arange(6))).sum())
        for player in range(6):
            expected = np.nan if member[player] else game.values[code | 1 << player] - game.values[code]
            np.testing.assert_equal(pool.marginal[row, player], expected)


def test_effective_coalitions_are_drawn_by_the_printed_equation():
    """[ES] Eq. 5, class by class, for a player whose marginal values are 0, 1 or 3."""
    rng = np.random.default_rng(2)
    members = rng.random((60, 6)) < 0.5
    members[:, 2] = False
    marginal = np.full((60, 6), np.nan)
    marginal[:, 2] = rng.choice([0.0, 1.0, 3.0], 60)
    pool = Pool(members, marginal, 0)
    count = 5000
    rows = draw_effective(pool, 2, count=count, tolerance=1e-9, bins=2, key=draws.stream(0, "x"))
    assert (marginal[rows, 2] != 0).all()
    classes = {}
    for value in (1.0, 3.0):
        m = (marginal[:, 2] == value).sum()
        for size in range(6):
            if ((marginal[:, 2] == value) & (members.sum(1) == size)).any():
                classes[value, size] = m * size_weights(6)[size]
    total = sum(classes.values())
    for (value, size), share in classes.items():
        drawn = ((marginal[rows, 2] == value) & (members[rows].sum(1) == size)).sum()
        assert abs(drawn - count * share / total) <= 1


def test_effective_shapley_is_the_value_itself_where_every_marginal_is_one():
    shares = np.array([1.5, -2.0, 0.5, 4.0])
    np.testing.assert_allclose(effective_shapley(additive(shares), 4, budget=60).values, shares, atol=1e-9)


@pytest.mark.parametrize(("n", "budget"), [(6, 62), (7, 60), (8, 100), (12, 40), (12, 200), (13, 400)])
def test_coalitions_of_kernelshap_are_distinct_and_share_the_kernel(n, budget):
    """Each size that is whole has the Shapley kernel's weight; what was drawn shares the rest, as far as it is trusted."""
    members, weights, _ = _kernel_coalitions(n, budget, 3)
    assert len({row.tobytes() for row in members}) == len(members) == budget
    assert {row.tobytes() for row in members} == {row.tobytes() for row in ~members}
    sizes = members.sum(1)
    kernel = {k: (n - 1) / (k * (n - k)) for k in range(1, n)}
    whole = [k for k in kernel if (sizes == k).sum() == math.comb(n, k)]
    assert {1, n - 1} <= set(whole)
    for k in whole:
        np.testing.assert_allclose(weights[sizes == k], kernel[k] / math.comb(n, k))
    drawn = ~np.isin(sizes, whole)
    if drawn.any():
        there = sum(math.comb(n, k) for k in kernel if k not in whole)
        doubt = 3 * n * (1 - drawn.sum() / there)
        rest = sum(mass for k, mass in kernel.items() if k not in whole)
        pairs = drawn.sum() / 2
        np.testing.assert_allclose(weights[drawn].sum(), rest * pairs**2 / (pairs**2 + doubt**2))
