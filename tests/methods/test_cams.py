"""The CAM family beside slow oracles: the papers' formulas in loops over channels and places, derivatives by autograd."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from sigcli.errors import AttributionError
from sigcli.methods import METHODS
from sigcli.methods.run import attributions
from sigcli.scores.classifier import ClassScore

from toys import attribute, relu_net, subject

NAMES = ("gradcam++", "layercam", "xgradcam", "hirescam", "scorecam", "ablationcam", "eigencam")
BY_CHANNEL = ("scorecam", "ablationcam")


class Halves(nn.Module):
    """A body that gives a map of half the side, and a head that reads every place of it and bends."""

    def __init__(self, seed=0, head=None):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(3, 4, 2, 2), nn.ReLU()
        )
        self.head = head or nn.Sequential(nn.Flatten(), nn.Linear(36, 5), nn.ReLU(inplace=True), nn.Linear(5, 3))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) * 0.5)
        self.double().eval().requires_grad_(False)

    def forward(self, x):
        return self.head(self.body(x))


def places(a):
    return [(k, i, j) for k in range(a.shape[1]) for i in range(a.shape[2]) for j in range(a.shape[3])]


def on_image(found):
    return functional.interpolate(found[None, None], (6, 6), mode="bilinear")[0, 0]


def looked(net, x, target):
    """Activations A (1, K, h, w) and ∂F/∂A."""
    a = net.body(x[None]).clone().requires_grad_()
    (g,) = torch.autograd.grad(net.head(a)[0, target], a)
    return a.detach(), g


def plus_plus(net, x, target):
    """Σ_k w_k A_k from first, second and third derivatives of Y = exp(F), each by autograd; without the factor Y."""
    a = net.body(x[None]).clone().requires_grad_()
    y = net.head(a)[0, target].exp()
    (first,) = torch.autograd.grad(y, a, create_graph=True)
    weights = torch.zeros(a.shape[1], dtype=a.dtype)
    for k, i, j in places(a):
        (second,) = torch.autograd.grad(first[0, k, i, j], a, create_graph=True)
        (third,) = torch.autograd.grad(second[0, k, i, j], a, retain_graph=True)
        two, three = second[0, k, i, j].item(), third[0, k, i, j].item()
        below = 2 * two + sum(a[0, k].flatten().tolist()) * three
        weights[k] += (two / below if two else 0.0) * max(0.0, first[0, k, i, j].item()) / y.item()
    return sum(weights[k] * a[0, k].detach() for k in range(a.shape[1]))


def layercam(net, x, target):
    a, g = looked(net, x, target)
    found = torch.zeros(a.shape[2:], dtype=a.dtype)
    for k, i, j in places(a):
        found[i, j] += max(0.0, float(g[0, k, i, j])) * a[0, k, i, j]
    return found


def xgradcam(net, x, target):
    a, g = looked(net, x, target)
    weights = [0.0] * a.shape[1]
    for k, i, j in places(a):
        total = float(a[0, k].sum())
        weights[k] += float(a[0, k, i, j] * g[0, k, i, j]) / total if total else 0.0
    return sum(w * a[0, k] for k, w in enumerate(weights))


def hirescam(net, x, target):
    a, g = looked(net, x, target)
    found = torch.zeros(a.shape[2:], dtype=a.dtype)
    for k, i, j in places(a):
        found[i, j] += g[0, k, i, j] * a[0, k, i, j]
    return found


def scorecam(net, x, target, reference=0.0):
    a, _ = looked(net, x, target)
    least = float(net(torch.zeros_like(x)[None])[0, target])
    scores = []
    for k in range(a.shape[1]):
        mask = on_image(a[0, k])
        low, high = float(mask.min()), float(mask.max())
        mask = (mask - low) / (high - low) if high > low else mask * 0
        scores.append(float(net((reference + mask * (x - reference))[None])[0, target]) - least)
    powers = [math.exp(s) for s in scores]
    return sum(p / sum(powers) * a[0, k] for k, p in enumerate(powers))


def ablationcam(net, x, target):
    a, _ = looked(net, x, target)
    y, found = float(net.head(a.clone())[0, target]), torch.zeros(a.shape[2:], dtype=a.dtype)
    for k in range(a.shape[1]):
        without = a.clone()
        without[0, k] = 0
        found += (y - float(net.head(without)[0, target])) / abs(y) * a[0, k]
    return found


def eigencam(net, x, target, centre=False):
    """By powers of Oᵀ O, which leave its largest eigenvector."""
    a, _ = looked(net, x, target)
    rows = a[0].flatten(1).T
    rows = rows - rows.mean(0) if centre else rows
    vector = torch.ones(a.shape[1], dtype=a.dtype)
    for _ in range(500):
        vector = rows.T @ (rows @ vector)
        vector /= vector.norm()
    found = (rows @ vector).view(a.shape[2:])
    return found if found.max() > -found.min() else -found


ORACLES = dict(zip(NAMES, (plus_plus, layercam, xgradcam, hirescam, scorecam, ablationcam, eigencam), strict=True))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", NAMES)
def test_the_papers_formula(name, seed):
    net, who = Halves(seed), subject(target=seed % 3)
    expected = ORACLES[name](net, who.x, who.target)
    assert expected.abs().max() > 0
    found = attribute(net, name, who, relu=False)
    assert torch.allclose(found.values.sum(0), on_image(expected), rtol=1e-8, atol=1e-10 * float(expected.abs().max()))
    assert torch.equal(found.values[0], found.values[1])  # equal shares for the channels
    rectified = attribute(net, name, who).values.sum(0)
    assert torch.allclose(rectified, on_image(expected.relu()), rtol=1e-8, atol=1e-10 * float(expected.abs().max()))


@pytest.mark.parametrize("name", NAMES)
def test_any_layer_can_be_named(name):
    """The first convolution, whose activations have both signs, against the oracle of a network cut there."""
    net, who = Halves(2), subject(target=1)
    cut = Halves(2)
    cut.body, cut.head = net.body[0], nn.Sequential(nn.ReLU(), *net.body[2:], net.head)
    expected = ORACLES[name](cut, who.x, 1)
    found = attribute(net, name, who, layer="body.0", relu=False).values.sum(0)
    assert torch.allclose(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["xgradcam", "hirescam"])
def test_after_average_pooling_it_is_gradcam(name):
    net, who = relu_net(), subject()
    gradcam = attribute(net, "gradcam", who, relu=False).values
    assert gradcam.any()
    assert torch.allclose(attribute(net, name, who, relu=False).values, gradcam)


def test_hirescam_sums_to_the_score_less_the_bias_of_one_linear_layer():
    net = Halves(1, nn.Sequential(nn.Flatten(), nn.Linear(36, 3)))
    net.body[2] = nn.Conv2d(3, 1, 1).double().requires_grad_(False)  # a map of the image's size
    net.body.append(nn.Identity())
    who = subject(target=2)
    found = attribute(net, "hirescam", who, relu=False)
    assert float(found.values.sum()) == pytest.approx(found.score - float(net.head[1].bias[2]), rel=1e-12)


def test_a_linear_head_gives_ablations_by_hand_and_a_negative_score_keeps_the_sign():
    net, who = relu_net(), subject()
    for shift in (0.0, -50.0):
        net[6].bias[1] = shift
        a = net[:4](who.x[None].clone())[0]
        score = float(net(who.x[None])[0, 1])
        weights = net[6].weight[1] * a.mean((1, 2)) / abs(score)
        found = attribute(net, "ablationcam", who, relu=False)
        assert found.score == pytest.approx(score)
        assert torch.allclose(found.values.sum(0), torch.einsum("k,khw->hw", weights, a))
    assert score < 0


def test_a_score_of_zero_has_no_fractions():
    net = relu_net()
    nn.init.zeros_(net[6].weight)
    nn.init.zeros_(net[6].bias)
    with pytest.raises(AttributionError, match="it is 0"):
        attribute(net, "ablationcam", subject())


def test_channels_that_are_the_same_everywhere_weigh_as_the_baseline_does():
    net, who = Halves(0), subject(target=0)
    with torch.no_grad():
        net.body[2].weight[1], net.body[2].bias[1] = 0, 2.0
    expected = on_image(scorecam(net, who.x, 0))
    assert torch.allclose(attribute(net, "scorecam", who).values.sum(0), expected, rtol=1e-9, atol=1e-12)


def test_a_baseline_stands_where_the_mask_is_zero():
    net, who = Halves(3), subject(target=0)
    expected = on_image(scorecam(net, who.x, 0, reference=0.25))
    found = attribute(net, "scorecam", who, baseline="constant:0.25").values.sum(0)
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(found, attribute(net, "scorecam", who).values.sum(0))


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


@pytest.mark.parametrize("centre", [False, True])
def test_the_place_of_largest_magnitude_is_positive_in_eigencam(centre):
    """The map of a layer and of its negative is the same, whatever sign the decomposition gives."""
    found = []
    for factor in (1.0, -1.0):
        net = Halves(1)
        net.body[3] = Times(factor)
        options = {"relu": False, "centre": centre, "layer": "body.3"}
        found.append(attribute(net, "eigencam", subject(), **options).values)
    assert torch.allclose(found[0], found[1])
    expected = on_image(eigencam(net, subject().x, 1, centre=centre))
    assert torch.allclose(found[1].sum(0), expected, rtol=1e-6, atol=1e-8)


class Tokens(nn.Module):
    """Patches as tokens behind a class token, sequence or batch first; the last layer is a linear one over all tokens."""

    def __init__(self, sequence_first):
        super().__init__()
        self.first = sequence_first
        self.patches, self.mix, self.norm = nn.Conv2d(2, 4, 2, 2), nn.Linear(4, 4), nn.LayerNorm(4)
        self.read, self.head = nn.Linear(10, 1), nn.Linear(4, 3)
        generator = torch.Generator().manual_seed(8)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=generator))
        self.double().eval().requires_grad_(False)

    def forward(self, x):
        t = self.patches(x).flatten(2).transpose(1, 2)
        t = torch.cat([torch.ones_like(t[:, :1]), t], 1)
        t = self.norm(self.mix(t.transpose(0, 1) if self.first else t))
        t = t.transpose(0, 1) if self.first else t
        return self.head(functional.relu(self.read(t.transpose(1, 2))[..., 0]))


@pytest.mark.parametrize("batch_size", [1, 3, 16])
@pytest.mark.parametrize("sequence_first", [False, True])
def test_a_channel_of_tokens_is_ablated_at_the_places_of_the_image(sequence_first, batch_size):
    net, who = Tokens(sequence_first), subject(target=2)
    seen = []
    kept = net.norm.register_forward_hook(lambda _, __, output: seen.append(output.clone()))
    score = float(net(who.x[None])[0, 2])
    kept.remove()
    tokens = seen[0].transpose(0, 1) if sequence_first else seen[0]
    found = torch.zeros(3, 3, dtype=torch.float64)
    for k in range(4):

        def ablate(_, __, output, k=k):
            output = output.clone()
            (output[1:, 0, k] if sequence_first else output[0, 1:, k]).zero_()
            return output

        hook = net.norm.register_forward_hook(ablate)
        without = float(net(who.x[None])[0, 2])
        hook.remove()
        found += (score - without) / abs(score) * tokens[0, 1:, k].view(3, 3)
    values = attribute(net, "ablationcam", who, layer="norm", relu=False, batch_size=batch_size).values.sum(0)
    assert torch.allclose(values, on_image(found), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", BY_CHANNEL)
def test_channels_go_on_with_smaller_batches_where_memory_runs_out(name, monkeypatch):
    net, who, told, forward = relu_net(), subject(), [], nn.Conv2d.forward
    expected = attribute(net, name, who)

    def tight(layer, x):
        if len(x) > 2:
            raise torch.OutOfMemoryError("no memory")
        return forward(layer, x)

    monkeypatch.setattr(nn.Conv2d, "forward", tight)
    (found,) = attributions(METHODS[name], {}, ClassScore(net), [who], batch_size=4, progress=told.append)
    assert told == [1, 2, 2, 2]
    assert (found.evaluations, found.forward_evaluations) == (7, 7)
    assert torch.allclose(found.values, expected.values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "eigencam"])
def test_an_empty_map_is_said(name):
    net = relu_net()
    net[2].bias.fill_(-100.0)  # nothing passes the last ReLU
    found = attribute(net, name, subject())
    assert not found.values.any()
    assert "0 everywhere" in found.note


def test_names_in_use_elsewhere_find_them():
    names = {"GradCAMPlusPlus": "gradcam++", "Grad-CAM++": "gradcam++", "LayerCAM": "layercam", "XGrad-CAM": "xgradcam",
             "HiResCAM": "hirescam", "Score-CAM": "scorecam", "Ablation-CAM": "ablationcam", "EigenCAM": "eigencam",
             "FullGrad": "fullgrad", "XRAI": "xrai"}  # fmt: skip
    assert {given: METHODS[given].name for given in names} == names
