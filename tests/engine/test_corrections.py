"""What is done for many replicates, players and draws at once is, bit for bit, what is done for each."""

import numpy as np
import pytest
import torch

from sigcli import draws
from sigcli.engine import corrections
from sigcli.methods import METHODS
from sigcli.players import parse
from sigcli.shapley.coalitions import orders

from toys import subject


@pytest.mark.parametrize("players", ["grid:2x3", "pixels"])
def test_totals_of_several_are_those_of_each(players):
    some, values = parse(players, torch.zeros(1, 6, 6)), torch.randn(5, 2, 6, 6)
    assert torch.equal(some.totals(values), torch.stack([some.totals(one) for one in values]))


@pytest.mark.parametrize("count", [2, 8, 40])
def test_replicates_corrected_together_are_those_corrected_one_by_one(count, monkeypatch):
    who = subject()
    plan = METHODS["sig-walk"].load()(who, players="grid:2x3", orders=count, coalitions="sampled", baseline="black")
    first = np.flatnonzero(np.diff(plan.unit, prepend=-1)).tolist()
    closed = [slice(*both) for both in zip(first, [*first[1:], len(plan)], strict=True)]
    values = torch.randn(len(closed), *who.x.shape, dtype=torch.float64)
    values[-1, :, :2, :2] = 0  # players without a gradient
    known = {
        "scores": torch.randn(len(plan), dtype=torch.float64),
        "omegas": np.bincount(plan.unit, plan.weight) / plan.weight.sum(),
        "delta": who.x,
    }
    found = []
    for together in (corrections._TOGETHER, 1):
        monkeypatch.setattr(corrections, "_TOGETHER", together)
        found.append(values.clone())
        corrections.correct(plan, found[-1], closed, **known)
    assert torch.equal(*found)
    score, marginals = known["scores"].numpy(), plan.marginals
    for one, points in zip(found[0], closed, strict=True):
        exact = np.zeros(6)
        for point, player, factor in zip(marginals.point, marginals.player, marginals.coefficient, strict=True):
            exact[player] += factor * score[point] * (points.start <= point < points.stop)
        np.testing.assert_allclose(plan.players.totals(one), exact, rtol=1e-9, atol=1e-12)


def test_corners_of_walks_are_those_of_their_orders():
    who = subject()
    plan = METHODS["sig-walk"].load()(who, players="grid:2x3", orders=6, baseline="black")
    walked = orders(6, 6, draws.stream(who.seed, who.key, "sig-walk", "orders"))
    members, found = plan.start.members(), {}
    for point, player, factor in zip(
        plan.marginals.point, plan.marginals.player, plan.marginals.coefficient, strict=True
    ):
        found.setdefault((plan.unit[point], player), []).append((factor, frozenset(np.flatnonzero(members[point]))))
    for number, order in enumerate(walked):
        for place, player in enumerate(order):
            before = frozenset(order[:place])
            moves = found[number // 2, player]
            assert (1 / 6, before | {player}) in moves
            assert (-1 / 6, before) in moves
    assert {len(moves) for moves in found.values()} == {4}


@pytest.mark.parametrize("size", [1, 5, 196, 784])
def test_noise_is_its_words(size, monkeypatch):
    monkeypatch.setattr(draws, "_WORDS", 300)
    places = torch.tensor([0, 3, 2, 2**40, 7, 3])
    found = draws.uniform16(11, places, size)
    for row, place in zip(found, places.tolist(), strict=True):
        bits = draws.words(11, place, -(-size // 4)).view(np.uint16)[:size]
        assert torch.equal(row, torch.from_numpy((bits.astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-16)))
    assert draws.uniform16(11, places[:0], size).shape == (0, size)
