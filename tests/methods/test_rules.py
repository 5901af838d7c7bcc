"""The rules for single operators against slow loops written from the papers, and networks in the forms that people write."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from sigcli.errors import AttributionError
from sigcli.methods.tracing import traced

from toys import attribute, relu_net, subject


def filled(net, scale=0.5):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * scale)
    return net.double().eval().requires_grad_(False)


def convolutions(*between):
    return filled(
        nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), *between, nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(4, 3),
        )
    )  # fmt: skip


def checked(net, who, reference):
    """DeepLIFT's values, after a check that they sum to the difference of the network's own scores."""
    found = attribute(net, "deeplift", who, baseline=reference)
    with torch.no_grad():
        expected = float((net(who.x[None]) - net(reference[None]))[0, who.target])
    assert abs(expected) > 1e-9
    assert float(found.values.sum()) == pytest.approx(expected, rel=1e-9)
    return found.values


# DeepLIFT


def test_multipliers_of_one_hidden_layer_by_hand():
    """Eq. 3 and 9: m_i = Σ_k w_ik (Δy_k/Δz_k) v_k, here with units that cross the kink either way."""
    who, reference = subject(), torch.full((2, 6, 6), 0.4, dtype=torch.float64)
    net = filled(nn.Sequential(nn.Flatten(), nn.Linear(72, 7), nn.ReLU(), nn.LeakyReLU(0.1), nn.Linear(7, 3)))
    first, last = net[1], net[4]
    expected = torch.zeros(72, dtype=torch.float64)
    for k in range(7):
        z, z0 = (float(first.weight[k] @ v.flatten() + first.bias[k]) for v in (who.x, reference))
        quotient = (max(z, 0) - max(z0, 0)) / (z - z0)
        expected += quotient * last.weight[who.target, k] * first.weight[k]
    expected = expected.view(2, 6, 6) * (who.x - reference)
    assert torch.allclose(checked(net, who, reference), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("level", [0.0, 0.6])
def test_pooling_and_relu_commute_and_adjacent_activations_are_complete(level):
    who, reference = subject(), torch.full((2, 6, 6), level, dtype=torch.float64)
    one = checked(convolutions(nn.MaxPool2d(2), nn.ReLU()), who, reference)
    other = checked(convolutions(nn.ReLU(), nn.MaxPool2d(2)), who, reference)
    assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)
    checked(convolutions(nn.ReLU(), nn.LeakyReLU(0.1), nn.Sigmoid(), nn.Tanh()), who, reference)


@pytest.mark.parametrize("pool", [
    nn.MaxPool2d(2), nn.MaxPool2d(3, 2, padding=1), nn.MaxPool2d(3, 1), nn.MaxPool2d(2, 3, ceil_mode=True),
    nn.MaxPool2d(2, 1, dilation=2), nn.AdaptiveMaxPool2d((2, 3)), nn.AdaptiveMaxPool2d(1),
], ids=str)  # fmt: skip
def test_a_maximum_gives_its_difference_to_one_entry(pool):
    """Slow loop: each window's Δy goes to the image's largest entry if it rises, else to the reference's largest."""
    who = subject()
    reference = who.peers.images[0]
    weights = torch.randn(2, *pool(who.x[None]).shape[2:], generator=torch.Generator().manual_seed(1)).double()

    class Pooled(nn.Module):
        def forward(self, x):
            score = (pool(x) * weights).sum((1, 2, 3))
            return torch.stack([score, score, -score], 1)

    places = torch.arange(36).double().view(1, 1, 6, 6)
    expected = torch.zeros(2, 36, dtype=torch.float64)
    for channel in range(2):
        for at in range(weights[0].numel()):
            # Which entries a window sees: those that raise it when they are raised.
            seen = [i for i in range(36) if float(pool((places == i).double()).flatten()[at]) == 1]
            x, r = who.x[channel].flatten()[seen], reference[channel].flatten()[seen]
            change = x.max() - r.max()
            place = seen[int(x.argmax() if change >= 0 else r.argmax())]
            expected[channel, place] += change * weights[channel].flatten()[at]
    found = checked(Pooled(), who, reference)
    assert torch.allclose(found.flatten(1), expected, rtol=1e-9, atol=1e-12)


def test_products_give_each_factor_its_shapley_value():
    who = subject()
    reference = who.peers.images[1]

    class Product(nn.Module):
        def forward(self, x):
            a, b = x.flatten(2).unbind(1)
            both = (a * b).sum(1)
            return torch.stack([both, both, (a @ b.T).diagonal()], 1)

    (a, b), (a0, b0) = who.x.flatten(1), reference.flatten(1)
    only_a, only_b = a * b0 - a0 * b0, a0 * b - a0 * b0
    joint = a * b - a0 * b0 - only_a - only_b
    expected = torch.stack([only_a + joint / 2, only_b + joint / 2])
    assert torch.allclose(checked(Product(), who, reference).flatten(1), expected, rtol=1e-9, atol=1e-12)


class Attention(nn.Module):
    """Tokens with LayerNorm, attention by softmax, GELU, a gate, a norm and a division."""

    def __init__(self):
        super().__init__()
        self.norm, self.attend, self.gate = (
            nn.LayerNorm(12),
            nn.MultiheadAttention(12, 2, batch_first=True),
            nn.Linear(12, 12),
        )
        self.group, self.head = nn.GroupNorm(2, 6), nn.Linear(12, 3)

    def forward(self, x):
        t = self.group(x.transpose(1, 2).reshape(len(x), 6, 12))
        n = self.norm(t)
        t = t + self.attend(n, n, n, need_weights=False)[0]
        t = functional.gelu(t) * torch.sigmoid(self.gate(t.mean(1, keepdim=True)))
        t = functional.normalize(t, dim=-1) + t / (1 + t.abs()) + functional.hardswish(t) + functional.silu(t)
        return self.head(torch.maximum(t.amax(1), t.mean(1)))


def test_attention_norms_gates_and_divisions_are_complete():
    who = subject()
    for reference in (torch.zeros_like(who.x), *who.peers.images[:2]):
        checked(filled(Attention(), 0.3), who, reference)


# The network as its code is written


class Written(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(2 if i == 0 else 4, 4, 3, padding=1) for i in range(3))
        self.relu, self.inplace, self.head, self.form = nn.ReLU(), nn.ReLU(inplace=True), nn.Linear(4, 3), form

    def forward(self, x):
        return self.head(getattr(self, self.form)(x).mean((2, 3)))

    def positional(self, x):
        return self.relu(self.b(self.relu(self.a(x))))

    def keyword(self, x):
        return self.relu(input=self.b(input=self.relu(input=self.a(input=x))))

    def functions(self, x):
        return torch.clamp_min(self.b(functional.relu_(self.a(x))), 0)

    def shortcut(self, x):
        y = self.a(x)
        return self.inplace(y) + self.b(y)  # y is rectified for both

    def shortcut_plain(self, x):
        y = self.relu(self.a(x))
        return y + self.b(y)

    def slices(self, x):
        y = self.a(x)
        y[:, :2] = y[:, :2].relu()
        y[:, 2:].relu_()
        return y + self.b(y)


@pytest.mark.parametrize("name", ["deeplift", "deepshap", "lrp", "guided-backprop", "deconvolution"])
def test_one_function_has_one_map_however_it_is_written(name):
    who = subject()
    maps = {}
    for form in ("positional", "keyword", "functions", "shortcut", "shortcut_plain", "slices"):
        options = {"samples": 3} if name == "deepshap" else {}
        maps[form] = attribute(filled(Written(form)), name, who, **options).values
        assert maps[form].any()
    for form in ("keyword", "functions"):
        assert torch.allclose(maps["positional"], maps[form], rtol=1e-9, atol=1e-12)
    for form in ("shortcut", "slices"):
        assert torch.allclose(maps["shortcut_plain"], maps[form], rtol=1e-9, atol=1e-12)


def test_a_record_that_is_not_the_network_is_refused():
    class Backwards(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return 5 * g

    class Own(nn.Module):
        def forward(self, x):
            return Backwards.apply(relu_net()(x))

    with pytest.raises(AttributionError):
        traced(Own(), subject().x[None])


# Rectifiers

RECTIFIERS = {
    "layer": nn.ReLU(), "in place": nn.ReLU(inplace=True), "relu": functional.relu, "torch": torch.relu,
    "method": lambda x: x.relu_(), "clamp": lambda x: x.clamp(min=0), "clamp_min": lambda x: x.clamp_min_(0.0),
    "threshold": lambda x: functional.threshold(x, 0.0, 0.0), "leaky": nn.LeakyReLU(0.0),
    "maximum": lambda x: torch.maximum(x, torch.zeros(1, dtype=x.dtype)), "max": lambda x: torch.max(torch.zeros_like(x), x),
    "prelu": lambda x: functional.prelu(x, torch.zeros(4, dtype=x.dtype)), "elu": lambda x: functional.elu(x, 0.0),
    "amax": lambda x: torch.stack([x, torch.zeros_like(x)]).amax(0),
    "max along": lambda x: torch.stack([torch.zeros_like(x), x], -1).max(-1).values,
}  # fmt: skip
CAPPED = {
    "layer": nn.ReLU6(), "relu6": functional.relu6, "in place": lambda x: functional.relu6(x, inplace=True),
    "hardtanh": nn.Hardtanh(0, 6), "function": lambda x: functional.hardtanh(x, 0.0, 6.0), "clamp": lambda x: x.clamp(0, 6),
    "two steps": lambda x: x.clamp(min=0).clamp(max=6), "minimum": lambda x: x.relu().minimum(torch.full_like(x, 6.0)),
    "amin": lambda x: torch.stack([x.relu(), torch.full_like(x, 6.0)]).amin(0),
}  # fmt: skip


class Acting(nn.Module):
    def __init__(self, act, scale=1.0):
        super().__init__()
        self.net, self.act, self.scale = relu_net(), act, scale

    def forward(self, x):
        return self.net[2:](self.act(self.scale * self.net[0](x)))


def by_hand(net, who, guided, cap=float("inf")):
    """The rule written out: at max(x, 0), capped, what arrives passes where it is positive (and the unit active)."""
    leaf = who.x[None].clone().requires_grad_()
    z = net.scale * net.net[0](leaf)
    a = z.clamp(0, cap).detach().requires_grad_()
    y = net.net[2](a)
    b = y.relu().detach().requires_grad_()
    net.net[4:](b)[0, who.target].backward()

    def passed(arriving, x, top):
        return arriving.clamp(min=0) * (x <= top) * ((x > 0) if guided else 1.0)

    (at_a,) = torch.autograd.grad(y, a, passed(b.grad, y.detach(), float("inf")))
    return torch.autograd.grad(z, leaf, passed(at_a, z.detach(), cap))[0][0]


@pytest.mark.parametrize("name", ["guided-backprop", "deconvolution"])
def test_every_rectifier_is_guided(name):
    who = subject()
    for forms, scale, cap in ((RECTIFIERS, 1.0, float("inf")), (CAPPED, 8.0, 6.0)):
        expected = by_hand(Acting(None, scale), who, name == "guided-backprop", cap)
        assert expected.any()
        for form, act in forms.items():
            found = attribute(Acting(act, scale), name, who).values
            assert torch.allclose(found, expected, rtol=1e-9, atol=1e-12), form


@pytest.mark.parametrize(
    "act", [nn.GELU(), nn.SiLU(), nn.Hardswish(), nn.LeakyReLU(0.1), nn.ELU(), nn.PReLU(), torch.abs]
)
def test_what_rectifies_in_another_way_is_refused_and_a_gate_is_not(act):
    act = act.double() if isinstance(act, nn.Module) else act
    with pytest.raises(AttributionError, match="a rule for ReLU only, and the network also uses"):
        attribute(Acting(act), "guided-backprop", subject())
    for gate in (torch.sigmoid, torch.tanh, nn.Hardtanh()):
        assert attribute(Acting(gate), "guided-backprop", subject()).values.any()


# LRP


def test_lrp_epsilon_is_deeplift_from_zeros_without_biases_and_conserves():
    """Ancona et al. 2018, Propositions 1 and 2, on branches, pooling, a batch norm without shift and capped ReLUs."""

    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(2 if i < 2 else 4, 4, 3, padding=1, bias=False) for i in range(3))
            self.norm, self.head = nn.BatchNorm2d(4, affine=False), nn.Linear(8, 3, bias=False)

        def forward(self, x):
            y = functional.relu6(9 * self.norm(self.a(x))) + self.b(x)
            y = torch.cat([functional.max_pool2d(y, 2), functional.avg_pool2d(self.c(y).relu_(), 2)], 1)
            return self.head(y.mean((2, 3)))

    who, net = subject(), filled(Branches())
    found = attribute(net, "lrp", who).values
    assert torch.allclose(found, checked(net, who, torch.zeros_like(who.x)), rtol=1e-6, atol=1e-10)
    assert float(found.sum()) == pytest.approx(float(net(who.x[None])[0, who.target]), rel=1e-7)


@pytest.mark.parametrize("name", ["lrp", "deeplift", "guided-backprop", "deconvolution", "libra"])
def test_the_order_of_values_in_memory_changes_no_map(name):
    """torch's batch norm has a wrong gradient at one image in channels-last order with strides as `view_as` gives them."""
    norms = [nn.BatchNorm2d(8), nn.BatchNorm2d(8)]
    layers = [
        nn.Conv2d(3, 8, 3, padding=1),
        norms[0],
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=2),
        norms[1],
        nn.ReLU(),
    ]
    net = filled(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)))
    for norm in norms:
        norm.running_mean.normal_(generator=torch.Generator().manual_seed(5))
    who = subject(torch.randn(3, 12, 12, generator=torch.Generator().manual_seed(4)).double(), target=1)
    method, options = ("input-x-gradient", {"libragrad": True}) if name == "libra" else (name, {})
    plain = attribute(net, method, who, **options).values
    last = attribute(net.to(memory_format=torch.channels_last), method, who, **options).values
    assert float(plain.abs().max()) > 1e-3
    assert torch.allclose(plain, last, rtol=1e-6, atol=1e-8)
