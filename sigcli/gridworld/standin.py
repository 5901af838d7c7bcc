"""The network that stands in for the reward: [SIG] appendix, "GridWorld": fully connected, hidden layers of 64 and 32.

Rewards are not differentiable, so a network learns v from a fraction Q of the coalitions as 0/1 vectors. All runs of a
condition are one batch of networks: their weights are stacked and one batched matrix product serves them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import cos, pi

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from .. import draws
from ..shapley.game import members_of

HIDDEN = (64, 32)
_CHUNK = 1 << 14


@dataclass(frozen=True, eq=False)
class StandIns:
    """R networks 0/1^n → value, stacked; a `Score` whose target is the number of the network.

    Args:
        weights: three tensors (R, outputs, inputs).
        biases: three tensors (R, outputs).
    """

    weights: tuple[Tensor, Tensor, Tensor]
    biases: tuple[Tensor, Tensor, Tensor]

    def __len__(self) -> int:
        return len(self.biases[0])

    @property
    def n(self) -> int:
        """Number of players."""
        return self.weights[0].shape[-1]

    def _run(self, rows: Tensor, run: int) -> tuple[Tensor, Tensor, Tensor]:
        """Value and the two hidden layers before their ReLU, of one network at (k, n) inputs."""
        (w1, w2, w3), (b1, b2, b3) = ([t[run] for t in ts] for ts in (self.weights, self.biases))
        first = torch.addmm(b1, rows, w1.T)
        second = torch.addmm(b2, first.relu(), w2.T)
        return torch.addmm(b3, second.relu(), w3.T)[:, 0], first, second

    def scores(self, images: Float[Tensor, "k 1 1 n"], targets: Int[Tensor, " k"]) -> Float[Tensor, " k"]:
        """Value of each input under the network of its target, (k,)."""
        rows = images.flatten(1)
        values = rows.new_empty(len(rows))
        for run, at in _by_run(targets):
            values[at] = self._run(rows[at], run)[0]
        return values

    def gradients(
        self, images: Float[Tensor, "k 1 1 n"], targets: Int[Tensor, " k"]
    ) -> tuple[Float[Tensor, " k"], Float[Tensor, "k 1 1 n"]]:
        """Value of each input and its gradient, ((k,), (k, 1, 1, n)); the chain rule written out."""
        rows = images.flatten(1)
        values, gradients = rows.new_empty(len(rows)), torch.empty_like(rows)
        for run, at in _by_run(targets):
            value, first, second = self._run(rows[at], run)
            w1, w2, w3 = (w[run] for w in self.weights)
            back = ((second > 0) * w3) @ w2
            values[at] = value
            gradients[at] = back.mul_(first > 0) @ w1
        return values, gradients.reshape(images.shape)

    def game(self, run: int) -> Callable[[Bool[np.ndarray, "k n"]], Float64[np.ndarray, " k"]]:
        """One network as a game: memberships (k, n) → values (k,)."""

        def values(members: Bool[np.ndarray, "k n"]) -> Float64[np.ndarray, " k"]:
            rows = torch.from_numpy(members.astype(np.float32)).to(self.biases[0].device)
            parts = [self._run(part, run)[0] for part in rows.split(_CHUNK)]
            return torch.cat(parts).double().cpu().numpy()

        return values


def _by_run(targets: Tensor) -> list[tuple[int, Tensor | slice]]:
    """Which rows belong to which network; nearly always all to one, which needs no mask."""
    runs = targets.unique().tolist()
    return [(runs[0], slice(None))] if len(runs) == 1 else [(run, targets == run) for run in runs]


@dataclass(frozen=True)
class Recipe:
    """How stand-ins are trained: Adam, one-cycle rate, mean squared error.

    Args:
        steps: optimiser steps.
        batch: coalitions per step and network.
        rate: greatest learning rate.
    """

    steps: int = 4000
    batch: int = 512
    rate: float = 1e-2


def coverage_codes(n: int, share: float, key: int) -> Int[np.ndarray, " m"]:
    """Codes of a random fraction Q of the 2^n coalitions, without repetition, at least two, in random order."""
    count = max(2, round(share * 2**n))
    return np.argsort(draws.words(key, 0, 2**n), kind="stable")[:count]


def train(
    values: Float64[np.ndarray, " k"],
    samples: Int[np.ndarray, "r m"],
    recipe: Recipe,
    *,
    key: int,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> StandIns:
    """Train one network per row of samples on the table's values at those coalitions.

    Args:
        values: (2^n,) the value table.
        samples: (R, m) codes of the coalitions that each network may see.
        recipe: recipe of the training.
        key: key of the stream of draws: initial weights and batches.
        device: where to train.
        progress: called after each step with 1.
    """
    runs = len(samples)
    n = len(values).bit_length() - 1
    scale, shift = float(values.std()) or 1.0, float(values.mean())
    weights, biases = _initial(runs, n, key, device)
    parameters = [*weights, *biases]
    optimiser = torch.optim.Adam(parameters, lr=recipe.rate, betas=(0.9, 0.99))
    order = _batches(samples, recipe, key)
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * _cycle(step / recipe.steps)
        codes = order(step)
        rows = members_of(codes.ravel(), n).reshape(*codes.shape, n).astype(np.float32)
        inputs = torch.from_numpy(rows).to(device)
        aims = torch.from_numpy(((values[codes] - shift) / scale).astype(np.float32)).to(device)
        loss = (_forward(inputs, weights, biases) - aims).square().mean(1).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if progress:
            progress(1)
    w1, w2, w3 = (w.detach() for w in weights)
    b1, b2, b3 = (b.detach() for b in biases)
    return StandIns((w1, w2, w3 * scale), (b1, b2, b3 * scale + shift))


def _initial(runs: int, n: int, key: int, device: torch.device | str) -> tuple[list[Tensor], list[Tensor]]:
    """Uniform weights within 1/sqrt(inputs), as torch.nn.Linear has them."""
    widths = (n, *HIDDEN, 1)
    weights, biases = [], []
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
        count = fan_out * (fan_in + 1)
        u = draws.rows(draws.stream(key, "initial", layer), 0, runs, count).astype(np.float32)
        both = torch.from_numpy((2 * u - 1) * fan_in**-0.5).reshape(runs, fan_out, fan_in + 1).to(device)
        weights.append(both[..., :fan_in].contiguous().requires_grad_())
        biases.append(both[..., fan_in].contiguous().requires_grad_())
    return weights, biases


def _forward(inputs: Tensor, weights: list[Tensor], biases: list[Tensor]) -> Tensor:
    """(R, m, n) → (R, m)."""
    found = inputs
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        found = torch.baddbmm(bias[:, None], found if not layer else found.relu(), weight.transpose(1, 2))
    return found[..., 0]


def _cycle(place: float) -> float:
    """Fraction of the greatest rate at a place 0..1 of the training: up over a tenth, then down along a cosine."""
    return place / 0.1 if place < 0.1 else (1 + cos(pi * (place - 0.1) / 0.9)) / 2


def _batches(samples: Int[np.ndarray, "r m"], recipe: Recipe, key: int) -> Callable[[int], Int[np.ndarray, "r b"]]:
    """Step → codes of its batch, (R, b): epoch after epoch through the samples, which come in random order already."""
    count = samples.shape[1]
    size = min(recipe.batch, count)
    per_epoch = count // size

    def batch(step: int) -> Int[np.ndarray, "r b"]:
        epoch, at = divmod(step, per_epoch)
        if epoch and not at:
            u = draws.words(draws.stream(key, "epoch"), epoch, count)
            samples[:] = samples[:, np.argsort(u, kind="stable")]
        return samples[:, at * size : (at + 1) * size]

    samples = samples.copy()
    return batch
