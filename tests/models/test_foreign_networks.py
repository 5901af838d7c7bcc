"""Networks as people bring them: black boxes, one size only, one image at a time, other precisions, random numbers."""

import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from typer.testing import CliRunner

from sigcli import explain
from sigcli.cli.main import app
from sigcli.errors import ModelError, UsageError
from sigcli.models.checks import probe_images
from sigcli.models.loading import load_model
from sigcli.models.preprocess import Preprocess, Wishes, adapt, parse_size
from sigcli.models.steadiness import check_steady
from sigcli.models.wrappers.fitting import fit


class Small(nn.Module):
    """A convolution, then a linear layer that fixes the size, for 3 channels and (height, width)."""

    def __init__(self, height=16, width=16, channels=3, before=lambda x: x, inside=lambda x: x):
        super().__init__()
        torch.manual_seed(4)
        self.conv, self.fc = (
            nn.Conv2d(channels, 4, 3, stride=2, padding=1),
            nn.Linear(4 * (height // 2) * (width // 2), 3),
        )
        self.before, self.inside = before, inside

    def forward(self, x):
        return self.fc(self.inside(self.conv(self.before(x)).relu()).flatten(1))


class Pooled(nn.Module):
    """Of any size and, where `channels` is None, any number of channels."""

    def __init__(self, channels=3, before=lambda x: x, after=lambda s: s):
        super().__init__()
        torch.manual_seed(4)
        self.conv, self.fc = nn.Conv2d(channels or 3, 6, 3, padding=1), nn.Linear(6, 3)
        self.any, self.before, self.after = channels is None, before, after

    def forward(self, x):
        x = self.before(x)
        x = x.expand(-1, 3, -1, -1) if self.any else x
        return self.after(self.fc(self.conv(x).relu().mean((2, 3))))


LOADED = {"size": 16, "mean": (0.0,), "std": (1.0,)}
FED = {"device": "cpu", "image_size": 16, "mean": (0.0,), "std": (1.0,)}


@pytest.fixture
def bring(monkeypatch, tmp_path):
    """Makes a factory `brought:build`, beside two pictures of 16×16 and 24×32 pixels."""
    monkeypatch.chdir(tmp_path)
    draws = np.random.default_rng(0)
    for name, size in (("a.png", (16, 16, 3)), ("b.png", (24, 32, 3))):
        Image.fromarray(draws.integers(0, 256, size, dtype=np.uint8)).save(name)

    def made(build):
        module = types.ModuleType("brought")
        module.build = build
        monkeypatch.setitem(sys.modules, "brought", module)
        return "brought:build"

    return made


# --- black boxes ------------------------------------------------------------------------------------------------------


def halves(x):
    """Scores by thresholds, as of a forest."""
    left, top = (part.mean((1, 2, 3)) > 0.45 for part in (x[..., :8], x[:, :, :8]))
    return torch.stack([left.float() + 2 * top.float(), 1 - left.float()], 1)


class Undifferentiated(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Small()

    @torch.no_grad()
    def forward(self, x):
        return self.net(x)


class Engine:
    """As a compiled engine: batches of exactly four, a plain callable that returns numpy arrays."""

    def __init__(self):
        self.net = Small().eval()

    def __call__(self, x):
        if len(x) != 4:
            raise ValueError("profile: the batch must be 4")
        with torch.inference_mode():
            return self.net(x).numpy()


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = nn.Sequential(nn.Flatten(), nn.Linear(768, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
        return torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)


BOXES = {
    "thresholds": lambda: halves,
    "no_grad": Undifferentiated,
    "tensors through numpy": lambda: lambda x: torch.from_numpy(x.numpy().mean((2, 3))),
    "numpy out": lambda: lambda x: x.numpy().mean((2, 3)).astype(np.float64),
    "numpy in and out": lambda: lambda a: a.astype(np.float64).mean((2, 3)),
    "an engine of four": Engine,
    "quantised": quantised,
    "an engine of one": lambda: lambda x: torch.from_numpy(np.squeeze(x.numpy(), 0).mean((1, 2))),
}


def answers(box, images):
    """What a black box says of each image by itself."""
    if isinstance(box, Engine):
        return np.stack([box(image.expand(4, -1, -1, -1))[0] for image in images])
    with torch.no_grad():
        return np.stack([np.asarray(box(images[i : i + 1])).reshape(-1) for i in range(len(images))])


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.filterwarnings("ignore:.*quantiz.*", "ignore:.*autograd kernel")
def test_occlusion_of_a_black_box_is_the_difference_of_its_scores(bring, box):
    torch.manual_seed(0)
    made = BOXES[box]()
    (item,) = explain(
        "a.png", model=bring(lambda: made), method="occlusion", players="8x8", target=1, write=False, **FED
    )
    assert item.status == "ok", item.error
    x = torch.from_numpy(np.asarray(Image.open("a.png"), np.float32).transpose(2, 0, 1).copy() / 255)
    covered = [x]
    for row in (0, 8):
        for column in (0, 8):
            covered.append(x.clone())
            covered[-1][:, row : row + 8, column : column + 8] = 0
    images = torch.stack(covered)
    scores = made(images.numpy())[:, 1] if box == "numpy in and out" else answers(made, images)[:, 1]
    assert item.player_values == pytest.approx(scores[0] - scores[1:], abs=1e-5)


def test_methods_that_need_gradients_are_refused_before_work(bring):
    model = bring(lambda: halves)
    with pytest.raises(UsageError, match=r"method ig needs gradients(.|\n)*kernelshap(.|\n)*--method occlusion runs"):
        explain("a.png", model=model, method="occlusion,ig", out="out", **FED)
    with pytest.raises(UsageError, match="baseline max-entropy of occlusion needs gradients"):
        explain("a.png", model=model, method="occlusion", baseline="max-entropy", out="out", **FED)
    assert not Path("out").exists()
    for method in ("lime", "rise", "kernelshap"):
        settings = {"budget": 128} if method == "kernelshap" else {"samples": 32}
        (item,) = explain("a.png", model=model, method=method, settings=settings, write=False, **FED)
        assert item.status == "ok", item.error


def test_a_gradient_of_zero_on_noise_is_explained(bring):
    def build():
        net = nn.Sequential(nn.Flatten(), nn.Linear(768, 1), nn.ReLU(), nn.Linear(1, 2, bias=False))
        nn.init.constant_(net[1].weight, 1 / 768)
        nn.init.constant_(net[1].bias, -0.75)
        nn.init.constant_(net[3].weight[:1], 1.0)
        nn.init.constant_(net[3].weight[1:], -1.0)
        return net

    Image.fromarray(np.full((16, 16, 3), 255, np.uint8)).save("white.png")
    (item,) = explain(
        "white.png", model=bring(build), method="ig", settings={"steps": 1000}, target=0, write=False, **FED
    )
    assert item.values.sum() == pytest.approx(0.25, abs=2e-3)  # relu(1 - .75) - relu(0 - .75)


# --- fitting ----------------------------------------------------------------------------------------------------------


class OneImage(Small):
    def forward(self, x):
        return self.fc(self.conv(x).relu().view(1, -1))


class Exactly(Small):
    count = 2

    def forward(self, x):
        if len(x) != self.count:
            raise ValueError(f"exactly {self.count} images")
        return super().forward(x)


class Three(Exactly):
    count = 3


class Number(Small):
    """One image in, the score of class 1 out as a bare number."""

    def forward(self, x):
        if len(x) != 1:
            raise ValueError("one image")
        return super().forward(x)[0, 1]


class Second(Small):
    def forward(self, x):
        return super().forward(x)[:, 1:2]


class Squeezed(Small):
    def forward(self, x):
        return super().forward(x).squeeze()


class InPlace(Small):
    def forward(self, x):
        return super().forward(x.sub_(0.5).div_(0.25))


@pytest.mark.parametrize(
    ("build", "expected", "note"),
    [
        (lambda: Small().half(), Small, "float16"),
        (lambda: Small().double(), Small, "float64"),
        (lambda: Small().bfloat16(), Small, "bfloat16"),
        (OneImage, Small, "one image at a time"),
        (Exactly, Small, "2 images at a time"),
        (Three, Small, "3 images at a time"),
        (Number, Second, "one image at a time"),
        (Squeezed, Small, "read as a row per image"),
        (lambda: Pooled(after=lambda s: s[:, :, None, None]), Pooled, "read as a row per image"),
        (InPlace, lambda: Small(before=lambda x: (x - 0.5) / 0.25), "gets a copy"),
    ],
)
def test_networks_are_made_to_fit_with_a_note(bring, build, expected, note):
    model = load_model(bring(build), **LOADED)
    assert any(note in line for line in model.notes), model.notes
    images = torch.rand(3, 3, 16, 16)
    before = images.clone()
    leaf = images.clone().requires_grad_()
    right = expected().eval()
    tolerance = {"float16": 2e-3, "bfloat16": 2e-2}.get(note, 1e-5)
    torch.testing.assert_close(model.module(images), right(images).detach(), rtol=tolerance, atol=tolerance)
    assert torch.equal(images, before)
    (found,) = torch.autograd.grad(model.module(leaf)[:, -1].sum(), leaf)
    other = images.clone().requires_grad_()
    (there,) = torch.autograd.grad(right(other)[:, -1].sum(), other)
    torch.testing.assert_close(found, there, rtol=tolerance, atol=tolerance)


def test_weights_that_a_network_casts_for_itself_are_left():
    class Casts(Small):
        def forward(self, x):
            return super().forward(x.to(self.fc.weight.dtype)).float()

    net, notes, reason = fit(Casts().bfloat16(), probe_images((3, 16, 16), torch.device("cpu")))
    assert (reason, notes, net.fc.weight.dtype) == (None, (), torch.bfloat16)


# --- sizes and channels -----------------------------------------------------------------------------------------------


def test_size_is_one_number_or_height_and_width():
    assert [parse_size(text) for text in ("60x80", "64", 64, (60, 80), None)] == [(60, 80), 64, 64, (60, 80), None]
    for wrong in ("60x", "x", "0", "60x80x3", "-4", "1e3", "60*80", "99999"):
        with pytest.raises(UsageError, match="HEIGHTxWIDTH"):
            parse_size(wrong)
    with pytest.raises(UsageError, match="--image-size and --crop"):
        adapt(Preprocess(), Wishes(crop=32, size=32))
    assert adapt(Preprocess(), Wishes(size=64))[0] == Preprocess(64, 64)
    assert adapt(Preprocess(), Wishes(size=(60, 80), resize=90))[0].resize == 90


def test_a_picture_of_the_size_is_taken_as_it_is_and_others_fill_it():
    ready, _ = adapt(Preprocess(mean=(0.0,) * 3, std=(1.0,) * 3), Wishes(size=(6, 8)))
    exact = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    assert np.array_equal(ready.display(exact), exact)
    columns = np.zeros((12, 40, 3), np.uint8)  # twice as high, five times as wide: the middle 16 columns are seen
    columns[:, 12:28] = 255
    assert (ready.display(columns)[:, 1:-1] == 255).all()
    rows = np.zeros((40, 16, 3), np.uint8)
    rows[14:26] = 255
    assert (ready.display(rows)[1:-1] == 255).all()


def test_a_network_of_one_size_that_is_not_square(bring):
    model = bring(lambda: Small(24, 32))
    (given,) = explain("b.png", model=model, method="gradient", image_size="24x32", target=0, write=False)
    assert given.values.shape == (3, 24, 32)
    (own,) = explain("b.png", model=model, method="gradient", target=0, write=False)
    assert np.array_equal(own.values, given.values)
    notes = load_model(model, picture="b.png").notes
    assert any("first image's size is used, 24x32" in note for note in notes)


@pytest.mark.parametrize(("options", "size"), [({}, "30x40"), ({"resize": 30}, "30x40"), ({"crop": 64}, "30x40")])
def test_the_size_that_a_message_names_works(bring, options, size):
    model = bring(lambda: Small(30, 40))
    with pytest.raises(ModelError, match=f"try --image-size {size}") as caught:
        load_model(model, **options)
    assert ("without --crop" in str(caught.value)) == ("crop" in options)
    assert load_model(model, size=size).preprocess.size == (30, 40)


def test_sizes_pass_through_the_command_and_the_manifest(bring):
    bring(lambda: Small(24, 32))
    arguments = ["explain", "b.png", "--model", "brought:build", "--method", "ig", "--no-pictures", "--out", "out"]
    done = CliRunner().invoke(app, [*arguments, "--image-size", "24x32", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, ["evaluate", "out", "--metric", "sparseness", "--no-pictures", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    wrong = CliRunner().invoke(app, [*arguments, "--image-size", "32", "--device", "cpu"])
    assert wrong.exit_code == 2
    assert "It takes 3×24×32: try --image-size 24x32" in " ".join(wrong.stderr.split())


def test_networks_of_other_channels_are_told_to_take_arrays(bring):
    model = bring(lambda: Pooled(4))
    with pytest.raises(ModelError, match=r"takes 4 channels(.|\n)*\.npy"):
        load_model(model)
    np.save("sample.npy", np.random.default_rng(0).random((4, 16, 16), np.float32))
    (item,) = explain("sample.npy", model=model, method="gradient", write=False)
    assert item.status == "ok"


# --- one mean for all -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{"mean": (0.2,)}, {"std": (0.5,)}, {"mean": (0.2,), "std": (0.5,)}])
def test_one_value_is_for_every_channel_and_says_nothing_of_their_number(bring, given):
    both = load_model(bring(lambda: Pooled(None)), size=16, **given)
    assert both.preprocess.channels == 3
    assert any("colour" in note for note in both.notes)
    if "mean" in given:
        assert both.preprocess.mean == (0.2,) * 3
    assert load_model(bring(lambda: Pooled(3)), size=16, **given).preprocess.channels == 3
    assert load_model(bring(lambda: Pooled(1)), size=16, **given).preprocess.channels == 1


def test_a_message_on_grey_networks_says_what_to_change(bring):
    model = bring(lambda: Pooled(1))
    with pytest.raises(ModelError, match="one number each for --mean and --std"):
        load_model(model, size=16, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert load_model(model, **LOADED).preprocess.channels == 1


# --- the same scores every time ---------------------------------------------------------------------------------------


class Counts(nn.Module):
    """Keeps a running mean in a plain attribute, and shows it."""

    def __init__(self):
        super().__init__()
        self.net, self.mean = Pooled(), 0.0

    def forward(self, x):
        self.mean = 0.99 * self.mean + 0.01 * float(x.mean())
        return self.net(x) + self.mean


class Learns(nn.Module):
    """A batch norm that is in training mode whatever it is told."""

    def __init__(self, harmless=False):
        super().__init__()
        self.net, self.norm, self.harmless = Pooled(), nn.BatchNorm2d(3), harmless

    def forward(self, x):
        if self.harmless:
            self.norm.num_batches_tracked += 1
            return self.net(x)
        return self.net(functional.batch_norm(x, self.norm.running_mean, self.norm.running_var, training=True))


class Rarely(nn.Module):
    """Dropout that acts on one call in five."""

    def forward(self, x):
        scores = x.mean((2, 3))
        return scores * 1.001 if torch.rand(()) < 0.2 else scores


UNSTEADY = {
    "dropout of many values": (Pooled(before=lambda x: functional.dropout(x + 3, 0.5)), "call to call(.|\n)*training=self"),
    "a little noise": (Pooled(before=lambda x: x + 1e-4 * torch.randn_like(x)), "call to call(.|\n)*random numbers"),
    "noise by numpy": (
        Pooled(before=lambda x: x + float(np.random.default_rng().normal()) * 1e-3), "call to call",
    ),
    "dropout now and then": (Rarely(), "call to call"),
    "a memory": (Counts(), "call to call(.|\n)*from one call to the next"),
    "batch norm in training mode": (Learns(), "other images in the batch(.|\n)*training mode"),
    "a counter in a buffer": (Learns(harmless=True), "changes its own state in a pass(.|\n)*num_batches_tracked"),
    "no running statistics": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU(), nn.Flatten()),
        "batch norm '1' has no running statistics",
    ),
    "a little of the neighbours": (Pooled(after=lambda s: s + 0.02 * s.mean(0)), "other images in the batch"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNSTEADY)
def test_scores_that_are_no_function_of_the_image_are_refused(case):
    net, message = UNSTEADY[case]
    torch.manual_seed(0)
    with pytest.raises(ModelError, match=message) as caught:
        check_steady(net.eval(), torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
    assert len(str(caught.value).splitlines()) <= 2


def test_steady_networks_pass_and_random_numbers_without_effect_are_said():
    sample = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert check_steady(Pooled().eval(), sample) == ()
    assert "draws random numbers" in check_steady(Pooled(before=lambda x: x + 0 * torch.randn_like(x)), sample)[0]
