"""Methods that read attention: against slow loops over explicit matrices, and on the transformers people use."""

import copy

import pytest
import torch
import torchvision
from torch import nn

from sigcli.errors import AttributionError
from sigcli.methods import METHODS
from sigcli.methods.attention import tokens
from sigcli.methods.run import attributions
from sigcli.scores.classifier import ClassScore

from toys import TokenNet, attribute, subject

ALL = [name for name, entry in METHODS.items() if entry.properties.get("only") == "attention"]


def on_pixels(owed, size=(3, 3), side=6, channels=2):
    """Values of tokens, row by row, on the image in equal shares for the channels."""
    grid = torch.as_tensor(owed, dtype=torch.float64).view(1, 1, *size)
    scaled = nn.functional.interpolate(grid, (side, side), mode="bilinear", align_corners=False)[0]
    return (scaled / channels).expand(channels, side, side)


def run(net, x, target=1):
    """Of each block A, ∂F/∂A and what goes in and out, all from the network written out once more; and the logits."""
    seen = []
    h = net.patch(x[None]).flatten(2).mT
    h = torch.cat([net.start, h], 1) + net.position
    for block in net.blocks:
        one = {"x": h, "n1": block["norm1"](h)}
        q, k, v = block["qkv"](one["n1"]).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        A = (q @ k.mT / 2).softmax(-1).requires_grad_()
        mixed = (A @ v).transpose(1, 2).flatten(2)
        attended = block["out"](mixed)
        middle = h + attended
        n2 = block["norm2"](middle)
        up = block["up"](n2)
        act = nn.functional.gelu(up)
        down = block["down"](act)
        h = middle + down
        seen.append(one | {"A": A, "q": q, "k": k, "v": v, "z": A @ v, "mixed": mixed, "attended": attended,
                           "middle": middle, "n2": n2, "act": act, "down": down})  # fmt: skip
    last = net.norm(h)[0, 0]
    logits = net.head(last)
    gradients = torch.autograd.grad(logits[target], [one["A"] for one in seen])
    return seen, [g[0] for g in gradients], last.detach(), logits.detach()


def rows(matrix):
    return matrix[0, 1:]  # what the class token owes to the patches


@pytest.fixture(scope="module")
def net():
    return TokenNet()


@pytest.mark.parametrize("heads", ["mean", "max", "min"])
def test_rollout_is_the_product_of_the_matrices(net, heads):
    who, L = subject(), 10
    seen, _, _, _ = run(net, who.x)
    joint = torch.eye(L, dtype=torch.float64)
    for one in seen:
        mixed = torch.zeros(L, L, dtype=torch.float64)
        for i in range(L):
            for j in range(L):
                both = [float(one["A"].detach()[0, h, i, j]) for h in range(2)]
                mixed[i, j] = 0.5 * {"mean": sum(both) / 2, "max": max(both), "min": min(both)}[heads] + 0.5 * (i == j)
            mixed[i] /= mixed[i].sum()
        joint = mixed @ joint
    found = attribute(net, "attention-rollout", who, heads=heads)
    torch.testing.assert_close(found.values, on_pixels(rows(joint)), rtol=1e-9, atol=1e-12)
    assert (found.evaluations, found.forward_evaluations, found.note) == (1, 1, "")


def looped(pairs):
    """Σ over heads of positive products, by loops; the mean of the heads."""
    weights, gradients = (one.detach() for one in pairs)
    heads, L, _ = weights.shape
    found = torch.zeros(L, L, dtype=torch.float64)
    for h in range(heads):
        for i in range(L):
            for j in range(L):
                found[i, j] += max(0.0, float(weights[h, i, j]) * float(gradients[h, i, j])) / heads
    return found


def test_generic_attention_and_attention_times_gradient(net):
    who = subject()
    seen, gradients, _, _ = run(net, who.x)
    steps = [looped((one["A"][0], g)) for one, g in zip(seen, gradients, strict=True)]
    relevance = torch.eye(10, dtype=torch.float64)
    for step in steps:
        relevance = relevance + step @ relevance
    found = attribute(net, "generic-attention", who).values
    torch.testing.assert_close(found, on_pixels(rows(relevance)), rtol=1e-9, atol=1e-12)
    found = attribute(net, "attention-gradient", who).values
    torch.testing.assert_close(found, on_pixels(rows(steps[-1])), rtol=1e-9, atol=1e-12)
    signed = (seen[-1]["A"][0] * gradients[-1]).mean(0)
    found = attribute(net, "attention-gradient", who, relu=False).values
    torch.testing.assert_close(found, on_pixels(rows(signed)), rtol=1e-9, atol=1e-12)


def positive(layer, x, relevance):
    """The rule of a linear layer, [Chefer 2021a] Eq. 5, row by row."""
    found = torch.zeros_like(x)
    for row, (values, arriving) in enumerate(zip(x, relevance, strict=True)):
        for k, weights in enumerate(layer.weight):
            share = (values * weights).clamp(min=0)
            if share.sum() > 0:
                found[row] += share / share.sum() * arriving[k]
    return found


def summands(a, b, relevance):
    """The rule of a sum, Eq. 7 and 10."""
    one, other = a / (a + b) * relevance, b / (a + b) * relevance
    total = one.sum().abs() + other.sum().abs()
    return [s * (s.sum().abs() / total * relevance.sum() / s.sum()) for s in (one, other)]


def relevances(net, seen, last, target):
    """The relevance of each block's attention weights, from the paper."""
    arriving = torch.zeros(1, 3, dtype=torch.float64)
    arriving[0, target] = 1
    R = torch.zeros(10, 8, dtype=torch.float64)
    R[:1] = positive(net.head, last[None], arriving)
    found = []
    for block, one in zip(reversed(net.blocks), reversed(seen), strict=True):
        value = {name: v.detach()[0] for name, v in one.items()}
        past, mlp = summands(value["middle"], value["down"], R)
        R = past + positive(block["up"], value["n2"], positive(block["down"], value["act"], mlp))
        past, attended = summands(value["x"], value["attended"], R)
        mixed = positive(block["out"], value["mixed"], attended).unflatten(-1, (2, 4)).transpose(0, 1)
        quotient = mixed / value["z"]
        of_weights = value["A"] * (quotient @ value["v"].mT) / 2
        of_values = value["v"] * (value["A"].mT @ quotient) / 2
        found.append(of_weights)
        quotient = of_weights / (value["q"] @ value["k"].mT)
        of_queries, of_keys = value["q"] * (quotient @ value["k"]) / 2, value["k"] * (quotient.mT @ value["q"]) / 2
        joined = torch.stack([of_queries, of_keys, of_values]).permute(2, 0, 1, 3).flatten(1)
        R = past + positive(block["qkv"], value["n1"], joined)
    return found[::-1]


@pytest.mark.parametrize("target", [0, 1, 2])
def test_transformer_attribution_is_the_papers(net, target):
    who = subject(target=target)
    seen, gradients, last, _ = run(net, who.x, target)
    relevant = relevances(net, seen, last, target)
    assert abs(float(relevant[-1].sum())) > 1e-3
    joint = torch.eye(10, dtype=torch.float64)
    for one, gradient in zip(relevant, gradients, strict=True):
        joint = (torch.eye(10) + looped((one, gradient))) @ joint
    found = attribute(net, "transformer-attribution", who)
    torch.testing.assert_close(found.values, on_pixels(rows(joint)), rtol=1e-7, atol=1e-12)
    assert found.evaluations == 2


# What attends to one patch


class Pointing(nn.Module):
    """The class token attends to one patch, all others to themselves; the score is what it finds there."""

    def __init__(self, place, fused):
        super().__init__()
        self.patch, self.value, self.head = nn.Conv2d(2, 4, 2, stride=2), nn.Linear(4, 4), nn.Linear(4, 2)
        scores = 40 * torch.eye(10)
        scores[0] = 0
        scores[0, place + 1] = 40
        self.register_buffer("scores", scores)
        self.fused = fused

    def forward(self, x):
        x = self.patch(x).flatten(2).mT
        x = torch.cat([torch.zeros_like(x[:, :1]), x], 1)
        values = self.value(x)
        if self.fused:
            one = 0 * values
            mixed = nn.functional.scaled_dot_product_attention(one, one, values, attn_mask=self.scores)
        else:
            mixed = (self.scores + 0 * x @ x.mT).softmax(-1) @ values
        return self.head((x + mixed)[:, 0])


@pytest.mark.parametrize("fused", [False, True], ids=["written out", "fused"])
@pytest.mark.parametrize("name", ALL)
def test_a_class_token_that_attends_to_one_patch_lights_that_patch_alone(name, fused):
    for place in (0, 4, 5):
        torch.manual_seed(1)
        net = Pointing(place, fused).double().eval().requires_grad_(False)
        for target in (0, 1):
            found = attribute(net, name, subject(target=target)).values
            if found.any():  # evidence against leaves nothing
                break
        expected = on_pixels([float(place == i) for i in range(9)])
        torch.testing.assert_close(found / found.max(), expected / expected.max(), rtol=0, atol=1e-9)


# The transformers that people use


def vit(**options):
    torch.manual_seed(0)
    given = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
    net = torchvision.models.VisionTransformer(**given, num_classes=5, **options)
    nn.init.normal_(net.heads.head.weight)
    return net.eval().requires_grad_(False)


def timm_net(name="vit_tiny_patch16_224", **options):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    given = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 5}
    return timm.create_model(name, pretrained=False, **(given | options)).eval().requires_grad_(False)


class Logits(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x).logits


def hf_net(kind="ViT", attention="sdpa", **options):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    given = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = getattr(transformers, f"{kind}Config")(**given, **options, num_labels=5, attn_implementation=attention)
    return Logits(getattr(transformers, f"{kind}ForImageClassification")(config)).eval().requires_grad_(False)


def picture(side=32, **options):
    return subject(torch.randn(3, side, side, generator=torch.Generator().manual_seed(5)), **options)


NETWORKS = {  # what to build, the places of the first two patches, the tokens that are read, a word of the note
    "torchvision": (vit, (1, 2), (0,), ""),
    "timm": (timm_net, (1, 2), (0,), ""),
    "transformers": (hf_net, (1, 2), (0,), ""),
    "transformers-eager": (lambda: hf_net(attention="eager"), (1, 2), (0,), ""),
    "distilled": (lambda: timm_net("deit_tiny_distilled_patch16_224"), (2, 3), (0, 1), "read 2 tokens beside"),
    "transformers-deit": (lambda: hf_net("DeiT"), (2, 3), (0,), ""),
    "registers": (lambda: timm_net(reg_tokens=3), (4, 5), (0,), ""),
    "average": (lambda: timm_net(global_pool="avg", class_token=False), (0, 1), tuple(range(16)), "no class token"),
    "average-beside-class": (lambda: timm_net(global_pool="avg"), (1, 2), tuple(range(1, 17)), "no class token"),
    "pooled-by-attention": (lambda: timm_net(global_pool="map", class_token=False), (0, 1), (0,), "by attention"),
    "dinov2": (lambda: hf_net("Dinov2"), (1, 2), (0,), "class token's alone"),
    "beit": (lambda: hf_net("Beit"), (1, 2), tuple(range(1, 17)), "no class token"),
    "rms-norms": (lambda: timm_net(norm_layer="rmsnorm"), (1, 2), (0,), ""),
}


@pytest.fixture(scope="module", params=NETWORKS)
def known(request):
    return NETWORKS[request.param][0](), *NETWORKS[request.param][1:]


def test_tokens_are_found_and_every_method_runs(known):
    net, first, read, note = known
    who = picture()
    found = tokens(net, who.x[None])
    assert (found.places[:2], found.size, found.read) == (first, (4, 4), read)
    assert note in found.note
    assert bool(found.note) == bool(note)
    before = copy.deepcopy(net.state_dict())
    with torch.no_grad():
        scores = net(who.x[None])
    for name in ALL:
        made = attribute(net, name, who)
        assert made.values.shape == who.x.shape
        assert made.values.abs().sum() > 0
        assert made.score == pytest.approx(float(scores[0, 1]), abs=1e-5)
        assert note in made.note
    with torch.no_grad():
        assert torch.equal(net(who.x[None]), scores)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_rollout_of_an_average_is_the_mean_of_the_rows():
    """With the sum of each row 1, so is that of the map, class and register tokens aside."""
    found = attribute(timm_net(global_pool="avg", class_token=False), "attention-rollout", picture()).values
    assert float(found.sum()) == pytest.approx(16 * 4, rel=1e-5)  # each of 16 tokens covers 8×8 pixels


def test_written_out_and_fused_attention_have_one_map():
    timm = pytest.importorskip("timm")
    one, other = timm_net(), timm_net()
    for block in other.blocks:
        assert block.attn.fused_attn
        block.attn.fused_attn = False
    who = picture()
    for name in ALL:
        values = [attribute(net, name, who).values for net in (one, other)]
        torch.testing.assert_close(*values, rtol=1e-4, atol=1e-9)
    assert timm.layers.use_fused_attn()


def test_the_fast_path_is_as_it_was_even_after_a_failure():
    class Failing(nn.Module):
        def forward(self, x):
            raise RuntimeError("no")

    torch.backends.mha.set_fastpath_enabled(True)
    for net in (vit(), Failing()):
        try:
            attribute(net, "attention-rollout", picture())
        except AttributionError as error:
            assert "no" in str(error)  # noqa: PT017
        assert torch.backends.mha.get_fastpath_enabled()
        assert torch.backends.cuda.flash_sdp_enabled()


def test_rollout_asks_for_no_class_and_the_others_do():
    net = vit()
    for name in ALL:
        one, other = (attribute(net, name, picture(target=target)).values for target in (0, 3))
        assert torch.equal(one, other) == (name == "attention-rollout")


def small_convnext():
    return torchvision.models.ConvNeXt([torchvision.models.convnext.CNBlockConfig(8, None, 2)], num_classes=5)


def swin():
    return torchvision.models.SwinTransformer([4, 4], 8, [1, 1], [2, 2], [4, 4], num_classes=5)


def mobilevit():
    timm = pytest.importorskip("timm")
    return timm.create_model("mobilevitv2_050", pretrained=False, num_classes=5)


REFUSED = {
    "cnn": (
        lambda: torchvision.models.squeezenet1_1(num_classes=5),
        "no softmax in the network weighs tokens against each other",
    ),
    "convnext": (small_convnext, "no softmax in the network weighs tokens against each other"),
    "separable": (mobilevit, "separable as MobileViTV2's"),
    "swin": (swin, "within windows or between channels"),
    "xcit": (lambda: timm_net("xcit_nano_12_p8_224"), "within windows or between channels"),
    "cait": (lambda: timm_net("cait_xxs24_224"), "talking heads"),
    "side-by-side": (lambda: timm_net("vit_small_patch16_18x2_224"), "stand side by side"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_networks_are_refused_in_one_sentence(kind):
    build, reason = REFUSED[kind]
    with pytest.raises(AttributionError, match=rf"between all tokens: .*{reason}.*\ngradcam, sig"):
        attribute(build().eval().requires_grad_(False), "attention-rollout", picture())


@pytest.mark.parametrize("name", ALL)
def test_other_outputs_than_logits(name):
    if name == "transformer-attribution":
        with pytest.raises(AttributionError, match="--output logit"):
            next(attributions(METHODS[name], {}, ClassScore(vit(), "prob"), [picture()]))
        return
    (found,) = attributions(METHODS[name], {}, ClassScore(vit(), "prob"), [picture()])
    assert 0 < found.score < 1


def test_names_that_users_type():
    names = {
        "rollout": "attention-rollout", "chefer": "transformer-attribution", "generic-attribution": "generic-attention",
        "attention-x-gradient": "attention-gradient", "attnlrp": "lrp",
    }  # fmt: skip
    assert {given: METHODS[given].name for given in names} == names
