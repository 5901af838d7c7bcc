"""Every method and metric on two devices: the part `agree` of `gpu.py`.

Networks with true weights (the bundled ones, with the kernels that photographs meet) take all methods that fit them, with
small budgets; those that need a linear network, a maximum or a certainty take a small network made for them. Each device
loads a network once.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT

import sigcli
from sigcli.metrics import METRICS

sys.path.insert(0, str(ROOT / "tests"))
from method_networks import NETWORKS, OF_TOKENS, apart, explained, few, of_kind

SAMPLES = ROOT / "sample_images"
CHECKS = ("information-absence", "neutrality")
"""Metrics of the network that are asked for by name; the others come with labels."""
FEW_OF_METRICS = {"steps": "4", "superpixels": "4", "subsets": "8", "samples": "3", "largest": "12"}


def agree(args: argparse.Namespace, told: Any) -> None:
    """The largest difference between the devices for each method and metric, in parts of the largest value."""
    for name, methods in (("shapes", of_kind(None)), ("shapes-vit", OF_TOKENS)):
        with told.measuring(f"agree, methods of {name}"):
            both = [_maps(name, methods, device, args.pictures) for device in ("cpu", args.device)]
            _tell(name, *both, told)
    for kind in ("linear", "maximum", "certainty"):
        with told.measuring(f"agree, methods of a network: {kind}"):
            made, methods = NETWORKS[kind]
            _tell(kind, *(explained(made(), methods, device) for device in ("cpu", args.device)), told)
    with told.measuring("agree, metrics"):
        _metrics(args, told)


def _images(count: int) -> list[str]:
    return [str(path) for path in sorted(SAMPLES.glob("*.png"))[:count]]


def _maps(name: str, methods: list[str], device: str, count: int) -> list[sigcli.Explanation]:
    return sigcli.explain(
        _images(count), model=name, method=methods, device=device, pictures=False, write=False, batch_size=16,
        settings=few(methods),
    )  # fmt: skip


def _tell(name: str, here: list[sigcli.Explanation], there: list[sigcli.Explanation], told: Any) -> None:
    """A row for each method; what failed on a device is one, too."""
    found: dict[str, list[float]] = {}
    errors: dict[str, str] = {}
    for one, other in zip(here, there, strict=True):
        if one.error or other.error:
            errors[one.method] = f"cpu: {one.error or 'ok'}; there: {other.error or 'ok'}"
        else:
            found.setdefault(one.method, []).append(apart(one, other))
    for method in dict.fromkeys([*found, *errors]):
        largest = f"{max(found[method]):.2g}" if method in found else ""
        told.row("agree", model=name, method=method, largest_difference=largest, error=errors.get(method, ""))


def _metrics(args: argparse.Namespace, told: Any) -> None:
    both = [_measured(device, args.pictures) for device in ("cpu", args.device)]
    for metric in METRICS:
        here, there = (values.get(metric, []) for values in both)
        if not here or len(here) != len(there):
            told.row("agree", model="shapes", method=metric, error=f"{len(here)} values on the CPU, {len(there)} there")
            continue
        apart = np.abs(np.subtract(here, there)).max() / max(np.abs(here).max(), 1e-12)
        told.row("agree", model="shapes", method=metric, largest_difference=f"{apart:.2g}")


def _measured(device: str, count: int) -> dict[str, list[float]]:
    """Metric → its values, image by image; those of the network as a whole from the summary."""
    images = _images(count)
    settings = {f"{name}.{option}": FEW_OF_METRICS[option] for name in METRICS for option in METRICS[name].options()
                if option in FEW_OF_METRICS}  # fmt: skip
    metrics = [name for name, entry in METRICS.items() if entry.properties["scope"] != "model" or name in CHECKS]
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        labels = Path(folder) / "labels.csv"
        labels.write_text("image,label\n" + "".join(f"{Path(one).name},{Path(one).stem}\n" for one in images))
        done = sigcli.evaluate(
            images, model="shapes", method="sig,gradcam", metric=metrics, device=device, pictures=False,
            out=f"{folder}/run", batch_size=16, settings={"sig.samples": "4", **settings}, players="grid:2x2",
            masks=str(SAMPLES / "masks"), labels=str(labels),
        )  # fmt: skip
        for one in done.values:
            if one.value is not None:
                found.setdefault(one.metric, []).append(one.value)
        with (Path(folder) / "run" / "summary.csv").open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                if METRICS.get(row["metric"]) and METRICS[row["metric"]].properties["scope"] == "model" and row["mean"]:
                    found.setdefault(row["metric"], []).append(float(row["mean"]))
    return found
