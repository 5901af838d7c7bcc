"""More budget never buys more error: SIG against its expectation, all coalitions with many nodes each, added up by hand;
walks and estimators of Shapley values against all coalitions."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from sigcli.methods import METHODS
from sigcli.shapley.kernel import kernel_shap
from sigcli.shapley.sampling import permutation

from toys import attribute, coalition_values, shapley, subject

BUDGETS = (16, 64, 256, 1024, 4080, 4096, 8192)


def perceptron(depth, activation, side=6):
    """A plain network of 36 pixels; deep ReLU ones have gradients that jump all along a line."""
    generator = torch.Generator().manual_seed(depth)
    layers = []
    width = side * side
    for _ in range(depth):
        layers += [nn.Linear(width, 48), activation()]
        width = 48
    net = nn.Sequential(nn.Flatten(), *layers, nn.Linear(width, 2)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            scale = math.sqrt(2 / parameter.shape[1]) if parameter.dim() > 1 else 0.3
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return net.requires_grad_(False)


NETS = {"kinky": perceptron(9, nn.ReLU), "smooth": perceptron(2, nn.Softplus)}


def picture(seed=0):
    x = torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    return subject(x, seed=seed)


def gradients(net, points):
    points = points.requires_grad_()
    return torch.autograd.grad(net(points)[:, 1].sum(), points)[0]


def integrals(net, x, labels, form):
    """(members, map of the segments of that coalition), for every coalition but the grand one: 600 midpoints each."""
    alpha = ((torch.arange(600, dtype=torch.float64) + 0.5) / 600)[:, None, None, None]
    n = int(labels.max()) + 1
    for size in range(n):
        for members in itertools.combinations(range(n), size):
            there = torch.isin(labels, torch.tensor(members, dtype=torch.long)).double()
            total = torch.zeros_like(x)
            if form in ("to-input", "both"):
                move = (1 - there) * x
                total += gradients(net, there * x + alpha * move).mean(0) * move
            if form in ("from-default", "both"):
                move = there * x
                total += gradients(net, alpha * move).mean(0) * move
            yield members, total


def expectation(net, x, labels, form, sizes):
    """[SIG] Algorithm 1's expectation: a size of k has probability 1/n, or as printed w(k)/Σw, shared by its coalitions."""
    n = int(labels.max()) + 1
    printed = [math.factorial(k) * math.factorial(n - k - 1) for k in range(n)]
    share = [1 / n] * n if sizes == "uniform" else [w / sum(printed) for w in printed]
    return sum(share[len(s)] / math.comb(n, len(s)) * part for s, part in integrals(net, x, labels, form))


def by_hand(net, x, plan):
    """Σ weight · gradient · movement over the points of a plan."""
    start, move = (torch.from_numpy(a).double() for a in plan.moves(plan.segment))
    labels = plan.players.labels
    start, move = start[:, labels][:, None], move[:, labels][:, None] * x
    alpha, weight = (torch.from_numpy(a)[:, None, None, None] for a in (plan.alpha, plan.weight))
    return (weight * gradients(net, start * x + alpha * move) * move).sum(0)


@pytest.mark.parametrize(
    ("players", "kind", "form", "sizes"),
    [
        ("2x3", "kinky", "to-input", "uniform"),
        ("2x3", "kinky", "from-default", "uniform"),
        ("2x3", "kinky", "both", "uniform"),
        ("2x3", "smooth", "to-input", "uniform"),
        ("2x3", "smooth", "both", "uniform"),
        ("2x3", "kinky", "to-input", "algorithm1"),
        ("2x2", "kinky", "to-input", "uniform"),
    ],
)
def test_the_error_of_sig_never_grows_with_the_budget(players, kind, form, sizes):
    """The root mean square over seeds, at budgets below and above the 63 and 511 coalitions, and beside 8 for each."""
    net, x, seeds = NETS[kind], picture().x, 6
    load = METHODS["sig"].load()
    options = {"players": players, "baseline": "black", "form": form, "sizes": sizes}
    labels = load(picture(), **options, samples=4).players.labels
    aim = expectation(net, x, labels, form, sizes)
    errors = []
    for budget in BUDGETS:
        plans = [load(picture(seed), **options, samples=budget) for seed in range(seeds)]
        assert all(len(plan) <= budget * (2 if form == "both" else 1) for plan in plans)
        off = [float((by_hand(net, x, plan) - aim).norm() / aim.norm()) for plan in plans]
        errors.append(math.sqrt(np.mean(np.square(off))))
    for less, more in itertools.pairwise(errors):
        assert more < 1.25 * less, errors
    assert errors[-1] < 0.06 * errors[0]


def grows(errors):
    """Pairs of budgets of which the larger has more error: the mean difference over seeds is above 3 standard errors of it.

    Args:
        errors: {budget: squared error of each seed, relative}; the same seeds for all.
    """
    found = []
    for less, more in itertools.combinations(sorted(errors), 2):
        difference = np.array(errors[more]) - np.array(errors[less])
        bound = 3 * difference.std(ddof=1) / math.sqrt(len(difference))
        if difference.mean() > bound + 1e-12:
            found.append((less, more, math.sqrt(np.mean(errors[less])), math.sqrt(np.mean(errors[more]))))
    return found


def per_player(found, n):
    return np.bincount(found.players.flatten(), found.values.sum(0).flatten(), n)


@pytest.mark.parametrize(
    ("method", "option", "budgets", "kind"),
    [
        ("sig-walk", "orders", (2, 3, 4, 5, 8, 9, 10, 11, 16), "smooth"),
        ("sig-walk", "orders", (2, 3, 8, 9, 11), "kinky"),
        ("bshap", "budget", (12, 13, 22, 32, 42, 63, 64, 80), "kinky"),
        ("kernelshap", "budget", (14, 16, 18, 22, 42, 44, 46, 50, 62, 63, 64), "smooth"),
        ("kernelshap", "budget", (14, 18, 44, 46, 64), "kinky"),
        ("shapley-sampling", "orders", (4, 5, 8, 16, 33), "kinky"),
    ],
)
def test_the_error_of_values_of_players_never_grows_with_the_budget(method, option, budgets, kind):
    """Six players, whose exact values come from all 64 coalitions."""
    net, x = NETS[kind], picture().x
    labels = METHODS["sig"].load()(picture(), players="2x3", samples=4).players.labels
    exact = shapley(coalition_values(lambda images: net(images)[:, 1], x, torch.zeros_like(x), labels))

    def off(budget, seed):
        options = {"players": "2x3", "baseline": "black", option: budget}
        found = attribute(net, method, picture(seed), batch_size=64, check=0, **options)
        return np.square(per_player(found, 6) - exact).sum() / np.square(exact).sum()

    errors = {budget: [off(budget, seed) for seed in range(8)] for budget in budgets}
    assert grows(errors) == []
    assert np.mean(errors[budgets[-1]]) < 0.2 * np.mean(errors[budgets[0]])
    if method in ("bshap", "kernelshap"):
        assert max(errors[64]) < 1e-20  # all coalitions


GAMES = {  # jumps, thresholds and synergies, where a linear fit to a few coalitions is worst
    "threshold": lambda m: 1.0 * m[:, :4].all(1) + m[:, 1:4].any(1) - 2.0 * (m.sum(1) > m.shape[1] // 2),
    "maximum": lambda m: np.where(m, np.arange(1, m.shape[1] + 1), 0).max(1) ** 2 / 10,
    "noise": lambda m: np.sin(1e4 * (m @ np.sqrt(np.arange(2, m.shape[1] + 2)))),
}


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize(("estimator", "n"), [(kernel_shap, 8), (kernel_shap, 10), (permutation, 8)])
def test_the_error_in_hard_games_never_grows_by_much(estimator, n, game):
    """Budgets around those that complete a size: KernelSHAP once let two coalitions stand for 124, at twice the error."""
    play = GAMES[game]
    members = {frozenset(np.nonzero(m)[0].tolist()): m for m in itertools.product([False, True], repeat=n)}
    exact = shapley({s: float(play(np.array([m]))[0]) for s, m in members.items()})
    edge = 2 * n + 2 + n * (n - 1)  # sizes 1, 2, n-2 and n-1
    budgets = [2 * n + 2 + more for more in (0, 2, 4, 8, 2 * n)]
    budgets += [edge + more for more in (-2, 0, 2, 4, 2 * n)] + [2**n - 2]

    def error(budget):
        made = [estimator(play, n, budget=budget, key=seed).values for seed in range(16)]
        return math.sqrt(np.mean([np.square(values - exact).sum() for values in made]))

    errors = [error(budget) for budget in budgets]
    for less, more in itertools.combinations(range(len(budgets)), 2):
        assert errors[more] < 1.2 * errors[less], dict(zip(budgets, errors, strict=True))
