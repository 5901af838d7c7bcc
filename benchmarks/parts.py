"""Where the CPU time of a short `sig` run goes: gradients, completeness check, and the rest, beside the bare loop.

The check costs 8 forward passes, or one per 24 evaluations if that is more; so a short run has a larger share of it. The
last column is what the same parts give for the default of 256 evaluations.

python benchmarks/parts.py --models vit_b_16,timm/vit_base_patch16_224 --evaluations 32 --batch-size 8
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from common import machine, model, report

from sigcli.engine.allocator import keep_freed_memory
from sigcli.engine.integrate import CHECK_LEAST, CHECK_SHARE, Task, integrate
from sigcli.methods import METHODS
from sigcli.scores.classifier import ClassScore
from sigcli.types import Subject

DEFAULT = 256


class Clocked:
    """A score that counts the CPU time and the images of its passes."""

    def __init__(self, inner: ClassScore) -> None:
        self.inner, self.spent, self.images = inner, {"scores": 0.0, "gradients": 0.0}, {"scores": 0, "gradients": 0}

    def _clocked(self, name: str, images: torch.Tensor, targets: torch.Tensor):
        begun = time.process_time()
        found = getattr(self.inner, name)(images, targets)
        self.spent[name] += time.process_time() - begun
        self.images[name] += len(images)
        return found

    def scores(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self._clocked("scores", images, targets)

    def gradients(self, images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._clocked("gradients", images, targets)


def measure(name: str, evaluations: int, batch: int) -> dict[str, object]:
    net = model(name, "cpu")
    image = torch.randn(3, 224, 224, generator=torch.Generator().manual_seed(0))
    who = Subject(image, 3, net.preprocess.low, net.preprocess.high, key=1)
    plan = METHODS["sig"].load()(who, samples=evaluations, players="grid:14x14", baseline="black")
    ready = torch.randn(batch, 3, 224, 224)

    def bare() -> float:
        begun = time.process_time()
        leaf = ready.detach().requires_grad_()
        torch.autograd.grad(net.module(leaf)[:, 3].sum(), leaf)
        return (time.process_time() - begun) / batch

    bare()
    clocked, before = Clocked(ClassScore(net.module)), [bare(), bare()]
    begun = time.process_time()
    list(integrate(clocked, [Task(who, plan)], batch_size=batch))
    whole = time.process_time() - begun
    loop = sum([*before, bare(), bare()]) / 4
    forward, gradient = (clocked.spent[one] / clocked.images[one] for one in ("scores", "gradients"))
    rest = (whole - sum(clocked.spent.values())) / evaluations
    usual = DEFAULT * (gradient + rest) + (1 + max(CHECK_LEAST, DEFAULT // CHECK_SHARE)) * forward
    return {
        "model": name, "evaluations": evaluations, "batch": batch, "bare_s": f"{loop:.4f}",
        "gradient_s": f"{gradient:.4f}", "rest_s": f"{rest:.4f}", "check_s": f"{forward:.4f}",
        "checks": clocked.images["scores"], "throughput_ratio": f"{loop * evaluations / whole:.3f}",
        f"ratio_at_{DEFAULT}": f"{loop * DEFAULT / usual:.3f}", "machine": machine("cpu"),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="vit_b_16,timm/vit_base_patch16_224")
    parser.add_argument("--evaluations", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    keep_freed_memory()
    for name in args.models.split(","):
        report(args.out, [measure(name, args.evaluations, args.batch_size)])


if __name__ == "__main__":
    main()
