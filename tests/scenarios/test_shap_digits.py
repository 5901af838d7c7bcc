"""`shap-digits`: on a linear network, where the best mask and what it changes are known in closed form."""

import csv
import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from sigcli.attribution import rehearsal
from sigcli.cli.main import app
from sigcli.errors import UsageError
from sigcli.models.preprocess import Preprocess
from sigcli.models.sources import trained
from sigcli.scenarios.mnist import shared
from sigcli.scenarios.mnist.data import CLASSES, SIDE, Digits
from sigcli.scenarios.network import NETWORK, Prepared
from sigcli.scenarios.scenario import run_scenario
from sigcli.scenarios.shap_digits import masking
from sigcli.scenarios.shap_digits.masking import as_many_at_random, ink_players, named_right, to_mask
from sigcli.scenarios.shap_digits.study import ShapDigits
from sigcli.training.loop import net_of

BOX = (slice(7, 21), slice(7, 21))
"""All ink lies within it: 196 pixels, more than a fifth of the picture."""


class Linear(nn.Module):
    """Logits are weights times pixels; 8 by far, so that every digit is called an 8."""

    def __init__(self, classes=10, channels=1, certainty=False):
        super().__init__()
        self.all = nn.Linear(channels * SIDE * SIDE, classes)

    def forward(self, x):
        return self.all(x.flatten(1))


@pytest.fixture
def linear(tmp_path, monkeypatch):
    """The network's weights (10, 28, 28), most of which speak for 8 and against 3; and a folder of pictures."""
    rng = np.random.default_rng(0)
    monkeypatch.setitem(trained.OWN, "linear", Linear)
    made = trained.Trained("linear", CLASSES, False, Preprocess(None, (SIDE, SIDE), (0.0,), (1.0,)))
    net = Linear()
    weights = rng.normal(0, 0.3, (10, SIDE, SIDE))
    weights[8] = weights[3] + np.where(rng.random((SIDE, SIDE)) < 0.9, 1, -1) * rng.random((SIDE, SIDE))
    with torch.no_grad():
        net.all.weight.copy_(torch.from_numpy(weights).flatten(1))
        net.all.bias.copy_(torch.eye(10)[8] * 100)

    def network(name, split, *, folder, **options):
        trained.save(folder / NETWORK, net, made)
        points = {"accuracy": 1.0, "held": 1, "steps": 1, "seconds": 0.0}
        return Prepared(folder / NETWORK, net_of(net, (0.0,), (1.0,), certainty=False, device="cpu"), points, [], False)

    monkeypatch.setattr(shared, "digit_network", network)
    images = np.zeros((60, SIDE, SIDE), np.uint8)
    images[(slice(None), *BOX)] = rng.integers(1, 256, (60, 14, 14)) * (
        rng.random((60, 14, 14)) < rng.choice([0.3, 1], (60, 1, 1))
    )
    labels = np.full(60, 8, np.uint8)
    labels[:20] = np.arange(20) % 10
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / f"t10k-{kind}-ubyte").write_bytes(header + array.tobytes())
    return weights, tmp_path / "data"


def pictures(folder):
    from PIL import Image

    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.glob("pictures/*/*.png"))}


def test_a_linear_network_has_the_best_mask_by_every_exact_method(linear, tmp_path):
    """Each pixel gives (w8 - w3) x to the log odds: the 157 largest of what is positive, and no other mask takes as much."""
    weights, data = linear
    settings = {"ig.steps": 2, "sig-walk.orders": 2, "kernelshap.budget": 600, "lime.samples": 500}
    settings |= {f"{name}.baseline": "black" for name in ("ig", "deeplift", "kernelshap")}
    method = "deeplift,ig,sig-walk,kernelshap,lime"
    found = run_scenario(
        "shap-digits", data=data, images=3, method=method, settings=settings, device="cpu", out=tmp_path / "o"
    )
    shown = pictures(tmp_path / "o")
    assert len(shown) == 3
    capped = 0
    for name, image in shown.items():
        gain = ((weights[8] - weights[3]) * (image / 255)).ravel()
        largest = np.sort(gain[gain > 0])[::-1][:157]
        capped += (gain > 0).sum() > 157
        rows = {row["method"]: row for row in found.records if row["image"] == name}
        for method in ("deeplift", "ig", "sig-walk", "kernelshap"):
            assert rows[method]["change"] == pytest.approx(largest.sum(), rel=1e-4), method
            assert rows[method]["masked"] == len(largest)
            assert rows[method]["named"] == 8
        assert rows["lime"]["change"] <= largest.sum() * (1 + 1e-4)  # its draws are few
        assert rows["(random)"]["masked"] == rows["deeplift"]["masked"]
        assert rows["(random)"]["change"] < largest.sum()
    assert 0 < capped < 3  # some digits have more of such pixels than a fifth of the picture, some fewer
    with (tmp_path / "o" / "summary.csv").open() as stream:
        means = {row["method"]: float(row["mean"]) for row in csv.DictReader(stream)}
    rows = [row["change"] for row in found.records if row["method"] == "ig"]
    assert means["ig"] == pytest.approx(np.mean(rows), rel=1e-4)
    for name in (*ShapDigits.files, *ShapDigits.networks):
        assert (tmp_path / "o" / name).stat().st_size > 100


def test_no_other_set_of_pixels_takes_more():
    rng = np.random.default_rng(1)
    for most in (1, 3, 20):
        gain, image = rng.normal(size=(2, 5)), np.array([[0, 9, 9, 9, 9], [9, 9, 0, 9, 9]], np.uint8)
        effect = np.where(image > 0, gain, 0).ravel()  # a black pixel cannot be masked
        best = max(
            sum(effect[list(some)]) for k in range(most + 1) for some in itertools.combinations(range(10), min(k, 10))
        )
        masked = to_mask(gain, image, most)
        assert effect[masked.ravel()].sum() == pytest.approx(best)
        assert not masked[image == 0].any()
        assert masked.sum() == min(most, (effect > 0).sum())
        control = as_many_at_random(masked, image, 7)
        assert control.sum() == masked.sum()
        assert not control[image == 0].any()


def test_players_are_pixels_with_ink_in_some_picture():
    images = np.zeros((2, 3, 3), np.uint8)
    images[0, 0, 0] = images[1, 2, 1] = images[1, 0, 0] = 1
    assert ink_players(images).tolist() == [[1, 0, 0], [0, 0, 0], [0, 2, 0]]


def test_only_digits_that_are_named_right_are_explained():
    net = Linear()
    with torch.no_grad():
        net.all.weight.zero_()
        net.all.weight[3, 0] = 1.0
        net.all.bias.copy_(torch.eye(10)[8] * 0.5)
    images = np.zeros((5, SIDE, SIDE), np.uint8)
    images[2, 0, 0] = 255  # called a 3
    held = Digits(images, np.array([8, 1, 8, 8, 8]))
    made = Prepared(Path(), net_of(net, (0.0,), (1.0,), certainty=False, device="cpu"), {}, [], False)
    assert named_right(made, held, 9)[0] == ["000.png", "001.png", "002.png"]
    assert len(named_right(made, held, 2)[1]) == 2
    with pytest.raises(UsageError, match="Train it longer"):
        named_right(made, held.rows(np.array([0, 1, 2])), 9)


def test_a_map_that_fails_and_a_digit_that_the_network_refuses_fail_alone(linear, tmp_path, monkeypatch):
    calls = []
    right = masking.Judge.outputs

    def outputs(self, images):
        calls.append(len(images))
        if len(calls) == 2:
            raise RuntimeError("too dark")
        return right(self, images)

    monkeypatch.setattr(masking.Judge, "outputs", outputs)
    monkeypatch.setattr(rehearsal, "check_kind", lambda *_: None)  # else max-shap is refused before the first digit
    options = ["--data", linear[1], "--images", 2, "--method", "ig,max-shap", "--set", "steps=2", "--device", "cpu"]
    done = CliRunner().invoke(
        app,
        ["benchmark", "scenario", "shap-digits", *map(str, options), "--out", str(tmp_path / "out"), "--no-pictures"],
    )
    assert done.exit_code == 1, done.output
    with (tmp_path / "out" / "changes.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["method"] for row in rows] == ["ig", "max-shap", "(random)"] * 2
    assert ["too dark" in row["error"] for row in rows] == [False, False, True, False, False, False]
    assert [bool(row["error"]) for row in rows] == [False, True, True, False, True, False]
    assert [bool(row["change"]) for row in rows] == [True, False, False, True, False, True]
