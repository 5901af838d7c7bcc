"""A layer that is named is that layer, though batch norms are folded into convolutions for speed."""

import numpy as np
import pytest
import torch
from torch import nn

import sigcli
from sigcli.methods.folded import unfolded
from sigcli.models.fold import fold_batch_norm, prepare


def network(bias=True):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=bias), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1, bias=bias),
        nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip
    for norm in (net[1], net[4]):
        nn.init.uniform_(norm.weight, -2, 2)
        nn.init.uniform_(norm.bias, -1, 1)
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.1, 3)
    net[1].weight.data[2] = 0  # a channel of which folding leaves nothing
    net[4].weight.data[5] = 1e-30
    return net.eval().requires_grad_(False)


X = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(1))


def by_hand(net, layer, x, target):
    """Grad-CAM's sum over channels, without ReLU, from hooks on the network as its owner made it."""
    kept = []
    handle = net.get_submodule(layer).register_forward_hook(lambda module, given, found: kept.append(found) or found)
    with torch.enable_grad():
        leaf = x[None].clone().requires_grad_()
        score = net(leaf)[0, target]
        (gradient,) = torch.autograd.grad(score, kept[0])
    handle.remove()
    found = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1, keepdim=True)
    return nn.functional.interpolate(found.detach(), x.shape[-2:], mode="bilinear")[0, 0].numpy()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layer", ["0", "1", "3", "4", "5"])
def test_grad_cam_of_a_named_layer_is_of_that_layer(bias, layer):
    net = network(bias)
    wanted = by_hand(net, layer, X[0], 1)
    known = {"model": net, "target": 1, "mean": 0, "std": 1, "settings": {"layer": layer, "relu": False}}
    (found,) = sigcli.explain(X[:1], method="gradcam", **known)
    assert np.abs(found.values.sum(0) - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("method", ["eigencam", "ablationcam", "scorecam", "hirescam"])
def test_a_convolution_and_its_batch_norm_have_maps_of_their_own(method):
    """The norm turns the sign of some channels and drops one: no map that weighs channels stays the same."""
    known = {"model": network(), "target": 1, "mean": 0, "std": 1}
    one, other = (sigcli.explain(X[:1], method=method, settings={"layer": name}, **known)[0].values for name in "34")
    assert np.abs(one - other).max() > 1e-3 * np.abs(other).max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unfolding_gives_every_layer_back(dtype):
    net, x = network().to(dtype), X.to(dtype)
    folded = fold_batch_norm(net)
    assert unfolded(net) is net
    again = unfolded(folded)
    assert unfolded(folded) is again
    results = {}
    for name in ("0", "1", "3", "4", "8"):
        for which, of in (("theirs", net), ("ours", again)):
            handle = of.get_submodule(name).register_forward_hook(
                lambda module, given, found, at=(name, which): results.update({at: found})
            )
            of(x)
            handle.remove()
        assert torch.allclose(results[name, "ours"], results[name, "theirs"], rtol=1e-4, atol=1e-5)
    assert type(again[1]) is nn.BatchNorm2d
    assert again[8].weight is folded[8].weight  # shared, not copied
    assert folded(x).allclose(net(x), rtol=1e-4, atol=1e-5)


def test_a_function_of_ones_own_gets_the_layers_as_they_were():
    def of_the_convolution(network, inputs, targets):
        kept = []
        handle = network.get_submodule("0").register_forward_hook(lambda module, given, found: kept.append(found))
        network(inputs)
        handle.remove()
        return (inputs * kept[0].mean())[0]

    net = network()
    (found,) = sigcli.explain(X[:1], model=net, method=[of_the_convolution], target=1, mean=0, std=1)
    assert np.allclose(found.values, X[0].numpy() * net[0](X[:1]).mean().item(), rtol=1e-4)


def test_folding_is_still_what_gradients_run_on():
    prepared = prepare(network(), X)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in prepared.modules())
    assert len(list(prepared.state_dict())) == 6  # what is kept for unfolding is no part of the network
