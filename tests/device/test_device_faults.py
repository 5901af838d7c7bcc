"""A GPU that fails for good, memory of a CPU that is limited, and what makes a program wait for a device."""

import csv
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.engine.memory import is_device_lost
from sigcli.methods import METHODS
from sigcli.methods.run import attributions
from sigcli.scores.classifier import ClassScore

import pretend
from toys import relu_net, subject

NET = """
import torch
class Net(torch.nn.Module):
    # the device fails at red pictures, as long as the file "broken" is there
    def __init__(self):
        super().__init__(); self.factor = torch.nn.Parameter(torch.tensor(4.0))
    def forward(self, x):
        import os
        if os.path.exists("broken") and bool((x[:, 0].mean((1, 2)) > .7).any()):
            raise RuntimeError("CUDA error: device-side assert triggered")
        return self.factor * (x * x).mean((2, 3))
"""
LIMITED = """
import resource, torch, numpy as np
from sigcli.engine.integrate import Task, integrate
from sigcli.methods import METHODS
from sigcli.scores.classifier import ClassScore
from sigcli.types import Subject
torch.set_num_threads(1)
sizes = []
def model(x):
    sizes.append(len(x))
    wide = x.repeat(1, 32, 1, 1) * 2  # 8 MiB an image
    return wide.square().mean((2, 3))
x = torch.rand(1, 256, 256)
who = Subject(x, 1, torch.zeros(1, 1, 1), torch.ones(1, 1, 1), key=1)
def run(): return next(iter(integrate(ClassScore(model), [Task(who, METHODS["ig"].load()(who, steps=64))], batch_size=64)))
whole = run()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20), resource.RLIM_INFINITY))
sizes.clear()
limited = run()
assert sizes[0] == 64 and min(sizes) < 64, sizes
assert torch.allclose(whole.values, limited.values, rtol=1e-5, atol=1e-7)
print("halved")
"""


def test_a_device_that_is_lost_ends_the_run_and_keeps_what_is_finished(nets_here):
    (nets_here / "nets.py").write_text(NET)
    (nets_here / "in").mkdir()
    (nets_here / "broken").touch()
    for number, level in enumerate((40, 80, 250)):
        Image.fromarray(np.full((16, 16, 3), level, np.uint8)).save(nets_here / "in" / f"{number}.png")
    line = [
        "explain",
        "in",
        "--model",
        "nets:Net",
        "--method",
        "ig",
        "--set",
        "steps=4",
        "--batch-size",
        "4",
        "--out",
        "run",
    ]
    line += ["--mean", "0", "--std", "1", "--image-size", "16", "--no-pictures", "--device", "cpu"]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 1
    assert "the GPU failed and cannot be used any longer (given: RuntimeError: CUDA error" in " ".join(
        done.output.split()
    )
    assert "--resume" in done.output
    with open("run/results.csv", newline="") as stream:
        assert [row["image"] for row in csv.DictReader(stream) if row["status"] == "ok"] == ["0.png", "1.png"]
    (nets_here / "broken").unlink()
    again = CliRunner().invoke(app, [*line, "--resume"])
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("CUDA error: an illegal memory access was encountered", True),
        ("CUDA error: unspecified launch failure", True),
        ("CUDA error: invalid configuration argument", False),
        ("CUDA error: out of memory", False),
        ("device-side assert", False),
    ],
)
def test_only_errors_that_stay_mean_a_lost_device(text, lost):
    assert is_device_lost(RuntimeError(text)) is lost


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS is Linux's")
def test_a_limit_on_memory_halves_the_batch():
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "halved"


@pytest.mark.parametrize(
    ("method", "few", "many"),
    [
        ("ig", {"steps": 8}, {"steps": 64}),
        ("sig", {"samples": 32, "players": "grid:4x4"}, {"samples": 128, "players": "grid:4x4"}),
        ("sig-walk", {"orders": 2, "players": "grid:2x2"}, {"orders": 16, "players": "grid:2x2"}),
        ("eg", {"samples": 16, "baselines": "uniform"}, {"samples": 64, "baselines": "uniform"}),
        ("eg", {"samples": 16}, {"samples": 64}),
        ("smoothgrad", {"samples": 16}, {"samples": 64}),
        ("rise", {"samples": 16}, {"samples": 64}),
        ("blur-ig", {"steps": 8}, {"steps": 32}),
    ],
)
def test_the_loop_does_not_wait_for_the_device(method, few, many, there):
    """Numbers are read from the device at the end of an explanation: as often whatever its evaluations and batches."""
    who = subject(torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(1)), dtype=torch.float32)
    who = replace(who, x=who.x.to(there), low=who.low.to(there), high=who.high.to(there))
    net = relu_net(torch.float32).to(there)
    waits = []
    for options, size in ((few, 8), (many, 8), (many, 64)):
        pretend.WAITS.clear()
        list(attributions(METHODS[method], options, ClassScore(net), [who], batch_size=size))
        waits.append(dict(pretend.WAITS))
    assert waits[0] == waits[1] == waits[2]
    assert sum(waits[0].values()) <= 4


def test_a_wait_in_the_loop_would_be_counted(there):
    class Waiting(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)) * float(x.detach().sum())

    who = subject(torch.rand(2, 8, 8), dtype=torch.float32)
    who = replace(who, x=who.x.to(there), low=who.low.to(there), high=who.high.to(there))
    found = []
    for steps in (8, 32):
        pretend.WAITS.clear()
        list(attributions(METHODS["ig"], {"steps": steps}, ClassScore(Waiting()), [who], batch_size=8))
        found.append(sum(pretend.WAITS.values()))
    assert found[1] == found[0] + 3
