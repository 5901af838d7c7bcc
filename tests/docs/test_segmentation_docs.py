"""docs/segmentation-detection.md: its commands run, on networks that need no download."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.models import others

from repository import ROOT

PAGE = (ROOT / "docs" / "segmentation-detection.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line.split("#")[0])[1:] for line in PAGE.splitlines() if re.match("sig (explain|evaluate) ", line)
]
NETS = """
import torch

class Segments(torch.nn.Module):
    def forward(self, x):
        return {"out": torch.stack([0 * x[:, 0] + 0.1, *self.two(x)], 1)}

    def two(self, x):
        return x[:, 0] - 0.5 * x[:, 1], x[:, 1] - 0.5 * x[:, 0], -x[:, 2]

class Finds(torch.nn.Module):
    num_classes = 4
    def forward(self, images):
        boxes = torch.tensor([[2.0, 4.0, 12.0, 14.0], [18.0, 6.0, 28.0, 16.0]])
        boxes, labels = torch.cat([boxes, boxes[:1]]), torch.tensor([3, 3, 1])
        scores = [image[0, 4:16, 2:26].unfold(1, 12, 12).mean((0, 2)) for image in images]
        scores = [torch.cat([one, one[:1] / 2]) for one in scores]
        return [{"boxes": boxes, "labels": labels, "scores": one} for one in scores]
"""
_LABELS = {
    "cat": "cat", "cat,dog": "dog", "cat - dog": "cat − dog", "cat:1,person:1": "cat 1", "person:1": "person 1",
    "person:2": "person 2", "top:2": "person 1", "cat@12,20": "cat at 12,20", "cat@mask.png": "cat in mask.png",
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_commands_of_the_page_run(nets_here, command):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[4:24, 2:24, 0] = np.linspace(100, 250, 22)
    pixels[24:, 2:24, 1] = 200
    Image.fromarray(pixels).save("photo.jpg", quality=95)
    Image.fromarray(pixels[..., 0].clip(0, 1) * np.uint8(255)).save("mask.png")
    Path("nets.py").write_text(NETS)
    Path("names.txt").write_text("background\ncat\ndog\nperson\n")
    kind = others()[command[3]]
    own = {
        "segmentation": ["nets:Segments", "--image-size", "32", "--mean", "0", "--std", "1"],
        "detection": ["nets:Finds"],
    }[kind]
    cheap = ["--set", "sig.samples=16", "--set", "ig.steps=4"] if command[0] == "evaluate" else ["--set", "samples=16"]
    cheap = [*cheap, "--class-names", "names.txt", "--out", "out", "--device", "cpu"]
    done = CliRunner().invoke(app, [*command[:3], *own, *command[4:], *cheap])
    assert done.exit_code == 0, done.output
    if command[0] == "evaluate":
        rows = Path("out/summary.csv").read_text()
        assert all(metric in rows for metric in command[command.index("--metric") + 1].split(","))
        return
    label = _LABELS[command[command.index("--target") + 1]]
    assert label in done.output
    assert Path("out/photo").is_dir()


def test_the_page_names_pictures_that_are_there():
    for name in re.findall(r"\((pictures/[^)]*)\)", PAGE):
        assert (ROOT / "docs" / name).is_file()
