"""Every method on a device that is strict about tensors of another: the CPU's values, and no tensor left behind on it."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

import sigcli
from sigcli.errors import UsageError
from sigcli.methods import METHODS, perturbation

from toys import TokenNet, relu_net

TOLERANCE = 1e-4
SMALL = {
    "players": "grid:2x2", "samples": "6", "steps": "4", "orders": "4", "budget": "24", "iterations": "3",
    "draws": "8", "checks": "4", "baseline": "black",
}  # fmt: skip


class Certain(nn.Module):
    """Takes a certainty of each pixel."""

    def __init__(self):
        super().__init__()
        self.inner = relu_net(torch.float32, 4)

    def forward(self, x, certainty=None):
        certainty = torch.ones_like(x[:, :1]) if certainty is None else certainty
        return self.inner(torch.cat([x * certainty, certainty], 1))


class Greatest(nn.Module):
    """The greatest value of the picture, times a number for each class."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, x):
        return x.amax((1, 2, 3))[:, None] * self.factor


def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 36, 3))


def of_kind(only, certainty=False):
    """Methods that need such a score, of networks that take a certainty or not."""
    about = {
        name: (entry.properties.get("only"), bool(entry.properties.get("certainty"))) for name, entry in METHODS.items()
    }
    return [name for name, found in about.items() if found == (only, certainty)]


NETWORKS = {
    "convolutions": (lambda: relu_net(torch.float32, 3), of_kind(None)),
    "attention": (lambda: TokenNet(torch.float32, 3), [*of_kind("attention"), "lrp", "gradcam", "deeplift"]),
    "linear": (linear, of_kind("linear")),
    "maximum": (Greatest, of_kind("max")),
    "certainty": (Certain, of_kind(None, certainty=True)),
}


def settings_of(methods):
    """Small budgets, of what these methods have."""
    every = {name for method in methods for name in METHODS[method].options()}
    return {key: value for key, value in SMALL.items() if key in every}


def explained(network, methods, device, **options):
    images = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(5))
    options = {"settings": settings_of(methods), "mean": 0, "std": 1, "batch_size": 5, **options}
    return sigcli.explain(images, model=network, method=methods, device=device, **options)


def apart(here, there):
    """The largest difference of two maps, in parts of the largest value."""
    return float(np.abs(here.values - there.values).max() / np.abs(here.values).max())


def test_every_method_has_a_network():
    assert {method for _, methods in NETWORKS.values() for method in methods} == set(METHODS)


@pytest.mark.parametrize("kind", NETWORKS)
def test_maps_are_those_of_the_cpu(kind, there):
    made, methods = NETWORKS[kind]
    expected = explained(made(), methods, "cpu")
    found = explained(made(), methods, there)
    assert [one.error for one in (*expected, *found)] == [""] * 2 * len(expected)
    assert len(found) == 2 * len(methods)
    wrong = {here.method: apart(here, other) for here, other in zip(expected, found, strict=True)}
    assert {method: much for method, much in wrong.items() if not much < TOLERANCE} == {}
    for here, other in zip(expected, found, strict=True):
        assert other.score == pytest.approx(here.score, rel=TOLERANCE)
        for name in ("completeness_gap", "standard_error", "shown_standard_error"):
            one, same = getattr(here, name), getattr(other, name)
            close = one == same if one is None or same is None else abs(one - same) <= 1e-4 * abs(one) + TOLERANCE
            assert close, (here.method, name, one, same)


def test_standard_errors_and_players_are_those_of_the_cpu(there):
    chosen = ["sig", "sig-walk", "eg", "rise", "lime", "qii"]
    made, options = NETWORKS["convolutions"][0], {"uncertainty": True, "tolerance": 0.5, "max_evaluations": 128}
    options["settings"] = {"players": "grid:2x2"}
    expected = explained(made(), chosen, "cpu", **options)
    found = explained(made(), chosen, there, **options)
    for here, other in zip(expected, found, strict=True):
        for name in ("values", "stderr", "deviations", "player_values"):
            one, same = getattr(here, name), getattr(other, name)
            assert (one is None) == (same is None)
            if one is not None:
                np.testing.assert_allclose(same, one, rtol=1e-4, atol=TOLERANCE * np.abs(one).max())


@pytest.mark.parametrize("output", ["prob", "logprob"])
@pytest.mark.parametrize("target", ["0", "top:2", "0 - 2"])
def test_scores_are_those_of_the_cpu(output, target, there):
    made = NETWORKS["convolutions"][0]
    expected = explained(made(), ["ig", "gradcam"], "cpu", output=output, target=target)
    found = explained(made(), ["ig", "gradcam"], there, output=output, target=target)
    assert len(found) == len(expected)
    assert max(apart(*both) for both in zip(expected, found, strict=True)) < TOLERANCE


def test_a_planted_mix_up_is_caught(monkeypatch, there):
    """A copy of `rise` whose masks stay on the CPU, which only a GPU would show."""
    right = ".astype(np.float32)).to(subject.x)"
    source = inspect.getsource(perturbation)
    assert right in source
    copy = dict(perturbation.__dict__)
    exec(compile(source.replace(right, ".astype(np.float32)).to(subject.x.dtype)"), "mixed up", "exec"), copy)
    monkeypatch.setattr(perturbation, "rise", copy["rise"])
    made = NETWORKS["convolutions"][0]
    assert explained(made(), ["rise"], "cpu")[0].values is not None
    assert "same device" in explained(made(), ["rise"], there)[0].error


def test_only_the_tests_can_name_it():
    with pytest.raises(UsageError, match="unknown device"):
        explained(NETWORKS["convolutions"][0](), ["ig"], "pretend")
