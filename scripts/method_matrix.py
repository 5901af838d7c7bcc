"""Write docs/methods.md: what each method needs and satisfies, and which networks it runs on.

    python scripts/method_matrix.py [--out docs/methods.md] [--only gradcam,rise] [--networks resnet18,hf/ViT]

Networks have random weights and small images; methods have settings so small that only their running is tested. Networks
are loaded, pictures prepared and methods checked and run by the doors that `sig explain` uses. Every cell is the outcome of
a run: "ok" for a finite map that is not zero everywhere, else the number of the reason below the tables. What the page
holds is kept where a run is limited by `--only` or `--networks`, and the page is written after each network. timm and
transformers must be installed; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matrix_networks import FAMILIES, NETWORKS, SIDE, asked, built, settle
from torch import nn

from sigcli.attribution.explain import stream
from sigcli.attribution.options import ExplainOptions
from sigcli.attribution.rehearsal import unfit
from sigcli.attribution.samples import Pictures
from sigcli.attribution.select import Chosen
from sigcli.attribution.session import prepare as session_of
from sigcli.attribution.suited import check_suited
from sigcli.catalog import Entry
from sigcli.engine.passes import Passes
from sigcli.errors import SigError, UsageError
from sigcli.methods import AXIOMS, METHODS
from sigcli.methods.places import last_layer
from sigcli.methods.relevance import relevance
from sigcli.methods.run import attributions
from sigcli.models.fold import prepare
from sigcli.models.model import Model
from sigcli.models.wrappers.certainty import looked_into, takes_none
from sigcli.scores.classifier import ClassScore
from sigcli.types import Subject

CONSERVING = (
    "alexnet", "vgg11", "squeezenet1_1", "resnet18", "googlenet", "densenet121", "mobilenet_v2", "shufflenet_v2_x0_5",
    "mnasnet0_5", "regnet_x_400mf", "regnet_y_400mf", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "vit_b_16",
    "swin_t",
)  # fmt: skip
SMALL = {
    "samples": 4,
    "steps": 5,
    "orders": 4,
    "budget": 16,
    "players": "grid:2x2",
    "cells": 3,
    "relu": False,
    "iterations": 12,  # with fewer meaningful perturbation may find nothing yet
    "sparsity": 1e-4,
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


def network(name: str) -> nn.Module:
    """A torchvision classifier with random weights and the batch norms of noise, prepared as `sig` prepares it."""
    net = built(name)
    settle(net, torch.randn(8, 3, SIDE, SIDE))
    return prepare(net, torch.randn(2, 3, SIDE, SIDE))


def subject(net: nn.Module) -> Subject:
    """An image of noise, to be explained at the class that the network gives it."""
    x = torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    level = torch.zeros(3, 1, 1)
    with torch.no_grad():
        target = int(net(x[None])[0].argmax())
    return Subject(x, target, level - 2, level + 2, 7, 0, Others())


def conservation(name: str) -> str:
    """A row: what DeepLIFT's values and LRP's relevance miss of what they should sum to."""
    net = network(name)
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


def table_of_conservation() -> list[str]:
    """The table, run anew."""
    return [
        "| network | black | blur | random image | ε: Σ | biases | gap | γ: Σ | biases | gap | α1β0: Σ | biases | gap |",
        "|---|" + "--:|" * 12,
        *(conservation(name) for name in CONSERVING),
    ]


def outcomes(model: dict[str, Any], methods: Sequence[str]) -> dict[str, str]:
    """Method → "ok", or why `sig explain` does not explain a picture with it; and "" → the layer of the CAM family.

    Args:
        model: the options that name the network.
        methods: names.
    """
    found: dict[str, str] = {}

    def suited(samples: Pictures, loaded: Model, chosen: list[Chosen]) -> list[Chosen]:
        found[""] = default_layer(loaded)
        found.update(dict.fromkeys(aware, takes_none("the method", loaded.name).what))
        for one in chosen:
            try:
                check_suited(loaded, [one], samples)
            except UsageError as error:
                found[one.name] = error.what.replace(f"the method {one.name}", "the method")
        left = [one for one in chosen if one.name not in found]
        misfits = unfit(samples, loaded, left, samples.scorer(loaded), 0)
        found.update({name: error.what for name, error in misfits.items()})
        return [one for one in chosen if one.name not in found]

    aware = [name for name in methods if METHODS[name].properties.get("certainty")]
    tried = [name for name in methods if name not in aware]
    settings = {
        f"{name}.{key}": value for name in tried for key, value in SMALL.items() if key in METHODS[name].options()
    }
    noise = np.random.default_rng(1).integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    options = ExplainOptions(
        noise[0],
        method=tried,
        settings=settings,
        references=noise[1:],
        device="cpu",
        batch_size=8,
        write=False,
        **model,
    )
    try:
        session = session_of(options, suited=suited)
    except SigError as refusal:  # of the network as a whole
        return dict.fromkeys(("", *methods), refusal.what)
    for one in stream(session):
        error = getattr(one.cause, "what", one.error)
        zero = one.values is not None and not one.values.any()
        found[one.method] = one.note if zero else "ok" if one.status == "ok" else error
        print(f"  {one.method}: {found[one.method]} ({one.seconds or 0:.1f} s)", flush=True)
    return found


def default_layer(model: Model) -> str:
    """The layer that the CAM family takes of a network, with its shape, or why there is none."""
    if model.task == "boxes":
        return "none, since a detector's layers are not looked into"
    size = model.preprocess.size or (SIDE, SIDE)
    try:
        layer = last_layer(looked_into(model), (3, *size))
    except SigError as error:
        return error.what
    return f"`{layer.name}`, {'×'.join(map(str, layer.shape))}"


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
    """The outcomes that a page holds: (method, network) → outcome; under the method "" the default layer."""
    part = page.partition("## Which method runs")[2]
    reasons = dict(re.findall(r"^- (\[\d+\]) (.+)$", part, re.MULTILINE))
    found: dict[tuple[str, str], str] = {}
    networks: list[str] = []
    for line in part.splitlines():
        first, *cells = line.strip("| ").split(" | ")
        if line.startswith("| method"):
            networks = cells
        elif line.startswith("| `") and networks:
            found |= {
                (first.strip("`"), name): reasons.get(cell, cell) for name, cell in zip(networks, cells, strict=True)
            }
    return found | {("", name): layer for name, layer in re.findall(r"^\* (\S+): (.+)$", part, re.MULTILINE)}


def conserved(page: str) -> list[str]:
    """The rows of the table of conservation that a page holds."""
    return page.partition("<!-- conservation -->\n")[2].partition("<!-- end -->")[0].splitlines()


def matrix(networks: Sequence[str], methods: Sequence[str], found: dict[tuple[str, str], str]) -> list[str]:
    """The tables of which method runs on which network, the reasons of those that do not, and the default layers."""
    inside = [found[method, name] for name in networks for method in methods]
    reasons = list(dict.fromkeys(reason for reason in inside if reason != "ok"))
    lines: list[str] = []
    for family, members in FAMILIES.items():
        shown = [name for name in members if name in networks]
        lines += [f"### {family}", "", "| method | " + " | ".join(shown) + " |", "|---|" + ":-:|" * len(shown)]
        for method in methods:
            cells = [found[method, name] for name in shown]
            told = ["ok" if cell == "ok" else f"[{reasons.index(cell) + 1}]" for cell in cells]
            lines.append(f"| `{method}` | " + " | ".join(told) + " |")
        lines.append("")
    lines += ["### Why not", "", *(f"- [{i}] {reason}" for i, reason in enumerate(reasons, 1)), ""]
    layers = [f"* {name}: {found['', name]}" for name in networks]
    return [*lines, "### The layer that Grad-CAM and its kin take", "", *layers]


def page(
    networks: Sequence[str], methods: Sequence[str], found: dict[tuple[str, str], str], rows: Sequence[str]
) -> str:
    """The whole page, of outcomes and of the rows of the table of conservation."""
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
        "where a unit has relevance and no positive part to give it to. In transformers LRP has the rules of AttnLRP: half",
        "of a product's relevance to each factor, a softmax's by its Taylor expansion, normalisers and self-gates held",
        "constant. It is refused at gates that are not 0 at 0, such as the sigmoid of squeeze-and-excitation.", "",
        f"Random weights, batch norms with the statistics of noise, {SIDE}×{SIDE} images, float32. What `regnet_y_400mf`",
        "misses from black is rounding: its values add up to 1,068, their absolute values to 1.4e7. In float64: 9e-14.",
        "",
        "<!-- conservation -->", *rows, "<!-- end -->", "", "## Which method runs on which network", "",
        "Each cell is a run of what `sig explain` does, with random weights and a small picture. A number refers to what",
        "the user is told. `timm/` are models of timm, `hf/` small configurations of Hugging Face's classifiers, saved in a",
        "folder; the others are torchvision's. Which networks with attention [the methods of attention](transformers.md)",
        "read, and how regions and boxes [are explained](segmentation-detection.md), have pages of their own.", "",
        *matrix(networks, methods, found), "",
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "methods.md")
    parser.add_argument("--only", default="", help="methods to run, with commas; the others as the page has them")
    parser.add_argument("--networks", default="", help="networks to run, with commas; the others as the page has them")
    arguments = parser.parse_args()
    only, networks = ([one for one in text.split(",") if one] for text in (arguments.only, arguments.networks))
    for one, choices in [*((one, METHODS) for one in only), *((one, NETWORKS) for one in networks)]:
        if one not in choices:
            parser.error(f"unknown: {one} (known: {', '.join(choices)})")
    limited = bool(only or networks)
    if limited and not arguments.out.is_file():
        parser.error(
            f"--only and --networks renew a part of a page, and {arguments.out} does not exist: leave them out"
        )
    before = arguments.out.read_text(encoding="utf-8") if limited else ""
    found = earlier(before)
    anew = not networks and (not only or not {"deeplift", "lrp"}.isdisjoint(only))
    rows = table_of_conservation() if anew else conserved(before)
    for name in networks or NETWORKS:
        again = [one for one in METHODS if (one, name) not in found or not only or one in only]
        if again:
            print(name, flush=True)
            with tempfile.TemporaryDirectory() as folder:
                found |= {(method, name): told for method, told in outcomes(asked(name, Path(folder)), again).items()}
        ready = [one for one in NETWORKS if all((method, one) in found for method in METHODS)]
        arguments.out.write_text(page(ready, tuple(METHODS), found, rows), encoding="utf-8")


if __name__ == "__main__":
    main()
