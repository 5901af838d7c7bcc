"""Maxima and minima beside a constant under LRP and the gradient rules, against closed forms."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from sigcli.engine.passes import Passes
from sigcli.errors import AttributionError
from sigcli.methods.relevance import relevance
from sigcli.scores.classifier import ClassScore

from toys import attribute, subject


def assigned(x):
    both = torch.full((2, *x.shape), 3.0, dtype=x.dtype)
    both[0] = x.relu() / 2
    return (2 * both).amin(0)


CAPS = {
    "layer": nn.ReLU6(), "relu6": functional.relu6, "clamp": lambda x: x.clamp(0, 6),
    "minimum": lambda x: torch.minimum(x.relu(), torch.tensor(6.0)),
    "min": lambda x: torch.min(torch.full_like(x, 6.0), x.relu()),
    "maximum": lambda x: -torch.maximum(-x.relu(), torch.tensor([-6.0])),
    "amin": lambda x: torch.stack([x.relu(), torch.full_like(x, 6.0)]).amin(0),
    "three": lambda x: torch.stack([torch.full_like(x, 7.0), x.relu(), torch.full_like(x, 6.0)], -1).amin(-1),
    "cat": lambda x: torch.cat([torch.full_like(x, 6.0), x.relu()]).view(2, *x.shape).amin(0),
    "pad": lambda x: functional.pad(x.relu().unsqueeze(-1), (0, 1), value=6.0).amin(-1),
    "max along": lambda x: -torch.stack([x.relu(), torch.full_like(x, 6.0)]).neg().max(0).values,
    "pooling": lambda x: -functional.max_pool1d(-torch.stack([x.relu(), torch.full_like(x, 6.0)], -1), 2)[..., 0],
    "assigned": assigned,
}  # fmt: skip


def slow_lrp(net, who, rule):
    """Loops over units: R_j = Σ_k ρ_jk/Σ_j ρ_jk R_k through linear, capped ReLU, linear; and what biases take."""
    first, last = net[1], net[3]
    a0 = who.x.flatten()
    z1 = first(a0[None])[0]
    a1 = z1.clamp(0, 6)
    z2 = last(a1[None])[0]
    relevance_out = torch.zeros_like(z2)
    relevance_out[who.target] = z2[who.target]
    taken = 0.0

    def through(a, layer, z, arriving):
        nonlocal taken
        gone = torch.zeros_like(a)
        for k in range(len(z)):
            parts = torch.cat([a * layer.weight[k], layer.bias[k : k + 1]])
            if rule == "alpha1-beta0":
                parts = parts.clamp(min=0)
            elif rule == "gamma":
                parts = parts + 0.25 * (parts.clamp(min=0) if z[k] >= 0 else parts.clamp(max=0))
            shares = parts / parts.sum() * arriving[k] if arriving[k] != 0 else torch.zeros_like(parts)
            gone += shares[:-1]
            taken += float(shares[-1])
        return gone

    hidden = through(a1, last, z2, relevance_out)
    return through(a0, first, z1, hidden).view_as(who.x), float(z2[who.target]), taken


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "alpha1-beta0"])
@pytest.mark.parametrize("act", CAPS.values(), ids=CAPS)
def test_lrp_by_hand_with_units_above_the_cap(rule, act):
    class Acts(nn.Module):
        def forward(self, x):
            return act(x)

    who = subject(target=2)
    net = nn.Sequential(nn.Flatten(), nn.Linear(72, 9), Acts(), nn.Linear(9, 3)).double().requires_grad_(False)
    generator = torch.Generator().manual_seed(3)
    for p in net.parameters():
        nn.init.normal_(p, std=1.5, generator=generator)
    with torch.no_grad():
        hidden = net[1](who.x.flatten()[None])
    assert (hidden > 6).any()
    assert (hidden < 0).any()
    expected, logit, taken = slow_lrp(net, who, rule)
    values, score, biases = relevance(Passes(ClassScore(net)), who, rule, biases=True)
    assert torch.allclose(values, expected, rtol=1e-6, atol=1e-9)
    assert (score, biases) == (pytest.approx(logit, rel=1e-9), pytest.approx(taken, rel=1e-6))
    assert float(values.sum()) + biases == pytest.approx(logit, rel=1e-6)


class Extreme(nn.Module):
    """The first class's score: what two functions of the image, a and b, and a constant come to by a minimum or maximum."""

    def __init__(self, joined):
        super().__init__()
        self.joined = joined

    def forward(self, x):
        a, b = 4 * x[:, 0], 7 * x[:, 1]
        return torch.stack([self.joined(a, b).sum((1, 2)), x.sum((1, 2, 3))], 1)


@pytest.mark.parametrize("joined", [
    lambda a, b: torch.stack([a, b, torch.full_like(a, 2.0)]).amin(0),
    lambda a, b: torch.minimum(torch.minimum(a, b), torch.tensor(2.0)),
    lambda a, b: torch.minimum(torch.stack([a, b]).amin(0), torch.full_like(a, 2.0)),
])  # fmt: skip
def test_lrp_of_an_extreme_of_two_values_and_a_constant_by_hand(joined):
    """The smaller of the two takes all, and above the cap it takes the cap."""
    who = subject(target=0)
    a, b = 4 * who.x[0], 7 * who.x[1]
    taken = torch.minimum(torch.minimum(a, b), torch.tensor(2.0))
    expected = torch.stack([torch.where(a < b, taken, 0.0), torch.where(b < a, taken, 0.0)])
    assert (taken == 2).any()
    assert (taken != 2).any()
    found = attribute(Extreme(joined), "lrp", who).values
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("joined", [
    lambda a, _: torch.maximum(a, torch.tensor(0.5)),
    lambda a, b: torch.stack([a, b, torch.full_like(a, -0.5)]).amin(0),
    lambda a, _: torch.stack([a, torch.full_like(a, 0.5)]).max(0).values,
])  # fmt: skip
def test_lrp_refuses_an_extreme_that_is_not_0_at_0(joined):
    with pytest.raises(AttributionError, match=r"LRP has no rule for (maximum|amin|max), which is not 0 at 0"):
        attribute(Extreme(joined), "lrp", subject(target=0))


def test_padding_beside_a_maximum_is_no_rectifier_and_takes_no_relevance():
    """Zeros around what is positive: the same maxima as without them."""

    class Padded(nn.Module):
        def __init__(self, pad):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last, self.pad = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(4, 3), pad
            self.double().eval()

        def forward(self, x):
            y = functional.relu(self.first(x)) + 0.1
            y = (
                functional.max_pool2d(functional.pad(y, (1, 1, 1, 1)), 2)
                if self.pad
                else functional.max_pool2d(y, 2, padding=1)
            )
            return self.last(y.mean((2, 3)))

    for name in ("lrp", "guided-backprop"):
        maps = [attribute(Padded(pad), name, subject()).values for pad in (False, True)]
        assert maps[0].any()
        assert torch.allclose(*maps, rtol=1e-9, atol=1e-12)
