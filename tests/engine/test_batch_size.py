"""`--batch-size N`: no pass of the model holds more than N images, whatever asks for it."""

import json
import sys

import numpy as np
import pytest
from PIL import Image
from torch.nn.modules.module import register_module_forward_pre_hook
from typer.testing import CliRunner

from sigcli.cli.main import app

NET = """
import torch

SEEN = []


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.last = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Linear(4, 5)

    def forward(self, x):
        SEEN.append(len(x))
        return self.last(torch.relu(self.conv(x)).mean((2, 3)))
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "counted", raising=False)
    (tmp_path / "counted.py").write_text(NET)
    (tmp_path / "in").mkdir()
    for number in range(5):
        noise = np.random.default_rng(number).integers(0, 256, (24, 24, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "in" / f"{number}.png")
    (tmp_path / "labels.csv").write_text("image,label\n" + "".join(f"{n}.png,{n}\n" for n in range(5)))
    return tmp_path


def measured(size, out):
    options = [
        "--method", "sig,gradcam,kernelshap", "--metric", "deletion,max-sensitivity,infidelity,parameter-randomisation",
        "--set", "sig.samples=4", "--set", "deletion.steps=6", "--set", "kernelshap.budget=12",
        "--set", "max-sensitivity.samples=3", "--players", "grid:2x2",
    ]  # fmt: skip
    shape = [
        "--model",
        "counted:Net",
        "--image-size",
        "24",
        "--labels",
        "labels.csv",
        "--device",
        "cpu",
        "--no-pictures",
    ]
    done = CliRunner().invoke(
        app, ["evaluate", "in", *shape, *options, "--json", "--batch-size", str(size), "--out", out]
    )
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()[:-1]]  # the last one counts them


def test_no_pass_holds_more_images_than_asked(here):
    rows = measured(2, "two")
    seen = sys.modules["counted"].SEEN
    assert max(seen) == 2
    seen.clear()
    others = measured(16, "sixteen")
    assert max(seen) > 2
    numbers, expected = ([row["value"] for row in found] for found in (rows, others))
    assert len(numbers) == len(expected) > 12
    np.testing.assert_allclose(numbers, expected, rtol=1e-4, atol=1e-6)


def test_no_method_shows_the_model_more_images_than_asked(here):
    methods = "ig,eg,rise,occlusion,deepshap,gradient-shap,guided-ig,blur-ig,lime,low-order-shap"
    line = [
        "explain",
        "in/0.png",
        "in/1.png",
        "--model",
        "counted:Net",
        "--size",
        "24",
        "--device",
        "cpu",
        "--no-pictures",
    ]
    done = CliRunner().invoke(
        app, [*line, "--method", methods, "--players", "grid:2x2", "--set", "rise.samples=21", "--batch-size", "2"]
    )
    assert done.exit_code == 0, done.output
    assert max(sys.modules["counted"].SEEN) == 2


def test_checks_of_certainty_keep_to_it(here):
    seen = []
    hook = register_module_forward_pre_hook(
        lambda module, inputs: seen.append(len(inputs[0])) if type(module).__name__ == "ShapesNet" else None
    )
    line = ["evaluate", "in", "--metric", "information-absence,neutrality", "--device", "cpu", "--out", "checks"]
    done = CliRunner().invoke(app, [*line, "--batch-size", "2", "--no-pictures"])
    hook.remove()
    assert done.exit_code == 0, done.output
    assert max(seen) == 2
