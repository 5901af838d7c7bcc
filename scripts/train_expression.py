"""Train the bundled expression network from drawn faces only, and write its weights with what it reached.

    python scripts/train_expression.py [--seed 0] [--minutes 8] [--out sigcli/data/expression.safetensors]

Every face is a person of its own; half of the faces wear one of the named expressions, half a mixture. The network learns
the parameters of the expression, so that the distance of two embeddings follows the expression and ignores the person. The
threshold between "same" and "different" is set on faces of the training stream that were kept apart, and judged on a stream
whose persons it has never seen. Where the machine is slow, the schedule is compressed to end within the minutes given.
"""

# ruff: noqa: E402  (the environment and the path must be set before the imports that read them)

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sigcli.models.networks.expression import MEAN, STD, ExpressionNet
from sigcli.scenarios.expression.data import batch

FACES, KEPT, FRESH, BATCH, STEPS = 10_000, 1_500, 3_000, 32, 2_200
RESERVE = 0.4  # minutes kept for the measurements at the end
LEARNING_RATE, WEIGHT_DECAY = 4e-3, 1e-3
SETTLED = 0.9  # from here on batch-norm is used as it will be: with its running statistics


def some(job: tuple[int, range, bool]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces uint8 (N,3,H,W), expressions (N,6) and labels (N,)."""
    seed, where, free = job
    drawn = batch(seed, where, free=free)
    images = np.ascontiguousarray(np.stack([face.image for face in drawn]).transpose(0, 3, 1, 2))
    return images, np.stack([face.expression for face in drawn]), np.array([face.label for face in drawn])


def faces(pool: multiprocessing.pool.Pool, seed: int, count: int, *, mixed: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The first `count` faces of a stream; where `mixed`, every second hundred has mixtures of expressions."""
    jobs = [(seed, range(i, min(i + 100, count)), mixed and i // 100 % 2 == 1) for i in range(0, count, 100)]
    images, codes, labels = (np.concatenate(column) for column in zip(*pool.imap(some, jobs), strict=True))
    return torch.from_numpy(images), torch.from_numpy(codes).float(), torch.from_numpy(labels)


def normalised(images: Tensor) -> Tensor:
    """Bytes as the network takes them."""
    return (images.float() / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def varied(images: Tensor, generator: torch.Generator) -> Tensor:
    """Faces, normalised, with mirrored sides and other contrast and tints: what no expression depends on."""
    count = len(images)
    images = torch.where(torch.rand(count, 1, 1, 1, generator=generator) < 0.5, images, images.flip(3))
    gain = 1 + 0.3 * (torch.rand(count, 3, 1, 1, generator=generator) - 0.5)
    shift = 0.4 * (torch.rand(count, 1, 1, 1, generator=generator) - 0.5)
    return normalised(images) * gain + shift


def train(data: tuple[Tensor, Tensor, Tensor], seed: int, minutes: float) -> tuple[ExpressionNet, int]:
    """Train until the schedule or the time ends; returns the network and its steps."""
    images, codes, _ = data
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = ExpressionNet().to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    start, step, smoothed = time.monotonic(), 0, 1.0
    while True:
        progress = max(step / STEPS, (time.monotonic() - start) / (60 * minutes))
        if progress >= 1:
            return net.eval().to(memory_format=torch.contiguous_format), step
        net.train(progress < SETTLED)
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 100, 1.15 * (1 - progress))
        chosen = torch.randint(len(images), (BATCH,), generator=generator)
        x = varied(images[chosen], generator).contiguous(memory_format=torch.channels_last)
        loss = functional.smooth_l1_loss(net(x), codes[chosen], beta=0.3)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        step, smoothed = step + 1, 0.98 * smoothed + 0.02 * loss.item()
        if step % 100 == 0:
            print(f"{progress:4.0%}  step {step}  loss {smoothed:.4f}  {time.monotonic() - start:.0f} s", flush=True)


def embedded(net: ExpressionNet, images: Tensor) -> Tensor:
    """Embeddings of bytes (N,3,H,W)."""
    with torch.no_grad():
        return torch.cat([net(normalised(part)) for part in images.split(100)])


def pairs(embeddings: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Distances (m,) of random pairs of different faces, half of one expression and half of two; and whether of one."""
    generator = torch.Generator().manual_seed(seed)
    one, other = torch.randint(len(labels), (2, 60_000), generator=generator)
    same = (labels[one] == labels[other]) & (one != other)
    count = int(same.sum())
    chosen = torch.cat((same.nonzero()[:, 0], (labels[one] != labels[other]).nonzero()[:count, 0]))
    return (embeddings[one] - embeddings[other]).norm(dim=1)[chosen], same[chosen]


def threshold(distances: Tensor, same: Tensor) -> float:
    """The distance that separates best."""
    order = distances.argsort()
    right = torch.cumsum(torch.where(same[order], 1, -1), 0)
    return float(distances[order[int(right.argmax())]])


def main() -> None:
    """Draw, train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=8.0, help="the whole run ends within this time")
    parser.add_argument("--out", type=Path, default=ROOT / "sigcli" / "data" / "expression.safetensors")
    options = parser.parse_args()
    start = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(min(os.cpu_count() or 1, 16)) as pool:
        seen = faces(pool, 2 * options.seed, FACES, mixed=True)
        kept = faces(pool, 2 * options.seed + 2**20, KEPT, mixed=False)
        fresh = faces(pool, 2 * options.seed + 1, FRESH, mixed=False)
    print(f"{FACES + KEPT + FRESH} faces in {time.monotonic() - start:.0f} s", flush=True)
    net, steps = train(seen, options.seed, options.minutes - RESERVE - (time.monotonic() - start) / 60)
    cut = threshold(*pairs(embedded(net, kept[0]), kept[2], 1))
    codes = embedded(net, fresh[0])
    distances, same = pairs(codes, fresh[2], 2)
    facts = {
        "threshold": cut,
        "accuracy": float(((distances <= cut) == same).float().mean()),
        "error": float((codes - fresh[1]).square().mean().sqrt()),
        "minutes": (time.monotonic() - start) / 60,
        "seed": options.seed, "steps": steps, "faces": FACES, "fresh": FRESH, "pairs": len(same),
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    aside = options.out.with_suffix(".part")
    state = {name: value.contiguous() for name, value in net.state_dict().items()}
    save_file(state, aside, metadata={"training": json.dumps(facts)})
    aside.chmod(0o644)  # safetensors leaves it readable by its owner alone
    aside.replace(options.out)
    print(f"{options.out}: {options.out.stat().st_size} bytes, {json.dumps(facts)}")


if __name__ == "__main__":
    main()
