"""All that is to be known of a GPU in one call of under ten minutes: agreement with the CPU, rates, a folder of photographs.

Three parts, each of which can be left out:

- `agree`: every method and metric of the bundled network on this device and on the CPU; the largest difference of each, in
  parts of the largest value.
- `rates`: gradient evaluations per second of the engine, of the bare loop and of captum, with random weights at 224 px.
- `folder`: a folder of JPEGs to PNG and NPY, images per second beside what the engine's rate alone would give.

python benchmarks/gpu.py --out results/gpu.csv            (with --device cpu --small it is tried without a GPU)

It has not run on a GPU since weights in bf16, compiled programs and sums in blocks came (27 November 2026).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from captum.attr import IntegratedGradients
from common import machine, model, report
from engine import compare, seconds
from PIL import Image

import sigcli
from sigcli.attribution.speed import compiled, in_bf16
from sigcli.engine.integrate import Task, integrate
from sigcli.methods import METHODS
from sigcli.metrics import METRICS
from sigcli.scores.classifier import ClassScore
from sigcli.types import Subject

Rows = list[dict[str, object]]
SAMPLES = Path(__file__).resolve().parent.parent / "sample_images"


@contextmanager
def failing_as_row(rows: Rows, what: str) -> Iterator[None]:
    """What fails is a row as well, and the rest goes on."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - a benchmark that ends at its first failure wastes the machine
        rows.append({"what": what, "error": f"{type(error).__name__}: {error}"[:300]})


def agree(args: argparse.Namespace) -> Rows:
    """The largest difference between the devices for each method and metric, in parts of the largest value."""
    rows: Rows = []
    images = [str(path) for path in sorted(SAMPLES.glob("*.png"))[: args.pictures]]
    for method in METHODS:
        with failing_as_row(rows, f"agree {method}"):
            both = [
                sigcli.explain(images, method=method, device=device, pictures=False, write=False, batch_size=16)
                for device in ("cpu", args.device)
            ]
            apart = [
                float(np.abs(here.values - there.values).max() / np.abs(here.values).max())
                for here, there in zip(*both, strict=True)
            ]
            rows.append({"what": f"agree {method}", "largest_difference": f"{max(apart):.2g}"})
    for metric in METRICS:
        with failing_as_row(rows, f"agree {metric}"):
            figures = []
            for device in ("cpu", args.device):
                with tempfile.TemporaryDirectory() as folder:
                    found = sigcli.evaluate(
                        images,
                        method="ig",
                        metric=metric,
                        device=device,
                        pictures=False,
                        out=f"{folder}/run",
                        batch_size=16,
                    )
                    figures.append([value.value for value in found.values])
            apart = np.nanmax(np.abs(np.subtract(*np.asarray(figures, float))))
            rows.append({"what": f"agree {metric}", "largest_difference": f"{apart:.2g}"})
    return rows


def rates(args: argparse.Namespace) -> Rows:
    """Gradient evaluations per second."""
    rows: Rows = []
    for name in args.models.split(","):
        net = model(name, args.device)
        for precision in args.precisions.split(","):
            with failing_as_row(rows, f"rates {name} {precision}"):
                rows += _rates(name, net, precision, args)
    return rows


def _rates(name: str, net: sigcli.models.model.Model, precision: str, args: argparse.Namespace) -> Rows:
    device, b = net.device, args.batch_size
    k = b * args.batches
    x = torch.randn(3, 224, 224, generator=torch.Generator().manual_seed(0)).to(device)
    low, high = net.preprocess.low.to(device), net.preprocess.high.to(device)
    who = Subject(x, 3, low, high, key=1)
    score, told = in_bf16(ClassScore(net.module, precision=precision), net)
    score = compiled(score, args.compile, size=b, evaluations=0, device=device.type)
    how = precision + (" autocast" if told else "") + (" compiled" if args.compile == "on" else "")
    ready, targets = torch.randn(b, 3, 224, 224).to(device), torch.full((b,), 3, device=device)

    def bare(count: int) -> None:
        for _ in range(-(-count // b)):
            score.gradients(ready, targets)

    def engine(method: str, **options: object) -> Callable[[], object]:
        load = METHODS[method].load()
        return lambda: list(integrate(score, [Task(who, load(who, **options))], batch_size=b))

    def captum() -> object:
        with score.autocast(device):
            return peer.attribute(x[None], low + 0 * x[None], target=3, n_steps=k, internal_batch_size=b)

    peer = IntegratedGradients(net.module)
    rows: Rows = []
    for method, options in (
        ("ig", {"steps": k, "baseline": "black"}),
        ("sig", {"samples": k, "baseline": "blur"}),
        ("sig-walk", {"orders": max(1, k // 49), "baseline": "blur"}),
        ("eg", {"samples": k, "baselines": "uniform"}),
    ):
        with failing_as_row(rows, f"rates {name} {method}"):
            points = len(METHODS[method].load()(who, **options))
            ours, theirs, ratio = compare(engine(method, **options), partial(bare, points), args.rounds, device)
            rows.append(
                {"what": "rate over bare loop", "model": name, "method": method, "precision": how, "batch": b,
                 "ours_per_s": f"{points / ours:.0f}", "peer_per_s": f"{points / theirs:.0f}", "ratio": f"{1 / ratio:.3f}"}
            )  # fmt: skip
    ours, theirs, ratio = compare(engine("ig", steps=k, baseline="black"), captum, args.rounds, device)
    rows.append(
        {"what": "rate over captum", "model": name, "method": "ig", "precision": how, "batch": b,
         "ours_per_s": f"{k / ours:.0f}", "peer_per_s": f"{k / theirs:.0f}", "ratio": f"{1 / ratio:.3f}"}
    )  # fmt: skip
    return rows


def folder(args: argparse.Namespace) -> Rows:
    """Photographs from JPEG to PNG and NPY: images per second, and the share that the engine's own rate would give."""
    rows: Rows = []
    with tempfile.TemporaryDirectory() as at, failing_as_row(rows, "folder"):
        pictures = Path(at) / "pictures"
        pictures.mkdir()
        draw = np.random.default_rng(0)
        for index in range(args.images):
            coarse = Image.fromarray(draw.integers(0, 255, (12, 16, 3), dtype=np.uint8))
            coarse.resize((500, 375), Image.Resampling.BICUBIC).save(pictures / f"{index:05d}.jpg", quality=90)
        name = args.models.split(",")[0]
        common = {"model": name, "weights": "none", "device": args.device, "precision": args.precisions.split(",")[0]}
        before = time.perf_counter()
        sigcli.explain(
            [str(pictures)], method="ig", settings={"ig.steps": 64}, out=f"{at}/run", format="png,npy", **common
        )
        whole = time.perf_counter() - before
        net = model(name, args.device)
        score = ClassScore(net.module, precision=common["precision"])
        ready = torch.randn(args.batch_size, 3, 224, 224, device=net.device)
        targets = torch.zeros(args.batch_size, dtype=torch.long, device=net.device)
        score.gradients(ready, targets)
        one = seconds(lambda: [score.gradients(ready, targets) for _ in range(4)], net.device) / 4 / args.batch_size
        rows.append(
            {"what": "folder", "model": name, "method": "ig, 64 steps", "images": args.images,
             "images_per_s": f"{args.images / whole:.2f}", "gradients_alone_per_s": f"{1 / (64 * one):.2f}",
             "ratio": f"{args.images * 64 * one / whole:.3f}"}
        )  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="agree,rates,folder")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", default="resnet50,vit_b_16")
    parser.add_argument("--precisions", default="bf16,tf32,fp32")
    parser.add_argument("--compile", default="on", choices=("on", "off"), help="of the part rates")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--batches", type=int, default=4, help="of each timed run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--pictures", type=int, default=2, help="of the part agree")
    parser.add_argument("--small", action="store_true", help="sizes for a try on a CPU")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.small:
        args.models, args.batch_size, args.batches, args.rounds, args.images, args.pictures = (
            "squeezenet1_1",
            4,
            2,
            1,
            4,
            1,
        )
    os.environ.setdefault("MPLBACKEND", "Agg")
    fields = ("what", "model", "method", "precision", "batch", "images", "ours_per_s", "peer_per_s", "ratio",
              "images_per_s", "gradients_alone_per_s", "largest_difference", "error")  # fmt: skip
    for part in args.parts.split(","):
        before = time.perf_counter()
        rows = {"agree": agree, "rates": rates, "folder": folder}[part](args)
        report(
            args.out,
            [{field: row.get(field, "") for field in fields} | {"machine": machine(args.device)} for row in rows],
        )
        print(f"{part}: {time.perf_counter() - before:.0f} s", flush=True)


if __name__ == "__main__":
    main()
