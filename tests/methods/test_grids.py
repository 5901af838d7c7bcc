"""The grid of the default place behind attention of every layout, and a default place that is early: right by locality."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from sigcli.methods.places import activations, last_layer

from toys import attribute, relu_net, subject

PATCH, SIDE = 4, 16
PATCHES = SIDE // PATCH


class Attending(nn.Module):
    """One attention without a shortcut, as LeViT's between its stages: what comes out has a place by its query alone.

    Queries are those of every second row and column. Positions are so strong that each attends to itself, so that the right
    place of a token is known: that of the one patch which moves it.
    """

    def __init__(self, layout, stride=2):
        super().__init__()
        self.layout, self.stride = layout, stride
        self.patches, self.query = nn.Conv2d(3, 6, PATCH, PATCH), nn.Linear(6, PATCHES**2)
        self.key, self.value = nn.Linear(6, PATCHES**2), nn.Linear(6, 5)
        self.head = nn.Linear(5, 4)
        generator = torch.Generator().manual_seed(0)
        for p in self.parameters():
            nn.init.normal_(p, std=0.3, generator=generator)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).mT
        places = 1e3 * torch.eye(PATCHES**2, dtype=x.dtype)
        asked = torch.arange(PATCHES**2).view(PATCHES, PATCHES)[:: self.stride, :: self.stride]
        size, asked = asked.shape, asked.flatten()
        q, k, v = (self.query(tokens) + places)[:, asked], self.key(tokens) + places, self.value(tokens)
        if self.layout == "rows":
            found = ((q @ k.mT).softmax(-1) @ v).mT
        elif self.layout == "columns":  # v (channels, places) times the weights (keys, queries)
            found = v.mT @ (q @ k.mT).softmax(-1).mT
        elif self.layout == "bmm":
            found = torch.bmm(v.mT, torch.bmm(q, k.mT).softmax(-1).transpose(1, 2))
        elif self.layout == "einsum":
            weights = torch.einsum("nqd,nkd->nqk", q, k).softmax(-1)
            found = torch.einsum("nqk, nkc -> ncq", weights, v)
        else:
            found = functional.scaled_dot_product_attention(q, k, v).mT
        return self.head(functional.gelu(found.unflatten(2, size)).mean((2, 3)))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("layout", ["rows", "columns", "bmm", "einsum", "fused"])
def test_attention_without_a_shortcut_has_the_grid_of_its_queries(layout, stride):
    net = Attending(layout, stride).double().eval().requires_grad_(False)
    place = last_layer(net, (3, SIDE, SIDE))
    assert place.name == "forward:gelu"  # the last before the average, and not the patches before the attention
    assert place.grid.size == (PATCHES // stride, PATCHES // stride)
    x = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    before = place.grid.map(activations(net, place, x)[0])
    for i in range(PATCHES):
        for j in range(PATCHES):
            other = x.clone()
            other[..., i * PATCH : (i + 1) * PATCH, j * PATCH : (j + 1) * PATCH] += 1
            moved = (place.grid.map(activations(net, place, other)[0]) - before).abs().sum(1)[0] > 1e-9
            asked = i % stride == 0 and j % stride == 0
            assert moved.nonzero().tolist() == ([[i // stride, j // stride]] if asked else [])


class Streams(nn.Module):
    """A stem, and then two streams that meet in the head alone."""

    def __init__(self, stem, deep):
        super().__init__()
        self.stem = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(stem)), nn.ReLU())
        self.one, self.two = (nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(deep))) for _ in range(2))
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        x = self.stem(x)
        return self.head(torch.cat([part(x).relu().mean((2, 3)) for part in (self.one, self.two)], 1))


@pytest.mark.parametrize(("stem", "deep", "share"), [(1, 2, "80%"), (2, 3, "75%"), (4, 2, None), (6, 1, None)])
def test_an_early_default_is_said(stem, deep, share):
    torch.manual_seed(0)
    net, x = Streams(stem, deep).double().eval().requires_grad_(False), torch.rand(3, 12, 12, dtype=torch.float64)
    place = last_layer(net, (3, 12, 12))
    assert (place.name, place.after) == ("stem", 2 * deep / (2 * deep + stem))
    note = attribute(net, "gradcam", subject(x), relu=False).note
    assert note == "" if share is None else f"'stem' is early: {share} of the network's work" in note
    assert attribute(net, "gradcam", subject(x), relu=False, layer="one").note == ""


def test_a_late_default_has_no_note():
    net = relu_net()
    assert last_layer(net, (2, 6, 6)).after == 0
    assert attribute(net, "gradcam", subject(), relu=False).note == ""


class Dead(nn.Module):
    """Tokens that a class token reads through a ReLU, whose units are inactive on most images of noise."""

    def __init__(self, threshold):
        super().__init__()
        self.patches, self.read, self.head, self.threshold = (
            nn.Conv2d(3, 4, 4, 4),
            nn.Linear(4, 4),
            nn.Linear(4, 2),
            threshold,
        )

    def forward(self, x):
        tokens = self.patches(x).flatten(2).mT.tanh()
        tokens = torch.cat([tokens, x.new_zeros(1, 1, 4)], 1)
        tokens = tokens + torch.relu(self.read(tokens))
        return self.head(torch.relu(tokens.sum(1) - self.threshold))


@pytest.mark.parametrize(("seed", "threshold"), [(0, 2.0), (2, 4.0), (3, 1.0)])
def test_units_that_are_inactive_on_noise_do_not_move_the_default(seed, threshold):
    torch.manual_seed(seed)
    net = Dead(0.0).double().eval().requires_grad_(False)
    alive = last_layer(net, (3, 16, 16)).name
    other = Dead(threshold).double().eval().requires_grad_(False)
    other.load_state_dict(net.state_dict())
    assert last_layer(other, (3, 16, 16)).name == alive == "forward:add"


class Written(nn.Module):
    """What the average reads is put together in a tensor of zeros, by assignment, by a copy into a view, or in place."""

    def __init__(self, way):
        super().__init__()
        self.way, self.conv, self.head = way, nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x):
        z = self.conv(x)
        if self.way == "assigned":
            found = z.new_zeros(z.shape)
            found[:, ::2] = z[:, ::2].relu()
            found[:, 1::2] = z[:, 1::2].sigmoid()
        elif self.way == "copied":
            found = z.new_zeros(4, len(x), *z.shape[2:])  # channels first
            found[::2].copy_(z[:, ::2].relu().transpose(0, 1))
            found[1::2].add_(z[:, 1::2].sigmoid().transpose(0, 1))
            found = found.transpose(0, 1)
        else:
            found = z * 1
            found[:, 1::2].neg_()
            functional.relu_(found[:, ::2])
        return self.head((2 * found).mean((2, 3)))


@pytest.mark.parametrize("way", ["assigned", "copied", "in place"])
def test_what_is_written_part_by_part_has_the_places_of_its_parts(way):
    torch.manual_seed(0)
    net = Written(way).double().eval().requires_grad_(False)
    x = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    z = net.conv(x[None])[0]
    odd = torch.neg if way == "in place" else torch.sigmoid
    parts = torch.stack([z[0].relu(), odd(z[1]), z[2].relu(), odd(z[3])])
    expected = torch.einsum("k,khw->hw", net.head.weight[1], 2 * parts) / 144
    assert last_layer(net, (3, 12, 12)).name == "forward:mul" + (".2" if way == "in place" else "")
    assert torch.allclose(attribute(net, "gradcam", subject(x), relu=False).values.sum(0), expected)
    assert torch.allclose(attribute(net, "cam", subject(x)).values.sum(0), expected)


def _assigned(a, b):
    found = torch.zeros(1, 4, *a.shape[2:], dtype=a.dtype)
    found[:, :2] = a
    found[:, 2:] = b
    return found


def _copied(a, b):
    found = a.new_zeros(1, 4, *a.shape[2:])
    found[:, :2].copy_(a)
    found[:, 2:].add_(b)
    return found


def _view(a, b):
    found = a.new_zeros(4, *a.shape[2:])[None]
    found[:, :2] = a
    found[0, 2:] = b[0]
    return found


def _indexed(a, b):
    found = a.new_zeros(1, 4, *a.shape[2:]).index_copy(1, torch.tensor([0, 1]), a)
    return found.index_copy_(1, torch.tensor([2, 3]), b)


def _scattered(a, b):
    return a.new_zeros(1, 4, *a.shape[2:]).slice_scatter(a, 1, 0, 2).slice_scatter(b, 1, 2, 4)


class Parts(nn.Module):
    """Two branches put together by `way`, and then an average and a linear layer at once."""

    def __init__(self, way):
        super().__init__()
        self.way, self.head = way, nn.Linear(4, 3)
        self.one, self.two = (nn.Conv2d(3, 2, 3, stride=2, padding=1) for _ in range(2))

    def forward(self, x):
        return self.head(self.way(self.one(x).relu(), self.two(x).sigmoid()).mean((2, 3)))


@pytest.mark.parametrize("way", [_assigned, _copied, _view, _indexed, _scattered])
def test_what_is_written_part_by_part_is_itself_a_place(way):
    """CAM's closed form, Σ_k w_k A_k / (h w), with A the two branches one after the other."""
    torch.manual_seed(0)
    net = Parts(way).double().eval().requires_grad_(False)
    x = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    parts = torch.cat([net.one(x[None]).relu(), net.two(x[None]).sigmoid()], 1)
    found = torch.einsum("k,nkhw->nhw", net.head.weight[1], parts)[:, None]
    scaled = functional.interpolate(found, (12, 12), mode="bilinear", align_corners=False)[0, 0]
    place = last_layer(net, (3, 12, 12))
    assert (place.shape, place.grid.size) == ((4, 6, 6), (6, 6))
    assert torch.allclose(attribute(net, "gradcam", subject(x), relu=False).values.sum(0), scaled / 36)
    assert torch.allclose(attribute(net, "cam", subject(x)).values.sum(0), scaled / 144)
    named = attribute(net, "gradcam", subject(x), relu=False, layer=place.name)
    assert torch.allclose(named.values.sum(0), scaled / 36)


def _six(x):
    return torch.full_like(x, 0.6)


class Stages(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.act, self.one, self.two = act, nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)
        for p in self.parameters():
            nn.init.normal_(p, std=0.5)

    def forward(self, x):
        x = functional.max_pool2d(self.act(self.one(x)), 2)
        return self.head(self.act(self.two(x)).mean((2, 3)))


@pytest.mark.parametrize("act", [
    lambda x: torch.stack([x.relu(), _six(x)]).amin(0),
    lambda x: torch.stack([_six(x), x.relu()], -1).min(-1).values,
    lambda x: torch.cat([x.relu(), _six(x)], 1).unflatten(1, (2, -1)).amin(dim=1),
    lambda x: -torch.stack([-x.relu(), -_six(x)], 2).max(2)[0],
])  # fmt: skip
def test_an_extreme_beside_a_constant_keeps_the_places(act):
    torch.manual_seed(0)
    net = Stages(act).double().eval().requires_grad_(False)
    x = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    last = net.two(functional.max_pool2d(net.one(x[None]).clamp(0, 0.6), 2)).clamp(0, 0.6)
    assert (last == 0.6).any()
    found = torch.einsum("k,nkhw->nhw", net.head.weight[1], last)[:, None]
    scaled = functional.interpolate(found, (12, 12), mode="bilinear", align_corners=False)[0, 0]
    assert last_layer(net, (3, 12, 12)).grid.size == (6, 6)
    assert torch.allclose(attribute(net, "gradcam", subject(x), relu=False).values.sum(0), scaled / 36)
    assert torch.allclose(attribute(net, "cam", subject(x)).values.sum(0), scaled / 144)


def test_a_mean_over_rows_alone_is_no_place():
    """Places that differ along what is reduced have no place together: the map before keeps its resolution."""

    class Rows(Stages):
        def forward(self, x):
            return self.head(self.act(self.one(x)).mean(3).mean(2))

    place = last_layer(Rows(torch.relu).double().eval(), (3, 12, 12))
    assert (place.name, place.grid.size) == ("forward:relu", (12, 12))
