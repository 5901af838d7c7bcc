"""Values of the six components of an input: exact BShap, and any path method. No printing."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...attribution.select import Chosen
from ...engine.failures import attempted
from ...engine.integrate import Task, outcomes
from ...errors import SigError, UsageError
from ...methods.deferred import task
from ...models.model import Model
from ...scores.classifier import ClassScore
from ...shapley.exact import exact
from ...shapley.game import table
from ...types import Subject
from . import data


class Vectors:
    """Inputs for means and random references; fulfils `sigcli.types.Peers`."""

    def __init__(self, inputs: Tensor):
        self.inputs = inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def image(self, index: int) -> Tensor:
        return self.inputs[index]

    def mean(self) -> Tensor:
        return self.inputs.mean(0)

    def keys(self) -> list[int]:
        return [-1 - index for index in range(len(self.inputs))]


def boundary(scorer: ClassScore, device: torch.device | str = "cpu") -> float:
    """The value near 0.5 at which six equal components leave the network undecided: BShap's baseline (0.50546 in [ICG])."""
    low, high = 0.4, 0.6
    for _ in range(30):
        middle = (low + high) / 2
        outputs = scorer.outputs(torch.full((1, 1, 1, data.COMPONENTS), middle, device=device))[0]
        low, high = (middle, high) if outputs[1] < outputs[0] else (low, middle)
    return (low + high) / 2


def baseline_shap(scorer: ClassScore, x: Tensor, base: float) -> np.ndarray:
    """Exact Shapley values of one input (1, 1, 6) where absent components have the value `base`, (6,)."""

    def game(members: np.ndarray) -> np.ndarray:
        there = torch.from_numpy(members)[:, None, None].to(x.device)
        inputs = torch.where(there, x, torch.tensor(base, device=x.device))
        return scorer.scores(inputs, torch.ones(len(inputs), dtype=torch.long, device=x.device)).double().cpu().numpy()

    return exact(table(game, data.COMPONENTS))


def values_of(
    model: Model, scorer: ClassScore, x: np.ndarray, method: Chosen, seed: int, peers: Vectors
) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Values of all inputs by one method, (N, 6), the standard errors of the first input's where it has draws, (6,), and
    what failed, a sentence each: the values of that input are NaN.
    """
    level = torch.zeros(1, 1, 1, device=model.device)
    subjects = [
        Subject(torch.from_numpy(one).to(model.device), 1, level, level + 1, key, seed, peers)
        for key, one in enumerate(x)
    ]
    tasks = [
        attempted(lambda subject=subject: task(method.entry, method.options, scorer, subject, batch_size=512))
        for subject in subjects
    ]
    wrong = next((one for one in tasks if isinstance(one, UsageError)), None)
    if wrong is not None:
        raise wrong
    made = outcomes(scorer, (one for one in tasks if isinstance(one, Task)), batch_size=512, check=0)
    found = [one if isinstance(one, SigError) else next(made) for one in tasks]
    nothing = np.full(data.COMPONENTS, np.nan)
    values = [nothing if isinstance(a, SigError) else a.values.flatten().cpu().double().numpy() for a in found]
    error = None if isinstance(found[0], SigError) else found[0].stderr
    told = [
        f"input {number} {method.name}: {' '.join(str(one).split())}"
        for number, one in enumerate(found)
        if isinstance(one, SigError)
    ]
    return np.stack(values), None if error is None else error.flatten().cpu().double().numpy(), told
