"""Wrappers of networks: every one of them, and that layers have the names that the network's user knows."""

import importlib
import inspect
import pkgutil

import pytest
import torch
from torch import nn

import sigcli.models
from sigcli.methods.places import layers, named_layer
from sigcli.models.sources.hf import Pixels
from sigcli.models.wrappers.certainty import Aware, Masked
from sigcli.models.wrappers.dense import Dense
from sigcli.models.wrappers.fitting import Arrays, Columns, Copied, Listed
from sigcli.models.wrappers.fixed_batch import FixedBatch
from sigcli.models.wrappers.parts import Part
from sigcli.models.wrappers.twins import Twin
from sigcli.wrapping import Wrapper, own_layers


def small():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )


class Named(nn.Module):
    """With a part called inner, which stays."""

    def __init__(self):
        super().__init__()
        self.inner = small()

    def forward(self, pixel_values):
        return {"logits": self.inner(pixel_values)}


def test_every_module_around_a_network_is_a_wrapper():
    found = set()
    for place in pkgutil.walk_packages(sigcli.models.__path__, "sigcli.models."):
        if ".wrappers." in place.name or ".sources." in place.name:
            kinds = inspect.getmembers(importlib.import_module(place.name), inspect.isclass)
            found |= {kind for _, kind in kinds if issubclass(kind, nn.Module) and kind.__module__ == place.name}
    around = {kind for kind in found if "function" not in inspect.signature(kind).parameters}  # no network is in that
    assert len(around) >= 14
    assert [kind for kind in around if not issubclass(kind, Wrapper)] == []


@pytest.mark.parametrize("wrap", [Copied, Arrays, Columns, lambda net: FixedBatch(net, 1)])
def test_names_are_those_of_the_network(wrap):
    net = small()
    wrapped = wrap(net).eval()
    assert own_layers(wrapped) == dict(net.named_modules())
    assert [layer.name for layer in layers(wrapped, (3, 6, 6))] == [layer.name for layer in layers(net, (3, 6, 6))]
    assert named_layer(wrapped, None, (3, 6, 6)).name == named_layer(net, None, (3, 6, 6)).name == "1"


def test_a_networks_own_inner_stays():
    wrapped = Part(Pixels(Named(), flipped=True), "logits").eval()
    assert list(own_layers(wrapped)) == list(dict(Named().named_modules()))
    assert named_layer(wrapped, None, (3, 6, 6)).name == "inner.1"
    names = [layer.name for layer in layers(wrapped, (3, 6, 6))]
    assert not [name for name in names if name.startswith("forward:")]  # flip is the wrapper's


def test_networks_within_two_wrappers_are_named_once():
    net = small()
    for wrapped in (Aware(net, 3, torch.ones(6, 6)), Masked(net, torch.ones(6, 6)), Dense(net), Listed(net), Twin(net)):
        assert own_layers(wrapped) == dict(net.named_modules())
