"""Time of the engine itself: microseconds of CPU time for each gradient evaluation of a network that costs nothing.

The network is the mean of the image times a number for each class, at 28×28 pixels: what is left is the engine. Beside it
stands the bare loop: the same network's forward and backward passes on ready-made batches. CPU time is this process's, with
one thread, so other processes do not disturb it; medians of rounds, in turn. `own_us` is the difference.

python benchmarks/host.py --batch-sizes 32,256 --out benchmarks/results/host-cpu.csv
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from common import machine, report
from torch import nn

from sigcli.engine.allocator import keep_freed_memory
from sigcli.engine.integrate import integrate
from sigcli.methods import METHODS
from sigcli.methods.deferred import task
from sigcli.scores.classifier import ClassScore
from sigcli.types import Subject

SIDE = 28
METHODS_OF = (
    ("ig", "ig", {"steps": 256, "baseline": "black"}),
    ("sig", "sig", {"samples": 256, "players": "grid:7x7", "baseline": "black"}),
    ("sig-walk", "sig-walk", {"orders": 6, "players": "grid:7x7", "baseline": "black"}),
    ("eg", "eg", {"samples": 256, "baselines": "uniform"}),
)


class Trivial(nn.Module):
    """Ten classes, each the mean of the image times its number."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.arange(1.0, 11.0), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((1, 2, 3))[:, None] * self.factor


def cpu_seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def rows(batch: int, images: int, rounds: int, channels: int, only: str) -> list[dict[str, object]]:
    score = ClassScore(Trivial())
    low, high = torch.zeros(channels, 1, 1), torch.ones(channels, 1, 1)
    draw = torch.Generator().manual_seed(0)
    subjects = [
        Subject(torch.rand(channels, SIDE, SIDE, generator=draw), 3, low, high, key=key) for key in range(images)
    ]
    ready, targets = torch.rand(batch, channels, SIDE, SIDE), torch.full((batch,), 3)
    found = []
    for label, method, options in METHODS_OF:
        if not label.startswith(only):
            continue

        def engine(method: str = method, options: dict[str, object] = options) -> None:
            entry = METHODS[method]
            tasks = (task(entry, options, score, who, batch_size=batch) for who in subjects)
            for _ in integrate(score, tasks, batch_size=batch):
                pass

        points = images * len(METHODS[method].load()(subjects[0], **options))

        def bare(points: int = points) -> None:
            for _ in range(-(-points // batch)):
                score.gradients(ready, targets)

        engine(), bare()
        both = [(cpu_seconds(engine), cpu_seconds(bare)) for _ in range(rounds)]
        whole, alone = (statistics.median(one) * 1e6 / points for one in zip(*both, strict=True))
        found.append(
            {"what": "host time", "method": label, "pixels": f"{channels}x{SIDE}x{SIDE}", "batch": batch,
             "evaluations": points, "engine_us": f"{whole:.2f}", "bare_us": f"{alone:.2f}",
             "own_us": f"{whole - alone:.2f}", "machine": machine("cpu")}
        )  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-sizes", default="32,256")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="methods whose label begins so")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as the command line does
    for batch in map(int, args.batch_sizes.split(",")):
        report(args.out, rows(batch, args.images, args.rounds, args.channels, args.only))


if __name__ == "__main__":
    main()
