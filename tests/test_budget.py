"""More budget never buys more error: SIG against its expectation, all coalitions with many nodes each, added up by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from sigcli.methods import METHODS

from toys import subject

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
