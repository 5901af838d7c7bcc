"""Train the bundled network from generated pictures only, and write its weights with what it reached.

    python scripts/train_shapes.py [--seed 0] [--minutes 14] [--out sigcli/data/shapes.safetensors]

Most of every batch is whole, the rest is damaged as Integrated Certainty Gradients asks (sigcli/training/damage.py).
The first stages see crops around the object, which cost less, the last one whole pictures. Where the machine is slow or
busy, the schedule is compressed to end within the minutes given.
"""

# ruff: noqa: E402  (the environment and the path must be set before the imports that read them)

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin cost three times the time on a shared machine

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sigcli.metrics.certainty import information_absence, neutrality
from sigcli.models.networks.shapes import MEAN, STD, ShapesNet
from sigcli.scenarios.shapes.data import CLASSES, batch
from sigcli.training.damage import training_damage

PICTURES, FRESH, BATCH = 20_000, 5_000, 32
OCCLUDED, DAMAGED, UNKNOWN = 2, 12, 2  # of a batch: patches painted over; damaged; and, of these, nothing certain
RESERVE = 1.3  # minutes kept for the measurements at the end
TURN_RATE, TURN_DECAY, MOMENTUM = 0.02, 0.05, 0.9  # of the convolutions
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 1e-3  # of all else
SETTLED = 0.85  # from here on batch-norm is used as it will be: with its running statistics


class Stage(NamedTuple):
    """A part of the training: steps on pictures cropped to `side`, some of them damaged or all of them whole."""

    steps: int
    side: int
    damage: bool

    @property
    def cost(self) -> float:
        """Cost of a step, in steps on uncropped pictures."""
        return (self.side / 128) ** 2


STAGES = (Stage(400, 64, False), Stage(1200, 64, True), Stage(1200, 96, True), Stage(900, 128, True))
COST = sum(stage.steps * stage.cost for stage in STAGES)


class Muon(torch.optim.Optimizer):
    """Gradient descent whose step on each weight matrix is made orthogonal (Jordan et al. 2024).

    With it `shapes` reaches in 300 steps what takes AdamW 700, and a step costs the same.

    Args:
        params: the weights, or groups of them; `parts` of a group says how many matrices lie below each other in a weight.
    """

    def __init__(self, params: Iterable[Tensor] | Iterable[dict[str, Any]]):
        super().__init__(params, {"lr": TURN_RATE, "parts": 1})

    @torch.no_grad()
    def step(self) -> None:
        """One step with Nesterov momentum."""
        for group in self.param_groups:
            for weight in group["params"]:
                speed = self.state[weight].setdefault("speed", torch.zeros_like(weight))
                speed.mul_(MOMENTUM).add_(weight.grad)
                push = (weight.grad + MOMENTUM * speed).flatten(1).unflatten(0, (group["parts"], -1))
                scale = max(1.0, push.shape[1] / push.shape[2]) ** 0.5
                weight.mul_(1 - group["lr"] * TURN_DECAY)
                weight.sub_(group["lr"] * scale * orthogonal(push).reshape(weight.shape))


def orthogonal(matrix: Tensor) -> Tensor:
    """The orthogonal matrix nearest to each of (..., rows, columns), roughly: five Newton-Schulz steps."""
    if matrix.shape[-2] > matrix.shape[-1]:
        return orthogonal(matrix.mT).mT
    matrix = matrix / (torch.linalg.matrix_norm(matrix, keepdim=True) + 1e-7)
    for _ in range(5):
        square = matrix @ matrix.mT
        matrix = 3.4445 * matrix + (2.0315 * square @ square - 4.7750 * square) @ matrix
    return matrix


def keep_memory() -> None:
    """Let glibc keep freed memory: large tensors are otherwise mapped anew each step, which doubles the time."""
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return
    for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 2**29)):  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
        libc.mallopt(option, value)


def some(job: tuple[int, range]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures uint8 (N,3,H,W), labels (N,), and the boxes of the objects (N,4): left, top, right, bottom."""
    drawn = batch(*job)
    across, down = drawn.masks.any(axis=1), drawn.masks.any(axis=2)
    size = across.shape[1]
    box = (across.argmax(1), down.argmax(1), size - across[:, ::-1].argmax(1), size - down[:, ::-1].argmax(1))
    return np.ascontiguousarray(drawn.images.transpose(0, 3, 1, 2)), drawn.labels, np.stack(box, axis=1)


def pictures(pool: multiprocessing.pool.Pool, seed: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The first `count` pictures of the stream `seed`, drawn by all processes of the pool."""
    jobs = [(seed, range(first, min(first + 100, count))) for first in range(0, count, 100)]
    images = torch.empty(count, 3, 128, 128, dtype=torch.uint8)
    labels, boxes = torch.empty(count, dtype=torch.int64), torch.empty(count, 4, dtype=torch.int64)
    for (_, where), (image, label, box) in zip(jobs, pool.imap(some, jobs), strict=True):
        span = slice(where.start, where.stop)
        images[span], labels[span], boxes[span] = map(torch.from_numpy, (image, label, box))
    return images, labels, boxes


def normalised(images: Tensor) -> Tensor:
    """Pictures in 0..1 as the network takes them."""
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def cropped(images: Tensor, boxes: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """A random crop of each picture that holds the whole object."""
    last = images.shape[-1] - side
    low = (boxes[:, 2:] - side).clamp(0, last)
    high = torch.maximum(boxes[:, :2].clamp(max=last), low)
    start = low + (torch.rand(low.shape, generator=generator) * (high - low + 1)).long()
    return torch.stack([i[:, y : y + side, x : x + side] for i, (x, y) in zip(images, start.tolist(), strict=True)])


def varied(images: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures with mirrored sides, exchanged colours and other contrast: what no class depends on."""
    count = len(images)
    order = torch.rand(count, 3, generator=generator).argsort(dim=1)
    images = images[torch.arange(count)[:, None], order]
    images = torch.where(torch.rand(count, 1, 1, 1, generator=generator) < 0.5, images, images.flip(3))
    gain, shift = torch.rand(2, count, 1, 1, 1, generator=generator) - 0.5
    return ((images - 0.5) * (1 + 0.3 * gain) + 0.5 + 0.1 * shift).clamp(0, 1)


def occluded(images: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures with random patches painted over in one colour, as attribution methods and metrics will show them."""
    out = []
    for image in images:
        patches, dark = (int(v) for v in torch.randint(3, 9, (2,), generator=generator))
        keep = torch.rand(1, 1, patches, patches, generator=generator) < 0.4 + 0.6 * torch.rand(1, generator=generator)
        keep = functional.interpolate(keep.float(), size=image.shape[1:], mode="nearest")[0]
        colour = torch.rand(3, 1, 1, generator=generator) if dark > 5 else torch.full((3, 1, 1), (dark - 3) / 4)
        out.append(image * keep + colour * (1 - keep))
    return torch.stack(out)


def mixture(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A training batch (x, c): whole pictures first, then damaged ones, then some of which nothing is known."""
    certainty = torch.ones_like(images[:, :1])
    images = images.clone()
    images[:OCCLUDED] = occluded(images[:OCCLUDED], generator)
    images[-DAMAGED:], certainty[-DAMAGED:] = training_damage(images[-DAMAGED:], generator)
    certainty[-UNKNOWN:] = 0
    return normalised(images), certainty


def batches(count: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices of endless batches, each picture once a round."""
    while True:
        yield from torch.randperm(count, generator=generator)[: count // BATCH * BATCH].split(BATCH)


def opened(net: ShapesNet) -> ShapesNet:
    """Start with a first layer that lets a pixel through where the certainty is 1."""
    first = net.certain[0]
    with torch.no_grad():
        first.weight[:, 3, 0, 0] = 2 * first.weight[:, :3].abs().sum(dim=(1, 2, 3))
    return net


def hold_silent(net: ShapesNet) -> None:
    """Keep the first layer at exactly 0 where the certainty is 0, whatever the colour (normalised: from −2 to 2)."""
    first = net.certain[0]
    with torch.no_grad():
        first.bias.copy_(torch.minimum(first.bias, -2 * first.weight[:, :3].abs().sum(dim=(1, 2, 3))))


def stage_at(progress: float) -> Stage:
    """The stage that is due when this share of the whole cost is spent."""
    for stage in STAGES:
        progress -= stage.steps * stage.cost / COST
        if progress < 0:
            return stage
    return STAGES[-1]


def optimisers_of(net: ShapesNet) -> list[torch.optim.Optimizer]:
    """Muon for the 3×3 convolutions, AdamW for all else."""
    turned = [weight for weight in net.features.parameters() if weight.dim() == 4]
    rest = [weight for weight in net.parameters() if all(weight is not other for other in turned)]
    return [Muon(turned), torch.optim.AdamW(rest, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)]


def train(data: tuple[Tensor, Tensor, Tensor], seed: int, end: float) -> tuple[ShapesNet, int]:
    """Train until the schedule ends or the clock says `end`; returns the network and its steps."""
    images, kinds, boxes = data
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = opened(ShapesNet(len(CLASSES))).to(memory_format=torch.channels_last).train()
    optimisers = optimisers_of(net)
    hold_silent(net)
    start, step, spent, right = time.monotonic(), 0, 0.0, 0.0
    for chosen in batches(len(images), generator):
        progress = max(spent / COST, (time.monotonic() - start) / (end - start))
        if progress >= 1:
            break
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = optimiser.defaults["lr"] * min(1.0, (step + 1) / 100, 1.2 * (1 - progress))
        net.train(progress < SETTLED)
        stage = stage_at(progress)
        picture = varied(cropped(images[chosen], boxes[chosen], stage.side, generator).float() / 255, generator)
        x, certainty = mixture(picture, generator) if stage.damage else (normalised(picture), None)
        scores, labels = net(x.contiguous(memory_format=torch.channels_last), certainty), kinds[chosen]
        loss = functional.cross_entropy(scores, labels)
        net.zero_grad(set_to_none=True)
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
        hold_silent(net)
        step, spent = step + 1, spent + stage.cost
        whole = slice(OCCLUDED, BATCH - DAMAGED)
        right = 0.98 * right + 0.02 * (scores[whole].argmax(1) == labels[whole]).float().mean().item()
        if step % 100 == 0:
            print(f"{progress:4.0%}  step {step}  right {right:.3f}  {time.monotonic() - start:.0f} s", flush=True)
    return net.eval().to(memory_format=torch.contiguous_format), step


def accuracy_of(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Fraction of the pictures, uint8 (N, 3, H, W), that a network gives the right class; prints that of each class."""
    with torch.no_grad():
        said = [net(normalised(part.float() / 255)).argmax(1) for part in images.split(100)]
    wrong = torch.cat(said) != labels
    for kind, name in enumerate(CLASSES):
        print(f"  {name:10} {1 - wrong[labels == kind].float().mean().item():.4f}")
    return 1 - wrong.float().mean().item()


def measured(net: ShapesNet, data: tuple[Tensor, Tensor, Tensor]) -> dict[str, float]:
    """Accuracy on fresh pictures, and the two certainty tests on pictures and noise alike."""
    images, labels, _ = data
    noise = torch.rand(100, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    x = normalised(torch.cat((images[:300].float() / 255, noise, torch.zeros(1, 3, 128, 128), noise[:1] * 0 + 1)))
    shares = torch.full((len(CLASSES),), 1 / len(CLASSES))
    return {
        "accuracy": accuracy_of(net, images, labels),
        "information_absence": information_absence(net, x),
        "neutrality": neutrality(net, x, shares),
    }


def write(path: Path, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write weights with the names of the classes and what the training reached."""
    metadata = {"classes": json.dumps(CLASSES), "training": json.dumps(facts)}
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    save_file({name: value.contiguous() for name, value in state.items()}, aside, metadata=metadata)
    aside.chmod(0o644)  # safetensors leaves it readable by its owner alone
    aside.replace(path)
    print(f"{path}: {path.stat().st_size} bytes, {json.dumps(facts)}")


def main() -> None:
    """Draw, train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=14.0, help="the whole run ends within this time")
    parser.add_argument("--out", type=Path, default=ROOT / "sigcli" / "data" / "shapes.safetensors")
    options = parser.parse_args()
    start = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(min(os.cpu_count() or 1, 16)) as pool:
        seen = pictures(pool, 2 * options.seed, PICTURES)
        fresh = pictures(pool, 2 * options.seed + 1, FRESH)
    print(f"{PICTURES + FRESH} pictures in {time.monotonic() - start:.0f} s", flush=True)
    keep_memory()
    net, steps = train(seen, options.seed, start + (options.minutes - RESERVE) * 60)
    facts = measured(net, fresh) | {"minutes": (time.monotonic() - start) / 60}
    facts |= {"seed": options.seed, "steps": steps, "pictures": PICTURES, "fresh": FRESH}
    write(options.out, net.state_dict(), facts)


if __name__ == "__main__":
    main()
