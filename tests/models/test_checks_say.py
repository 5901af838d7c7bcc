"""What a network is told to be is true: a zero head, a list of images, one image at a time."""

import pytest
import torch
from torch import nn

from sigcli import explain
from sigcli.errors import ModelError, UsageError
from sigcli.models.checks import check_classifier
from sigcli.models.fold import freeze
from sigcli.models.loading import load_model
from sigcli.models.wrappers.fitting import Listed, fit

LOADED = {"size": 16, "mean": (0.0,), "std": (1.0,)}


class Pooled(nn.Module):
    """(N, 3, H, W) → (N, 5)."""

    def __init__(self, axes=(2, 3)):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc, self.axes = nn.Conv2d(3, 4, 3), nn.Linear(4, 5), axes

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean(self.axes))


class OneByOne(Pooled):
    """A list of (3, H, W) → a list of (5,)."""

    def __init__(self):
        super().__init__((1, 2))

    def forward(self, images):
        if not isinstance(images, (list, tuple)):
            raise TypeError("images must be a list of tensors")
        return [super(OneByOne, self).forward(image) for image in images]


def test_a_head_of_zeros_is_named_and_no_missing_gradient():
    net = Pooled()
    nn.init.zeros_(net.fc.weight)
    freeze(net)
    verdict = check_classifier(net, torch.randn(2, 3, 8, 8), torch.rand(3, 3, 8, 8))
    assert not verdict.lacks
    assert "'fc' are 0, as of a head that was never trained" in verdict.notes[0]
    other = nn.Sequential(nn.Flatten(), nn.Linear(192, 2), nn.Hardtanh(9.0, 10.0))
    verdict = check_classifier(other, torch.randn(2, 3, 8, 8), torch.rand(3, 3, 8, 8))
    assert "saturated or inactive" in verdict.notes[0]
    assert "never trained" not in verdict.notes[0]


@pytest.mark.parametrize(
    ("build", "note"),
    [(OneByOne, "takes a list of images"), (lambda: Pooled((1, 2)), "one image at a time")],
    ids=["a list", "no axis for the batch"],
)
def test_other_ways_of_taking_images_are_found(build, note):
    right, images = Pooled().eval(), torch.rand(3, 3, 16, 16)
    model = load_model(build(), **LOADED)
    assert any(note in line for line in model.notes), model.notes
    torch.testing.assert_close(model.module(images), right(images).detach())
    leaf, other = images.clone().requires_grad_(), images.clone().requires_grad_()
    (found,) = torch.autograd.grad(model.module(leaf)[:, 1].sum(), leaf)
    (there,) = torch.autograd.grad(right(other)[:, 1].sum(), other)
    torch.testing.assert_close(found, there)


def test_layers_of_a_network_of_lists_are_refused_before_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = torch.rand(3, 16, 16)
    with pytest.raises(UsageError, match=r"does not expose: it takes a list of images(.|\n)*--method ig runs"):
        explain(picture, model=OneByOne(), method="ig,gradcam")


def test_a_list_is_tried_only_where_a_batch_fails():
    module, notes, reason = fit(Pooled().eval(), torch.rand(2, 3, 16, 16))
    assert (type(module), notes, reason) == (Pooled, (), None)
    assert isinstance(fit(OneByOne().eval(), torch.rand(2, 3, 16, 16))[0], Listed)


@pytest.mark.filterwarnings("ignore:.*quantiz.*", "ignore:.*torch.jit.*", "ignore:.*autograd kernel")
def test_a_program_of_one_image_without_gradient_runs_by_its_scores(tmp_path, monkeypatch):
    """As a quantised MobileNet: it flattens to one row, and no gradient passes."""

    class Rounded(Pooled):
        def forward(self, x):
            pooled = torch.quantize_per_tensor(self.conv(x), 0.01, 0, torch.qint32).dequantize().mean((2, 3))
            return self.fc(pooled.view(1, -1))

    monkeypatch.chdir(tmp_path)
    with torch.no_grad():
        torch.jit.trace(Rounded().eval(), torch.rand(1, 3, 16, 16)).save("one.pt")
    picture = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1))
    (item,) = explain(picture, model="one.pt", method="occlusion", players="8x8", target=1, mean=0.0, std=1.0)
    assert item.status == "ok", item.error
    with torch.no_grad():
        covered = picture.clone()
        covered[:, :8, :8] = 0
        net = Rounded().eval()
        drop = net(picture[None])[0, 1] - net(covered[None])[0, 1]
    assert item.player_values[0] == pytest.approx(float(drop), abs=1e-5)
    with pytest.raises(UsageError, match=r"method ig needs gradients(.|\n)*occlusion"):
        explain(picture, model="one.pt", method="ig", mean=0.0, std=1.0)


@pytest.mark.parametrize("classes", [3, 5])
def test_outputs_that_are_not_of_the_batch_are_told_as_such(classes):
    right, images = Pooled(), torch.rand(3, 3, 16, 16)
    right.fc = nn.Linear(4, classes)

    class Averaged(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = right

        def forward(self, x):
            return self.inner(x).mean(0)

    model = load_model(Averaged().eval(), **LOADED)
    torch.testing.assert_close(model.module(images), right(images))
    (note,) = [one for one in model.notes if "at a time" in one]
    assert f"returns {classes} rows of scores for 2 images: it is given one image at a time" in note
    assert "takes" not in note


def test_a_network_in_evaluation_mode_is_not_told_to_be_in_training_mode():
    right = Pooled()
    right.fc = nn.Linear(4, 2)  # as many outputs as images are tried: only the comparison of batches can tell

    class Averaged(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = right

        def forward(self, x):
            return self.inner(x).mean(0)

    with pytest.raises(ModelError, match="mixes the images of a batch"):
        load_model(Averaged().eval(), **LOADED)


class Whole(Pooled):
    """Scores of a whole batch in one number, or in one row."""

    def __init__(self, row):
        super().__init__()
        self.row = row

    def forward(self, x):
        found = super().forward(x)
        return found.mean(0, keepdim=True) if self.row else found[:, 0].sum()


@pytest.mark.parametrize(
    ("row", "told"),
    [(False, "returns a single number for 2 images: "), (True, "returns 1 row of scores for 2 images: ")],
)
def test_an_output_that_is_not_of_the_batch_is_told_and_images_go_alone(row, told):
    images = torch.rand(3, 3, 16, 16)
    net, notes, reason = fit(Whole(row).eval(), images[:2])
    assert reason is None
    assert told + "it is given one image at a time" in f"{notes[0]}"
    right = Pooled().eval()(images)
    assert torch.allclose(net(images), right if row else right[:, :1], atol=1e-6)
