"""The network of the scenario `local-minimum`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...listener import SILENT, Listener
from ...models.preprocess import Preprocess
from ...models.sources.trained import Trained
from ...training.loop import Held, Recipe
from ..network import Prepared, network
from . import data

_HELD, _BATCH = 4000, 256


def trained_network(folder: Path, *, seed: int, steps: int, device: str, listener: Listener = SILENT) -> Prepared:
    """The certainty-aware network of the scenario, trained from the seed or from the cache."""
    made = Trained("components", data.CLASSES, True, Preprocess(None, (1, data.COMPONENTS), (0.0,), (1.0,)))

    def batches(step: int) -> tuple[Tensor, Tensor]:
        x, labels = data.batch(4 * seed, step * _BATCH, _BATCH)
        return torch.from_numpy(x), torch.from_numpy(labels)

    x, labels = data.batch(4 * seed + 1, 0, _HELD)
    held = Held(torch.from_numpy(x), torch.from_numpy(labels))
    recipe = Recipe(steps=steps, rate=4e-3, whole=0.1, seed=seed)
    return network(
        "local-minimum", made, batches, held, recipe, folder=folder, device=device, sources=(data,), listener=listener
    )
