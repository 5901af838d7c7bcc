"""LRP in transformers, Achtibat et al. 2024: worked by hand, against the authors' form by gradients, and conserved."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from sigcli.engine.passes import Passes
from sigcli.errors import AttributionError
from sigcli.methods.relevance import relevance
from sigcli.scores.classifier import ClassScore

from toys import TokenNet, attribute, subject


class TwoTokens(nn.Module):
    """Tokens of one number; each class is what one token makes of both."""

    def forward(self, x):
        x = x.flatten(2).mT
        return ((x @ x.mT).softmax(-1) @ x)[..., 0]


def test_two_tokens_by_hand():
    """y = a₁x₁ + a₂x₂ with a = softmax(x₁x₁, x₁x₂): half to a, half to x; the Taylor expansion; halves."""
    x = 1.0, 2.0
    e = [math.exp(x[0] * one) for one in x]
    a = [one / sum(e) for one in e]
    of_weights = [a[j] * x[j] / 2 for j in range(2)]
    of_scores = [x[0] * x[j] * (of_weights[j] - a[j] * sum(of_weights)) for j in range(2)]
    expected = [of_weights[0] + sum(of_scores) / 2 + of_scores[0] / 2, of_weights[1] + of_scores[1] / 2]
    who = subject(torch.tensor([[x]], dtype=torch.float64), target=0)
    found = attribute(TwoTokens().eval(), "lrp", who)
    assert found.values.flatten().tolist() == pytest.approx(expected, rel=1e-6)
    assert found.score == pytest.approx(a[0] * 1 + a[1] * 2)
    assert [round(one, 4) for one in expected] == [0.1345, 0.8294]


def half(product, one, other):
    return (product(one, other.detach()) + product(one.detach(), other)) / 2


def norm(layer, x):
    scale = (x.var(-1, correction=0, keepdim=True) + layer.eps).sqrt().detach()
    return (x - x.mean(-1, keepdim=True)) / scale * layer.weight + layer.bias


def modified(net, x):
    """The network with the gradients of the authors' efficient form: input times gradient is AttnLRP with ε → 0."""
    h = net.patch(x[None]).flatten(2).mT
    h = torch.cat([net.start, h], 1) + net.position
    for block in net.blocks:
        q, k, v = block["qkv"](norm(block["norm1"], h)).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        weights = half(lambda q, k: q @ k.mT / 2, q, k).softmax(-1)
        h = h + block["out"](half(torch.matmul, weights, v).transpose(1, 2).flatten(2))
        up = block["up"](norm(block["norm2"], h))
        h = h + block["down"](up * (functional.gelu(up) / up).detach())
    return net.head(norm(net.norm, h)[:, 0])[0]


@pytest.mark.parametrize("target", [0, 2])
def test_the_rules_are_the_authors(target):
    net, who = TokenNet(), subject(target=target)
    leaf = who.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(modified(net, leaf)[target], leaf)
    found = attribute(net, "lrp", who).values
    torch.testing.assert_close(found, who.x * gradient, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("rule", ["epsilon", "gamma"])
def test_relevance_is_conserved_in_two_layers(rule):
    for dtype, tolerance in ((torch.float64, 1e-6), (torch.float32, 1e-4)):
        net, who = TokenNet(dtype), subject(dtype=dtype)
        values, score, taken = relevance(Passes(ClassScore(net)), who, rule, biases=True)
        assert abs(taken) > 1e-3
        assert abs(float(values.sum()) + taken - score) <= tolerance * max(1.0, float(values.abs().sum()))


class Ending(nn.Module):
    """A function of tokens between two layers."""

    def __init__(self, function):
        super().__init__()
        torch.manual_seed(4)
        self.patch, self.head, self.function = nn.Conv2d(2, 6, 2, stride=2), nn.Linear(6, 3), function
        self.double().eval().requires_grad_(False)

    def forward(self, x):
        return self.head(self.function(self.patch(x).flatten(2).mT).mean(1))


def own_norm(x):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()


def own_rms(x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def own_gelu(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ALIKE = {
    "silu": (functional.silu, lambda x: x * x.sigmoid()),
    "gelu": (lambda x: functional.gelu(x, approximate="tanh"), own_gelu),
    "hardswish": (functional.hardswish, lambda x: x * functional.relu6(x + 3) / 6),
    "layer-norm": (lambda x: functional.layer_norm(x, (6,)), own_norm),
    "group-norm": (
        lambda x: functional.layer_norm(x, (6,)),
        lambda x: functional.group_norm(x.flatten(0, 1), 1).view_as(x),
    ),
    "rms-norm": (lambda x: functional.rms_norm(x, (6,), eps=1e-6), own_rms),
    "cosine": (functional.normalize, lambda x: x / x.square().sum(1, keepdim=True).sqrt()),
}


@pytest.mark.parametrize("kind", ALIKE)
def test_one_function_has_one_map_however_it_is_written(kind):
    who = subject()
    one, other = (attribute(Ending(function), "lrp", who).values for function in ALIKE[kind])
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-10)
    assert one.abs().max() > 1e-3


def test_a_normaliser_passes_relevance_on_as_it_is():
    """RMSNorm is x times a constant: without biases all of the logit arrives, whatever the scale of the image."""
    net = Ending(own_rms)
    with torch.no_grad():
        net.patch.bias.zero_()
        net.head.bias.zero_()
    found = attribute(net, "lrp", subject())
    assert float(found.values.sum()) == pytest.approx(found.score, rel=1e-6)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x * x.mean(1, keepdim=True).sigmoid(), "no rule for sigmoid, which is not 0 at 0"),
        (lambda x: 1 / (1 + x.square()), "no rule for reciprocal, which is not 0 at 0"),
    ],
    ids=["gate", "inverse"],
)
def test_what_has_no_rule_is_refused(function, reason):
    with pytest.raises(AttributionError, match=reason):
        attribute(Ending(function), "lrp", subject())
