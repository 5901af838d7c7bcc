"""Train the bundled transformer from generated pictures only, and write its weights with what it reached.

    python scripts/train_shapes_vit.py [--seed 0] [--minutes 34] [--cache FOLDER] [--out sigcli/data/shapes_vit.safetensors]

`shapes` is its teacher: the transformer learns the classes, the teacher's logits, and in its first part what two of the
teacher's layers see at each patch (Romero et al. 2015). Most steps show half of a picture's tokens, those of the object
before others, which costs less and makes absent tokens usual. Attention is computed in bfloat16. Where the machine is slow
or busy, the schedule is compressed to end within the minutes given.
"""

# ruff: noqa: E402  (the environment and the path must be set before the imports that read them)

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import VisionTransformer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "scripts"))

from train_shapes import Muon, accuracy_of, keep_memory, normalised, occluded, pictures, varied, write

from sigcli.models.networks.shapes import load as load_teacher
from sigcli.models.networks.shapes_vit import HEADS, PATCH, WIDTH, build
from sigcli.scenarios.shapes.data import CLASSES
from sigcli.training.damage import training_damage

SIDE = 128 // PATCH  # tokens across a picture, and down
PICTURES, FRESH, BATCH = 60_000, 5_000, 64
OCCLUDED, HURT = 6, 10  # of a batch: painted over; these and damaged ones, of which the teacher says nothing
FINE, DEEP = (13, 96), (19, 128)  # of the teacher's layers: how many come before a hint is taken, and its channels
HINTED = 2, 5  # blocks whose tokens learn what the fine and the deep layers see
HINTS, DEEPLY = 0.5, 3.0  # until when hints are given, and the weight of the deep one
SOFT = 2.0  # temperature of the teacher's logits
RESERVE = 0.5  # minutes kept for the measurement at the end
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-3  # of what Muon does not move


class Stage(NamedTuple):
    """A part of the training: how many of the 64 tokens of a picture are seen, and its share of the time."""

    tokens: int
    share: float


STAGES = (Stage(31, 0.55), Stage(47, 0.2), Stage(SIDE * SIDE, 0.25))


class Lesson(NamedTuple):
    """What is learnt.

    `images` are uint8 (N, 3, H, W), `labels` (N,) and `boxes` (N, 4). The teacher says `logits` (N, classes), and of each
    patch `fine` (N, 64, 4·96), the four places of its fine layer within the patch, and `deep` (N, 64, 128).
    """

    images: Tensor
    labels: Tensor
    boxes: Tensor
    logits: Tensor
    fine: Tensor
    deep: Tensor


def taught(images: Tensor, labels: Tensor, boxes: Tensor) -> Lesson:
    """Ask the teacher about all pictures; hints have a standard deviation of 1."""
    teacher = load_teacher()[0].to(memory_format=torch.channels_last)
    places = SIDE * SIDE
    fine = torch.empty(len(images), places, 4 * FINE[1], dtype=torch.bfloat16)
    deep = torch.empty(len(images), places, DEEP[1], dtype=torch.bfloat16)
    logits = torch.empty(len(images), len(CLASSES))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for where in torch.arange(len(images)).split(BATCH):
            part = normalised(images[where].float() / 255)
            x = torch.cat((part, torch.ones_like(part[:, :1])), 1).contiguous(memory_format=torch.channels_last)
            seen = teacher.features[: FINE[0]](teacher.certain(x))
            fine[where] = functional.pixel_unshuffle(seen, 2).flatten(2).mT
            seen = teacher.features[FINE[0] : DEEP[0]](seen)
            deep[where] = seen.flatten(2).mT
            logits[where] = teacher.head(teacher.features[DEEP[0] :](seen)).float()
    for hint in (fine, deep):
        scale = hint[:2000].float().flatten(0, 1).std(0).clamp(min=1e-3)
        for part in hint.split(BATCH):
            part.div_(scale)
    return Lesson(images, labels, boxes, logits, fine, deep)


def patches_of(images: Tensor) -> Tensor:
    """Pictures (N, 3, H, W) → their patches (N, 64, 3·16·16), in the order of the network's tokens and weights."""
    return functional.unfold(images, PATCH, stride=PATCH).mT


def chosen_tokens(boxes: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Which tokens are seen, (N, count): those of the object's box first; in a quarter of the pictures, whichever."""
    low = torch.arange(SIDE) * PATCH
    across = (boxes[:, 0, None] < low + PATCH) & (boxes[:, 2, None] > low)
    down = (boxes[:, 1, None] < low + PATCH) & (boxes[:, 3, None] > low)
    first = torch.rand(len(boxes), 1, generator=generator) < 0.75
    order = torch.rand(len(boxes), SIDE * SIDE, generator=generator)
    order += (down[:, :, None] & across[:, None, :]).flatten(1) * first
    return order.topk(count, 1).indices


def attended(layer: nn.Module, x: Tensor) -> Tensor:
    """What a block of the network does, with attention written out: in bfloat16 twice as fast as the fused kernel."""
    attention = layer.self_attention
    count, length, width = x.shape
    packed = functional.linear(layer.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
    queries, keys, values = packed.view(count, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
    weights = (queries @ keys.mT * (width // HEADS) ** -0.5).softmax(-1)
    x = x + attention.out_proj((weights @ values).transpose(1, 2).reshape(count, length, width))
    return x + layer.mlp(layer.ln_2(x))


def scores(net: VisionTransformer, patches: Tensor, tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits (N, classes), and the tokens after the blocks that are given hints, (N, K, width) each.

    Args:
        net: the network.
        patches: of the pictures, normalised, those of `tokens` alone (N, K, 768).
        tokens: where they are, (N, K).
    """
    place = net.encoder.pos_embedding[0]
    x = functional.linear(patches, net.conv_proj.weight.flatten(1), net.conv_proj.bias) + place[1 + tokens]
    x = torch.cat((net.class_token.expand(len(x), -1, -1) + place[:1], x), 1)
    between = []
    for number, layer in enumerate(net.encoder.layers, 1):
        x = attended(layer, x)
        if number in HINTED:
            between.append(x[HURT:, 1:])
    return net.heads(net.encoder.ln(x[:, 0])), between


def shown(images: Tensor, generator: torch.Generator, *, plain: bool) -> Tensor:
    """A training batch, normalised: some pictures painted over, some damaged, and unless `plain` all of them varied."""
    images = images.float() / 255 if plain else varied(images.float() / 255, generator)
    images[:OCCLUDED] = occluded(images[:OCCLUDED], generator)
    images[OCCLUDED:HURT] = training_damage(images[OCCLUDED:HURT], generator)[0]
    return normalised(images)


def loss_of(
    net: VisionTransformer, readers: nn.ModuleList, lesson: Lesson, picked: Tensor, *, count: int, hints: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The loss of a batch of which `count` tokens are seen, and the fraction of its whole pictures that are right."""
    tokens = chosen_tokens(lesson.boxes[picked], count, generator)
    images = shown(lesson.images[picked], generator, plain=hints > 0)
    patches = patches_of(images).gather(1, tokens[..., None].expand(-1, -1, 3 * PATCH**2))
    with torch.autocast("cpu", torch.bfloat16):
        said, between = scores(net, patches, tokens)
        read = [reader(half) for reader, half in zip(readers, between, strict=True)] if hints > 0 else []
    said, labels, whole = said.float(), lesson.labels[picked], picked[HURT:]
    soft = (lesson.logits[whole] / SOFT).softmax(1)
    loss = functional.cross_entropy(said, labels)
    loss = loss + SOFT**2 * functional.kl_div((said[HURT:] / SOFT).log_softmax(1), soft, reduction="batchmean")
    for found, hint, weight in zip(read, (lesson.fine, lesson.deep), (1.0, DEEPLY), strict=False):
        wanted = hint[whole].gather(1, tokens[HURT:, :, None].expand(-1, -1, hint.shape[2]))
        loss = loss + hints * weight * functional.mse_loss(found.float(), wanted.float())
    return loss, (said[HURT:].argmax(1) == labels[HURT:]).float().mean()


def optimisers_of(net: VisionTransformer, readers: nn.ModuleList) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for all else."""
    packed = [layer.self_attention.in_proj_weight for layer in net.encoder.layers]  # queries, keys and values
    known = set(map(id, packed))
    matrices = [one for one in net.encoder.layers.parameters() if one.dim() == 2 and id(one) not in known]
    known |= set(map(id, matrices))
    rest = [one for one in (*net.parameters(), *readers.parameters()) if id(one) not in known]
    return [
        Muon([{"params": matrices}, {"params": packed, "parts": 3}]),
        torch.optim.AdamW(rest, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY),
    ]


def tokens_at(progress: float, step: int) -> int:
    """How many tokens are seen at this fraction of the time; where all are, every fourth step leaves some out."""
    for stage in STAGES:
        progress -= stage.share
        if progress < 0:
            break
    return stage.tokens if stage is not STAGES[-1] or step % 4 else STAGES[-2].tokens


def train(lesson: Lesson, seed: int, end: float) -> tuple[VisionTransformer, int]:
    """Train until the clock says `end`; returns the network and its steps."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = build(len(CLASSES)).train()
    nn.init.trunc_normal_(net.heads.head.weight, std=0.02)
    readers = nn.ModuleList((nn.Linear(WIDTH, lesson.fine.shape[2]), nn.Linear(WIDTH, lesson.deep.shape[2])))
    optimisers = optimisers_of(net, readers)
    start, step, right = time.monotonic(), 0, 0.0
    order = torch.empty(0, dtype=torch.int64)
    while (progress := (time.monotonic() - start) / (end - start)) < 1:
        if len(order) < BATCH:
            order = torch.randperm(len(lesson.images), generator=generator)
        picked, order = order[:BATCH], order[BATCH:]
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = optimiser.defaults["lr"] * min(1.0, (step + 1) / 100, 1.4 * (1 - progress))
        hints = max(0.0, 1 - progress / HINTS)
        count = tokens_at(progress, step)
        loss, hit = loss_of(net, readers, lesson, picked, count=count, hints=hints, generator=generator)
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
        step, right = step + 1, 0.98 * right + 0.02 * hit.item()
        if step % 200 == 0:
            print(f"{progress:4.0%}  step {step}  right {right:.3f}  {time.monotonic() - start:.0f} s", flush=True)
    return net.eval(), step


def drawn(pool: multiprocessing.pool.Pool, seed: int, count: int, cache: Path | None) -> list[Tensor]:
    """Pictures, labels and boxes of a stream, as `pictures`; drawn once where there is a folder to keep them in."""
    files = [] if cache is None else [cache / f"{seed}-{count}-{name}.npy" for name in ("images", "labels", "boxes")]
    if files and all(file.exists() for file in files):
        return [torch.from_numpy(np.load(file)) for file in files]
    found = list(pictures(pool, seed, count))
    for file, part in zip(files, found, strict=False):
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, part.numpy())
    return found


def halved(net: VisionTransformer) -> dict[str, Tensor]:
    """The weights in half precision, as they are kept; the network has them so from here on."""
    state = {name: value.half().contiguous() for name, value in net.state_dict().items()}
    net.load_state_dict(state)
    return state


def main() -> None:
    """Draw, ask the teacher, train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=34.0, help="the whole run ends within this time")
    parser.add_argument("--cache", type=Path, help="folder where drawn pictures are kept for the next run")
    parser.add_argument("--out", type=Path, default=ROOT / "sigcli" / "data" / "shapes_vit.safetensors")
    options = parser.parse_args()
    start = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(min(os.cpu_count() or 1, 16)) as pool:
        seen = drawn(pool, 2 * options.seed, PICTURES, options.cache)
        fresh = drawn(pool, 2 * options.seed + 1, FRESH, options.cache)
    keep_memory()
    lesson = taught(*seen)
    print(f"{PICTURES + FRESH} pictures and what the teacher says in {time.monotonic() - start:.0f} s", flush=True)
    net, steps = train(lesson, options.seed, start + (options.minutes - RESERVE) * 60)
    state = halved(net)
    facts = {"accuracy": accuracy_of(net, fresh[0], fresh[1]), "minutes": (time.monotonic() - start) / 60}
    facts |= {"seed": options.seed, "steps": steps, "pictures": PICTURES, "fresh": FRESH}
    write(options.out, state, facts)


if __name__ == "__main__":
    main()
