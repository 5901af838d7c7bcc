"""Every command of docs/transformers.md, on a small transformer in place of those that the page names."""

import csv
import re
import shlex

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.methods import METHODS

from pages import commands
from repository import ROOT

PAGE = (ROOT / "docs" / "transformers.md").read_text(encoding="utf-8")
NETS = """
import torch, torchvision

def vit():
    torch.manual_seed(0)
    net = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5)
    torch.nn.init.normal_(net.heads.head.weight)
    return net.eval()
"""
SMALL = [
    "--model",
    "nets:vit",
    "--image-size",
    "32",
    "--mean",
    "0.5",
    "--std",
    "0.5",
    "--device",
    "cpu",
    "--no-pictures",
]


@pytest.mark.parametrize("command", commands(PAGE))
def test_every_command_runs(command, nets_here):
    (nets_here / "nets.py").write_text(NETS)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(pixels).save(nets_here / "photo.jpg")
    arguments = re.sub(r"--model \S+", "", command).removeprefix("sig ")
    done = CliRunner().invoke(app, [*shlex.split(arguments), *SMALL, "--out", "out"])
    assert done.exit_code == 0, done.output
    with (nets_here / "out" / "results.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    named = re.search(r"--method (\S+)", command)[1].split(",")
    assert [row["method"] for row in rows] == [one.partition("=")[0] for one in named]
    maps = [np.load(nets_here / "out" / "photo" / f"{row['method']}.npy") for row in rows]
    assert all(np.abs(one).max() > 0 for one in maps)
    assert not any(np.array_equal(one, other) for i, one in enumerate(maps) for other in maps[:i])


def test_the_page_names_the_methods_and_their_passes():
    rows = dict(re.findall(r"^\| `([\w-]+)` \|.*\| (\d+) \|$", PAGE, re.MULTILINE))
    wanted = [name for name, entry in METHODS.items() if entry.properties.get("only") == "attention"]
    assert rows == {name: str(METHODS[name].properties["passes"]) for name in [*wanted, "lrp"]}


@pytest.mark.parametrize(("setting", "message"), [("heads=median", "heads"), ("head=max", "Did you mean heads|heads")])
def test_options_that_there_are_not(setting, message, nets_here):
    (nets_here / "nets.py").write_text(NETS)
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(nets_here / "photo.jpg")
    done = CliRunner().invoke(
        app, ["explain", "photo.jpg", "--method", "rollout", "--set", f"rollout.{setting}", *SMALL]
    )
    assert done.exit_code == 2
    assert re.search(message, done.output)
