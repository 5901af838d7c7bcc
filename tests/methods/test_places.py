"""The default place of the CAM family, and that layers are looked into without changing the network.

Each right value is a closed form, or comes from the network's own parts run by hand.
"""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from sigcli.engine.passes import Passes
from sigcli.errors import AttributionError
from sigcli.methods.cam import gradcam
from sigcli.methods.network_layers import checked_copy, out_of_place, same_function
from sigcli.methods.places import last_layer, named_layer
from sigcli.scores.classifier import ClassScore

from toys import attribute, relu_net, subject

SHAPE = (3, 16, 16)


def frozen(net):
    return net.double().eval().requires_grad_(False)


def random(net, seed=0, std=0.5):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * std)
    return frozen(net)


def image(seed=0, shape=SHAPE):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def correlation(a, b):
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]).double())[0, 1])


def point(weights):
    """A 1×1 convolution without bias."""
    layer = nn.Conv2d(3, len(weights), 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights)[..., None, None])
    return layer


class Branches(nn.Module):
    """Red in one branch, blue in the other; the branch that runs last sees blue only."""

    def __init__(self, grain):
        super().__init__()
        self.red, self.blue = point([[1.0, -1.0, -1.0]]), point([[-1.0, -1.0, 1.0]])
        self.head = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[10.0, grain], [0.0, 10.0]]))

    def forward(self, x):
        return self.head(torch.cat([functional.relu(self.red(x)), functional.relu(self.blue(x))], 1).mean((2, 3)))


@pytest.mark.parametrize(("grain", "share"), [(0.0, 1.0), (0.5, 10 / 10.5)])
def test_a_branch_is_no_default(grain, share):
    x = torch.zeros(SHAPE, dtype=torch.float64)
    x[0, 2:6, 2:6] = x[2, 8:12, 8:12] = 1
    found = attribute(frozen(Branches(grain)), "gradcam", subject(x, target=0)).values.sum(0)
    assert float(found[2:6, 2:6].sum() / found.sum()) == pytest.approx(share)


class Residual(nn.Module):
    """The sum reads what an in-place ReLU wrote into y: 2·ReLU(y), and y + ReLU(y) in a copy without in-place layers."""

    def __init__(self):
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Linear(4, 3)

    def forward(self, x):
        y = self.conv(x)
        z = self.act(y)
        return self.head((y + z).mean((2, 3)))


def test_a_shortcut_read_after_an_in_place_layer():
    net, who = random(Residual()), subject(image(), target=1)
    y = net.conv(who.x[None]).relu()
    score = float(net.head(2 * y.mean((2, 3)))[0, 1])
    expected = torch.einsum("k,khw->hw", net.head.weight[1], 2 * y[0]) / 256
    found = attribute(net, "gradcam", who, relu=False)
    assert found.score == pytest.approx(score, rel=1e-12)
    assert torch.allclose(found.values.sum(0), expected)
    assert torch.allclose(attribute(net, "cam", who).values.sum(0), expected)
    # y before the ReLU, named: the gradient passes where y was positive, and the values are those before
    before = net.conv(who.x[None])
    weights = (before > 0).double().mean((2, 3))[0] * 2 * net.head.weight[1] / 256
    found = attribute(net, "gradcam", who, relu=False, layer="conv").values.sum(0)
    assert torch.allclose(found, torch.einsum("k,khw->hw", weights, before[0]))


def test_a_copy_without_in_place_layers_is_compared():
    net, x = random(Residual()), image()
    assert not same_function(net, out_of_place(net), x)
    with pytest.raises(AttributionError, match="overwrote"):
        checked_copy(net, x)
    plain = relu_net(channels=3)
    assert not any(getattr(part, "inplace", False) for part in checked_copy(plain, x).modules())


def test_outputs_alike_do_not_make_the_same_function():
    class Straight(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    class Detached(nn.Module):
        def forward(self, x):
            return (x + x.detach()).mean((2, 3)) / 2

    assert not same_function(Straight(), Detached(), image())
    assert same_function(Straight(), Straight(), image())


class Pooled(nn.Module):
    """Many ways to the same end: what is averaged, and the linear layer after it."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.stem, self.head = kind, nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 4)
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

    def seen(self, x):
        a = functional.relu(self.stem(x))
        if self.kind == "skip":
            return functional.relu(a + self.second(functional.relu_(self.first(a))))
        if self.kind == "max":
            return functional.max_pool2d(a, 2)
        if self.kind == "gated":
            return a * self.second(a.mean((2, 3), keepdim=True)).sigmoid()
        if self.kind == "rectified twice":
            return functional.relu(self.first(a), inplace=True).mul(2)
        return torch.cat([a[:, :2], self.second(a)[:, 2:]], 1)

    def forward(self, x):
        a = self.seen(x)
        if self.kind == "max":
            a = functional.avg_pool2d(a, 2)
        return self.head(functional.adaptive_avg_pool2d(a, 1).flatten(1))


@pytest.mark.parametrize("kind", ["skip", "max", "gated", "rectified twice", "joined"])
def test_gradcam_is_cam_up_to_a_factor(kind):
    net, who = random(Pooled(kind)), subject(image(), target=2)
    places = torch.einsum("k,khw->hw", net.head.weight[2], net.seen(who.x[None])[0])
    by_hand = functional.interpolate(places[None, None], SHAPE[1:], mode="bilinear")
    found = attribute(net, "gradcam", who, relu=False).values.sum(0)
    assert torch.allclose(found * places.numel(), by_hand)
    assert torch.allclose(attribute(net, "cam", who).values.sum(0) * 256, by_hand)


READ = {  # what the average reads, before the linear layer
    "resnet18": "avgpool", "densenet121": "features", "googlenet": "avgpool", "mobilenet_v2": "features",
    "shufflenet_v2_x0_5": "conv5", "mnasnet0_5": "layers", "regnet_y_400mf": "avgpool",
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_gradcam_is_cam_in_torchvisions_networks(name):
    torch.manual_seed(1)
    options = {"init_weights": False} if name == "googlenet" else {}
    net = torchvision.models.get_model(name, weights=None, **options).eval().requires_grad_(False)
    who, seen = subject(torch.randn(3, 64, 64), target=5), []
    hook = net.get_submodule(READ[name]).register_forward_hook(lambda _, given, output: seen.append((given[0], output)))
    net(who.x[None])
    hook.remove()
    read = seen[0][0] if READ[name] == "avgpool" else seen[0][1]
    read = read.relu() if name == "densenet121" else read
    head = [part for part in net.modules() if isinstance(part, nn.Linear)][-1]
    by_hand = functional.interpolate(
        (head.weight[5][:, None, None] * read[0]).sum(0)[None, None], (64, 64), mode="bilinear"
    )
    assert correlation(attribute(net, "gradcam", who, relu=False).values.sum(0), by_hand) >= 0.999


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "squeezenet1_1"])
def test_with_the_default_held_the_scores_do_not_depend_on_the_image(name):
    """Held by torch's own hooks, where the place is a layer's."""
    torch.manual_seed(0)
    options = {"init_weights": False} if name == "googlenet" else {}
    net = torchvision.models.get_model(name, weights=None, **options).eval().requires_grad_(False)
    place = last_layer(net, (3, 64, 64))
    assert place.everywhere
    layer = net.get_submodule(place.name)
    kept, (one, other) = [], torch.randn(2, 1, 3, 64, 64)
    hook = layer.register_forward_hook(lambda _, __, output: kept.append(output.clone()))
    scores = net(one)
    hook.remove()
    layer.register_forward_hook(lambda *_: kept[0].clone())
    assert torch.allclose(net(other), scores, atol=1e-6)


class Tokens(nn.Module):
    """A small transformer: patches of any size, class tokens at the start, the middle or the end, either axis first."""

    def __init__(self, *, at="start", extra=1, sequence_first=False, pooled=False, patch=(4, 4), blocks=2):
        super().__init__()
        self.at, self.extra, self.sequence_first, self.pooled = at, extra, sequence_first, pooled
        self.patches = nn.Conv2d(3, 8, patch, patch)
        self.special = nn.Parameter(torch.zeros(1, extra, 8))
        block = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=not sequence_first, norm_first=True)
        self.blocks = nn.ModuleList(nn.modules.transformer._get_clones(block, blocks))
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

    def where(self, count):
        return {"start": 0, "middle": count // 2, "end": count}[self.at]

    def forward(self, x):
        t = self.patches(x).flatten(2).transpose(1, 2)
        where = self.where(t.shape[1])
        t = torch.cat([t[:, :where], self.special.expand(len(t), -1, -1), t[:, where:]], 1)
        t = t.transpose(0, 1) if self.sequence_first else t
        for block in self.blocks:
            t = block(t)
        t = self.norm(t.transpose(0, 1) if self.sequence_first else t)
        return self.head(t.mean(1) if self.pooled else t[:, where])


@pytest.mark.parametrize("sequence_first", [False, True])
@pytest.mark.parametrize(
    ("at", "extra", "patch", "shape"),
    [("start", 1, (4, 4), (3, 16, 16)), ("end", 1, (4, 4), (3, 16, 16)), ("middle", 1, (4, 4), (3, 16, 24)),
     ("start", 5, (4, 2), (3, 16, 16)), ("end", 3, (2, 8), (3, 8, 32)), ("start", 0, (4, 4), (3, 24, 8))],
)  # fmt: skip
def test_tokens_have_the_grid_of_their_patches(at, extra, patch, shape, sequence_first):
    """Right grid by locality: each patch, changed alone, moves in the first block's input the token that stands for it."""
    net = random(Tokens(at=at, extra=extra, patch=patch, sequence_first=sequence_first, pooled=not extra))
    place = last_layer(net, shape)
    assert place.name == (
        "norm" if not extra else "blocks.0"
    )  # the last block's input: after it the class token alone counts
    h, w = shape[1] // patch[0], shape[2] // patch[1]
    assert place.grid.size == (h, w)
    given, x = [], image(1, shape)
    net.blocks[0].register_forward_pre_hook(lambda _, args: given.append(args[0]))
    net(x[None])
    for i, j in [(0, 0), (0, w - 1), (h - 1, 0), (h // 2, w // 2), (h - 1, w - 1)]:
        changed = x.clone()
        changed[:, i * patch[0] : (i + 1) * patch[0], j * patch[1] : (j + 1) * patch[1]] += 1
        net(changed[None])
        first = (given[-1] - given[0]).transpose(0, 1) if sequence_first and not extra else given[-1] - given[0]
        moved = place.grid.map(first).abs().sum(1)[0]
        assert moved.nonzero().tolist() == [[i, j]]


def test_a_network_of_two_streams_is_refused_in_one_sentence():
    class Streams(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 5), nn.Linear(8, 3)

        def forward(self, x):
            one, two = (torch.relu(branch(x)).mean((2, 3)) for branch in (self.one, self.two))
            return self.head(torch.cat([one, two], 1))

    net = random(Streams())
    with pytest.raises(AttributionError, match="no layer with places in the image that everything passes"):
        attribute(net, "gradcam", subject(image()))
    assert attribute(net, "gradcam", subject(image()), layer="one").values.any()


class Hooked(nn.Module):
    """Reads its features through a hook of its own, and calls its layers by keyword."""

    def __init__(self):
        super().__init__()
        self.c1, self.c2, self.relu, self.fc = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Linear(6, 4)
        self.c2.register_forward_hook(self.keep)

    def keep(self, module, given, output):
        self.kept = output

    def forward(self, x):
        self.c2(input=self.relu(input=self.c1(input=x)))
        return self.fc(self.relu(input=self.kept).mean((2, 3)))


@pytest.mark.parametrize(("layer", "rectified"), [(None, True), ("relu", True), ("c2", False)])
def test_layers_with_hooks_and_keywords(layer, rectified):
    net, who = random(Hooked()), subject(image(), target=1)
    before = net.c2(functional.relu(net.c1(who.x[None])))[0]
    passed = torch.ones(6, dtype=torch.float64) if rectified else (before > 0).double().mean((1, 2))
    activation = before.relu() if rectified else before
    places = torch.einsum("k,khw->hw", passed * net.fc.weight[1] / before[0].numel(), activation)
    expected = functional.interpolate(places[None, None], SHAPE[1:], mode="bilinear")[0, 0]
    assert torch.allclose(attribute(net, "gradcam", who, relu=False, layer=layer).values.sum(0), expected)


def test_a_head_of_zeros_still_has_a_place():
    net = relu_net()
    nn.init.zeros_(net[6].weight)
    assert last_layer(net, (2, 6, 6)).name == "3"


def test_functions_are_layers_by_name():
    net = random(Pooled("skip"))
    assert last_layer(net, SHAPE).name == "forward:relu.3"
    assert named_layer(net, "forward:relu", SHAPE).grid.size == (16, 16)
    who = subject(image())
    assert torch.equal(
        attribute(net, "gradcam", who).values, attribute(net, "gradcam", who, layer="forward:relu.3").values
    )


def test_an_empty_map_is_said():
    net, who = relu_net(), subject()
    with torch.no_grad():
        net[6].weight[1] = net[6].weight[1].abs()
    scorer = Passes(ClassScore(net))
    assert gradcam(scorer, who).note == ""
    against = attribute(net, "gradcam-counterfactual", who)
    assert not against.values.any()
    assert "every position is evidence for the class" in against.note
