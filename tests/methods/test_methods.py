"""Contracts that every path method of the catalogue is held to from the day it appears; the others: test_direct_methods."""

import inspect
import typing

import numpy as np
import pytest
import torch
from torch import nn

from sigcli.engine.integrate import Task, integrate
from sigcli.errors import UsageError
from sigcli.methods import METHODS
from sigcli.scores.classifier import ClassScore

from toys import SMALL, attribute, aware, smooth_net, subject

ALL = [name for name, entry in METHODS.items() if entry.properties["kind"] == "path"]
COMPLETE = [name for name in ALL if METHODS[name].properties["complete"]]
SAMPLED = [name for name in ALL if METHODS[name].properties["sampled"]]
MULTIPLIED = [name for name in ALL if METHODS[name].properties["multiplied"]]
PER_PIXEL = [name for name in ALL if METHODS[name].properties.get("certainty")]


def explain(name, model, who, **options):
    return attribute(model, name, who, **{**SMALL.get(name, {}), **options})


@pytest.mark.parametrize("name", ALL)
def test_table_and_signature_agree(name):
    function = METHODS[name].load()
    parameters = inspect.signature(function).parameters
    hints = typing.get_type_hints(function)
    assert ("players" in parameters) == METHODS[name].properties["players"]
    assert inspect.getdoc(function)
    for option, parameter in METHODS[name].options().items():
        assert parameter.default is not inspect.Parameter.empty
        assert option in hints


@pytest.mark.parametrize("name", ALL)
def test_shape_type_and_cost(name):
    net, who = smooth_net(), subject()
    counted = {"n": 0}

    def model(x):
        if x.requires_grad:
            counted["n"] += len(x)
        return net(x)

    plan = METHODS[name].load()(who, **SMALL.get(name, {}))
    found = explain(name, model, who, batch_size=len(plan))
    assert found.values.shape == ((1, *who.x.shape[1:]) if name in PER_PIXEL else who.x.shape)
    assert found.values.dtype == who.x.dtype
    assert torch.isfinite(found.values).all()
    assert found.gradient_evaluations == len(plan)
    assert counted["n"] == max(2, len(plan))
    assert found.score == pytest.approx(float(net(who.x[None])[0, who.target]))
    assert (found.stderr is not None) == METHODS[name].properties["sampled"]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batch_size_changes_nothing(name, batch_size):
    net, who = smooth_net(torch.float32), subject(dtype=torch.float32)
    one = explain(name, net, who, batch_size=16)
    other = explain(name, net, who, batch_size=batch_size)
    assert (one.values - other.values).norm() <= 1e-5 * one.values.norm()


@pytest.mark.parametrize("name", ALL)
def test_company_and_order_in_the_batch_change_nothing(name):
    net = smooth_net()
    images = [subject(torch.rand(2, 6, 6, dtype=torch.float64), key=k, target=k % 3) for k in range(3)]
    tasks = [Task(who, METHODS[name].load()(who, **SMALL.get(name, {}))) for who in images]
    net = aware(net, name, 2)
    together = list(integrate(ClassScore(net), reversed(tasks), batch_size=10))[::-1]
    for task, found in zip(tasks, together, strict=True):
        alone = next(iter(integrate(ClassScore(net), [task], batch_size=10)))
        assert torch.allclose(found.values, alone.values, rtol=1e-10, atol=1e-13)
        assert found.score == pytest.approx(alone.score)


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_map_and_other_seed_other_draws(name):
    net, who = smooth_net(), subject()
    again = explain(name, net, subject())
    assert torch.equal(explain(name, net, who).values, again.values)
    other = explain(name, net, subject(seed=1))
    assert torch.equal(other.values, again.values) != METHODS[name].properties["sampled"]


@pytest.mark.parametrize("name", COMPLETE)
def test_completeness_is_within_the_sampling_error(name):
    net, who = smooth_net(), subject()
    found = explain(name, net, who)
    assert found.total is not None
    assert found.completeness_gap == pytest.approx(abs(float(found.values.sum()) - found.total), abs=1e-12)
    if name in SAMPLED:
        many = {"samples": 1024} if "samples" in METHODS[name].options() else {"orders": 256}
        many |= {"coalitions": "sampled"} if METHODS[name].properties["players"] else {}
        better = explain(name, net, who, **many)
        assert better.relative_standard_error < found.relative_standard_error
        assert better.completeness_gap < 4 * better.standard_error
    else:
        assert found.relative_gap < 1e-6


@pytest.mark.parametrize("name", MULTIPLIED)
def test_pixels_that_the_model_never_reads_get_nothing(name):
    """Weak dummy axiom ([ICG] section 3.2), where a feature is a pixel with all its channels."""
    read = torch.zeros(6, 6, dtype=torch.float64)
    read[:, :3] = 1
    net = smooth_net()
    found = explain(name, lambda x: net(x * read), subject())
    assert found.values[..., 3:].abs().max() < 1e-15  # sig-walk rounds
    assert found.values[..., :3].abs().sum() > 0


@pytest.mark.parametrize("name", [name for name in MULTIPLIED if name not in PER_PIXEL])
def test_dummy_features_get_nothing(name):
    """Weak dummy axiom ([ICG] section 3.2): a feature that the model never reads gets exactly 0."""
    net = smooth_net(channels=1)
    found = explain(name, lambda x: net(x[:, :1]), subject())
    assert torch.equal(found.values[1], torch.zeros(6, 6, dtype=torch.float64))
    assert found.values[0].abs().sum() > 0


@pytest.mark.parametrize("name", ALL)
def test_linearity(name):
    """Attributions of a·F + b·G are a·attr(F) + b·attr(G), draw for draw."""
    f, g, who = smooth_net(), smooth_net(classes=5), subject()
    mixed = explain(name, lambda x: 2 * f(x) - 0.5 * g(x)[:, :3], who)
    apart = 2 * explain(name, f, who).values - 0.5 * explain(name, lambda x: g(x)[:, :3], who).values
    if METHODS[name].properties.get("linear") == "players":  # within a player, values are shared out by magnitude
        labels = mixed.players.expand_as(apart).flatten()
        apart = torch.zeros_like(mixed.player_values).index_add_(0, labels, apart.flatten())
        assert torch.allclose(mixed.player_values, apart, rtol=1e-9, atol=1e-12)
        return
    assert torch.allclose(mixed.values, apart, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_implementation_invariance(name):
    """Two networks that compute the same function get the same map (Sundararajan et al. 2017, section 2.2)."""

    class Twice(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            return (self.net(x * 3 / 3) + self.net(x)) / 2

    net, who = smooth_net(), subject()
    assert torch.allclose(explain(name, net, who).values, explain(name, Twice(net), who).values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["ig", "sig", "sig-walk", "input-x-gradient", "eg", "agn"])
def test_linear_models_have_the_known_answer(name):
    """On F = w·x every path from a baseline gives w·(x - x'), scaled by how often SIG moves the player."""
    who = subject()
    w = torch.linspace(-1, 1, who.x.numel(), dtype=torch.float64).reshape(who.x.shape)

    def model(x):
        return torch.stack([torch.zeros(len(x), dtype=x.dtype), (x * w).sum((1, 2, 3))], 1)

    options = {"sig": {"normalise": True}, "eg": {"samples": 4}}.get(name, {})
    found = explain(name, model, who, **options)
    if name == "eg":
        expected = w * (who.x - who.peers.images[:4].mean(0))
        others = who.peers.images
        candidates = [w * (who.x - others[list(c)].mean(0)) for c in __import__("itertools").combinations(range(5), 4)]
        assert any(torch.allclose(found.values, c) for c in [expected, *candidates])
    elif name == "agn":
        many = explain(name, model, who, samples=4000)
        assert many.values.abs().max() < 5 * float(many.stderr.max())
    else:
        assert torch.allclose(found.values, w * who.x, rtol=1e-9)


@pytest.mark.parametrize("name", SAMPLED)
def test_standard_error_is_the_spread_between_seeds(name):
    net = smooth_net()
    found = [explain(name, net, subject(seed=seed), **_more(name)) for seed in range(40)]
    spread = torch.stack([f.values for f in found]).var(0).sum().sqrt()
    claimed = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    # It may exceed the spread, since draws are stratified across replicates too, but must not fall short of it.
    assert 0.7 < claimed / float(spread) < 1.6


def _more(name):
    return {"samples": 64} if "samples" in METHODS[name].options() else {"orders": 16, "coalitions": "sampled"}


@pytest.mark.parametrize("name", [n for n in ALL if METHODS[n].options()])
def test_counts_below_one_are_refused(name):
    for option in ("samples", "steps", "orders"):
        if option in METHODS[name].options():
            with pytest.raises(UsageError, match=f"{option} must be at least"):
                METHODS[name].load()(subject(), **{option: 0})
