"""All that is to be known of a GPU in one call of under ten minutes: rates, a folder of photographs, agreement with the CPU.

Parts, in the order of their weight; each can be left out, and every figure is printed and written as soon as it is there:

- `rates`: gradient evaluations per second of the engine, of the bare loop of the same network, and of captum in the same
  precision; random weights, 224 px. Programs are compiled first, which is not counted.
- `folder`: a folder of JPEGs to PNG and NPY beside the engine's own rate on as many steps: all of the run, and after its
  first tenth (without start-up).
- `agree`: every method and metric on this device and on the CPU; the largest difference in parts of the largest value.

python benchmarks/gpu.py --out results/gpu.csv            (with --device cpu --small it is tried without a GPU)

After --minutes it ends, whatever it is doing. It has not run on a GPU since weights in bf16, compiled programs and sums in
blocks came (27 November 2026).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients
from common import machine, model, report
from engine import compare, seconds
from gpu_agree import agree
from PIL import Image

import sigcli
from sigcli.attribution.speed import compiled, in_bf16
from sigcli.engine.integrate import Task, integrate
from sigcli.methods import METHODS
from sigcli.models.model import Model
from sigcli.scores import faster
from sigcli.scores.classifier import ClassScore
from sigcli.types import Subject

FIELDS = ("what", "model", "method", "precision", "batch", "images", "ours_per_s", "peer_per_s", "ratio",
          "largest_difference", "error")  # fmt: skip
SMALL = {"models": "shapes", "batch_size": 4, "batches": 2, "rounds": 1, "images": 8, "steps": 4}


class Told:
    """Rows of the report, written one by one.

    Args:
        out: a CSV, or None.
        device: of the machine's name.
        minutes: after which the process ends.
    """

    def __init__(self, out: Path | None, device: str, minutes: float):
        self._out, self._machine, self._lock = out, machine(device), threading.Lock()
        self._begun, self._seconds, self.doing = time.monotonic(), 60 * minutes, "start"
        threading.Thread(target=self._end, daemon=True).start()

    def row(self, what: str, **known: object) -> None:
        with self._lock:
            row = {"what": what, **known}
            report(self._out, [{name: row.get(name, "") for name in FIELDS} | {"machine": self._machine}])

    @contextmanager
    def measuring(self, what: str) -> Iterator[None]:
        """What fails is a row as well, and the rest goes on."""
        self.doing = what
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a benchmark that ends at its first failure wastes the machine
            self.row(what, error=f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])

    @property
    def spent(self) -> float:
        return time.monotonic() - self._begun

    def _end(self) -> None:
        time.sleep(self._seconds)
        self.row(
            self.doing, error=f"was not done after {self._seconds / 60:g} minutes; what follows it is not measured"
        )
        os._exit(1)


def rates(args: argparse.Namespace, told: Told) -> None:
    """Gradient evaluations per second."""
    for name in args.models.split(","):
        with told.measuring(f"rates {name}"):
            net = model(name, args.device)
            for precision in args.precisions.split(","):
                _rates(name, net, precision, args, told)


def _score(
    net: Model, precision: str, args: argparse.Namespace, choice: str, evaluations: int
) -> tuple[ClassScore, str]:
    """As `sig explain` would have it, and what it is."""
    score, notes = in_bf16(ClassScore(net.module, precision=precision), net)
    score = compiled(score, choice, size=args.batch_size, evaluations=evaluations, device=net.device.type)
    with_program = getattr(score.faster, "size", None) is not None
    return score, precision + (" autocast" if notes else "") + (" compiled" if with_program else "")


def _subject(net: Model, seed: int) -> Subject:
    height, width = net.preprocess.size or (224, 224)
    x = torch.randn(3, height, width, generator=torch.Generator().manual_seed(seed)).to(net.device)
    return Subject(x, 3, net.preprocess.low.to(net.device), net.preprocess.high.to(net.device), key=1 + seed)


def _bare(score: ClassScore, who: Subject, size: int) -> Callable[[int], None]:
    """Forward and backward passes on a ready-made batch, for so many evaluations."""
    ready = torch.randn(size, *who.x.shape, generator=torch.Generator().manual_seed(1)).to(who.x.device)
    targets = torch.full((size,), 3, device=who.x.device)

    def run(count: int) -> None:
        for _ in range(-(-count // size)):
            score.gradients(ready, targets)

    return run


def _rates(name: str, net: Model, precision: str, args: argparse.Namespace, told: Told) -> None:
    b, k = args.batch_size, args.batch_size * args.batches
    score, how = _score(net, precision, args, args.compile, 0)
    who = _subject(net, 0)
    bare = _bare(score, who, b)
    shown = {"model": name, "precision": how, "batch": b}
    with told.measuring(f"compiling {name} {precision}"):
        spent = seconds(lambda: bare(b), net.device)
        told.row(
            "first batch, program included",
            **shown,
            ours_per_s=f"{b / spent:.3g}",
            error=getattr(score.faster, "failure", ""),
        )

    def engine(method: str, options: dict[str, Any]) -> object:
        return list(integrate(score, [Task(who, METHODS[method].load()(who, **options))], batch_size=b))

    def captum() -> object:
        with score.autocast(net.device):
            return peer.attribute(who.x[None], who.low + 0 * who.x[None], target=3, n_steps=k, internal_batch_size=b)

    peer = IntegratedGradients(net.module)
    for method, options in (
        ("ig", {"steps": k, "baseline": "black"}),
        ("sig", {"samples": k, "baseline": "blur"}),
        ("sig-walk", {"orders": max(1, k // 49), "baseline": "blur"}),
        ("eg", {"samples": k, "baselines": "uniform"}),
    ):
        with told.measuring(f"rates {name} {method}"):
            points = len(METHODS[method].load()(who, **options))
            found = compare(partial(engine, method, options), partial(bare, points), args.rounds, net.device)
            told.row("rate over bare loop", method=method, **shown, **_rate(points, found))
    with told.measuring(f"rates {name} captum"):
        found = compare(partial(engine, "ig", {"steps": k, "baseline": "black"}), captum, args.rounds, net.device)
        told.row("rate over captum", method="ig", **shown, **_rate(k, found))


def _rate(points: int, found: tuple[float, float, float]) -> dict[str, str]:
    ours, theirs, ratio = found
    return {"ours_per_s": f"{points / ours:.5g}", "peer_per_s": f"{points / theirs:.5g}", "ratio": f"{1 / ratio:.3f}"}


def folder(args: argparse.Namespace, told: Told) -> None:
    """Photographs from JPEG to PNG and NPY: images per second, beside what the engine's rate would give."""
    name, precision = args.models.split(",")[0], args.precisions.split(",")[0]
    with tempfile.TemporaryDirectory() as at, told.measuring("folder"):
        _photographs(Path(at) / "pictures", args.images)
        ends = [time.perf_counter()]
        explanations = sigcli.iter_explain(
            f"{at}/pictures", model=name, **({} if name.startswith("shapes") else {"weights": "none"}), method="ig",
            settings={"ig.steps": args.steps}, device=args.device, precision=precision, batch_size=args.batch_size,
            out=f"{at}/run", gallery=False,
        )  # fmt: skip
        for one in explanations:
            assert one.status == "ok", one.error
            ends.append(time.perf_counter())
        net = model(name, args.device)
        score, how = _score(net, precision, args, "auto", args.images * args.steps)
        several = [_subject(net, seed) for seed in range(min(args.images, 64))]
        load = METHODS["ig"].load()

        def engine() -> object:
            tasks = [Task(who, load(who, steps=args.steps, baseline="black")) for who in several]
            return list(integrate(score, tasks, batch_size=args.batch_size))

        engine()
        alone = len(several) / seconds(engine, net.device)
        told.doing = "folder"
        first = len(ends) // 10
        shown = {"model": name, "method": f"ig, {args.steps} steps", "precision": how, "batch": args.batch_size}
        for what, rate in (
            ("folder, all of the run", args.images / (ends[-1] - ends[0])),
            ("folder, after its first tenth", (len(ends) - 1 - first) / (ends[-1] - ends[first])),
        ):
            told.row(what, **shown, images=args.images, ours_per_s=f"{rate:.4g}", peer_per_s=f"{alone:.4g}",
                     ratio=f"{rate / alone:.3f}")  # fmt: skip


def _photographs(place: Path, count: int) -> None:
    place.mkdir()
    draw = np.random.default_rng(0)
    for index in range(count):
        coarse = Image.fromarray(draw.integers(0, 255, (12, 16, 3), dtype=np.uint8))
        coarse.resize((500, 375), Image.Resampling.BICUBIC).save(place / f"{index:05d}.jpg", quality=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="rates,folder,agree")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", default="resnet50,vit_b_16")
    parser.add_argument("--precisions", default="bf16", help="of bf16, tf32 and fp32; each compiles every model anew")
    parser.add_argument("--compile", default="on", choices=("on", "off"), help="of the part rates")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--batches", type=int, default=8, help="of each timed run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=2000, help="of the part folder")
    parser.add_argument("--steps", type=int, default=64, help="of each image of the part folder")
    parser.add_argument("--pictures", type=int, default=2, help="of the part agree, at least 2")
    parser.add_argument("--minutes", type=float, default=9.5)
    parser.add_argument("--small", action="store_true", help="sizes for a try on a CPU")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.small:
        vars(args).update(SMALL)
        faster.BACKEND = "aot_eager"  # inductor takes minutes on a CPU that others use
    os.environ.setdefault("MPLBACKEND", "Agg")
    told = Told(args.out, args.device, args.minutes)
    for part in args.parts.split(","):
        before = told.spent
        {"rates": rates, "folder": folder, "agree": agree}[part](args, told)
        print(f"{part}: {told.spent - before:.0f} s", flush=True)


if __name__ == "__main__":
    main()
