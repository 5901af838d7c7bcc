"""What `quantus_peer.py` gives both tools, and the lines of its table."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import quantus  # pyright: ignore[reportMissingImports]
import torch
from common import ROOT, machine
from torch import Tensor, nn

from sigcli.engine.integrate import Task, integrate
from sigcli.inputs.images import find_images, read_image
from sigcli.methods import METHODS
from sigcli.metrics.case import Case
from sigcli.metrics.faithfulness import Plan
from sigcli.metrics.removal import Steps, follow
from sigcli.models.loading import load_model
from sigcli.scores.classifier import ClassScore
from sigcli.types import Subject

BATCH = 64
"""Of the removal loop, as in `sig evaluate`."""


@dataclass(frozen=True, eq=False)
class Material:
    """What both tools are given: a model and cases whose maps are scaled to a maximum of 1 and have no ties."""

    name: str
    module: nn.Module
    cases: list[Case]
    rounds: int = 1

    def one(self, index: int) -> Material:
        return replace(self, cases=[self.cases[index]])

    @property
    def x(self) -> np.ndarray:
        return torch.stack([case.subject.x for case in self.cases]).numpy()

    @property
    def maps(self) -> np.ndarray:
        return torch.stack([case.relevance for case in self.cases]).numpy()

    def measured(self, plans: Sequence[Plan]) -> list[tuple[Steps, Any]]:
        """Our removal metrics in our one loop: what the model said, and the figure."""
        found = follow(ClassScore(self.module), [plan.removal for plan in plans], batch_size=BATCH)
        return [(steps, plan.finish(steps)) for plan, steps in zip(plans, found, strict=True)]

    def ask(self, metric: Any, **more: Any) -> Any:
        """Quantus's metric of the same arrays, all images in one batch unless told otherwise."""
        given = {"x_batch": self.x, "a_batch": self.maps.copy(), "batch_size": max(BATCH, len(self.cases)), **more}
        targets = np.array([case.subject.target for case in self.cases])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return metric(model=self.module, y_batch=targets, channel_first=True, device="cpu", **given)


def alternating(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> tuple[Any, Any, np.ndarray]:
    """Both results, and [[our wall, our CPU], [their wall, their CPU]] seconds, the least of the rounds.

    Each round runs both, in turn first and second. Other work on the machine moves CPU time less than wall time.
    """
    found: list[Any] = [None, None]
    spent = np.empty((2, rounds, 2))
    for turn in range(rounds):
        for side in (0, 1) if turn % 2 else (1, 0):
            wall, cpu = time.perf_counter(), time.process_time()
            found[side] = (ours, theirs)[side]()
            spent[side, turn] = time.perf_counter() - wall, time.process_time() - cpu
    return found[0], found[1], spent.min(1)


def row(
    material: Material, metric: str, ours: Any, theirs: Any, note: str, seconds: np.ndarray | None = None
) -> dict[str, object]:
    """A line of the table; `ours` and `theirs` begin with the images, and the difference is the largest anywhere."""
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    side = material.x.shape[-1]
    timing = {"our_seconds": "", "quantus_seconds": "", "ratio": ""}
    if seconds is not None:
        (wall, cpu), (their_wall, their_cpu) = seconds
        timing = {
            "our_seconds": f"{wall:.3f}",
            "quantus_seconds": f"{their_wall:.3f}",
            "ratio": f"{their_wall / wall:.2f}",
        }
        note = f"{note}; CPU seconds {cpu:.2f} and {their_cpu:.2f}, ratio {their_cpu / cpu:.2f}"
    return {
        "metric": metric,
        "images": f"{len(material.cases)} of {material.name} at {side} px",
        "ours": f"{a.mean():.6f}",
        "quantus": f"{b.mean():.6f}",
        "largest_difference": f"{np.abs(a - b).max():.1e}",
        **timing,
        "note": note,
        "machine": f"{machine('cpu')}, {torch.get_num_threads()} threads, Quantus {quantus.__version__}",
    }


def gather(folder: Path | None, weights: Path | None, count: int, rounds: int) -> Material:
    """Images with masks, the class that the model gives them, and their Integrated Gradients.

    Args:
        folder: of images, beside a folder of masks; the bundled shapes where None.
        weights: of torchvision's SqueezeNet 1.1; the bundled model where None.
        count: images at most.
        rounds: of the timed metrics.
    """
    images = folder or ROOT / "sample_images"
    masks = images.parent / "masks" if folder else images / "masks"
    spec = "squeezenet1_1" if weights else "shapes"
    model = load_model(spec, weights=str(weights) if weights else None)
    found = {path: sorted(masks.glob(f"{path.stem}*.png")) for path in find_images([images]) if path.parent == images}
    chosen = [(path, files[0]) for path, files in found.items() if files][:count]
    scorer, cases = ClassScore(model.module), []
    for path, file in chosen:
        picture = read_image(path)
        x = model.preprocess(picture.pixels)
        target = int(scorer.outputs(x[None]).argmax())
        subject = Subject(x, target, model.preprocess.low, model.preprocess.high, picture.key)
        (made,) = integrate(scorer, [Task(subject, METHODS["ig"].load()(subject, steps=16))], batch_size=16)
        mask = torch.from_numpy(model.preprocess.display(read_image(file).pixels)[..., 0] > 127)
        cases.append(Case(subject, untied(made.values), mask))
    return Material(spec, model.module, cases, rounds)


def untied(values: Tensor) -> Tensor:
    """A map (H, W) with a maximum of 1 and no ties, which the two tools' sorts would break differently."""
    relevance = values.double().sum(0)
    relevance = relevance / relevance.abs().max()
    order = torch.arange(relevance.numel(), dtype=torch.float64).reshape(relevance.shape)
    return relevance - 1e-12 * order
