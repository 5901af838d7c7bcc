"""The networks of the scenarios `mnist` and `mnist-in-space`, trained on digits with and without damage. No printing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...models.preprocess import Preprocess
from ...models.sources.trained import Trained
from ...training import folders
from ...training.folders import Decoded
from ...training.loop import Batches, Held, Recipe, preset_recipe
from ...training.report import NETWORK
from ..network import Prepared, network
from . import data as digits
from .data import CLASSES, SIDE, Digits, Split

BATCH = 64
UNKNOWN = 0.125
"""Share of a batch of which nothing is certain. With half of it, accuracy on MNIST was 98.3 % in place of 98.9 %."""
_ROAM = 2  # pixels by which digits are moved about in training


def digit_recipe(preset: str | None, *, steps: int, seed: int, damage: bool = True) -> Recipe:
    """How a network of digits is trained: our own recipe, or that of a preset (see `sigcli.training.loop.PRESETS`)."""
    own: dict[str, Any] = {} if preset is not None else {"rate": 4e-3, **({"unknown": UNKNOWN} if damage else {})}
    return preset_recipe(preset, steps=steps, damage=damage, seed=seed, **own)


def digit_network(
    name: str,
    split: Split,
    *,
    arch: str,
    recipe: Recipe,
    folder: Path,
    device: str,
    width: int = SIDE,
    file: str = NETWORK,
    **training: Any,
) -> Prepared:
    """A small network trained on digits, from the seed or from the cache.

    Args:
        name: of the scenario.
        split: the digits.
        arch: a name of `sigcli.models.sources.trained.OWN`.
        recipe: of the training; the network takes a certainty where inputs are damaged.
        folder: of the scenario.
        device: where it is trained.
        width: of the pictures, at whose left the digits stand.
        file: name of the network's file.
        training: `listener` and `stage`, see `network`.
    """
    made = Trained(arch, CLASSES, recipe.damage, Preprocess(None, (SIDE, width), (0.0,), (1.0,)))
    shares = torch.bincount(torch.from_numpy(split.train.labels), minlength=len(CLASSES)) / len(split.train)
    return network(
        f"{name}-{split.digest()}", made, batches(split.train, width=width, seed=recipe.seed),
        Held(tensors(split.held, width=width), torch.from_numpy(split.held.labels)), recipe, folder=folder, device=device,
        sources=(digits, folders), shares=shares, file=file, **training,
    )  # fmt: skip


def batches(found: Digits, *, width: int, seed: int) -> Batches:
    """Batches of digits, each moved by up to two pixels: step → (64, 1, 28, width) in 0..1 and classes."""
    room = pad(torch.from_numpy(found.images), (_ROAM,) * 4)[:, None]
    batch = folders.batches(Decoded(room, torch.from_numpy(found.labels), []), SIDE, BATCH, flip=False, seed=seed)

    def widened(step: int) -> tuple[Tensor, Tensor]:
        images, labels = batch(step)
        return pad(images, (0, width - SIDE)), labels

    return widened


def tensors(found: Digits, *, width: int = SIDE, left: int = 0) -> Tensor:
    """Digits as pictures (N, 1, 28, width) in 0..1, their left edge at column `left`."""
    images = torch.from_numpy(found.images).float().div(255)[:, None]
    return pad(images, (left, width - SIDE - left))
