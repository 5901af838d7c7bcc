"""The game: players, the dynamic programme against a slow enumeration over orders, exact Shapley values."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest

from sigcli.errors import UsageError
from sigcli.gridworld.rewards import REWARDS, Step, load_reward, r1, r2
from sigcli.gridworld.world import World, value_table
from sigcli.shapley.exact import exact, exact_fractions
from sigcli.shapley.game import members_of


def best_walk(world: World, reward, pairs: frozenset[int], cell, arrived: bool) -> float:
    """The definition, by recursion over every order: the best total of a walk that must act while it can."""
    totals = []
    for player in pairs:
        pair = world.players[player]
        if pair.cell != cell:
            continue
        gain = reward(Step(cell, pair.action, pair.to, world.end, arrived))
        if gain is not None:
            here = arrived or pair.to == world.end
            totals.append(gain + best_walk(world, reward, pairs - {player}, pair.to, here))
    return max(totals, default=0.0)


def test_players_of_the_papers():
    assert [World(h, w).n for h, w in ((2, 2), (2, 3), (1, 2), (1, 7), (3, 2))] == [12, 20, 4, 19, 20]
    for h, w in ((2, 2), (2, 3), (1, 5), (3, 1)):
        assert len(World(h, w).players) == World(h, w).n
    assert [str(p) for p in World(1, 2).players] == ["0,0 right", "0,0 stay", "0,1 left", "0,1 stay"]


@pytest.mark.parametrize("grid", ["1x2", "1x3", "2x1", "1x4"])
@pytest.mark.parametrize("name", ["r1", "r2"])
def test_values_equal_the_slow_enumeration(grid, name):
    world, reward = World.parse(grid), REWARDS[name]
    values = value_table(world, reward)
    for code in range(2**world.n):
        pairs = frozenset(i for i in range(world.n) if code >> i & 1)
        assert values[code] == best_walk(world, reward, pairs, world.start, False)


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_values_of_2x2_equal_the_slow_enumeration_on_random_coalitions(name):
    world, reward = World(2, 2), REWARDS[name]
    values = value_table(world, reward)
    for code in np.random.default_rng(3).choice(2**12, 60, replace=False):
        pairs = frozenset(i for i in range(12) if code >> i & 1)
        if len(pairs) <= 9:
            assert values[code] == best_walk(world, reward, pairs, world.start, False)


def test_a_reward_that_depends_on_where_and_how():
    def reward(step: Step) -> float:
        return (3.5 if step.action == "stay" else -1.25) * (1 + step.cell[1]) - step.arrived

    world = World(1, 3)
    values = value_table(world, reward)
    for code in range(2**world.n):
        pairs = frozenset(i for i in range(world.n) if code >> i & 1)
        assert values[code] == pytest.approx(best_walk(world, reward, pairs, world.start, False))


@pytest.mark.parametrize("grid", ["2x2", "2x3"])
@pytest.mark.parametrize("name", ["r1", "r2"])
def test_shapley_values_sum_to_the_grand_coalition_exactly(grid, name):
    values = value_table(World.parse(grid), REWARDS[name])
    assert values[0] == 0
    assert sum(exact_fractions(values)) == Fraction(values[-1])


def test_symmetric_players_have_equal_values_and_idle_ones_none():
    world = World(2, 2)
    phi = dict(zip(map(str, world.players), exact_fractions(value_table(world, r1)), strict=True))
    assert phi["0,0 right"] == phi["0,0 down"]
    assert phi["0,1 down"] == phi["1,0 right"]
    assert phi["1,1 up"] == phi["1,1 left"] == phi["1,1 stay"] == 0  # the walk ends on arrival
    after = dict(zip(map(str, world.players), exact_fractions(value_table(world, r2)), strict=True))
    assert after["1,1 stay"] > 0


def test_exact_equals_the_mean_over_all_orders():
    world = World(1, 2)
    values = value_table(world, r2)
    expected = np.zeros(4)
    for order in permutations(range(4)):
        code = 0
        for player in order:
            expected[player] += (values[code | 1 << player] - values[code]) / 24
            code |= 1 << player
    np.testing.assert_allclose(exact(values), expected, atol=1e-12)


def test_members_and_codes_agree():
    members = members_of(np.array([0, 1, 6]), 3)
    assert members.tolist() == [[False] * 3, [True, False, False], [False, True, True]]


@pytest.mark.parametrize(
    ("text", "says"),
    [("3x3", "33 players"), ("1x1", "two cells"), ("0x5", "two cells"), ("2by2", "rows x columns"), ("-1x2", "rows x")],
)
def test_grids_that_cannot_be(text, says):
    with pytest.raises(UsageError, match=says):
        World.parse(text)


def test_a_users_reward_is_loaded_and_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_rewards.py").write_text(
        "def good(step):\n    return 2.0 if step.to == step.end else -1\n"
        "def bad(step):\n    return float('nan')\n"
        "def broken(step):\n    return step.nothing\nnumber = 3\n"
        "def numpys(step):\n    import numpy\n    return numpy.float32(1) if step.arrived else numpy.int64(2)\n"
        "def huge(step):\n    return 1e308\n"
    )
    (tmp_path / "falls_over.py").write_text("x = 1 / 0\n")
    assert value_table(World(1, 2), load_reward("own_rewards:numpys"))[-1] > 0
    with pytest.raises(UsageError, match=r"1e\+308"):
        value_table(World(1, 2), load_reward("own_rewards:huge"))
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        load_reward("falls_over:f")
    values = value_table(World(1, 2), load_reward("own_rewards:good"))
    assert values[-1] == 2 + 2 - 1 - 1  # right, stay, and then it must go left and stay there
    with pytest.raises(UsageError, match="nan"):
        value_table(World(1, 2), load_reward("own_rewards:bad"))
    with pytest.raises(UsageError, match="AttributeError"):
        value_table(World(1, 2), load_reward("own_rewards:broken"))
    for name, says in (
        ("own_rewards:none", "cannot be loaded"),
        ("own_rewards:number", "not a function"),
        ("r3", "r1"),
    ):
        with pytest.raises(UsageError, match=says):
            load_reward(name)
