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

from sigcli.catalog import Entry
from sigcli.engine.passes import Passes
from sigcli.errors import SigError
from sigcli.methods import AXIOMS, METHODS
from sigcli.methods.relevance import relevance
from sigcli.methods.run import attributions
from sigcli.models.fold import prepare
from sigcli.models.wrappers.certainty import takes_certainty, takes_none
from sigcli.scores.classifier import ClassScore
from sigcli.types import Subject

NETWORKS = (
    "resnet18", "vgg11", "densenet121", "mobilenet_v2", "squeezenet1_1", "convnext_tiny", "vit_b_16", "swin_t",
)  # fmt: skip
CONSERVING = (
    "alexnet", "vgg11", "squeezenet1_1", "resnet18", "googlenet", "densenet121", "mobilenet_v2", "shufflenet_v2_x0_5",
    "mnasnet0_5", "regnet_x_400mf", "regnet_y_400mf", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "vit_b_16",
    "swin_t",
)  # fmt: skip
SIDE = 64
SMALL = {
    "samples": 4,
    "steps": 2,
    "orders": 4,
    "budget": 16,
    "players": "grid:2x2",
    "cells": 3,
    "relu": False,
    "iterations": 2,
}


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


def network(name: str, *, settled: bool = False) -> nn.Module:
    """A torchvision classifier with random weights, prepared as `sig` prepares it.

    `settled` gives its batch norms the statistics of noise, as training would: else deep ones have outputs of 1e-13.
    """
    torch.manual_seed(0)
    options = {"image_size": SIDE} if name.startswith("vit") else {"init_weights": True} if name == "googlenet" else {}
    net = torchvision.models.get_model(name, weights=None, **options).eval()
    if name.startswith("vit"):
        nn.init.normal_(net.heads.head.weight, std=0.05)  # torchvision starts it at zero
    if settled:
        norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
        for norm in norms:
            norm.train()
            norm.momentum = None
        with torch.no_grad():
            net(torch.randn(8, 3, SIDE, SIDE))
    return prepare(net.eval(), torch.randn(2, 3, SIDE, SIDE))


def subject(net: nn.Module) -> Subject:
    """An image of noise, to be explained at the class that the network gives it."""
    x = torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    level = torch.zeros(3, 1, 1)
    with torch.no_grad():
        target = int(net(x[None])[0].argmax())
    return Subject(x, target, level - 2, level + 2, 7, 0, Others())


def conservation(name: str) -> str:
    """A row: what DeepLIFT's values and LRP's relevance miss of what they should sum to."""
    net = network(name, settled=True)
    who, cells = subject(net), [f"`{name}`"]
    for baseline in ("black", "blur", "random"):
        (found,) = attributions(METHODS["deeplift"], {"baseline": baseline}, ClassScore(net), [who])
        cells.append(f"{found.completeness_gap / abs(found.total):.0e}")
    for rule in ("epsilon", "gamma", "alpha1-beta0"):
        try:
            values, logit, biases = relevance(Passes(ClassScore(net)), who, rule, biases=True)
        except SigError:
            cells += ["refused", "", ""]
            continue
        total = float(values.double().sum())
        cells += [f"{total / logit:.3f}", f"{biases / logit:.3f}", f"{abs(total + biases - logit) / abs(logit):.0e}"]
    print(*cells, flush=True)
    return "| " + " | ".join(cells) + " |"


def table_of_conservation(kept: str) -> list[str]:
    """The table, run anew unless a page has it."""
    rows = kept.strip().splitlines() or [
        "| network | black | blur | random image | ε: Σ | biases | gap | γ: Σ | biases | gap | α1β0: Σ | biases | gap |",
        "|---|" + "--:|" * 12,
        *(conservation(name) for name in CONSERVING),
    ]
    return ["<!-- conservation -->", *rows, "<!-- end -->"]


def outcome(method: str, net: nn.Module) -> str:
    """Whether a method runs on a network: "ok", or why not."""
    who = subject(net)
    options = {name: value for name, value in SMALL.items() if name in METHODS[method].options()}
    if METHODS[method].properties.get("certainty") and not takes_certainty(net):
        return takes_none(f"the method {method}", type(net).__name__).what
    try:
        (found,) = attributions(METHODS[method], options, ClassScore(net), [who], batch_size=8)
    except SigError as error:
        return error.what
    values = found.values
    return "ok" if bool(values.isfinite().all()) and bool(values.any()) else "the map is zero or not finite"


def facts() -> list[str]:
    """The table of what the catalogue says of each method."""
    lines = ["| method | what it is | cost (passes) | needs | reports | " + " | ".join(AXIOMS) + " |"]
    lines.append("|---|---|---|---|---|" + ":-:|" * len(AXIOMS))
    for name, entry in METHODS.items():
        held = " | ".join("✓" if axiom in entry.properties["axioms"] else "" for axiom in AXIOMS)
        cells = entry.summary, _cost(entry), entry.properties["needs"], _reports(entry)
        lines.append(f"| `{name}` | {' | '.join(cells)} | {held} |")
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


def conserved(page: str) -> str:
    """The rows of the table of conservation that a page holds."""
    return page.partition("<!-- conservation -->\n")[2].partition("<!-- end -->")[0]


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


def page(networks: tuple[str, ...], methods: tuple[str, ...], known: dict[tuple[str, str], str], kept: str = "") -> str:
    """The whole page; outcomes that are known are not run again, nor the table of conservation where it is given."""
    axioms = [f"- *{name}*: {meaning}." for name, meaning in AXIOMS.items()]
    return "\n".join([
        "# Methods", "",
        "Written by `python scripts/method_matrix.py`; do not edit. `sig list methods NAME` shows a method's options.", "",
        "A pass is one image through the model: forward and backward where a method needs gradients or hooks, forward only",
        "where it says so; the number is that of the default options. Those for the score and the completeness check come",
        "on top. Methods that need hooks look into a network, and refuse TorchScript and `.pt2` files. *gap*: the values",
        "promise to sum to a score difference, and what they miss is reported; *error*: the standard error of draws.",
        "The tests hold every method to the axioms that it declares here, on linear, product, max and unanimity models;",
        "those that look into a network on convolutions, ReLU, pooling, attention, norms and gates.", "",
        "`linear-shap` and `max-shap` have closed forms for scores of one kind, and refuse others: a linear score, and one",
        "that is the largest of what its players bring.", "",
        *facts(), "", *axioms, "", "## What DeepLIFT and LRP conserve", "",
        "DeepLIFT, DeepSHAP, LRP, guided backpropagation and deconvolution follow the operators that a network's",
        "own code runs, each with a rule. The record must give the network's outputs and input gradients, else it is",
        "refused. They compute in the image's type whatever `--precision` says.", "",
        "DeepLIFT: |Σ - (F(x) - F(x'))| / |F(x) - F(x')| for three references. A maximum gives its difference to one",
        "entry, the image's largest where the maximum rises, else the reference's; a product Δ(ab) gives ½(b + b')Δa and",
        "½(a + a')Δb; softmax, LayerNorm, GroupNorm and division are taken apart into products, sums and",
        "functions of single values.", "",
        "LRP: the sum of the map and what biases (with the shifts of batch norms) take up, both as fractions of the logit,",
        "counted apart in the backward pass, and what the two together miss. Of alpha1-beta0 the miss is the rule's own",
        "where a unit has relevance and no positive part to give it to. In transformers LRP has the rules of AttnLRP: half of",
        "a product's relevance to each factor, a softmax's by its Taylor expansion, normalisers and self-gates held constant.",
        "It is refused at gates that are not 0 at 0, such as the sigmoid of squeeze-and-excitation.", "",
        f"Random weights, batch norms with the statistics of noise, {SIDE}×{SIDE} images, float32. What `regnet_y_400mf`",
        "misses from black is rounding: its values add up to 1,068, their absolute values to 1.4e7. In float64: 9e-14.",
        "",
        *table_of_conservation(kept), "", "## Which method runs on which network", "",
        f"Random weights, {SIDE}×{SIDE} images. A number refers to the reason of the refusal.", "",
        *matrix(networks, methods, known), "",
    ])  # fmt: skip


def _reports(entry: Entry) -> str:
    """Which of the completeness gap and the standard error a method reports with its default options."""
    known = entry.properties
    error = known["sampled"] and known.get("stderr", True)
    return ", ".join(["gap"] * known["complete"] + ["error"] * error)


def _cost(entry: Entry) -> str:
    """The passes that a method costs, and their number with its default options."""
    cost, passes = entry.properties["cost"], entry.properties["passes"]
    layer = " for 512 channels" if "channels" in cost else ""
    return cost if cost == str(passes) else f"{cost} = {passes:,}{layer}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "methods.md")
    parser.add_argument("--only", default="", help="methods to run, with commas; the others as the page has them")
    arguments = parser.parse_args()
    known: dict[tuple[str, str], str] = {}
    kept = ""
    if arguments.only:
        before = arguments.out.read_text(encoding="utf-8")
        known, kept = earlier(before), conserved(before)
        if not {"deeplift", "lrp"}.isdisjoint(arguments.only.split(",")):
            kept = ""
        known = {key: value for key, value in known.items() if key[0] not in arguments.only.split(",")}
    arguments.out.write_text(page(NETWORKS, tuple(METHODS), known, kept), encoding="utf-8")


if __name__ == "__main__":
    main()
