"""What is no differentiable classifier is named, and what is made fast keeps its numbers."""

import inspect

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from sigcli.errors import ModelError
from sigcli.models.checks import check_classifier
from sigcli.models.fold import channels_last, fold_batch_norm, freeze, prepare
from sigcli.models.loading import load_model
from sigcli.models.networks import shapes
from sigcli.models.preprocess import Preprocess
from sigcli.models.wrappers.certainty import Aware
from sigcli.models.wrappers.parts import plain_output

# --- checking ---------------------------------------------------------------------------------------------------------


class Net(nn.Module):
    """A linear classifier of 3×8×8 images whose output a test spoils."""

    def __init__(self, spoil=lambda scores: scores, before=lambda images: images):
        super().__init__()
        self.linear, self.spoil, self.before = nn.Linear(192, 5), spoil, before

    def forward(self, images):
        return self.spoil(self.linear(self.before(images).flatten(1)))


SAMPLE = torch.randn(2, 3, 8, 8)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Net(lambda s: (s, s)), "given: a tuple of 2(.|\n)*--model package.module"),
        (Net(lambda s: {"scores": s, "boxes": s}), "given: a dict with scores, boxes"),
        (Net(lambda s: s[:, 0]), r"one row of class scores per image(.|\n)*shape \(2,\)(.|\n)*\(2, classes\)"),
        (Net(lambda s: s[:, :, None, None]), r"shape \(2, 5, 1, 1\)"),
        (Net(lambda s: s * float("nan")), "NaN or infinite scores"),
        (Net(lambda s: s.argmax(1, keepdim=True)), "floating-point"),
        (Net(before=lambda x: x.sub_(1.0)), r"changes its input in place(.|\n)*clone"),
        (Net(before=lambda x: x[:, :, ::2]), "does not take a 3×8×8 input(.|\n)*--image-size HEIGHTxWIDTH"),
        (Net(lambda s: s - s.mean(0)), "depends on the other images"),
        (nn.Sequential(Net(), nn.Dropout(0.5)).train(), "different scores for the same images(.|\n)*eval"),
    ],
)
def test_what_is_no_classifier(net, message):
    torch.manual_seed(0)
    with pytest.raises(ModelError, match=message) as error:
        check_classifier(net, SAMPLE)
    assert len(str(error.value).splitlines()) <= 2


def test_a_good_classifier_is_counted_and_logits_are_unpacked():
    assert check_classifier(Net(), SAMPLE).classes == 5
    hugging = Net(lambda s: type("ImageClassifierOutput", (), {"logits": s})())
    module, notes = plain_output(hugging, SAMPLE)
    assert check_classifier(module, SAMPLE).classes == 5
    assert "ImageClassifierOutput" in notes[0]
    assert plain_output(Net(), SAMPLE)[1] == ()


# --- preparing --------------------------------------------------------------------------------------------------------


class Shared(nn.Module):
    """One batch norm may be folded; one is used twice, one follows a convolution that is read twice."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(i, 4, 3, padding=1, bias=False) for i in (3, 4, 4))
        self.na, self.nb, self.nc = (nn.BatchNorm2d(4) for _ in range(3))

    def forward(self, images):
        x = self.na(self.a(images))
        y = self.b(x)
        z = self.nb(self.nb(y)) + y
        w = self.c(z)
        return (self.nc(w) + w).mean((2, 3))


def with_statistics(net):
    draws = torch.Generator().manual_seed(0)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.running_mean, layer.bias.data):
                tensor.normal_(0, 0.1, generator=draws)
            for tensor in (layer.running_var, layer.weight.data):
                tensor.uniform_(0.5, 2, generator=draws)
    return net.eval()


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "densenet121"])
def test_preparing_folds_batch_norms_and_changes_no_number(name):
    net = with_statistics(torchvision.models.get_model(name, weights=None))
    images = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        before, state = net(images), {key: value.clone() for key, value in net.state_dict().items()}
        ready = prepare(net, images[:2])
        after = ready(images)
    assert (after - before).abs().max() <= 1e-5 * before.abs().max()
    count = [sum(type(layer) is nn.BatchNorm2d for layer in module.modules()) for module in (net, ready)]
    assert count[1] == (62 if name == "densenet121" else 0)
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert [key for key, _ in ready.named_modules()] == [key for key, _ in net.named_modules()]
    assert any(p.ndim == 4 and p.is_contiguous(memory_format=torch.channels_last) for p in ready.parameters())


def test_only_batch_norms_that_alone_read_their_convolution_are_folded():
    net = with_statistics(Shared())
    folded = fold_batch_norm(net)
    kinds = [type(layer).__name__ for layer in (folded.na, folded.nb, folded.nc)]
    assert kinds == ["Folded", "BatchNorm2d", "BatchNorm2d"]
    images = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(folded(images), net(images), rtol=1e-5, atol=1e-5)


def test_what_cannot_be_traced_or_rearranged_is_left_as_it_is():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, images):
            x = self.norm(self.conv(images))
            return x.view(len(x), -1)[:, :5] if images.mean() > -100 else x

    net = Branching()
    freeze(net)
    images = torch.randn(2, 3, 8, 8)
    assert fold_batch_norm(net) is None
    assert channels_last(nn.Linear(2, 2)) is None
    assert prepare(net, images) is net  # view refuses channels-last order
    assert torch.isfinite(net(images)).all()


# --- the bundled network ----------------------------------------------------------------------------------------------


def test_shapes_with_weights_trained_anew_keeps_its_certainty_input(tmp_path, monkeypatch):
    # The tests' type checker (conftest) would refuse the stand-ins for tensors with which a network is traced.
    monkeypatch.setattr(shapes.ShapesNet, "forward", inspect.unwrap(shapes.ShapesNet.forward))
    net = with_statistics(shapes.ShapesNet(4))
    save_file(net.state_dict(), tmp_path / "s.safetensors", metadata={"classes": '["star", "ring", "cross", "moon"]'})
    model = load_model("shapes", weights=str(tmp_path / "s.safetensors"))
    assert (model.kind, model.labels) == ("bundled", ("star", "ring", "cross", "moon"))
    assert model.preprocess == Preprocess(shapes.SIZE, shapes.SIZE, shapes.MEAN, shapes.STD)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in model.module.modules())
    assert isinstance(model.module, Aware)
    images, certainty = torch.randn(2, 3, 128, 128), torch.rand(2, 1, 128, 128)
    torch.testing.assert_close(
        model.module.inner(images, certainty), net(images, certainty).detach(), rtol=1e-4, atol=1e-5
    )


def test_shapes_without_its_weights(tmp_path):
    with pytest.raises(ModelError, match="no such weights file"):
        load_model("shapes", weights=str(tmp_path / "s.safetensors"))
    with pytest.raises(ModelError, match="no random weights"):
        load_model("shapes", weights="none")


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (Net(lambda s: s.detach()), "does not carry a gradient"),
        (Net(before=lambda x: (x > 0).float()), "does not carry a gradient"),
        (Net(before=lambda x: x.round().detach()), "does not carry a gradient"),
        (Net(lambda s: s * 0 + (s * 0).abs().sqrt()), "gradient is NaN"),
        (Net(before=lambda x: torch.from_numpy(x.numpy())), "numpy"),
    ],
)
def test_a_missing_gradient_is_named_and_leaves_the_scores(net, reason):
    freeze(net)
    verdict = check_classifier(net, SAMPLE)
    assert (verdict.classes, list(verdict.lacks)) == (5, ["gradients"])
    assert reason in verdict.lacks["gradients"]


def test_a_gradient_of_zero_is_a_note():
    class Rounds(torch.nn.Module):
        def forward(self, x):
            return torch.round(x.mean((2, 3)))

    verdict = check_classifier(Rounds(), torch.rand(2, 3, 8, 8) * 9, torch.rand(3, 3, 8, 8))
    assert not verdict.lacks
    assert "exactly 0 on noise and on plain and random pictures" in verdict.notes[0]
    bright = nn.Sequential(nn.Flatten(), nn.Linear(192, 2), nn.ReLU())
    with torch.no_grad():
        bright[1].weight.fill_(1 / 192)
        bright[1].bias.fill_(-0.9)
    verdict = check_classifier(bright, SAMPLE * 0.1, torch.ones(1, 3, 8, 8))
    assert not verdict.lacks
    assert "exactly 0 on noise, not on every picture" in verdict.notes[0]
