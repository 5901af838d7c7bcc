"""Write docs/methods.md: what each method needs and satisfies, and which networks it runs on.

    python scripts/method_matrix.py [--out docs/methods.md] [--only gradcam,rise]

Networks have random weights and take 64×64 images; methods have settings so small that only their running is tested. Every
cell is the outcome of a run: "ok" for a finite map that is not zero everywhere, else the number of the reason below
the table.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import torch
import torchvision
from torch import nn

from sigcli.errors import SigError
from sigcli.methods import AXIOMS, METHODS
from sigcli.methods.running import attributions
from sigcli.models.aware import takes_certainty, takes_none
from sigcli.models.prepare import prepare
from sigcli.scorer import Scorer
from sigcli.types import Subject

NETWORKS = (
    "resnet18", "vgg11", "densenet121", "mobilenet_v2", "squeezenet1_1", "convnext_tiny", "vit_b_16", "swin_t",
)  # fmt: skip
SIDE = 64
SMALL = {"samples": 4, "steps": 2, "orders": 4, "budget": 16, "players": "grid:2x2", "cells": 3, "relu": False}


class Others:
    """Three images of noise as peers."""

    def __init__(self) -> None:
        self.images = torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(9))

    def __len__(self) -> int:
        return len(self.images)

    def keys(self) -> list[int]:
        return [100, 101, 102]

    def image(self, index: int) -> torch.Tensor:
        return self.images[index]

    def mean(self) -> torch.Tensor:
        return self.images.mean(0)


def network(name: str) -> nn.Module:
    """A torchvision classifier with random weights, prepared as `sig` prepares it."""
    torch.manual_seed(0)
    options = {"image_size": SIDE} if name.startswith("vit") else {}
    net = torchvision.models.get_model(name, weights=None, **options).eval()
    if name.startswith("vit"):
        nn.init.normal_(net.heads.head.weight, std=0.05)  # torchvision starts it at zero
    return prepare(net, torch.randn(2, 3, SIDE, SIDE))


def outcome(method: str, net: nn.Module) -> str:
    """Whether a method runs on a network: "ok", or why not."""
    x = torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    level = torch.zeros(3, 1, 1)
    with torch.no_grad():
        target = int(net(x[None])[0].argmax())
    who = Subject(x, target, level - 2, level + 2, 7, 0, Others())
    options = {name: value for name, value in SMALL.items() if name in METHODS[method].options()}
    if METHODS[method].properties.get("certainty") and not takes_certainty(net):
        return takes_none(f"the method {method}", type(net).__name__).what
    try:
        (found,) = attributions(METHODS[method], options, Scorer(net), [who], batch_size=8)
    except SigError as error:
        return error.what
    values = found.values
    return "ok" if bool(values.isfinite().all()) and bool(values.any()) else "the map is zero or not finite"


def facts() -> list[str]:
    """The table of what the catalogue says of each method."""
    lines = ["| method | what it is | cost (passes) | needs | " + " | ".join(AXIOMS) + " |"]
    lines.append("|---|---|---|---|" + ":-:|" * len(AXIOMS))
    for name, entry in METHODS.items():
        held = " | ".join("✓" if axiom in entry.properties["axioms"] else "" for axiom in AXIOMS)
        lines.append(
            f"| `{name}` | {entry.summary} | {entry.properties['cost']} | {entry.properties['needs']} | {held} |"
        )
    return lines


def earlier(page: str) -> dict[tuple[str, str], str]:
    """The outcomes that a page holds: (method, network) → outcome."""
    table = page.partition("## Which method runs")[2]
    reasons = dict(re.findall(r"^- (\[\d+\]) (.+)$", table, re.MULTILINE))
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith(("| method", "| `"))]
    networks = rows[0][1:] if rows else []
    return {
        (row[0].strip("`"), name): reasons.get(cell, cell)
        for row in rows[1:]
        for name, cell in zip(networks, row[1:], strict=True)
    }


def matrix(networks: tuple[str, ...], methods: tuple[str, ...], known: dict[tuple[str, str], str]) -> list[str]:
    """The table of which method runs on which network, with the reasons of those that do not below it."""
    found = dict(known)
    for name in networks:
        missing = [method for method in methods if (method, name) not in known]
        net = network(name) if missing else None
        for method in missing:
            found[method, name] = outcome(method, net)
            print(f"{name} {method}: {found[method, name]}", flush=True)
    inside = [found[method, name] for name in networks for method in methods]
    reasons = list(dict.fromkeys(reason for reason in inside if reason != "ok"))
    lines = ["| method | " + " | ".join(networks) + " |", "|---|" + ":-:|" * len(networks)]
    for method in methods:
        cells = [found[method, name] for name in networks]
        shown = ["ok" if cell == "ok" else f"[{reasons.index(cell) + 1}]" for cell in cells]
        lines.append(f"| `{method}` | " + " | ".join(shown) + " |")
    return [*lines, "", *(f"- [{i}] {reason}" for i, reason in enumerate(reasons, 1))]


def page(networks: tuple[str, ...], methods: tuple[str, ...], known: dict[tuple[str, str], str]) -> str:
    """The whole page; outcomes that are known are not run again."""
    axioms = [f"- *{name}*: {meaning}." for name, meaning in AXIOMS.items()]
    return "\n".join([
        "# Methods", "",
        "Written by `python scripts/method_matrix.py`; do not edit. `sig list methods NAME` shows a method's options.", "",
        "A pass is one image through the model: forward and backward where a method needs gradients or hooks, forward only",
        "where it says so. Methods that need hooks look into a network's layers, and refuse TorchScript and `.pt2` files.",
        "The tests hold every method to the axioms that it declares here, on linear, product, max and unanimity models;",
        "those that look into layers on a network of convolutions and ReLU. DeepLIFT and DeepSHAP are complete where there",
        "is no max-pooling: captum's rule for it loses a part (some 60 % on SqueezeNet), and every run's completeness gap",
        "says how much.", "",
        "`linear-shap` and `max-shap` have closed forms for scores of one kind, and refuse others: a linear score, and one",
        "that is the largest of what its players bring.", "",
        *facts(), "", *axioms, "", "## Which method runs on which network", "",
        f"Random weights, {SIDE}×{SIDE} images. A number refers to the reason of the refusal.", "",
        *matrix(networks, methods, known), "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "methods.md")
    parser.add_argument("--only", default="", help="methods to run, with commas; the others as the page has them")
    arguments = parser.parse_args()
    known: dict[tuple[str, str], str] = {}
    if arguments.only:
        known = earlier(arguments.out.read_text(encoding="utf-8"))
        known = {key: value for key, value in known.items() if key[0] not in arguments.only.split(",")}
    arguments.out.write_text(page(NETWORKS, tuple(METHODS), known), encoding="utf-8")


if __name__ == "__main__":
    main()
