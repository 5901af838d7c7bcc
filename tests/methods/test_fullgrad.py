"""FullGrad: the shares sum to the score, and the map is the paper's, with biases measured from outside."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from sigcli.engine.passes import Passes
from sigcli.errors import AttributionError
from sigcli.methods import METHODS
from sigcli.methods.fullgrad import full_gradients
from sigcli.methods.run import attributions
from sigcli.models.fold import prepare
from sigcli.scores.classifier import ClassScore

from toys import attribute, relu_net, subject


class Normed(nn.Module):
    """Convolutions with and without bias, batch norms of both kinds, a layer that runs twice, in-place ReLU, pooling."""

    def __init__(self, affine=True):
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm, self.last = nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=affine)
        self.act, self.hidden, self.head = nn.ReLU(inplace=True), nn.Linear(36, 5), nn.Linear(5, 3)
        generator = torch.Generator().manual_seed(6)
        with torch.no_grad():
            for t in (*self.parameters(), self.norm.running_mean, self.last.running_mean):
                t.copy_(torch.randn(t.shape, generator=generator) * 0.5)
            for t in (self.norm.running_var, self.last.running_var):
                t.copy_(torch.rand(t.shape, generator=generator) + 0.5)
        self.double().eval().requires_grad_(False)

    def forward(self, x):
        x = self.act(self.norm(self.two(self.one(x))))
        x = self.act(self.last(self.two(x) + x))
        return self.head(self.act(self.hidden(functional.max_pool2d(x, 2).flatten(1))))


def shares(net, who):
    return full_gradients(Passes(ClassScore(net)), who)


@pytest.mark.parametrize("target", range(3))
@pytest.mark.parametrize("affine", [True, False])
def test_the_shares_sum_to_the_score(affine, target):
    net, who = Normed(affine), subject(target=target)
    found = shares(net, who)
    score = float(net(who.x[None])[0, target])
    assert found.score == pytest.approx(score)
    assert found.total == pytest.approx(score, rel=1e-10)
    assert [tuple(b.shape[1:]) for b in found.biases] == [(4, 6, 6)] * 3
    assert found.placeless != 0
    assert abs(score - float(found.image.sum())) > 1e-3  # the image's share alone does not
    assert attribute(net, "fullgrad", who).note == ""


def test_folding_a_batch_norm_moves_no_share():
    plain = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 3),
    )  # fmt: skip
    plain[1].running_mean.uniform_(-1, 1)
    plain = plain.double().eval().requires_grad_(False)
    who = subject()
    folded = prepare(plain, who.x[None].repeat(2, 1, 1, 1))
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
    one, other = shares(plain, who), shares(folded, who)
    assert torch.allclose(one.image, other.image)
    assert len(one.biases) == len(other.biases) == 1
    assert torch.allclose(one.biases[0], other.biases[0])
    assert torch.allclose(attribute(plain, "fullgrad", who).values, attribute(folded, "fullgrad", who).values)


def psi(share):
    """Magnitudes, to 0..1 over the layer, on the image, summed over channels."""
    size = share.abs()
    size = (size - size.min()) / (size.max() - size.min())
    return sum(functional.interpolate(size[:, k : k + 1], (6, 6), mode="bilinear")[0, 0] for k in range(size.shape[1]))


def test_the_papers_map():
    """A layer's bias is what it gives for an image of zeros, and its gradient that by zeros added to what it gives."""
    net, who, added, biases = Normed(), subject(), [], []

    def add(layer, given, output):
        zeros = torch.zeros_like(output).requires_grad_()
        added.append(zeros)
        biases.append(type(layer).forward(layer, torch.zeros_like(given[0])))
        return output + zeros

    for part in (net.one, net.norm, net.last):
        part.register_forward_hook(add)
    x = who.x[None].clone().requires_grad_()
    gradient, *gradients = torch.autograd.grad(net(x)[0, 1], [x, *added])
    expected = psi(gradient * who.x) + sum(psi(g * b.detach()) for g, b in zip(gradients, biases, strict=True))
    found = attribute(Normed(), "fullgrad", who)
    assert torch.allclose(found.values.sum(0), expected, rtol=1e-10)
    assert torch.equal(found.values[0], found.values[1])


def test_a_network_without_biases_is_input_times_gradient():
    net = relu_net()
    for part in (net[0], net[2], net[6]):
        part.bias.zero_()
    who = subject()
    expected = attribute(net, "input-x-gradient", who).values.abs()
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    assert torch.allclose(attribute(net, "fullgrad", who).values.sum(0), expected.sum(0))


def test_functions_that_bend_are_said():
    net = relu_net()
    net[1] = nn.GELU()
    found = attribute(net, "fullgrad", subject())
    assert "functions that bend" in found.note
    assert found.values.any()


def test_tokens_have_their_place():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(2)
            self.patches, self.mix, self.head = nn.Conv2d(2, 4, 2, 2), nn.Linear(4, 4), nn.Linear(40, 3)

        def forward(self, x):
            t = self.patches(x).flatten(2).transpose(1, 2)
            t = torch.cat([torch.ones_like(t[:, :1]), t], 1)
            return self.head(torch.relu(self.mix(t)).flatten(1))

    net, who = Tokens().double().eval().requires_grad_(False), subject()
    found = shares(net, who)
    assert [tuple(b.shape) for b in found.biases] == [(1, 4, 3, 3)] * 2
    # What is left beside them: the constant token, through the linear layer and the bias of the last.
    t = torch.relu(net.mix(torch.ones(1, 4, dtype=torch.float64)))
    assert found.score - found.total == pytest.approx(
        float(net.head.weight[1, :4] @ (t[0] - (net.mix.bias * (t[0] > 0)))), rel=1e-9
    )


def test_only_logits_are_taken_apart():
    with pytest.raises(AttributionError, match="explains logits only"):
        next(attributions(METHODS["fullgrad"], {}, ClassScore(relu_net(), "prob"), [subject()]))
