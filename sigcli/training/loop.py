"""Training with damaged inputs ([ICG] section 4 and A.3): the loop, its checkpoints, and the curves of Fig. 8.

Every random draw of a step derives from (seed, step), so a training that was interrupted goes on as if it had not been.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from .. import draws
from ..errors import OutputError, unknown
from ..files import write_aside
from .damage import training_damage

Batches = Callable[[int], tuple[Tensor, Tensor]]
"""Step → pictures (N, C, H, W) in 0..1, in random order of classes, and their classes (N,)."""
_WARM = 0.05
_EVALUATED = 256
_POINTS = 24
_TOLD = "sig-checkpoint"


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Args:
        steps: number of batches.
        rate: the highest learning rate of AdamW; it rises over the first steps and falls as a cosine.
        decay: weight decay.
        damage: train on damaged inputs with their certainty; without, on the pictures alone.
        whole: fraction of each batch that is left whole, with a certainty of 1.
        unknown: fraction of which nothing is certain; damage whose mean is drawn from U(0, 1) hardly ever goes so far.
        seed: seed of all draws.
        optimiser: "adamw", or "adam" without weight decay.
        constant: the rate stays as it is from the first step to the last.
        clip: norm that a gradient is cut to, or None.
        xavier: weights start anew by Xavier's rule and biases at zero, whatever the network's own rule is.
    """

    steps: int = 3000
    rate: float = 2e-3
    decay: float = 1e-2
    damage: bool = True
    whole: float = 0.25
    unknown: float = 0.0625
    seed: int = 0
    optimiser: Literal["adamw", "adam"] = "adamw"
    constant: bool = False
    clip: float | None = 1.0
    xavier: bool = False


PRESETS: dict[str, dict[str, Any]] = {
    "icg": {
        "rate": 1e-3, "decay": 0.0, "whole": 0.0, "unknown": 0.0, "optimiser": "adam", "constant": True, "clip": None,
        "xavier": True,
    },
}  # fmt: skip
"""Recipes by name, as what they change of `Recipe`. "icg" is [ICG] A.5: Xavier initialisation, biases of zero, Adam with a
rate of 0.001, and every input damaged in one of the four ways, in equal shares. Its batches have 64 inputs."""


def preset_recipe(name: str | None, **own: Any) -> Recipe:
    """The recipe of a preset.

    Args:
        name: name in `PRESETS`, or None for the recipe of `sig` itself.
        own: fields of `Recipe`, which come before the preset's; None where the preset is to decide.

    Raises:
        UsageError: no such preset.

    >>> preset_recipe("icg", steps=10, rate=None).rate, preset_recipe("icg", rate=0.01).rate
    (0.001, 0.01)
    """
    if name is not None and name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    given = {key: value for key, value in own.items() if value is not None}
    return Recipe(**{**(PRESETS[name] if name is not None else {}), **given})


@dataclass(frozen=True)
class Point:
    """A point of the training's curves.

    Args:
        step: batches seen.
        loss: mean cross-entropy of the batches since the point before.
        accuracy: accuracy on held-out pictures, undamaged.
        damaged: accuracy on held-out pictures, damaged as in training; None where training damages nothing.
    """

    step: int
    loss: float
    accuracy: float
    damaged: float | None


@dataclass(frozen=True, eq=False)
class Held:
    """Held-out pictures (N, C, H, W) in 0..1 and their classes (N,), on the CPU."""

    images: Float[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class Net:
    """A network in training, and how it is fed.

    Args:
        module: (pictures) or (pictures, certainty) → logits.
        mean: mean of the normalisation, (C, 1, 1).
        std: std of the normalisation, (C, 1, 1).
        certainty: whether it takes a certainty.
        device: where it is.
    """

    module: nn.Module
    mean: Tensor
    std: Tensor
    certainty: bool
    device: torch.device

    def __call__(self, images: Tensor, certainty: Tensor | None = None) -> Tensor:
        """Logits of pictures in 0..1, as floats, under bf16 autocast where there is a GPU."""
        x = (images.to(self.device, non_blocking=True) - self.mean) / self.std
        given = () if certainty is None or not self.certainty else (certainty.to(self.device, non_blocking=True),)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.module(x, *given).float()


def net_of(module: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], *, certainty: bool, device: str) -> Net:
    """A network for `train`, moved to its device."""
    place = torch.device(device)
    column = [torch.tensor(values, device=place)[:, None, None] for values in (mean, std)]
    return Net(module.to(place), column[0], column[1], certainty, place)


def train(
    net: Net,
    batches: Batches,
    held: Held,
    recipe: Recipe,
    *,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: Callable[[int, int, Point | None], None] | None = None,
) -> list[Point]:
    """Train a network in place; returns the points of its curves, spaced evenly on a logarithmic scale.

    Args:
        net: what is trained.
        batches: where its pictures come from.
        held: pictures to measure on.
        recipe: see `Recipe`.
        checkpoint: written at each point, so `resume` can go on from there.
        resume: go on from the checkpoint, if there is one.
        progress: called with the step, the steps in all, and the point where one was measured.

    Raises:
        OutputError: the checkpoint is of another training or cannot be read.
    """
    if recipe.xavier:
        start_by_xavier(net.module, draws.stream(recipe.seed, "xavier") % 2**63)
    optimizer = _optimizer(net.module, recipe)
    done, points = _restored(checkpoint, net, optimizer, recipe) if resume and checkpoint else (0, [])
    stops, losses = _stops(recipe.steps), []
    for step in range(done, recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * (1.0 if recipe.constant else _level(step / recipe.steps))
        losses.append(_step(net, optimizer, *batches(step), recipe, step))
        point = None
        if step + 1 in stops:
            point = Point(step + 1, sum(losses) / len(losses), *accuracies(net, held, recipe))
            points.append(point)
            losses.clear()
            if checkpoint is not None:
                _save(checkpoint, net, optimizer, recipe, points)
        if progress is not None:
            progress(step + 1, recipe.steps, point)
    net.module.eval()
    return points


def start_by_xavier(module: nn.Module, key: int) -> None:
    """Give a network fresh weights by the uniform rule of Glorot, Bengio 2010, and biases of zero ([ICG] A.5).

    Weights of normalisation keep the 1 that they start with; so does whatever is neither weight nor bias.

    Args:
        module: changed in place.
        key: key of the draws.
    """
    generator = torch.Generator().manual_seed(key)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif name.endswith("weight") and parameter.ndim > 1:
                fresh = torch.empty(parameter.shape, dtype=parameter.dtype)
                parameter.copy_(nn.init.xavier_uniform_(fresh, generator=generator))


def _optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimiser == "adam":
        return torch.optim.Adam(module.parameters(), lr=recipe.rate)
    return torch.optim.AdamW(module.parameters(), lr=recipe.rate, weight_decay=recipe.decay)


def accuracies(net: Net, held: Held, recipe: Recipe) -> tuple[float, float | None]:
    """Accuracy on held-out pictures as they are, and damaged as in training (always in the same way)."""
    net.module.eval()
    whole, damaged = 0, 0
    generator = torch.Generator().manual_seed(draws.stream(recipe.seed, "held") % 2**63)
    with torch.no_grad():
        for images, labels in zip(held.images.split(_EVALUATED), held.labels.split(_EVALUATED), strict=True):
            whole += int((net(images).argmax(1).cpu() == labels).sum())
            if recipe.damage:
                damaged += int((net(*training_damage(images, generator)).argmax(1).cpu() == labels).sum())
    net.module.train()
    count = len(held.labels)
    return whole / count, damaged / count if recipe.damage else None


def _step(
    net: Net, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor, recipe: Recipe, step: int
) -> float:
    """One batch; returns its loss."""
    key = draws.stream(recipe.seed, "train", step) % 2**63
    certainty = None
    if recipe.damage:
        images, certainty = _partly_damaged(images, recipe, torch.Generator().manual_seed(key))
    with torch.random.fork_rng(devices=[net.device] if net.device.type == "cuda" else []):
        torch.manual_seed(key)  # of dropout
        loss = functional.cross_entropy(net(images, certainty), labels.to(net.device))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if recipe.clip is not None:
        nn.utils.clip_grad_norm_(net.module.parameters(), recipe.clip)
    optimizer.step()
    return float(loss.detach())


def _partly_damaged(images: Tensor, recipe: Recipe, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A batch whose first pictures are left whole, whose last are lost, and whose others are damaged in the four ways."""
    whole, unknown = (round(share * len(images)) for share in (recipe.whole, recipe.unknown))
    damaged, certainty = training_damage(images, generator)
    damaged[:whole], certainty[:whole] = images[:whole], 1.0
    if unknown:
        damaged[-unknown:], certainty[-unknown:] = images.roll(1, dims=0)[-unknown:], 0.0
    return damaged, certainty


def _level(share: float) -> float:
    """Learning rate as a fraction of the highest: up in the first twentieth, then down a cosine to a hundredth."""
    if share < _WARM:
        return 0.1 + 0.9 * share / _WARM
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (share - _WARM) / (1 - _WARM))) / 2


def _stops(steps: int) -> set[int]:
    """Steps at which the curves have points: logarithmically even, and the last."""
    return {max(1, round(steps ** (i / _POINTS))) for i in range(_POINTS // 4, _POINTS + 1)} | {steps}


def _save(path: Path, net: Net, optimizer: torch.optim.Optimizer, recipe: Recipe, points: list[Point]) -> None:
    """Write a checkpoint: tensors of the network and of the optimizer, and one JSON text; nothing in it could run."""
    tensors = {f"net/{name}": value for name, value in net.module.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{name}": value for name, value in state.items()}
    told = {"recipe": asdict(recipe), "points": [asdict(point) for point in points]}
    kept = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_aside(path, lambda aside: save_file(kept, aside, metadata={_TOLD: json.dumps(told)}))


def _restored(path: Path, net: Net, optimizer: torch.optim.Optimizer, recipe: Recipe) -> tuple[int, list[Point]]:
    """Steps done and points so far; nothing where there is no checkpoint."""
    if not path.exists():
        return 0, []
    try:
        with safe_open(path, framework="pt") as file:
            told = json.loads((file.metadata() or {})[_TOLD])
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        points = [Point(**point) for point in told["points"]]
        if told["recipe"] != asdict(recipe):
            raise OutputError(
                "the checkpoint belongs to another training", given=path,
                hint="Repeat the command of that training with --resume, or leave --resume out.",
            )  # fmt: skip
        net.module.load_state_dict(_below(tensors, "net"))
        optimizer.load_state_dict(_optimizer_state(optimizer, _below(tensors, "optimizer")))
        return points[-1].step, points
    except OutputError:
        raise
    except Exception as error:  # a damaged file raises all sorts of exceptions
        raise OutputError(
            "the checkpoint cannot be read", given=path, hint="Remove it, or leave --resume out."
        ) from error


def _below(tensors: dict[str, Tensor], folder: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{folder}/"): value for name, value in tensors.items() if name.startswith(f"{folder}/")}


def _optimizer_state(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """What `load_state_dict` of an optimizer takes; its groups are those that the recipe gave it anew."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, key = name.partition("/")
        state.setdefault(int(number), {})[key] = value
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, parameter in enumerate(parameters):  # Adam itself would go on with whatever it is given
        shapes = {key: value.shape for key, value in state.get(number, {}).items()}
        if shapes != {"step": torch.Size(()), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}:
            raise ValueError(f"Adam's state of parameter {number} is missing")
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
