"""Grad-CAM and CAM: captum's numbers, the layer found by itself, and the use from the command line."""

import pytest
import torch
import torchvision
from captum.attr import LayerGradCam
from torch import nn
from torch.nn import functional
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.errors import AttributionError, UsageError
from sigcli.methods.places import last_layer

from repository import ROOT
from toys import attribute, relu_net, smooth_net, subject


def sig(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def network(name, side=64):
    torch.manual_seed(0)
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    if name == "vit_b_16":  # its layers and tokens, 64 times narrower
        made = torchvision.models.VisionTransformer(side, 16, num_layers=12, num_heads=12, hidden_dim=12, mlp_dim=48)
    else:
        made = torchvision.models.get_model(name, weights=None, **options)
    net = made.eval().requires_grad_(False)
    if name.startswith("vit"):
        nn.init.normal_(net.heads.head.weight, std=0.05)
    return net, subject(torch.randn(3, side, side), target=5)


@pytest.mark.parametrize(("name", "layer"), [("resnet18", "layer4"), ("squeezenet1_1", "features")])
@pytest.mark.parametrize("counterfactual", [False, True])
def test_gradcam_gives_captums_numbers(name, layer, counterfactual):
    net, who = network(name)
    assert last_layer(net, who.x.shape).name == layer
    theirs = LayerGradCam(net, net.get_submodule(layer)).attribute(who.x[None], target=5)
    theirs = functional.interpolate((-theirs if counterfactual else theirs).relu(), who.x.shape[-2:], mode="bilinear")
    found = attribute(net, "gradcam-counterfactual" if counterfactual else "gradcam", who)
    assert (found.values.sum(0) - theirs[0, 0]).norm() <= 1e-6 * theirs.norm()
    assert torch.equal(found.values[0], found.values[2])  # equal shares for the channels


def test_gradcam_of_any_layer_and_without_relu():
    net, who = relu_net(), subject()
    found = attribute(net, "gradcam", who, layer="0", relu=False)
    activation = net[0](who.x[None]).requires_grad_()
    (gradient,) = torch.autograd.grad(net[2:](functional.relu(activation))[0, 1], activation)
    theirs = (gradient.mean((2, 3), keepdim=True) * activation).sum(1)[0].detach()
    assert torch.allclose(found.values.sum(0), theirs)
    assert found.values.min() < 0 < found.values.max()
    opposite = attribute(net, "gradcam-counterfactual", who, layer="0", relu=False)
    assert torch.allclose(opposite.values, -found.values)
    with pytest.raises(UsageError, match="unknown layer"):
        attribute(net, "gradcam", who, layer="conv7")
    with pytest.raises(UsageError, match="no places in the image"):
        attribute(net, "gradcam", who, layer="6")


@pytest.mark.parametrize(
    ("name", "side", "expected"),
    [("densenet121", 64, "forward:relu"), ("mobilenet_v2", 64, "features"), ("convnext_tiny", 64, "features"),
     ("vit_b_16", 224, "encoder.layers.encoder_layer_10"), ("swin_t", 64, "norm"), ("vgg11", 64, "features"),
     ("googlenet", 64, "inception5b")],
)  # fmt: skip
def test_the_last_place_that_everything_passes_is_found(name, side, expected):
    net, who = network(name, side)
    assert last_layer(net, who.x.shape).name == expected


def test_transformer_tokens_become_a_map():
    net, who = network("vit_b_16", 224)
    layer = last_layer(net, who.x.shape)
    tokens = torch.arange(197 * 2.0).reshape(1, 197, 2)
    assert layer.grid.map(tokens)[0, 0, 0].tolist() == [2.0 * i for i in range(1, 15)]  # without the class token
    swin, small = network("swin_t")
    assert attribute(swin, "gradcam", small).values.abs().sum() > 0
    last = last_layer(swin, small.x.shape)
    assert (last.grid.form, last.grid.size) == ("last", (2, 2))


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v2", "swin_t"])
def test_cam_averages_to_the_logit(name):
    net, who = network(name)
    head = [m for m in net.modules() if isinstance(m, nn.Linear)][-1]
    found = attribute(net, "cam", who)
    assert float(found.values.sum()) == pytest.approx(found.score - float(head.bias[5]), rel=1e-3, abs=1e-9)


def test_cam_of_pooled_class_maps_and_what_it_refuses():
    net, who = network("squeezenet1_1")
    maps = net.classifier[:-1](net.features(who.x[None]))[:, 5:6]
    expected = functional.interpolate(maps, (64, 64), mode="bilinear")[0, 0]
    assert torch.allclose(attribute(net, "cam", who).values.sum(0) * 64**2, expected, atol=1e-6)
    for name in ("alexnet", "convnext_tiny"):
        other, same = network(name)
        with pytest.raises(AttributionError, match="ends in average pooling"):
            attribute(other, "cam", same)
    with pytest.raises(AttributionError, match="ends in average pooling"):
        attribute(smooth_net(), "cam", subject())


class _BothRead(nn.Module):
    """Patches and a class token, and a linear layer that reads the patches' average and, where asked for, the token."""

    def __init__(self, both: bool):
        super().__init__()
        self.both, self.patches, self.head = both, nn.Conv2d(3, 6, 4, 4), nn.Linear(12 if both else 6, 5)
        self.norm = nn.LayerNorm(6)

    def forward(self, x):
        patches = self.patches(x).flatten(2).transpose(1, 2)
        tokens = self.norm(torch.cat([patches.mean(1, keepdim=True), patches], 1))
        average = tokens[:, 1:].mean(1)
        return self.head(torch.cat([tokens[:, 0], average], 1) if self.both else average)


def test_cam_is_refused_where_a_class_token_is_read_beside_the_average():
    torch.manual_seed(0)
    who = subject(torch.randn(3, 16, 16), target=1)
    net = _BothRead(both=False).eval().requires_grad_(False)
    found = attribute(net, "cam", who)
    assert float(found.values.sum()) == pytest.approx(found.score - float(net.head.bias[1]), abs=1e-4)
    with pytest.raises(AttributionError, match="ends in average pooling"):
        attribute(_BothRead(both=True).eval(), "cam", who)


def test_a_network_without_convolutions_is_told():
    net = nn.Sequential(nn.Flatten(), nn.Linear(72, 3)).double()
    with pytest.raises(AttributionError, match="no layer with places"):
        attribute(net, "gradcam", subject())


def test_other_weights_make_another_copy():
    net, who = relu_net(), subject()
    before = attribute(net, "gradcam", who)
    with torch.no_grad():
        net[2].weight.mul_(-1)
    after = attribute(net, "gradcam", who)
    assert not torch.allclose(before.values, after.values)
    assert after.score == pytest.approx(float(net(who.x[None])[0, 1]))


def test_layers_are_listed():
    from sigcli.models.layers import model_layers

    found = model_layers("squeezenet1_1", weights="none", resize=64, crop=64)
    assert [layer.name for layer, default in found if default] == ["features"]
    assert "features.16" in sig("list", "layers", "--model", "shapes").stdout
    assert '"default": true' in sig("list", "layers", "--model", "shapes", "--json").stdout


def test_explain_and_evaluate_take_direct_methods(tmp_path):

    out = tmp_path / "run"
    image = [str(ROOT / "sample_images" / "star.png"), str(ROOT / "sample_images" / "fish.png")]
    command = ["explain", *image, "--method", "gradcam,ig,cam", "--set", "steps=3", "--no-pictures", "--out", str(out)]
    assert sig(*command).exit_code == 0
    rows = (out / "results.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == ["gradcam", "ig", "cam"] * 2
    assert sig(*command, "--resume").exit_code == 0
    assert (out / "results.csv").read_text().splitlines() == rows
    out = tmp_path / "measured"
    metrics = "deletion,max-sensitivity,parameter-randomisation"
    settings = [
        "--set",
        "max-sensitivity.samples=2",
        "--set",
        "parameter-randomisation.stages=2",
        "--set",
        "deletion.steps=4",
    ]
    command = [
        "evaluate",
        image[0],
        "--method",
        "gradcam",
        "--metric",
        metrics,
        *settings,
        "--no-pictures",
        "--out",
        str(out),
    ]
    found = sig(*command)
    assert found.exit_code == 0
    assert "gradcam" in found.output


def test_results_of_direct_methods_come_as_they_are_ready(tmp_path):
    """With direct methods only, the first result must not wait for the last image."""
    from sigcli.attribution.explain import stream
    from sigcli.attribution.options import ExplainOptions
    from sigcli.attribution.session import prepare
    from sigcli.methods import run as work

    session = prepare(
        ExplainOptions(
            [str(ROOT / "sample_images" / "star.png"), str(ROOT / "sample_images" / "fish.png")],
            method="gradcam",
            write=False,
        )
    )
    made, original = [], work.direct

    def counted(*args, **options):
        made.append(1)
        return original(*args, **options)

    work.direct = counted
    try:
        first = next(stream(session))
    finally:
        work.direct = original
    assert first.method == "gradcam"
    assert len(made) == 1


STREAMS = """
import torch
from torch import nn


class Streams(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU())
        self.one, self.two = (nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)) for _ in range(2))
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.stem(x)
        return self.head(torch.cat([part(x).mean((2, 3)) for part in (self.one, self.two)], 1))


def net():
    torch.manual_seed(0)
    return Streams()
"""


def test_a_note_of_several_images_is_told_once(tmp_path, monkeypatch):
    (tmp_path / "streams.py").write_text(STREAMS)
    monkeypatch.syspath_prepend(str(tmp_path))
    images = [
        str(ROOT / "sample_images" / "star.png"),
        str(ROOT / "sample_images" / "fish.png"),
        "sample_images/house.png",
    ]
    command = ["--model", "streams:net", "--size", "32", "--method", "gradcam", "--set", "gradcam.relu=false"]
    for count, whose in [(1, "star.png gradcam"), (3, "star.png and 2 more, gradcam")]:
        done = sig("explain", *images[:count], *command, "--out", tmp_path / str(count), "--no-pictures")
        said = " ".join(done.output.split())
        assert done.exit_code == 0
        assert said.count("is early") == 1
        assert f"note: {whose}: the default layer 'stem' is early: 80% of the network's work" in said
