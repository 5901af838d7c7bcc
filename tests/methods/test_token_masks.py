"""Absence by dropping tokens: against networks whose sequence is really sliced, and Shapley values by enumeration."""

import itertools
import math

import pytest
import torch
import torchvision
from torch import nn

from sigcli.errors import AttributionError, UsageError
from sigcli.methods import METHODS
from sigcli.methods.perturbation import rise_masks
from sigcli.methods.token_masks import token_grid, token_masks

from toys import TokenNet, attribute, subject


class Net(TokenNet):
    """2×4 tokens of 2×2 pixels, of which the network can be given a part: `keep` are the tokens of the image that stay."""

    def __init__(self, pool="class"):
        super().__init__()
        self.position = nn.Parameter(self.position[:, :9], requires_grad=False)
        self.pool = pool

    def forward(self, x, keep=slice(None)):
        x = self.patch(x).flatten(2).mT
        x = torch.cat([self.start.expand(len(x), -1, -1), x], 1) + self.position
        x = torch.cat([x[:, :1], x[:, 1:][:, keep]], 1)
        x = x[:, 1:] if self.pool == "mean" else x
        for block in self.blocks:
            weights, values = self.weights(block, block["norm1"](x))
            x = x + block["out"]((weights @ values).transpose(1, 2).flatten(2))
            x = x + self.also(block["down"](nn.functional.gelu(block["up"](block["norm2"](x)))))
        return self.head(self.pooled(self.norm(x)))

    def also(self, x):
        return x

    def pooled(self, x):
        if self.pool == "class":
            return x[:, 0]
        places = x if self.pool == "mean" else x[:, 1:]
        mean = places.mean(1) if places.shape[1] else places.new_zeros(len(x), 8)
        return mean if self.pool != "both" else x[:, 0] * mean


class Mixing(Net):
    """With something between tokens that is no attention."""

    def also(self, x):
        return x + x.roll(1, 1)


class Summed(Net):
    def pooled(self, x):
        return x.sum(1)


def presence(masks, x, rows):
    """Images with the channel that says which tokens are there."""
    channel = masks.players.spread(rows.to(x.dtype))[:, None]
    return torch.cat([x, channel], 1)


def wide(seed=0):
    return torch.randn(1, 2, 4, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rows(n, count=7):
    found = torch.rand(count, n, generator=torch.Generator().manual_seed(1)) < 0.5
    found[0], found[1] = True, False
    return found


@pytest.mark.parametrize("pool", ["class", "mean", "beside", "both"])
def test_dropped_tokens_are_as_good_as_not_in_the_sequence(pool):
    net = Net(pool)
    masks = token_masks(net, wide())
    there, x = rows(8), torch.cat([wide(seed) for seed in range(7)])  # images and masks of their own in one batch
    found = masks(presence(masks, x, there))
    if pool == "mean":  # nothing is left of an empty sequence: an average of no tokens is 0
        expected = net.head(torch.zeros(8, dtype=torch.float64))
        torch.testing.assert_close(found[1], expected, rtol=1e-12, atol=1e-12)
    for one, image, mask in zip(found, x, there, strict=True):
        if mask.any() or pool != "mean":
            torch.testing.assert_close(one, net(image[None], mask)[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found[0], net(x)[0], rtol=1e-12, atol=1e-12)
    assert float((found[0] - masks(presence(masks, x[:1], there[3:4]))[0]).abs().max()) > 1e-3


def test_torchvisions_transformer_in_single_precision():
    torch.manual_seed(0)
    net = torchvision.models.VisionTransformer(16, 4, 2, 2, 16, 32, num_classes=3).eval().requires_grad_(False)
    nn.init.normal_(net.heads.head.weight)
    x = torch.randn(6, 3, 16, 16)
    masks, there = token_masks(net, x[:1]), rows(16, 6)

    def sliced(image, mask):
        tokens = torch.cat([net.class_token, net._process_input(image[None])], 1) + net.encoder.pos_embedding
        tokens = torch.cat([tokens[:, :1], tokens[:, 1:][:, mask]], 1)
        return net.heads(net.encoder.ln(net.encoder.layers(tokens))[:, 0])[0]

    expected = torch.stack([sliced(image, mask) for image, mask in zip(x, there, strict=True)])
    torch.testing.assert_close(masks(presence(masks, x, there)), expected, rtol=1e-5, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(masks(presence(masks, x, there)), expected, rtol=1e-5, atol=1e-5)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())


@pytest.mark.parametrize(
    "form",
    [
        {"global_pool": "avg", "class_token": False},
        {"global_pool": "avg", "reg_tokens": 2},
        {"global_pool": "token", "reg_tokens": 2, "init_values": 0.5},
        {"global_pool": "map", "class_token": False},
    ],
    ids=lambda form: form["global_pool"] + str(form.get("reg_tokens", "")),
)
def test_timms_transformers(form):
    models = pytest.importorskip("timm.models.vision_transformer")
    torch.manual_seed(0)
    net = models.VisionTransformer(16, 4, embed_dim=16, depth=2, num_heads=2, num_classes=3, **form).eval()
    net.requires_grad_(False)
    for p in net.parameters():
        nn.init.normal_(p, std=0.3)
    x = torch.randn(5, 3, 16, 16)
    masks, there = token_masks(net, x[:1]), rows(16, 5)
    there[1, 3] = True
    found = masks(presence(masks, x, there))
    for one, image, mask in zip(found, x, there, strict=True):
        tokens = net._pos_embed(net.patch_embed(image[None]))
        first = net.num_prefix_tokens
        tokens = torch.cat([tokens[:, :first], tokens[:, first:][:, mask]], 1)
        expected = net.forward_head(net.norm(net.blocks(tokens)))[0]
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-5)


def convolutional():
    return nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()


@pytest.mark.parametrize(
    ("net", "why"), [(Mixing, "in other ways"), (Summed, "in other ways"), (convolutional, "has no attention, or")]
)
def test_networks_of_which_no_token_can_be_dropped(net, why):
    with pytest.raises(AttributionError, match=why):
        token_masks(net(), wide())


def test_an_image_that_is_no_whole_number_of_tokens():
    x = torch.randn(1, 2, 5, 9, dtype=torch.float64)
    for find in (token_masks, token_grid):
        with pytest.raises(AttributionError, match="5x9 pixels cannot be divided into its 2x4 tokens"):
            find(Net(), x)  # whose patches leave a row and a column out
    assert token_grid(Net(), wide()) == (2, 4)


def enumerated(net, x, target):
    """Shapley values of the tokens by their definition, and v of all and of none."""
    n = 8
    v = {}
    for size in range(n + 1):
        for members in itertools.combinations(range(n), size):
            v[frozenset(members)] = float(net(x, torch.tensor(members, dtype=torch.long))[0, target])
    values = []
    for i in range(n):
        total = 0.0
        for members, score in v.items():
            if i not in members:
                weight = math.factorial(len(members)) * math.factorial(n - 1 - len(members)) / math.factorial(n)
                total += weight * (v[members | {i}] - score)
        values.append(total)
    return torch.tensor(values, dtype=torch.float64), v[frozenset(range(n))], v[frozenset()]


@pytest.fixture(scope="module")
def game():
    net, who = Net(), subject(wide()[0])
    return net, who, *enumerated(net, who.x[None], who.target)


@pytest.mark.parametrize("method", ["bshap", "kernelshap", "low-order-shap"])
def test_exact_shapley_values_of_tokens_are_those_of_the_enumeration(method, game):
    net, who, values, whole, none = game
    options = {} if method == "low-order-shap" else {"budget": 256}
    found = attribute(net, method, who, players="tokens:2x4", baseline="tokens", **options)
    torch.testing.assert_close(found.player_values, values, rtol=0, atol=1e-9)
    assert found.score == pytest.approx(whole, abs=1e-12)
    assert found.total == pytest.approx(whole - none, abs=1e-12)
    assert found.completeness_gap < 1e-9
    assert float(found.values.sum()) == pytest.approx(whole - none, abs=1e-9)
    assert found.stderr is None or not found.stderr.any()


def test_other_methods_of_scores_play_the_same_game(game):
    net, who, values, whole, _ = game
    found = attribute(net, "shapley-sampling", who, players="tokens:2x4", baseline="tokens", orders=100)
    assert found.stderr is not None
    spread = found.stderr.sum(0)[::2, ::2].flatten() * 4
    assert ((found.player_values - values).abs() < 4 * spread).all()
    found = attribute(net, "occlusion", who, players="tokens:2x4", baseline="tokens")
    others = [torch.tensor([j for j in range(8) if j != i]) for i in range(8)]
    drops = [whole - float(net(who.x[None], keep)[0, who.target]) for keep in others]
    torch.testing.assert_close(found.player_values, torch.tensor(drops, dtype=torch.float64), rtol=0, atol=1e-9)


@pytest.mark.parametrize("baseline", ["black", "tokens"])
def test_players_may_hold_several_tokens(baseline, game):
    net, who, _, whole, none = game
    found = attribute(net, "bshap", who, players="grid:1x2", baseline=baseline)
    left = torch.tensor([0, 1, 4, 5])
    alone = [float(net(who.x[None], keep)[0, who.target]) for keep in (left, left + 2)]
    expected = [(alone[i] - none + whole - alone[1 - i]) / 2 for i in range(2)]
    same = torch.allclose(found.player_values, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-9)
    assert same == (baseline == "tokens")  # not so where the image is black instead


def test_rise_over_tokens_by_its_definition(game):
    net, who, *_ = game
    found = attribute(net, "rise", who, samples=60, cells=3, keep=0.4, baseline="tokens")
    masks = rise_masks(who, 3, 0.4, mode="nearest-exact")(slice(0, 60))[:, 0, 1::2, 1::2].flatten(1)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    scores = torch.stack([net(who.x[None], mask > 0)[0, who.target] for mask in masks])
    values = ((scores - scores.mean())[:, None] * masks).sum(0) / (60 * 0.4)
    expected = values.view(2, 4).repeat_interleave(2, 0).repeat_interleave(2, 1)
    torch.testing.assert_close(found.values.sum(0), expected, rtol=0, atol=1e-9)


def test_what_is_refused(game):
    net, who, *_ = game
    with pytest.raises(UsageError, match="2x4 tokens, which can only be dropped whole"):
        attribute(net, "bshap", who, players="grid:4x4", baseline="tokens")
    with pytest.raises(UsageError, match="wrong argument"):
        attribute(net, "rise", who, baseline="tokens:3")
    with pytest.raises(UsageError, match="none is known here"):
        attribute(net, "bshap", who, players="tokens")
    with pytest.raises(AttributionError, match="a classifier's layers"):
        attribute(net.forward, "bshap", who, players="grid:2x4", baseline="tokens")
    for name, entry in METHODS.items():
        if "baseline" in entry.options() and not entry.properties.get("drops") and entry.properties["kind"] == "path":
            players = {"players": "grid:2x4"} if "players" in entry.options() else {}
            with pytest.raises(UsageError, match="no image"):
                attribute(net, name, who, baseline="tokens", **players)


class Biased(Net):
    """The same with the presence of each token as a bias on attention, and as its weight in averages."""

    def forward(self, x, m):
        x = self.patch(x).flatten(2).mT
        x = torch.cat([self.start.expand(len(x), -1, -1), x], 1) + self.position
        bias = torch.cat([torch.ones(1).to(m), m]).log()
        x, bias = (x[:, 1:], bias[1:]) if self.pool == "mean" else (x, bias)
        for block in self.blocks:
            q, k, v = block["qkv"](block["norm1"](x)).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
            x = x + block["out"](((q @ k.mT / 2 + bias).softmax(-1) @ v).transpose(1, 2).flatten(2))
            x = x + block["down"](nn.functional.gelu(block["up"](block["norm2"](x))))
        x = self.norm(x)
        return self.head(x[:, 0] if self.pool == "class" else (x * m[:, None]).sum(1) / m.sum())


def partly(net, x, m):
    """Outputs and the gradient of their first by the presence of the tokens."""
    m = m.clone().requires_grad_()
    found = token_masks(net, x).partly(
        torch.cat([x, m.view(1, 1, 2, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)], 1)
    )
    return found, torch.autograd.grad(found[0, 0], m)[0]


@pytest.mark.parametrize("pool", ["class", "mean"])
def test_a_token_that_is_there_in_part_has_a_bias_on_attention(pool):
    net, biased = Net(pool), Biased(pool)
    m = torch.rand(8, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    found, gradient = partly(net, wide(), m)
    m.requires_grad_()
    expected = biased(wide(), m)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected[0, 0], m)[0], rtol=1e-9, atol=1e-12)
    assert float(gradient.abs().min()) > 1e-6


@pytest.mark.parametrize("pool", ["class", "mean", "beside", "both"])
def test_presence_is_continuous_down_to_absence(pool):
    net, x = Net(pool), wide()
    masks = token_masks(net, x)
    for there in rows(8, 5).double():
        expected = masks(presence(masks, x, there[None] > 0))
        found, gradient = partly(net, x, there)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        assert bool(gradient.isfinite().all())
        near, _ = partly(net, x, (there + torch.where(there > 0, -1e-9, 1e-9)).double())
        torch.testing.assert_close(near, expected, rtol=0, atol=1e-6)
        if pool in ("class", "beside"):  # elsewhere a kink at ∅
            other, _ = partly(net, x, (there + 1e-9 * (there == 0)).double())
            torch.testing.assert_close(
                (other - found)[0, 0] / 1e-9, (gradient * (there == 0)).sum(), rtol=1e-3, atol=1e-5
            )


def test_sig_walk_along_presence_has_the_shapley_values_of_tokens(game):
    net, who, values, whole, none = game
    found = attribute(net, "sig-walk", who, players="tokens:2x4", baseline="tokens", coalitions="all")
    assert found.values.shape == (1, 4, 8)
    torch.testing.assert_close(found.player_values, values, rtol=0, atol=1e-9)
    assert (found.score, found.total) == pytest.approx((whole, whole - none), abs=1e-12)
    assert found.completeness_gap < 1e-9


@pytest.mark.parametrize("pool", ["class", "mean"])
def test_sig_walk_along_presence_sums_to_the_difference_of_scores(pool):
    net, who = Net(pool), subject(wide()[0])
    none = token_masks(net, who.x[None])(torch.cat([who.x, 0 * who.x[:1]])[None])[0, who.target]
    total = float(net(who.x[None])[0, who.target] - none)

    def values(**options):
        both = {"players": "grid:1x2", "baseline": "tokens", "coalitions": "sampled", "orders": 2}
        return attribute(net, "sig-walk", who, **both, **options).values[0]

    corners = values()
    assert float(corners.sum()) == pytest.approx(total, abs=1e-9)
    inside = corners.unflatten(0, (2, 2)).unflatten(2, (4, 2))
    assert bool((inside == inside[:, :1, :, :1]).all())  # the pixels of a token have the same
    assert len(inside[:, 0, :, 0].unique()) == 8  # the tokens of a player have not
    few, many = (abs(float(values(steps=steps, rule="gauss-legendre").sum()) - total) for steps in (4, 64))
    assert many < min(few / 3, 0.05)  # steep near absence, and with a kink where there are no other tokens


def test_what_sig_walk_refuses_along_presence(game):
    net, who, *_ = game
    with pytest.raises(UsageError, match="2x4 tokens, which can only be dropped whole"):
        attribute(net, "sig-walk", who, players="grid:4x4", baseline="tokens")
    with pytest.raises(UsageError, match="wrong argument"):
        attribute(net, "sig-walk", who, players="grid:2x4", baseline="tokens:3")
    with pytest.raises(UsageError, match="holds attention weights constant"):
        attribute(net, "sig-walk", who, players="grid:2x4", baseline="tokens", libragrad=True)
    with pytest.raises(AttributionError, match="no attention"):
        attribute(convolutional(), "sig-walk", who, players="grid:2x4", baseline="tokens")
