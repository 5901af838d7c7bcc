"""Guided backpropagation, DeepLIFT and LRP: captum's numbers where captum is right, on networks as people write them."""

import pytest
import torch
from captum import attr
from torch import nn
from torch.nn import functional

from sigcli.errors import AttributionError
from sigcli.methods import METHODS
from sigcli.methods.run import attributions
from sigcli.scores.classifier import ClassScore

from toys import Images, attribute, relu_net, subject

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:captum")


def near(gap):
    """Whether the values sum to what they should."""
    return gap is not None and gap < 1e-10


class AsWritten(nn.Module):
    """What captum cannot take as it stands: a ReLU used twice, functions, in-place layers, a branch."""

    def __init__(self, pool=functional.avg_pool2d):
        super().__init__()
        torch.manual_seed(5)
        self.first, self.second, self.skip = (
            nn.Conv2d(2, 4, 3, padding=1),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.Conv2d(2, 4, 1),
        )
        self.relu, self.dropout, self.head, self.pool = nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4, 3), pool

    def forward(self, x):
        y = self.relu(self.first(x))
        y = functional.relu(self.second(y), inplace=True) + self.skip(x)
        y = self.relu(y)
        return self.head(self.dropout(torch.flatten(functional.adaptive_avg_pool2d(y, (1, 1)), 1)))


class ForCaptum(nn.Module):
    """The same network, written as captum asks."""

    def __init__(self, net, add=False):
        super().__init__()
        from captum.attr._utils.custom_modules import Addition_Module

        self.first, self.second, self.skip, self.head = net.first, net.second, net.skip, net.head
        self.a, self.b, self.c, self.pool = nn.ReLU(), nn.ReLU(), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        self.add = Addition_Module() if add else torch.add

    def forward(self, x):
        y = self.c(self.add(self.b(self.second(self.a(self.first(x)))), self.skip(x)))
        return self.head(torch.flatten(self.pool(y), 1))


def pair(add=False):
    net = AsWritten().double().eval().requires_grad_(False)
    return net, ForCaptum(net, add).eval(), subject()


@pytest.mark.parametrize(
    ("name", "theirs"), [("guided-backprop", attr.GuidedBackprop), ("deconvolution", attr.Deconvolution)]
)
def test_rules_at_relus_give_captums_numbers(name, theirs):
    net, same, who = pair()
    expected = theirs(same).attribute(who.x[None].requires_grad_(), target=1)[0]
    assert torch.allclose(attribute(net, name, who).values, expected, rtol=1e-6, atol=1e-12)
    plain = torch.autograd.grad(same(x := who.x[None].clone().requires_grad_())[0, 1], x)[0][0]
    assert not torch.allclose(expected, plain, rtol=1e-2)


def test_guided_gradcam_gives_captums_numbers():
    net, same, who = pair()
    expected = attr.GuidedGradCam(same, same.second).attribute(
        who.x[None].clone().requires_grad_(), target=1, interpolate_mode="bilinear"
    )[0]
    found = attribute(net, "guided-gradcam", who, layer="second").values
    assert expected.abs().sum() > 0
    assert torch.allclose(found, expected.detach(), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("baseline", ["black", "middle"])
def test_deeplift_gives_captums_numbers_and_is_complete(baseline):
    net, same, who = pair()
    reference = torch.full_like(who.x, {"black": 0.0, "middle": 0.5}[baseline])[None]
    expected = attr.DeepLift(same).attribute(who.x[None], reference, target=1)[0]
    found = attribute(net, "deeplift", who, baseline=baseline)
    assert torch.allclose(found.values, expected.detach(), rtol=1e-6, atol=1e-12)
    assert found.total == pytest.approx(float((net(who.x[None]) - net(reference))[0, 1]))
    assert near(found.completeness_gap)


class Pooled(nn.Module):
    """A convolution, a ReLU and a pooling."""

    def __init__(self, pool):
        super().__init__()
        torch.manual_seed(5)
        self.conv, self.relu, self.pool = nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), pool
        self.head = nn.LazyLinear(3)

    def forward(self, x):
        return self.head(torch.flatten(self.pool(self.relu(self.conv(x))), 1))


@pytest.mark.parametrize(
    ("pool", "equal"), [(nn.AvgPool2d(3, 1), True), (nn.MaxPool2d(3, 3), False), (nn.MaxPool2d(3, 1), False)]
)
def test_deeplift_keeps_its_sum_at_max_pooling_and_captum_does_not(pool, equal):
    """docs/captum.md says so: where captum mends this, it must change."""
    who = subject()
    net = Pooled(pool).double()
    net(who.x[None])  # the last layer takes its size from it
    net.eval().requires_grad_(False)
    reference = torch.rand(who.x.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    expected = attr.DeepLift(net).attribute(who.x[None], reference[None], target=1)[0].detach()
    found = attribute(net, "deeplift", who, baseline=reference)
    promised = float((net(who.x[None]) - net(reference[None]))[0, 1])
    assert float(found.values.sum()) == pytest.approx(promised)
    assert (abs(float(expected.sum()) - promised) < 1e-9) == equal
    assert torch.allclose(found.values, expected, rtol=1e-6, atol=1e-12) == equal


def test_deepshap_is_the_mean_over_references():
    net, same, who = pair()
    assert isinstance(who.peers, Images)
    every = attr.DeepLiftShap(same).attribute(who.x[None], who.peers.images, target=1)[0]
    found = attribute(net, "deepshap", who, samples=5, batch_size=2)  # all five others, each once
    assert torch.allclose(found.values, every.detach(), rtol=1e-6, atol=1e-12)
    one_by_one = [attribute(net, "deeplift", who, baseline=image).values for image in who.peers.images]
    assert torch.allclose(found.values, torch.stack(one_by_one).mean(0), rtol=1e-6, atol=1e-12)
    assert found.stderr is not None
    assert torch.allclose(found.stderr, torch.stack(one_by_one).std(0) / 5**0.5, rtol=1e-6, atol=1e-9)
    assert near(found.completeness_gap)


def test_lrp_epsilon_gives_captums_numbers():
    net, same, who = pair(add=True)
    _as_our_epsilon(same, who.x[None])
    expected = attr.LRP(same).attribute(who.x[None].clone().requires_grad_(), target=1)[0]
    for _ in range(2):
        found = attribute(net, "lrp", who)
        assert torch.allclose(found.values, expected.detach(), rtol=1e-9, atol=1e-12)


def _as_our_epsilon(net, image):
    """captum's ε is 1e-9 for every layer, also of sums and pooling, and 1e-9 of what a unit of 1e-4 holds is 1e-5 of its
    relevance. Ours is 1e-9 of the layer's largest sum, for layers with weights: captum is given the same."""
    from captum.attr._utils.lrp_rules import EpsilonRule

    def note(layer, _, output):
        layer.rule = EpsilonRule(epsilon=1e-9 * float(output.abs().max()) if hasattr(layer, "weight") else 1e-30)

    layers = [m for m in net.modules() if not list(m.children()) and not isinstance(m, torch.nn.ReLU)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    with torch.no_grad():
        net(image)
    for hook in hooks:
        hook.remove()


def explained(net, name, output, who, **options):
    return next(attributions(METHODS[name], options, ClassScore(net, output), [who]))


@pytest.mark.parametrize("output", ["prob", "logprob"])
def test_probabilities_and_their_logarithms_are_complete(output):
    net, same, who = pair()
    found = explained(net, "deeplift", output, who)
    scores = same(torch.stack([who.x, torch.zeros_like(who.x)])).softmax(1)[:, 1]
    expected = scores[0] - scores[1] if output == "prob" else scores[0].log() - scores[1].log()
    assert found.total == pytest.approx(float(expected), rel=1e-9)
    assert float(found.values.sum()) == pytest.approx(float(expected), rel=1e-9)
    with pytest.raises(AttributionError, match="--output logit"):
        explained(net, "lrp", output, who)


def test_relu6_has_the_rules_of_relu():
    net = relu_net()
    net[1] = nn.ReLU6(inplace=True)
    net.get_parameter("0.weight").data *= 20  # so that some units are above 6
    who = subject()
    assert near(attribute(net, "deeplift", who).completeness_gap)
    guided = attribute(net, "guided-backprop", who).values
    assert not torch.allclose(guided, attribute(net, "gradient", who).values, rtol=1e-2)


class Sorted(nn.Module):
    def forward(self, x):
        return x.sort(-1).values


class Chosen(nn.Module):
    def forward(self, x):
        return torch.where(x > 0, x, 0.0)


@pytest.mark.parametrize(("name", "layer", "message"), [
    ("deeplift", Sorted(), "DeepLIFT has no rule for sort"), ("lrp", nn.Sigmoid(), "sigmoid, which is not 0 at 0"),
    ("lrp", nn.LogSoftmax(1), "LRP has no rule for log-softmax"),
    ("deeplift", Chosen(), "DeepLIFT has no rule for gt"), ("guided-backprop", Chosen(), "no rule for gt"),
    ("guided-backprop", nn.Sigmoid(), "the network has none"), ("deconvolution", nn.Tanh(), "the network has none"),
])  # fmt: skip
def test_what_has_no_rule_is_named(name, layer, message):
    net = relu_net()
    net[1] = layer
    net[3] = nn.Identity()
    with pytest.raises(AttributionError, match=message):
        attribute(net, name, subject())


def test_code_that_cannot_be_traced_is_refused():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = relu_net()

        def forward(self, x):
            return self.net(x) if x.sum() > 0 else self.net(-x)

    for name in ("deeplift", "guided-backprop", "lrp"):
        with pytest.raises(AttributionError, match="cannot be traced"):
            attribute(Branching(), name, subject())
    assert attribute(Branching(), "gradcam", subject()).values.abs().sum() > 0
