"""Weights in bf16 and compiled programs: the network's values, and a word where they cannot be had."""

import numpy as np
import pytest
import torch
from torch import nn

import sigcli
from sigcli.attribution.options import ExplainOptions
from sigcli.attribution.session import prepare
from sigcli.scores import faster
from sigcli.scores.classifier import ClassScore
from sigcli.scores.faster import Faster, whole_bf16

from toys import relu_net

IMAGES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
TARGETS = torch.tensor([0, 2])
RUN = {"method": "ig,gradcam", "mean": 0, "std": 1, "settings": {"steps": "6"}, "batch_size": 6}


SEEN = []


class Recording(nn.Module):
    """Notes the type of what it is given."""

    def __init__(self):
        super().__init__()
        self.inner = relu_net(torch.float32, 3)

    def forward(self, x):
        SEEN.append(x.dtype)
        return self.inner(x)


class Own(nn.Module):
    """Makes a tensor in fp32 whatever its weights are, and fails where they are not."""

    def __init__(self):
        super().__init__()
        self.inner = relu_net(torch.float32, 3)

    def forward(self, x):
        return self.inner(x if torch.is_autocast_enabled("cpu") else x @ torch.eye(x.shape[-1]))


class Coarse(nn.Module):
    """A difference of two large numbers, which bf16 has not; under autocast no product is in it."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, x):
        return ((1000 + x) - 1000).mean((1, 2, 3))[:, None] * self.factor


def relative(one, other):
    return float((one - other).norm() / other.norm())


def test_weights_in_bf16_give_what_autocast_gives():
    net = Recording()
    found, why = whole_bf16(net, IMAGES)
    assert why == ""
    exact = ClassScore(net)
    ours, usual = (ClassScore(net, precision="bf16", faster=one) for one in (found, None))
    SEEN.clear()
    for score in (exact, ours, usual):
        assert score.gradients(IMAGES, TARGETS)[1].dtype == torch.float32
    assert [torch.float32, torch.bfloat16, torch.float32] == SEEN
    for part in (0, 1):
        right, found_here, near = (score.gradients(IMAGES, TARGETS)[part] for score in (exact, ours, usual))
        assert 0 < relative(found_here, right) <= max(1.5 * relative(near, right), 0.02)
    assert relative(ours.scores(IMAGES, TARGETS), exact.scores(IMAGES, TARGETS)) < 0.02


@pytest.mark.parametrize(("made", "reason"), [(Own, "BFloat16"), (Coarse, "would be off by")])
def test_a_network_that_is_not_for_bf16_runs_under_autocast_and_that_is_said(made, reason):
    found, why = whole_bf16(made(), IMAGES)
    assert found is None
    assert reason in why
    net = made()
    session = prepare(
        ExplainOptions(images=IMAGES, model=net, precision="bf16", write=False, method="ig", mean=(0.0,), std=(1.0,))
    )
    assert any("runs under autocast" in note and reason in note for note in session.notes)
    items = sigcli.explain(IMAGES, model=net, precision="bf16", **{**RUN, "method": "ig"})
    exact = sigcli.explain(IMAGES, model=net, **{**RUN, "method": "ig"})
    for one, other in zip(items, exact, strict=True):
        assert np.linalg.norm(one.values - other.values) < 0.05 * np.linalg.norm(other.values)


def test_another_network_in_the_score_is_not_replaced():
    net, other = relu_net(torch.float32, 3), Coarse()
    found, _ = whole_bf16(net, IMAGES)
    score = ClassScore(other, precision="bf16", faster=found)
    assert torch.equal(score.outputs(IMAGES), ClassScore(other, precision="bf16").outputs(IMAGES))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_network_gives_the_same_maps(precision, monkeypatch):
    monkeypatch.setattr(faster, "BACKEND", "aot_eager")
    calls, compile_ = [], torch.compile
    monkeypatch.setattr(torch, "compile", lambda run, **options: calls.append(options) or compile_(run, **options))
    net = relu_net(torch.float32, 3)
    expected = sigcli.explain(IMAGES, model=net, precision=precision, compile="off", **RUN)
    assert calls == []
    found = sigcli.explain(IMAGES, model=net, precision=precision, compile="on", **RUN)
    assert calls == [{"dynamic": False, "backend": "aot_eager"}]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.values, other.values, rtol=1e-4, atol=1e-6)


def test_what_cannot_be_compiled_runs_as_it_is_and_says_why(monkeypatch):
    def broken(run, **options):
        def call(images):
            raise RuntimeError("no compiler here")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    net = relu_net(torch.float32, 3)
    made = Faster(net, net, size=2)
    score = ClassScore(net, faster=made)
    assert torch.equal(score.gradients(IMAGES, TARGETS)[1], ClassScore(net).gradients(IMAGES, TARGETS)[1])
    assert made.failure == "RuntimeError: no compiler here"
    assert made.size is None


def test_too_little_memory_is_no_failure_to_compile(monkeypatch):
    def tight(run, **options):
        def call(images):
            raise torch.OutOfMemoryError("CUDA out of memory")

        return call

    monkeypatch.setattr(torch, "compile", tight)
    made = Faster(relu_net(torch.float32, 3), relu_net(torch.float32, 3), size=2)
    with pytest.raises(torch.OutOfMemoryError):
        made.gradients_of(IMAGES)
    assert (made.size, made.failure) == (2, "")
