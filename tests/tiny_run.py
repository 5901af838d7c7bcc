"""Runs of a tiny network from the command line, and what they leave, file by file but for the wall time."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from sigcli.cli.main import app

SIDE = 16
NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, seed):
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.w = nn.Parameter(torch.randn(3, 3 * 16 * 16, generator=g) * 0.05)

    def forward(self, x):
        return torch.tanh(x.flatten(1) @ self.w.T) * 3 + x.mean((2, 3)) * 4


def net():
    return Net(0)


def other():
    return Net(1)
"""
LINE = [
    "--model", "tiny_net:net", "--resize", "16", "--crop", "16", "--mean", "0,0,0", "--std", "1,1,1", "--device", "cpu",
]  # fmt: skip


def sig(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def said(done):
    return " ".join(done.output.split())


def picture(path: Path, seed: int, size: int = SIDE, channel: int | None = None) -> None:
    pixels = np.random.default_rng(seed).integers(0, 120, (size, size, 3), np.uint8)
    if channel is not None:
        pixels[..., channel] += 120  # makes it that class
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def table(folder):
    """Rows of results.csv but for the wall time."""
    with (Path(folder) / "results.csv").open(newline="", encoding="utf-8") as stream:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)]


def contents(folder):
    """Every file of a folder but timings, which the data of its page hold, too."""
    files = {str(p.relative_to(folder)): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}
    files.pop("results.csv")
    files.pop("gallery/data.js", None)
    return files, table(folder)
