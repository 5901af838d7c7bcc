"""Six kinds of networks that are hard to look into, and every method of layers beside values worked out by hand.

Each network has its code as people write it (in place, by functions, by views) and `clean`, the same function out of place.
There the rule of a method is written at each rectifier and pooling from its paper, apart from `sigcli`; autograd does the
rest. Grad-CAM and CAM are the gradient at the place that is marked by hand.
"""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from sigcli.errors import AttributionError

from toys import attribute, subject

SHAPE = (3, 16, 16)
INF = float("inf")


class Bent(torch.autograd.Function):
    """A function of single values, min(max(x, floor), cap), with a method's rule in place of its derivative."""

    @staticmethod
    def forward(ctx, x, floor, cap, rule, reference):
        ctx.kept = x.detach(), floor, cap, rule, reference
        return x.clamp(floor, cap)

    @staticmethod
    def backward(ctx, arriving):
        x, floor, cap, rule, reference = ctx.kept
        active, rectifier = ((x > floor) & (x < cap)).to(x), floor == 0
        if rule == "lrp":
            gone = arriving * torch.where(x == 0, torch.zeros_like(x), x.clamp(floor, cap) / x)
        elif rule == "deeplift":
            quotient = (x.clamp(floor, cap) - reference.clamp(floor, cap)) / (x - reference)
            gone = arriving * torch.where(x == reference, active, quotient)
        elif rule == "guided-backprop" and rectifier:
            gone = arriving.clamp(min=0) * active
        elif rule == "deconvolution" and rectifier:
            gone = arriving.clamp(min=0) * (x < cap)
        else:
            gone = arriving * active
        return gone, None, None, None, None


class Largest(torch.autograd.Function):
    """DeepLIFT's maximum: Δ goes to the image's largest where the maximum rises, else to the reference's."""

    @staticmethod
    def forward(ctx, windows, reference):
        ctx.kept = windows.detach(), reference
        return windows.amax(-1)

    @staticmethod
    def backward(ctx, arriving):
        windows, reference = ctx.kept
        (top, place), (least, other) = windows.max(-1), reference.max(-1)
        place = torch.where(top >= least, place, other)[..., None]
        moved = (windows - reference).gather(-1, place)[..., 0]
        share = torch.where(moved == 0, torch.ones_like(moved), (top - least) / moved)
        return torch.zeros_like(windows).scatter(-1, place, (arriving * share)[..., None]), None


class Rules:
    """A run of a clean network under a method's rule; with a reference, what stood there at each call is known."""

    def __init__(self, rule, references=None):
        self.rule, self.noted, self.references = rule, [], iter(references or ())

    def bent(self, x, floor=0.0, cap=INF):
        self.noted.append(x.detach())
        return Bent.apply(x, floor, cap, self.rule, next(self.references, None))

    def pooled(self, x):
        n, c, h, w = x.shape
        windows = x.view(n, c, h // 2, 2, w // 2, 2).transpose(3, 4).flatten(4)
        self.noted.append(windows.detach())
        reference = next(self.references, None)
        return windows.max(-1).values if reference is None else Largest.apply(windows, reference)

    def mark(self, x):
        self.place = x
        return x


def conv(before, after, size=3):
    return nn.Conv2d(before, after, size, padding=size // 2)


class InPlace(nn.Module):
    """Shortcuts read after in-place layers, and after in-place functions on views of them."""

    pooled = True

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three, self.act = conv(3, 4), conv(4, 4), conv(4, 4, 1), nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        y = self.one(x)
        t = self.two(self.act(y).clone())
        y = y * 1
        y[:, :2].add_(t[:, 2:])
        functional.relu_(y[:, 1:3])
        u = self.three(y)
        shortcut = u
        functional.hardtanh_(u, 0.0, 1.5)
        w = u.clone()
        w += shortcut
        w *= 1.5
        return self.head(w.mean((2, 3)))

    def clean(self, x, rules):
        y = rules.bent(self.one(x))
        y = torch.cat([y[:, :2] + self.two(y)[:, 2:], y[:, 2:]], 1)
        y = torch.cat([y[:, :1], rules.bent(y[:, 1:3]), y[:, 3:]], 1)
        return self.head(rules.mark(3 * rules.bent(self.three(y), cap=1.5)).mean((2, 3)))


class Branching(nn.Module):
    """A last stage of three branches of differing grain, joined, normalised and shuffled."""

    pooled = True

    def __init__(self):
        super().__init__()
        self.stem, self.one, self.two, self.three = conv(3, 4), conv(4, 3, 1), conv(4, 3), conv(4, 3)
        self.norm, self.head = nn.BatchNorm2d(9), nn.Linear(9, 3)

    def forward(self, x):
        a = functional.relu(self.stem(x))
        coarse = functional.interpolate(self.three(functional.max_pool2d(a, 2)).relu_(), scale_factor=2)
        joined = torch.cat([self.one(a), functional.relu(self.two(a), inplace=True), coarse], 1)
        joined = functional.relu_(self.norm(joined)).unflatten(1, (3, 3)).transpose(1, 2).flatten(1, 2)
        return self.head(functional.adaptive_avg_pool2d(joined, 1).flatten(1))

    def clean(self, x, rules):
        a = rules.bent(self.stem(x))
        fine = rules.bent(self.two(a))
        coarse = rules.bent(self.three(rules.pooled(a))).repeat_interleave(2, 2).repeat_interleave(2, 3)
        joined = rules.bent(self.norm(torch.cat([self.one(a), fine, coarse], 1)))
        return self.head(rules.mark(joined[:, [0, 3, 6, 1, 4, 7, 2, 5, 8]]).mean((2, 3)))


class Functional(nn.Module):
    """Rectifiers by every spelling, with and without a ceiling, and a clamp that is none."""

    pooled = True

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(conv(3 if i == 0 else 4, 4) for i in range(8))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        for layer, act in zip(self.layers, (
            functional.relu6, partial(functional.hardtanh, min_val=0.0, max_val=0.9), lambda x: x.clamp(0, 2),
            lambda x: torch.clip(x, min=0), lambda x: torch.maximum(x, torch.zeros(())),
            lambda x: functional.threshold(x, 0, 0), lambda x: torch.clamp(x, -1, 1), torch.relu,
        ), strict=True):  # fmt: skip
            x = act(layer(x))
        return self.head(x.mean((2, 3)))

    def clean(self, x, rules):
        limits = [(0.0, 6.0), (0.0, 0.9), (0.0, 2.0), (0.0, INF), (0.0, INF), (0.0, INF), (-1.0, 1.0), (0.0, INF)]
        for layer, (floor, cap) in zip(self.layers, limits, strict=True):
            x = rules.bent(layer(x), floor, cap)
        return self.head(rules.mark(x).mean((2, 3)))


class Adjacent(nn.Module):
    """ReLU, pooling and ReLU with nothing between them; one layer called again and again."""

    pooled = True

    def __init__(self):
        super().__init__()
        self.one, self.two, self.act, self.head = conv(3, 4), conv(4, 4), nn.ReLU(), nn.Linear(4, 3)

    def forward(self, x):
        x = self.act(functional.max_pool2d(self.act(self.one(x)), 2))
        x = functional.avg_pool2d(functional.max_pool2d(self.two(x), 2), 2)
        return self.head(self.act(self.act(x)).mean((2, 3)))

    def clean(self, x, rules):
        x = rules.bent(rules.pooled(rules.bent(self.one(x))))
        x = functional.avg_pool2d(rules.pooled(self.two(x)), 2)
        return self.head(rules.mark(rules.bent(rules.bent(x))).mean((2, 3)))


class Unpooled(nn.Module):
    """Strides in place of pooling, and a linear layer that reads every place."""

    pooled = False

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, 5, 2, padding=1)
        self.three, self.head = nn.Linear(125, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = functional.relu(self.two(functional.relu(self.one(x))))
        return self.head(functional.relu(self.three(x.flatten(1))))

    def clean(self, x, rules):
        x = rules.mark(rules.bent(self.two(rules.bent(self.one(x)))))
        return self.head(rules.bent(self.three(x.flatten(1))))


class TokenLast(nn.Module):
    """Sequence first, with the class token at its end; what mixes is ReLU of matrices, so that every rule is known."""

    pooled = False

    def __init__(self):
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 6, 4, 4), nn.Parameter(torch.zeros(1, 1, 6))
        self.mixes = nn.ParameterList(nn.Parameter(torch.zeros(17, 17)) for _ in range(2))
        self.layers, self.head = nn.ModuleList(nn.Linear(6, 6) for _ in range(2)), nn.Linear(6, 3)

    def tokens(self, x):
        t = self.patches(x).flatten(2).permute(2, 0, 1)
        return torch.cat([t, self.token.expand(-1, len(x), -1)])

    def forward(self, x):
        t = self.tokens(x)
        for mix, layer in zip(self.mixes, self.layers, strict=True):
            t = t + functional.relu(torch.einsum("ij,jnc->inc", mix, t))
            t = t + functional.relu(layer(t))
        return self.head(t[-1])

    def clean(self, x, rules):
        t = self.tokens(x)
        for number, (mix, layer) in enumerate(zip(self.mixes, self.layers, strict=True)):
            t = t + rules.bent((mix @ t.flatten(1)).view_as(t))
            t = t + rules.bent(layer(t))
            t = rules.mark(t) if number == 0 else t
        return self.head(t[-1])

    @staticmethod
    def map(place):
        return place[:16].permute(1, 2, 0).unflatten(2, (4, 4))


KINDS = [InPlace, Branching, Functional, Adjacent, Unpooled, TokenLast]
SEEDS = {Functional: 2}  # of weights under which something passes every rule


def network(kind, seed):
    net, generator = kind(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            nn.init.normal_(p, std=0.5, generator=generator)
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_(generator=generator)
                part.running_var.uniform_(0.5, 2, generator=generator)
    return net.double().eval().requires_grad_(False)


def image(seed):
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def run(net, x, target, rule, references=None):
    """The gradient of the score under a rule, (C, H, W), and the run."""
    leaf, rules = x[None].clone().requires_grad_(), Rules(rule, references)
    outputs = net.clean(leaf, rules)
    rules.place.retain_grad()
    outputs[0, target].backward()
    assert torch.allclose(outputs, net(x[None].clone()), rtol=1e-12)
    return leaf.grad[0], rules


@pytest.mark.parametrize("seed", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_gradcam_and_cam(kind, seed):
    net, who = network(kind, seed), subject(image(seed + 10), target=seed)
    _, rules = run(net, who.x, seed, "gradient")
    turned = getattr(net, "map", lambda place: place)
    activation, gradient = turned(rules.place.detach()), turned(rules.place.grad)
    found = (gradient.mean((2, 3), keepdim=True) * activation).sum(1, keepdim=True)
    expected = functional.interpolate(found, SHAPE[1:], mode="bilinear")[0, 0]
    values = attribute(net, "gradcam", who, relu=False).values.sum(0)
    assert bool(expected.any())
    assert torch.allclose(values, expected, rtol=1e-9, atol=1e-12)
    if net.pooled:
        places = activation[0, 0].numel()
        assert torch.allclose(attribute(net, "cam", who).values.sum(0) * 256 / places, expected, rtol=1e-9, atol=1e-12)
    else:
        with pytest.raises(AttributionError, match="average pooling and one linear layer"):
            attribute(net, "cam", who)


@pytest.mark.parametrize("method", ["guided-backprop", "deconvolution", "lrp", "deeplift"])
@pytest.mark.parametrize("kind", KINDS)
def test_rules(kind, method):
    net, x, target = network(kind, SEEDS.get(kind, 0)), image(10), 0
    reference, noted = torch.zeros_like(x) if method == "lrp" else image(77), None
    if method == "deeplift":
        noted = run(net, reference, target, "gradient")[1].noted
    gradient, _ = run(net, x, target, method, noted)
    factor = {"lrp": x, "deeplift": x - reference}.get(method, 1.0)
    options = {"baseline": reference} if method == "deeplift" else {}
    found = attribute(net, method, subject(x, target=target), **options)
    scale = float((gradient * factor).abs().max())
    assert scale > 1e-6
    assert torch.allclose(found.values, gradient * factor, rtol=0, atol=(1e-5 if method == "lrp" else 1e-9) * scale)
