"""Contracts that every direct method is held to from the day it appears: shape, cost, order, seeds, out of memory."""

import inspect
import typing
import warnings

import pytest
import torch
from torch import nn

import sigcli.methods.deeplift
from sigcli.errors import AttributionError
from sigcli.methods import METHODS
from sigcli.methods.run import attributions
from sigcli.scores.classifier import ClassScore

from toys import SMALL, TokenNet, attribute, relu_net, subject

ALL = [name for name, entry in METHODS.items() if entry.properties["kind"] == "direct"]
SAMPLED = [name for name in ALL if METHODS[name].properties["sampled"]]
HOOKS = [name for name in ALL if METHODS[name].properties["needs"] == "hooks"]
REST = [name for name in ALL if name not in HOOKS]


def explain(name, model, who, **options):
    return attribute(model, name, who, **{**SMALL.get(name, {}), **options})


def net_for(name, dtype=torch.float64):
    """A network with everything in it; the methods for linear ones, for maxima and for attention get one of these."""
    net = relu_net(dtype)
    if METHODS[name].properties.get("only") == "attention":
        return TokenNet(dtype)
    if name == "max-shap":
        torch.manual_seed(5)
        return nn.Sequential(nn.Conv2d(2, 3, 1), nn.AdaptiveMaxPool2d(1), nn.Flatten()).to(dtype).requires_grad_(False)
    if name == "linear-shap":
        net[1] = net[3] = nn.Identity()
    return net


class Counting(nn.Module):
    """Counts the images that pass through a network."""

    def __init__(self, net):
        super().__init__()
        self.net, self.seen, self.backward = net, 0, 0

    def forward(self, x):
        self.seen += len(x)
        return self.net(x)


@pytest.mark.parametrize("name", ALL)
def test_table_and_signature_agree(name):
    entry = METHODS[name]
    parameters = inspect.signature(entry.load()).parameters
    hints = typing.get_type_hints(entry.load())
    assert ("players" in parameters) == entry.properties["players"]
    assert entry.properties["needs"] in ("gradients", "hooks", "forward")
    assert inspect.getdoc(entry.load())
    for option, parameter in entry.options().items():
        assert parameter.default is not inspect.Parameter.empty
        assert option in hints


@pytest.mark.parametrize("name", ALL)
def test_shape_type_and_score(name):
    net, who = net_for(name), subject()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    inplace = [module.inplace for module in net.modules() if hasattr(module, "inplace")]
    found = explain(name, net, who)
    assert found.values.shape == who.x.shape
    assert found.values.dtype == who.x.dtype
    assert torch.isfinite(found.values).all()
    assert found.values.abs().sum() > 0
    assert not found.values.requires_grad
    assert found.evaluations > 0
    assert found.seconds > 0
    assert found.score == pytest.approx(float(net(who.x[None])[0, who.target]))
    properties = METHODS[name].properties
    assert (found.stderr is not None) == (properties["sampled"])
    assert (found.completeness_gap is not None) == METHODS[name].properties["complete"]
    # The network is as it was: no hooks, no other weights, in-place layers in place.
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert [module.inplace for module in net.modules() if hasattr(module, "inplace")] == inplace
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in net.modules())


@pytest.mark.parametrize("name", REST)
def test_every_image_that_was_passed_is_counted(name):
    net, who = Counting(net_for(name)), subject()
    found = explain(name, net, who)
    assert net.seen - 1 <= found.evaluations + found.check_evaluations <= net.seen


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batch_size_changes_nothing(name, batch_size):
    net, who = net_for(name, torch.float32), subject(dtype=torch.float32)
    one = explain(name, net, who, batch_size=16)
    other = explain(name, net, who, batch_size=batch_size)
    assert (one.values - other.values).norm() <= 1e-5 * one.values.norm()
    assert (one.evaluations, one.forward_evaluations) == (other.evaluations, other.forward_evaluations)


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_map_and_other_seed_other_draws(name):
    net, who = net_for(name), subject()
    again = explain(name, net, subject())
    assert torch.equal(explain(name, net, who).values, again.values)
    other = explain(name, net, subject(seed=1))
    assert torch.equal(other.values, again.values) != METHODS[name].properties["sampled"]


@pytest.mark.parametrize("output", ["prob", "logprob"])
@pytest.mark.parametrize("name", ALL)
def test_outputs_are_what_they_say(name, output):
    net, who = net_for(name), subject()
    try:
        found = next(attributions(METHODS[name], SMALL.get(name, {}), ClassScore(net, output), [who]))
    except AttributionError as error:
        assert "--output logit" in str(error) or METHODS[name].properties.get("only")  # the way out  # noqa: PT017
        return
    outputs = net(who.x[None])
    expected = {"prob": outputs.softmax(1), "logprob": outputs.log_softmax(1)}[output][0, who.target]
    assert found.score == pytest.approx(float(expected))


@pytest.mark.parametrize("name", HOOKS)
def test_a_program_without_layers_is_refused_with_what_works(name):
    net, who = relu_net(torch.float32), subject(dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.script(net)
    exported = torch.export.export(net, (who.x[None].repeat(2, 1, 1, 1),)).module()
    for program in (script, exported):
        with pytest.raises(AttributionError, match=r"no layers to hook into.\nMethods that work with it: sig, "):
            explain(name, program, who)
    with pytest.raises(AttributionError, match="score is of a function"):
        explain(name, net.forward, who)


@pytest.mark.parametrize("name", ALL)
def test_out_of_memory_is_a_failed_item_or_a_smaller_batch(name, monkeypatch):
    net, who = net_for(name), subject()
    expected, forward = explain(name, net, who), nn.Conv2d.forward

    def tight(most):
        def run(layer, x):
            if len(x) > most:
                raise torch.OutOfMemoryError("no memory")
            return forward(layer, x)

        monkeypatch.setattr(nn.Conv2d, "forward", run)

    tight(0)
    with pytest.raises(AttributionError, match="too little memory for one image"):
        explain(name, net, who)
    if name in REST:
        tight(5)
        found = explain(name, net, who)
        assert torch.allclose(found.values, expected.values, rtol=1e-9, atol=1e-12)


def test_deepshap_goes_on_with_smaller_batches_where_memory_runs_out(monkeypatch):
    """What was done before is kept, and no reference is counted twice."""
    net, who, told, most = net_for("deepshap"), subject(), [], [100]
    expected, replay = explain("deepshap", net, who), sigcli.methods.deeplift.replay

    def run(tape, rule, inputs):
        if len(inputs[0].x) > most[0]:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return replay(tape, rule, inputs)

    def count(images):
        told.append(images)
        most[0] = 2  # after the first batch there is less room

    monkeypatch.setattr(sigcli.methods.deeplift, "replay", run)
    options = {"samples": SMALL["deepshap"]["samples"]}
    (found,) = attributions(METHODS["deepshap"], options, ClassScore(net), [who], batch_size=4, progress=count)
    assert told == [4, 4, 2, 2, 2, 2, 1, 1]  # references, then the image beside each: of 4, 2, 2 and 1
    assert found.evaluations == 18
    assert torch.allclose(found.values, expected.values, rtol=1e-9, atol=1e-12)
