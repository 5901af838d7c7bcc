"""SIG and its walk against slow loops written from the papers' definitions."""

import itertools
import math

import numpy as np
import pytest
import torch

from sigcli import draws
from sigcli.engine.quadrature import RULES
from sigcli.errors import UsageError
from sigcli.methods import METHODS
from sigcli.players import parse
from sigcli.shapley.coalitions import orders as random_orders
from sigcli.shapley.coalitions import size_weights, sizes_algorithm1

from toys import attribute, coalition_values, shapley, smooth_net, subject

LABELS = torch.tensor([[0, 0, 0, 1, 1, 1]] * 3 + [[2, 2, 2, 3, 3, 3]] * 3)
STEPS = 12


def slow_ig(net, start, end, target):
    """IG from start to end with Gauss-Legendre nodes, one point at a time."""
    total = torch.zeros_like(end)
    for node, weight in zip(*RULES["gauss-legendre"](STEPS), strict=True):
        point = (start + node * (end - start)).requires_grad_()
        (grad,) = torch.autograd.grad(net(point[None])[0, target], point)
        total += weight * grad * (end - start)
    return total


def slow_sig(net, who, default, form):
    """[SIG] Algorithm 1's expectation: all coalitions with sizes uniform on 0..n-1."""
    n = 4
    total = torch.zeros_like(who.x)
    for size in range(n):
        for members in itertools.combinations(range(n), size):
            weight = 1 / (n * math.comb(n, size))
            baseline = torch.where(torch.isin(LABELS, torch.tensor(members, dtype=torch.long)), who.x, default)
            if form in ("to-input", "both"):
                total += weight * slow_ig(net, baseline, who.x, who.target)
            if form in ("from-default", "both"):
                total += weight * slow_ig(net, default, baseline, who.target)
    return total


@pytest.mark.parametrize("form", ["to-input", "from-default", "both"])
def test_sig_with_every_coalition_is_the_definition(form):
    net, who = smooth_net(), subject()
    found = attribute(
        net, "sig", who, players=LABELS, baseline="middle", coalitions="all", samples=1, steps=STEPS, form=form
    )
    expected = slow_sig(net, who, torch.full_like(who.x, 0.5), form)
    assert (found.values - expected).norm() < 1e-10 * expected.norm()
    assert found.completeness_gap < 1e-8


@pytest.mark.parametrize("samples", [1, 3, 17, 100])
def test_sizes_are_uniform_on_average_for_every_number_of_samples(samples):
    load, counts = METHODS["sig"].load(), np.zeros(9)
    for seed in range(400 // min(samples, 20)):
        plan = load(subject(seed=seed), players="2x2", baseline="black", samples=samples, coalitions="sampled",
                    form="to-input")  # fmt: skip
        counts += np.bincount(plan.start.sizes(), minlength=9)
    total = counts.sum()
    assert (counts * np.arange(9)).sum() / total == pytest.approx(4, abs=4 * 2.6 / np.sqrt(total))


def test_sampled_sig_is_unbiased():
    net, who = smooth_net(), subject()
    expected = attribute(net, "sig", who, players=LABELS, baseline="black", coalitions="all", steps=STEPS).values
    maps = torch.stack(
        [
            attribute(
                net, "sig", subject(seed=s), players=LABELS, baseline="black", coalitions="sampled", samples=16
            ).values
            for s in range(60)
        ]
    )
    error = (maps.mean(0) - expected).norm()
    assert error < 3 * (maps.var(0) / 60).sum().sqrt()


def test_sig_total_is_the_mean_score_difference():
    net, who = smooth_net(), subject()
    options = {"players": LABELS, "baseline": "black", "coalitions": "all", "steps": STEPS}
    found = attribute(net, "sig", who, **options, form="to-input")
    values = coalition_values(lambda x: net(x)[:, 1], who.x, torch.zeros_like(who.x), LABELS)
    mean = sum(v / (4 * math.comb(4, len(s))) for s, v in values.items() if len(s) < 4)
    assert found.total == pytest.approx(values[frozenset(range(4))] - mean, rel=1e-9)
    assert float(found.values.sum()) == pytest.approx(found.total, rel=1e-4)
    both = attribute(net, "sig", who, **options, form="both")  # x' → b_S → x for every S
    assert both.total == pytest.approx(values[frozenset(range(4))] - values[frozenset()], rel=1e-9)
    assert float(both.values.sum()) == pytest.approx(both.total, rel=1e-4)


def test_walk_over_all_orders_is_the_shapley_value():
    net, who = smooth_net(), subject()
    found = attribute(net, "sig-walk", who, players=LABELS, baseline="black", coalitions="all", steps=24)
    values = coalition_values(lambda x: net(x)[:, 1], who.x, torch.zeros_like(who.x), LABELS)
    assert np.allclose(found.player_values.numpy(), shapley(values), rtol=0, atol=1e-10)
    total = values[frozenset(range(4))] - values[frozenset()]
    assert float(found.values.sum()) == pytest.approx(total, abs=1e-10)
    assert found.total == pytest.approx(total, abs=1e-12)


def test_all_moves_are_the_mean_over_all_orders():
    """The weights of the moves against a loop over the 4! orders."""
    net, who = smooth_net(), subject()
    total = torch.zeros_like(who.x)
    for order in itertools.permutations(range(4)):
        at = torch.zeros_like(who.x)
        for player in order:
            nxt = torch.where(player == LABELS, who.x, at)
            total += slow_ig(net, at, nxt, who.target) / 24
            at = nxt
    found = attribute(net, "sig-walk", who, players=LABELS, baseline="black", coalitions="all", steps=STEPS)
    assert (found.values - total).norm() < 1e-10 * total.norm()


def test_sampled_walk_gives_marginal_differences_and_telescopes():
    net, who = smooth_net(), subject()
    found = attribute(net, "sig-walk", who, players="2x3", baseline="black", orders=3, steps=30, rule="gauss-legendre")
    assert found.relative_gap < 1e-8
    assert found.check_evaluations == 2  # inner corners cancel
    values = coalition_values(lambda x: net(x)[:, 1], who.x, torch.zeros_like(who.x), parse("2x3", who.x).labels)
    many = attribute(net, "sig-walk", who, players="2x3", baseline="black", orders=400)
    exact = shapley(values)
    assert np.linalg.norm(many.player_values.numpy() - exact) < 0.03 * np.linalg.norm(exact)


@pytest.mark.parametrize("orders", [1, 2, 5, 8])
def test_corners_of_a_walk_give_each_player_its_marginals(orders):
    """Against a loop over the very orders that were drawn; gradients only share the marginals out."""
    net, who = smooth_net(), subject()
    labels = parse("2x3", who.x).labels
    values = coalition_values(lambda x: net(x)[:, 1], who.x, torch.zeros_like(who.x), labels)
    n = int(labels.max()) + 1
    taken = orders + orders % 2  # whole pairs
    drawn = random_orders(n, taken, draws.stream(who.seed, who.key, "sig-walk", "orders"))
    expected = np.zeros(n)
    for order in drawn:
        for place, player in enumerate(order):
            before = frozenset(int(p) for p in order[:place])
            expected[player] += (values[before | {int(player)}] - values[before]) / taken
    found = attribute(net, "sig-walk", who, players="2x3", baseline="black", orders=orders, coalitions="sampled")
    assert found.evaluations == taken * n
    np.testing.assert_allclose(found.player_values.numpy(), expected, atol=1e-12)
    assert found.relative_gap < 1e-12
    assert (found.stderr is None) == (orders <= 2)


def test_all_corners_are_the_trapezoid_rule_on_every_move():
    """A slow loop over the moves, then the correction as it is defined."""
    net, who = smooth_net(), subject()
    found = attribute(net, "sig-walk", who, players=LABELS, baseline="black", coalitions="all")
    assert found.evaluations == 16
    values = coalition_values(lambda x: net(x)[:, 1], who.x, torch.zeros_like(who.x), LABELS)
    raw = torch.zeros_like(who.x)
    for size in range(4):
        weight = math.factorial(size) * math.factorial(3 - size) / 24
        for coalition in itertools.combinations(range(4), size):
            for player in set(range(4)) - set(coalition):
                for members in (set(coalition), {*coalition, player}):
                    corner = torch.where(
                        torch.isin(LABELS, torch.tensor(sorted(members), dtype=torch.long)), who.x, 0.0
                    )
                    corner = corner[None].requires_grad_()
                    (gradient,) = torch.autograd.grad(net(corner)[0, who.target], corner)
                    raw += (player == LABELS).double() * weight / 2 * gradient[0] * who.x
    exact = shapley(values)
    for player in range(4):
        mine = (player == LABELS).expand_as(raw)
        missing = exact[player] - raw[mine].sum()
        raw[mine] += missing * raw[mine].abs() / raw[mine].abs().sum()
    assert (found.values - raw).norm() < 1e-10 * raw.norm()
    np.testing.assert_allclose(found.player_values.numpy(), exact, atol=1e-10)


def test_a_walk_is_complete_where_gradients_vanish():
    """A score that jumps: no gradient anywhere, yet each player gets what it adds, over its pixels by |x - x'|."""
    who = subject(torch.tensor([[[0.8, 0.4], [0.9, 0.0]]], dtype=torch.float64))

    def model(x):
        jump = (x > 0.5).double() + 0 * x
        return torch.stack([jump.flatten(1).sum(1)] * 2, 1)

    labels = torch.tensor([[0, 0], [1, 1]])
    found = attribute(model, "sig-walk", who, players=labels, baseline="black", coalitions="sampled")
    torch.testing.assert_close(found.values, torch.tensor([[[2 / 3, 1 / 3], [1.0, 0.0]]], dtype=torch.float64))


def test_nodes_inside_the_moves_are_told_apart_from_corners():
    options = {"players": "2x3", "baseline": "black"}
    load = METHODS["sig-walk"].load()
    assert len(load(subject(), **options, orders=3, gradients="inside")) == 24  # two pairs
    assert load(subject(), **options, steps=2).marginals is None
    with pytest.raises(UsageError, match="inside the moves"):
        load(subject(), **options, steps=2, gradients="corners")


def test_players_who_act_alike_share_alike():
    """Symmetry: a model that treats two players alike gives them the same."""
    who = subject(torch.full((1, 2, 2), 0.7, dtype=torch.float64))

    def model(x):
        return torch.stack([x.flatten(1).prod(1), x.flatten(1).prod(1)], 1)

    for name in ("sig", "sig-walk"):
        found = attribute(model, name, who, players="pixels", baseline="black", coalitions="all")
        assert torch.allclose(found.player_values, found.player_values[:1].expand(4), rtol=1e-12)


def test_normalised_sig_of_an_additive_game_is_the_shapley_value():
    who = subject()
    w = torch.linspace(-1, 1, who.x.numel(), dtype=torch.float64).reshape(who.x.shape)

    def model(x):
        return ((x**2) * w).sum((1, 2, 3))[:, None].expand(-1, 3)

    found = attribute(model, "sig", who, players="2x3", baseline="black", normalise=True, samples=400, steps=2)
    exact = parse("2x3", who.x).totals(w * who.x**2)
    assert torch.allclose(found.player_values, exact, rtol=0.02, atol=0.02)


def test_algorithm1_sizes_follow_the_printed_weights():
    n, count = 6, 60_000
    weights = size_weights(n)
    assert weights == pytest.approx(
        [math.factorial(k) * math.factorial(n - k - 1) / math.factorial(n) for k in range(n)]
    )
    shares = np.bincount(sizes_algorithm1(n, count, 3), minlength=n) / count
    assert shares == pytest.approx(weights / weights.sum(), abs=0.01)


def test_uniform_sizes_are_uniform_and_stratified():
    plan = METHODS["sig"].load()(
        subject(), players="2x2", baseline="black", samples=900, coalitions="sampled", form="to-input"
    )
    sizes = plan.start.members().sum(1)
    assert np.bincount(sizes, minlength=9) / 900 == pytest.approx(np.full(9, 1 / 9), abs=0.01)
    assert plan.start.members().mean(0) == pytest.approx(np.full(9, 4 / 9), abs=0.04)


def test_enumeration_is_chosen_where_it_fits():
    load = METHODS["sig"].load()
    assert len(np.unique(load(subject(), players="3x3", baseline="black", samples=256).start.bits, axis=0)) == 15
    assert load(subject(), players="3x3", baseline="black", samples=256).paired
    assert not load(subject(), players="3x3", baseline="black", samples=14).paired
    assert load(subject(), players="3x3", baseline="black", coalitions="all").units == 1
    assert load(subject(), players="2x2", baseline="black", samples=256).units == 16
    with pytest.raises(UsageError, match="at most 16 players"):
        load(subject(), players="pixels", baseline="black", coalitions="all")


def test_fewer_segments_than_players_move_them_in_groups():
    plan = METHODS["sig-walk"].load()(subject(), players="pixels", baseline="black", orders=2, segments=5)
    assert len(plan) == 10
    start, move = plan.moves(np.arange(plan.segments))
    assert set(move.sum(1)) == {7.0, 8.0}  # 36 pixels in 5 moves
    assert np.array_equal((start + move)[4], np.ones(36))


@pytest.mark.parametrize(("samples", "form"), [(62, "both"), (63, "both"), (64, "to-input"), (900, "from-default")])
def test_all_coalitions_are_visited_from_where_each_can_have_a_node(samples, form):
    """Six players: 63 coalitions. From 63 on nodes are spread over them, evenly but for rounding, with a standard error."""
    plan = METHODS["sig"].load()(subject(), players="2x3", baseline="black", samples=samples, form=form)
    assert plan.paired == (samples >= 63)
    assert plan.units > 1
    if plan.paired:
        sides = plan.end if form == "from-default" else plan.start
        drawn = sides.take(np.arange(0, len(sides), 2 if form == "both" else 1))
        share = np.bincount(drawn.sizes(), minlength=6) / len(drawn)
        assert np.abs(share - 1 / 6).max() < 2 / samples * 2
