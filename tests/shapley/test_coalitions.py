import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigcli.shapley import coalitions as c


@given(st.integers(1, 40), st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_packing_loses_nothing(n, k):
    members = np.random.default_rng(n * k).random((k, n)) < 0.5
    packed = c.Coalitions.pack(members)
    assert np.array_equal(packed.members(), members)
    assert np.array_equal(packed.sizes(), members.sum(1))
    assert np.array_equal(packed.take(np.array([k - 1, 0])).members(), members[[k - 1, 0]])
    assert c.Coalitions.full(k, n).members().all()
    assert not c.Coalitions.empty(k, n).members().any()


@given(st.integers(1, 30))
@settings(max_examples=20, deadline=None)
def test_coalitions_have_the_sizes_asked_for(n):
    sizes = np.arange(n + 1)
    assert np.array_equal(c.of_sizes(sizes, n, 1).members().sum(1), sizes)


def test_mirrors_share_no_player_and_leave_one_out():
    sizes = np.arange(7).repeat(5)
    members = c.antithetic(sizes, 7, 3).members()
    first, mirror = members[::2], members[1::2]
    assert np.array_equal(first.sum(1), sizes)
    assert np.array_equal(mirror.sum(1), 6 - sizes)
    assert ((first.astype(int) + mirror).max(1) == 1).all()


def test_a_draw_keeps_its_coalition_whatever_comes_before():
    sizes = np.full(10, 4)
    together = c.antithetic(sizes, 9, 5).members()
    later = c.antithetic(sizes[6:], 9, 5, first=6).members()
    assert np.array_equal(together[12:], later)


def test_every_player_is_in_as_often_as_its_size_says():
    members = c.of_sizes(np.full(6000, 3), 10, 2).members()
    assert members.mean(0) == pytest.approx(np.full(10, 0.3), abs=0.03)


def test_enumeration_has_the_weights_of_uniform_sizes():
    drawn, weights = c.all_proper(5)
    sizes = drawn.members().sum(1)
    assert len(drawn) == 31
    assert len(np.unique(drawn.bits, axis=0)) == 31
    for k in range(5):
        assert weights[sizes == k].sum() == pytest.approx(1 / 5)
    with pytest.raises(ValueError, match="too many"):
        c.all_proper(25)


def test_size_weights_are_equation_4():
    for n in (1, 2, 9, 60):
        exact = [math.factorial(k) * math.factorial(n - k - 1) / math.factorial(n) for k in range(n)]
        assert c.size_weights(n) == pytest.approx(exact, rel=1e-10)
        assert sum(math.comb(n - 1, k) * w for k, w in enumerate(c.size_weights(n))) == pytest.approx(1)


def test_orders_are_permutations_in_antithetic_pairs():
    orders = c.orders(6, 9, 4)
    assert orders.shape == (9, 6)
    assert (np.sort(orders, axis=1) == np.arange(6)).all()
    assert np.array_equal(orders[1], orders[0][::-1])
    assert len(np.unique(c.orders(5, 400, 4)[::2], axis=0)) > 80  # of 120
