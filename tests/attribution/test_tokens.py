"""A transformer's own tokens from the command line: players, baseline and imputation, what is written, what is refused."""

import csv
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.evaluation.evaluate import evaluate
from sigcli.metrics import METRICS

from toys import TokenNet

NETS = """
import torch
from torch import nn
from toys import TokenNet

def tokens():
    return TokenNet(torch.float32, channels=3, side=8)

def conv():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
"""
SMALL = ["--image-size", "8", "--mean", "0.5", "--std", "0.5", "--device", "cpu", "--no-pictures"]


@pytest.fixture
def here(nets_here):
    (nets_here / "nets.py").write_text(NETS)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(nets_here / "photo.png")
    return nets_here


def sig(*arguments, code=0):
    done = CliRunner().invoke(app, [*arguments, *SMALL])
    assert done.exit_code == code, done.output
    return done.output


def arrays(folder):
    return {path.name: np.load(path) for path in sorted((folder / "photo").glob("*.npy"))}


def test_a_run_says_tokens_and_goes_on_where_it_stopped(here):
    told = ["explain", "photo.png", "--model", "nets:tokens", "--method", "bshap,rise", "--baseline", "tokens"]
    told += ["--set", "bshap.budget=64", "--set", "rise.samples=40", "--out", "out"]
    assert "players: the network's 4x4 tokens" in sig(*told)
    methods = json.loads((here / "out" / "manifest.json").read_text())["spec"]["methods"]
    assert '"baseline": "tokens"' in json.dumps(methods)
    assert '"players": "tokens:4x4"' in json.dumps(methods)
    first = arrays(here / "out")
    (here / "out" / "photo" / "bshap.npy").unlink()
    assert "0 failed" in sig(*told, "--resume")
    assert all(np.array_equal(one, first[name]) for name, one in arrays(here / "out").items())
    patches = first["bshap.npy"].reshape(3, 4, 2, 4, 2)
    assert (patches == patches[:, :, :1, :, :1]).all()
    assert np.unique(patches).size > 8
    sig(*told[:-1], "one", "--batch-size", "7")
    assert all(np.allclose(one, first[name], rtol=1e-4, atol=1e-6) for name, one in arrays(here / "one").items())


def test_tokens_are_players_of_any_method(here):
    told = ["explain", "photo.png", "--model", "nets:tokens", "--method", "sig,bshap", "--set", "sig.samples=4"]
    told += ["--set", "bshap.budget=64"]
    sig(*told, "--players", "tokens", "--out", "tokens")
    sig(*told, "--players", "grid:4x4", "--out", "grid")
    tokens, grid = arrays(here / "tokens"), arrays(here / "grid")
    assert all(np.array_equal(grid[name], one) for name, one in tokens.items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nets:conv", "bshap", "--players", "tokens"), "between all tokens: no softmax"),
        (("nets:conv", "rise", "--baseline", "tokens"), "between all tokens: no softmax"),
        (("nets:tokens", "ig", "--baseline", "tokens"), "ig needs an image as baseline.*kernelshap"),
        (("nets:tokens", "sig", "--baseline", "tokens"), "sig needs an image as baseline.*sig-walk"),
        (("nets:conv", "sig-walk", "--baseline", "tokens"), "between all tokens: no softmax"),
        (("nets:tokens", "deeplift", "--baseline", "tokens"), "deeplift needs an image as baseline"),
        (("nets:tokens", "bshap", "--baseline", "tokens", "--players", "grid:8x8"), "divide the network's 4x4 tokens"),
        (("nets:tokens", "bshap", "--players", "tokens:3x3"), "other tokens.*which are 4x4"),
        (("nets:tokens", "bshap", "--baseline", "tokens:3"), "wrong argument"),
        (("nets:tokens", "bshap", "--players", "token"), "unknown players"),
        (("nets:tokens", "bshap", "--players", "tokens", "--partner", "photo.png"), "pair of images has none"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_before_any_work(arguments, message, here):
    model, method, *rest = arguments
    output = sig("explain", "photo.png", "--model", model, "--method", method, "--out", "out", *rest, code=2)
    assert re.search(message, " ".join(output.split())), output
    assert not (here / "out").exists()


def sliced(net, x, keep):
    """Probabilities from the tokens that stay."""
    with torch.no_grad():
        h = net.patch(x).flatten(2).mT
        h = torch.cat([net.start, h], 1) + net.position
        h = torch.cat([h[:, :1], h[:, 1:][:, keep]], 1)
        for block in net.blocks:
            weights, values = net.weights(block, block["norm1"](h))
            h = h + block["out"]((weights @ values).transpose(1, 2).flatten(2))
            h = h + block["down"](torch.nn.functional.gelu(block["up"](block["norm2"](h))))
        return net.head(net.norm(h)[:, 0]).softmax(1)[0]


def test_deletion_and_insertion_of_tokens_by_their_definition(here):
    pixels = np.array(Image.open(here / "photo.png"))
    x = ((torch.from_numpy(pixels).permute(2, 0, 1) / 255 - 0.5) / 0.5)[None].float()
    net = TokenNet(torch.float32, channels=3, side=8)
    told = {"model": net, "image_size": 8, "mean": "0.5", "std": "0.5", "device": "cpu", "out": str(here / "out")}
    told |= {"method": "bshap", "settings": {"bshap.budget": 64, "deletion.steps": 16, "insertion.steps": 16}}
    found = evaluate(
        "photo.png", metric="deletion,insertion,morf", imputation="tokens,black", baseline="tokens", **told
    )
    with (here / "out" / "metrics.csv").open(encoding="utf-8", newline="") as stream:
        values = {(row["metric"], row["imputation"]): float(row["value"]) for row in csv.DictReader(stream)}
    assert len(found.summary) == len(values) == 6
    order = np.argsort(-np.load(here / "out" / "photo" / "bshap.npy").sum(0)[::2, ::2].ravel(), kind="stable")
    target = int(net(x).argmax())
    without = [float(sliced(net, x, torch.from_numpy(np.sort(order[k:])))[target]) for k in range(17)]
    only = [float(sliced(net, x, torch.from_numpy(np.sort(order[:k])))[target]) for k in range(17)]
    assert values["deletion", "tokens"] == pytest.approx(np.trapezoid(without) / 16, abs=1e-5)
    assert values["insertion", "tokens"] == pytest.approx(np.trapezoid(only) / 16, abs=1e-5)
    assert values["deletion", "black"] != pytest.approx(values["deletion", "tokens"], abs=1e-3)


@pytest.mark.parametrize(
    ("metric", "model", "message"),
    [
        ("deletion", "nets:conv", "no softmax in the network weighs tokens against each other"),
        ("faithfulness-correlation", "nets:tokens", "random places, and tokens can only be dropped whole"),
    ],
)
def test_metrics_that_cannot_drop_tokens(metric, model, message, here):
    told = ["evaluate", "photo.png", "--model", model, "--method", "gradient", "--metric", metric]
    output = sig(*told, "--imputation", "tokens", "--out", "out", code=2)
    assert message in " ".join(output.split())
    assert not (here / "out").exists()


def test_every_metric_that_removes_pixels_says_whether_it_drops_tokens():
    removing = {name for name, entry in METRICS.items() if "imputation" in entry.options()}
    dropping = {name for name, entry in METRICS.items() if entry.properties["drops"]}
    assert dropping == removing - {"faithfulness-correlation", "sensitivity-n", "infidelity"}
