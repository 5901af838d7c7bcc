"""Speed of the engine beside the bare loop and beside captum, in one process, alternating, medians over rounds.

`inside_model` is the share of the engine's time spent in the model itself: what is left is all that the engine adds. It
is taken within single runs, so a machine whose speed drifts between runs does not disturb it. Evaluations are counted as the
plan has them. The last batch of a run is filled up, which wastes places; `--images` says how many images share batches.

python benchmarks/engine.py --models squeezenet1_1,resnet50 --evaluations 256 --rounds 5
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from captum.attr import IntegratedGradients
from common import machine, model, report

from sigcli.engine.allocator import keep_freed_memory
from sigcli.engine.integrate import Task, integrate
from sigcli.methods import METHODS
from sigcli.scores.classifier import ClassScore
from sigcli.scores.score import Score
from sigcli.types import Subject

CLOCKS = [time.perf_counter]
"""What time is told by on a CPU; that of this process alone where others share the machine."""


def seconds(work: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    clock = time.perf_counter if device.type == "cuda" else CLOCKS[0]
    begun = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - begun


def compare(
    one: Callable[[], object], other: Callable[[], object], rounds: int, device: torch.device
) -> tuple[float, float, float]:
    """Median seconds of both, and the median over rounds of one/other; each round runs both, in turn first and second."""
    one(), other()
    pairs = []
    for turn in range(rounds):
        first, second = (one, other) if turn % 2 else (other, one)
        a, b = seconds(first, device), seconds(second, device)
        pairs.append((a, b) if turn % 2 else (b, a))
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


class Clocked:
    """A scorer that counts the time its model takes."""

    def __init__(self, inner: Score, device: torch.device) -> None:
        self.inner, self.device, self.spent = inner, device, 0.0

    def _clock(self, name: str, images: torch.Tensor, targets: torch.Tensor) -> Any:
        found: list[Any] = []
        self.spent += seconds(lambda: found.append(getattr(self.inner, name)(images, targets)), self.device)
        return found[0]

    def scores(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self._clock("scores", images, targets)

    def gradients(self, images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._clock("gradients", images, targets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="squeezenet1_1,resnet50")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--evaluations", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--cpu-time", action="store_true", help="on a CPU that is shared: time of this process alone")
    parser.add_argument("--only", default="", help="methods whose label begins so")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    CLOCKS[0] = time.process_time if args.cpu_time else time.perf_counter
    keep_freed_memory()  # as the command line does; it speeds up the peers as well
    rows = []
    for name in args.models.split(","):
        rows += measure(name, args)
    report(args.out, rows)


def measure(name: str, args: argparse.Namespace) -> list[dict[str, object]]:
    net = model(name, args.device)
    device = net.device
    x = torch.randn(3, 224, 224, generator=torch.Generator().manual_seed(0)).to(device)
    low, high = net.preprocess.low.to(device), net.preprocess.high.to(device)
    who = Subject(x, 3, low, high, key=1)
    scorer = ClassScore(net.module)
    b, k = args.batch_size, args.evaluations
    ready = torch.randn(b, 3, 224, 224).to(device)

    def bare() -> None:
        for _ in range(k // b):
            leaf = ready.detach().requires_grad_()
            torch.autograd.grad(net.module(leaf)[:, 3].sum(), leaf)

    def engine(method: str, score: Score = scorer, **options: object) -> Callable[[], object]:
        load = METHODS[method].load()
        return lambda: list(
            integrate(score, (Task(who, load(who, **options)) for _ in range(args.images)), batch_size=b)
        )

    def inside_model(method: str, **options: object) -> float:
        clocked = Clocked(scorer, device)
        whole = seconds(engine(method, clocked, **options), device)
        return clocked.spent / whole

    rows = []
    for label, method, options in (
        ("ig", "ig", {"steps": k, "baseline": "black"}),
        ("sig 14x14", "sig", {"samples": k, "players": "grid:14x14", "baseline": "black"}),
        ("sig-walk 7x7", "sig-walk", {"orders": k // 49, "players": "grid:7x7", "baseline": "black"}),
        ("eg uniform", "eg", {"samples": k, "baselines": "uniform"}),
    ):
        if not label.startswith(args.only):
            continue
        count = args.images * len(METHODS[method].load()(who, **options))
        ours, theirs, each = compare(engine(method, **options), bare, args.rounds, device)
        ratio = each * (k // b * b) / count
        inside = f"{inside_model(method, **options):.3f}"
        rows.append(
            {"what": "engine over bare loop", "model": name, "method": label, "evaluations": count, "batch": b,
             "ours_per_s": f"{count / ours:.2f}", "peer_per_s": f"{k // b * b / theirs:.2f}",
             "throughput_ratio": f"{1 / ratio:.3f}",
             "inside_model": inside, "machine": machine(args.device)}
        )  # fmt: skip
    if args.only and not "captum".startswith(args.only):
        return rows
    captum = IntegratedGradients(net.module)

    def peer() -> object:
        return captum.attribute(
            x[None], torch.zeros_like(x)[None] + low, target=3, n_steps=k, method="gausslegendre", internal_batch_size=b
        )

    ours, theirs, ratio = compare(engine("ig", steps=k, baseline="black"), peer, args.rounds, device)
    rows.append(
        {"what": "ig over captum", "model": name, "method": "ig", "evaluations": k, "batch": b,
         "ours_per_s": f"{k / ours:.2f}", "peer_per_s": f"{k / theirs:.2f}", "throughput_ratio": f"{1 / ratio:.3f}",
         "inside_model": "", "machine": machine(args.device)}
    )  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
