"""`sig train --preset icg`: [ICG] A.5, against a training by hand."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from sigcli import draws
from sigcli.cli.main import app
from sigcli.models.preprocess import Preprocess
from sigcli.models.sources import trained
from sigcli.models.sources.trained import Trained
from sigcli.training.damage import training_damage
from sigcli.training.loop import Held, net_of, preset_recipe, start_by_xavier, train

MADE = Trained("components", ("dark", "light"), True, Preprocess(4, 4, (0.5,), (0.25,)))


def batch(step):
    labels = torch.arange(64) % 2
    generator = torch.Generator().manual_seed(step)
    return 0.2 + 0.5 * labels[:, None, None, None] + 0.2 * torch.rand(64, 1, 4, 4, generator=generator), labels


def test_every_weight_moves_as_adam_moves_it():
    """Three steps of Kingma, Ba 2015, Algorithm 1, written out, on inputs that are all damaged; no decay, warmth or cut."""
    recipe = preset_recipe("icg", steps=3, seed=5)
    net = net_of(trained.build(MADE), (0.5,), (0.25,), certainty=True, device="cpu")
    train(net, batch, Held(*batch(99)), recipe)

    hand = trained.build(MADE)
    start_by_xavier(hand, draws.stream(5, "xavier") % 2**63)
    weights = list(hand.parameters())
    m, v = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    for step in range(3):
        images, labels = batch(step)
        key = torch.Generator().manual_seed(draws.stream(5, "train", step) % 2**63)
        damaged, certainty = training_damage(images, key)
        loss = nn.functional.cross_entropy(hand((damaged - 0.5) / 0.25, certainty), labels)
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for w, g, one, two in zip(weights, gradients, m, v, strict=True):
                one.mul_(0.9).add_(0.1 * g)
                two.mul_(0.999).add_(0.001 * g * g)
                mean, square = one / (1 - 0.9 ** (step + 1)), two / (1 - 0.999 ** (step + 1))
                w.sub_(0.001 * mean / (square.sqrt() + 1e-8))
    for mine, theirs in zip(net.module.parameters(), weights, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_weights_start_by_xavier_and_biases_at_zero():
    net = nn.Sequential(nn.Conv2d(4, 30, 3), nn.BatchNorm2d(30), nn.Flatten(), nn.Linear(200, 80))
    nn.init.constant_(net[1].bias, 3.0)
    start_by_xavier(net.requires_grad_(False), 1)
    for weight, into, out in ((net[0].weight, 4 * 9, 30 * 9), (net[3].weight, 200, 80)):
        bound = math.sqrt(6 / (into + out))
        assert float(weight.abs().max()) <= bound
        assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.06)
    assert all(float(net[i].bias.abs().max()) == 0 for i in (0, 1, 3))
    assert torch.equal(net[1].weight, torch.ones(30))
    first = net[0].weight.clone()
    start_by_xavier(net, 1)
    assert torch.equal(net[0].weight, first)
    start_by_xavier(net, 2)
    assert not torch.equal(net[0].weight, first)


@pytest.mark.slow
def test_the_command(tmp_path):
    for name, level in (("dark", 60), ("light", 190)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(10):
            pixels = np.random.default_rng(i).integers(level - 40, level + 40, (16, 16)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{i}.png")

    def run(*more, out):
        common = [
            "train",
            tmp_path / "data",
            "--arch",
            "small-cnn",
            "--grey",
            "--size",
            "16",
            "--no-flip",
            "--no-pictures",
        ]
        common += ["--epochs", "2", "--batch-size", "8", "--out", tmp_path / out, *more]
        return CliRunner().invoke(app, [str(one) for one in common])

    done = run("--preset", "icg", "--json", out="paper")
    assert done.exit_code == 0, done.output
    assert "neutrality" in json.loads(done.stdout)  # with certainty, though nobody said so
    spec = json.loads((tmp_path / "paper" / "manifest.json").read_text())["spec"]
    assert (spec["preset"], spec["rate"], spec["certainty"]) == ("icg", 0.001, True)
    renamed = run("--preset", "icg", "--rate", "0.01", "--no-certainty", out="own")
    assert renamed.exit_code == 0
    assert "note: --rate is now --learning-rate" in renamed.stderr
    assert "note: --size is now --image-size" in renamed.stderr
    spec = json.loads((tmp_path / "own" / "manifest.json").read_text())["spec"]
    assert (spec["rate"], spec["certainty"]) == (0.01, False)
    wrong = run("--preset", "ivg", out="none")
    assert wrong.exit_code == 2
    assert "unknown preset" in wrong.stderr
    assert not (tmp_path / "none").exists()
