"""LibraGrad: against a network written with constants in place of what it cuts, and what it makes complete."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from sigcli.errors import AttributionError
from sigcli.methods import METHODS
from sigcli.methods.run import Job, explain_all
from sigcli.scores.classifier import ClassScore

from toys import SMALL, TokenNet, attribute, relu_net, subject

ALL = [name for name, entry in METHODS.items() if "libragrad" in entry.options()]


class Cut(nn.Module):
    """A transformer with constants where LibraGrad cuts: attention weights, standard deviations, gates."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def norm(self, layer, x):
        scale = (x.var(-1, correction=0, keepdim=True) + layer.eps).sqrt().detach()
        return (x - x.mean(-1, keepdim=True)) / scale * layer.weight + layer.bias

    def forward(self, x):
        net = self.net
        h = net.patch(x).flatten(2).mT
        h = torch.cat([net.start.expand(len(x), -1, -1), h], 1) + net.position
        for block in net.blocks:
            weights, values = net.weights(block, self.norm(block["norm1"], h))
            h = h + block["out"]((weights.detach() @ values).transpose(1, 2).flatten(2))
            up = block["up"](self.norm(block["norm2"], h))
            h = h + block["down"](up * (functional.gelu(up) / up).detach())
        return net.head(self.norm(net.norm, h)[:, 0])


@pytest.mark.parametrize("name", ALL)
def test_gradients_are_those_of_the_network_with_constants(name):
    net, who = TokenNet(), subject()
    settings = SMALL.get(name, {})
    found = attribute(net, name, who, libragrad=True, **settings)
    expected = attribute(Cut(net), name, who, **settings)
    torch.testing.assert_close(found.values, expected.values, rtol=1e-7, atol=1e-11)
    plain = attribute(net, name, who, **settings)
    assert found.score == plain.score
    assert (found.values - plain.values).norm() > 1e-2 * plain.values.norm()


def test_input_times_gradient_is_the_score_of_a_transformer_without_biases():
    net, who = TokenNet(), subject()
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith("bias") or name in ("start", "position"):
                p.zero_()
    found = attribute(net, "input-x-gradient", who, libragrad=True)
    assert float(found.values.sum()) == pytest.approx(found.score, rel=1e-4)  # ε of LayerNorm at a token of zeros
    assert float(attribute(net, "input-x-gradient", who).values.sum()) != pytest.approx(found.score, rel=0.1)


def test_a_network_of_relus_keeps_its_gradients():
    one, other = (attribute(relu_net(), "gradient", subject(), libragrad=on).values for on in (False, True))
    torch.testing.assert_close(one, other, rtol=1e-10, atol=0)


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_batch_size_changes_nothing(batch_size):
    net, who = TokenNet(), subject()
    one, other = (attribute(net, "ig", who, steps=9, libragrad=True, batch_size=n).values for n in (16, batch_size))
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_both_kinds_of_gradients_in_one_run_keep_their_order():
    net, who = TokenNet(), subject()
    kinds = [False, True, True, False, True]
    jobs = [Job(METHODS["gradient"], {"libragrad": on}, who, number) for number, on in enumerate(kinds)]
    found = list(explain_all(jobs, ClassScore(net)))
    assert [tag for tag, _ in found] == [0, 1, 2, 3, 4]
    alone = {on: attribute(net, "gradient", who, libragrad=on).values for on in (False, True)}
    assert all(torch.allclose(one.values, alone[on]) for (_, one), on in zip(found, kinds, strict=True))


@pytest.mark.parametrize("name", ["gradient", "idgi"])
def test_what_has_no_layers_is_refused_alone(name):
    def function(x):
        return x.flatten(1)[:, :3]

    jobs = [Job(METHODS[name], {"libragrad": on}, subject(), on) for on in (True, False)]
    found = dict(explain_all(jobs, ClassScore(function)))
    assert isinstance(found[True], AttributionError)
    assert found[False].values.any()
