"""What the table of methods says of each: its cost in passes of the model, and what a positive value means."""

import re
from functools import lru_cache

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sigcli.engine.passes import Passes
from sigcli.methods import METHODS
from sigcli.methods.run import attributions
from sigcli.players import parse
from sigcli.scores.classifier import ClassScore

from toys import SMALL, TokenNet, attribute, relu_net, subject

POSITIVE = ("for", "against", "raises", "salient")
CHANNELS = 6  # of the default layer of relu_net
OTHER = {  # settings that no default has
    "sig": {"players": "2x3", "samples": 10, "steps": 3, "coalitions": "sampled"},
    "sig-walk": {"players": "2x3", "orders": 6, "coalitions": "sampled"},
    "icg": {"samples": 3, "steps": 5},
    "ig": {"steps": 7},
    "eg": {"samples": 6, "steps": 3},
    "agn": {"samples": 6, "steps": 3},
    "smoothgrad": {"samples": 9},
    "gradient-shap": {"samples": 9},
    "blur-ig": {"steps": 7}, "guided-ig": {"steps": 7}, "idgi": {"steps": 7},
    "deepshap": {"samples": 5},
    "xrai": {"steps": 7},
    "meaningful-perturbation": {"iterations": 9}, "extremal-perturbation": {"iterations": 9},
    "occlusion": {"players": "3x2"},
    "rise": {"samples": 31, "cells": 3},
    "lime": {"samples": 33, "players": "2x3"},
    "bshap": {"players": "2x3", "budget": 50},
    "shapley-sampling": {"players": "2x3", "orders": 6},
    "kernelshap": {"players": "2x3", "budget": 40},
    "low-order-shap": {"players": "2x2"},
    "effective-shapley": {"players": "2x3", "budget": 50},
    "max-shap": {"players": "3x3", "checks": 5},
    "qii": {"players": "2x3", "samples": 3},
}  # fmt: skip


def net_of(name):
    """A network that the method explains."""
    net = relu_net()
    if METHODS[name].properties.get("only") == "attention":
        return TokenNet()
    if name == "max-shap":
        torch.manual_seed(5)
        return nn.Sequential(nn.Conv2d(2, 3, 1), nn.AdaptiveMaxPool2d(1), nn.Flatten()).double().requires_grad_(False)
    if name == "linear-shap":
        net[1] = net[3] = nn.Identity()
    return net


def priced(name, settings):
    """(passes that the table promises, whether it is a bound), for options of a method."""
    entry = METHODS[name]
    options = {option: parameter.default for option, parameter in entry.options().items()} | settings
    if "players" in options:
        options["players"] = parse(options["players"], subject().picture).n
    text = entry.properties["cost"]
    formula = text.removeprefix("≤ ").replace("×", "*").replace("^", "**")
    names = set(re.findall(r"[a-z_]+", formula))
    options["channels"] = CHANNELS
    assert names <= set(options), "the cost names what is no option"
    return eval(formula, {"__builtins__": {}}, {one: options[one] for one in names}), text.startswith("≤")


class Counting(TorchDispatchMode):
    """Counts the images that go through convolutions, forward and backward."""

    def __init__(self):
        super().__init__()
        self.forward = self.backward = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name == "convolution":
            self.forward += len(args[0])
        elif name == "convolution_backward":
            self.backward += len(args[0])
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("settings", [SMALL, OTHER], ids=["small", "other"])
@pytest.mark.parametrize("name", METHODS)
def test_the_table_gives_the_cost(name, settings):
    found = attribute(net_of(name), name, subject(), **settings.get(name, {}))
    promised, bound = priced(name, settings.get(name, {}))
    assert found.evaluations <= promised
    if not bound and not (name in ("sig", "sig-walk", "max-shap") and settings is SMALL):  # few players: all coalitions
        assert found.evaluations == promised
    if bound:
        assert found.evaluations > promised / 2
    properties = METHODS[name].properties
    assert (found.gradient_evaluations == 0) == (
        properties["needs"] == "forward" or not properties.get("backward", True)
    )


@pytest.mark.parametrize("name", [name for name, e in METHODS.items() if e.properties["needs"] != "hooks"])
def test_what_is_counted_is_what_the_network_sees(name, monkeypatch):
    """Batches are as large as the plan, so none is filled up."""
    seen = {"forward": 0, "backward": 0}
    net, settings = net_of(name), OTHER.get(name, {})

    def model(x):
        seen["backward" if x.requires_grad else "forward"] += len(x)
        return net(x)

    count = attribute(model, name, subject(), **settings).evaluations
    seen |= {"forward": 0, "backward": 0}
    found = attribute(model, name, subject(), batch_size=count, **settings)
    twins = METHODS[name].properties["kind"] == "path" and count == 1  # a single image has a twin on a CPU
    assert seen["backward"] == found.gradient_evaluations * (2 if twins else 1)
    spare = seen["forward"] - found.forward_evaluations - found.check_evaluations
    assert spare in (0, 1)  # idgi asks for the score of the image twice


@pytest.mark.parametrize("name", [name for name, e in METHODS.items() if e.properties["needs"] == "hooks"])
def test_layers_are_passed_as_often_as_is_counted(name):
    """By the first convolution, which every image passes once; a record of the network is made before."""
    net, settings = net_of(name), OTHER.get(name, {})
    one = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    if METHODS[name].properties.get("only") != "attention":
        net = one.double().eval().requires_grad_(False)
    attribute(net, name, subject(), **settings)
    with Counting() as counted:
        found = attribute(net, name, subject(), **settings)
    if name.endswith(("cam", "cam++", "-counterfactual", *ATTENTION)):  # their backward pass ends at a layer
        counted.backward += found.gradient_evaluations if name != "guided-gradcam" else 1
    assert counted.backward == found.gradient_evaluations
    again = 1 if name == "lrp" else 0  # its rule asks a layer for its sums, and for those that it shares
    checked = counted.forward - found.evaluations - found.check_evaluations - again
    assert checked in (0, 1)


@pytest.mark.parametrize("name", METHODS)
def test_the_default_cost_is_that_of_the_defaults(name):
    properties = METHODS[name].properties
    entry = METHODS[name]
    options = {option: parameter.default for option, parameter in entry.options().items()}
    if "players" in options:
        options["players"] = parse(options["players"], torch.rand(3, 224, 224)).n if _grid(options["players"]) else 50
    options["channels"] = 512
    formula = properties["cost"].removeprefix("≤ ").replace("×", "*").replace("^", "**")
    names = set(re.findall(r"[a-z_]+", formula))
    assert eval(formula, {"__builtins__": {}}, {one: options[one] for one in names}) == properties["passes"]


@lru_cache
def _grid(players):
    return players.startswith("grid:")


SIDE = 8
ATTENTION = tuple(name for name, entry in METHODS.items() if entry.properties.get("only") == "attention")


def for_and_against():
    """The score is the mean of the first channel less half of that of the second, through layers of every kind."""
    net = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.append(nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(2)[:, :, None, None])
        net[4].weight.copy_(torch.tensor([[1.0, -0.5], [-1.0, 1.0]]))
    return net.double().eval().requires_grad_(False)


class Pooling(nn.Module):
    """That score by a transformer: a class token that attends to all patches alike, and to itself."""

    def __init__(self):
        super().__init__()
        self.patch, self.value = nn.Conv2d(2, 2, 2, stride=2, bias=False), nn.Linear(2, 2, bias=False)
        self.head = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.patch.weight.copy_(torch.eye(2)[:, :, None, None].expand(2, 2, 2, 2) / 4)
            self.value.weight.copy_(torch.eye(2))
            self.head.weight.copy_(torch.tensor([[1.0, -0.5], [-1.0, 1.0]]))
        self.double().eval().requires_grad_(False)

    def forward(self, x):
        x = self.patch(x).flatten(2).mT
        x = torch.cat([torch.zeros_like(x[:, :1]), x], 1)
        return self.head((x + (0 * x @ x.mT).softmax(-1) @ self.value(x))[:, 0])


def lit(level):
    """An image of that level: in the left half the first channel is about 0.5, in the right half the second."""
    x = torch.full((2, SIDE, SIDE), level, dtype=torch.float64)
    noise = 0.1 * torch.rand(SIDE, SIDE // 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    x[0, :, : SIDE // 2] = x[1, :, SIDE // 2 :] = 0.5 + noise
    return x


@pytest.mark.parametrize("name", METHODS)
def test_what_a_positive_value_means(name):
    """On what is brighter than the baseline, evidence for is at the left and against at the right; else the other way."""
    properties, has = METHODS[name].properties, METHODS[name].options()
    assert properties["positive"] in POSITIVE
    if properties.get("only") == "max" or properties.get("certainty") or name == "agn":
        pytest.skip("another kind of score; no brightness to compare; or references around the image itself")
    if properties["positive"] == "salient":
        pytest.skip("neither for nor against: see the next test")
    settings = {option: value for option, value in SMALL.get(name, {}).items() if option != "baseline"}
    values = {}
    for level in (0.2, 0.9):
        settings |= {"players": "grid:2x2"} if "players" in has else {}
        settings |= {"baseline": f"constant:{level}"} if "baseline" in has else {}
        who = subject(lit(level), target=0)
        who.peers.images = torch.full_like(who.peers.images, level)
        net = Pooling() if name in ATTENTION else for_and_against()
        found = attribute(net, name, who, **settings).values
        values[level] = float(found[0, :, : SIDE // 2].sum() - found[1, :, SIDE // 2 :].sum())
    sign = -1 if properties["positive"] == "against" else 1
    assert sign * values[0.2] > 0
    if properties["positive"] == "raises":
        assert values[0.9] > 0  # whatever the image is compared with
    elif "baseline" in has or "baselines" in has:
        assert sign * values[0.9] < 0


@pytest.mark.parametrize("name", [name for name, e in METHODS.items() if e.properties["positive"] == "salient"])
def test_what_is_salient_is_so_for_the_opposite_score(name):
    net, opposite = net_of(name), net_of(name)
    with torch.no_grad():
        last = list(opposite.children())[-1]
        last.weight.neg_()
        last.bias.neg_()
    one, other = attribute(net, name, subject()), attribute(opposite, name, subject())
    assert one.score == -other.score
    assert torch.allclose(one.values, other.values)
    assert bool((one.values >= 0).all())
    assert one.values.any()


def test_gradients_and_nothing_else_raise():
    for name, entry in METHODS.items():
        properties = entry.properties
        per_input = not properties["multiplied"] and not properties.get("unit")
        assert (properties["positive"] == "raises") == (per_input or name == "guided-gradcam")


def test_passes_tell_forward_from_backward():
    who, net = subject(), relu_net()
    passes = Passes(ClassScore(net))
    passes.scores(lambda part: who.x.expand(part.stop - part.start, *who.x.shape), 3, who)
    assert (passes.evaluations, passes.forwards) == (3, 3)
    list(passes.gradients(lambda part: who.x.expand(part.stop - part.start, *who.x.shape), 2, who))
    assert (passes.evaluations, passes.forwards) == (5, 3)


def test_a_pool_is_of_forward_passes():
    options = {"players": "2x3", "samples": 24, "pool": 60, "coalitions": "effective", "form": "to-input"}
    (found,) = attributions(METHODS["sig"], options, ClassScore(relu_net()), [subject()])
    assert found.gradient_evaluations == 24
    assert 0 < found.forward_evaluations <= 60
