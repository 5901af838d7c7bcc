"""Metrics tried on a made-up image before anything is computed, so mistakes in a command cost nothing. No printing."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..attribution.rehearsal import made_up
from ..attribution.select import Chosen
from ..errors import AttributionError
from ..metrics.case import Case
from ..metrics.sanity import ASKED
from ..models.model import Model
from ..types import Subject
from .dropped import check_drops, drops, with_presence

_FREE = 256  # side of the image for models that take any size


class _Grey:
    """Stands in for the other images."""

    def __init__(self, image: Tensor):
        self._image = image

    def __len__(self) -> int:
        return 3

    def keys(self) -> list[int]:
        return [1, 2, 3]

    def image(self, index: int) -> Tensor:  # noqa: ARG002
        return self._image

    def mean(self) -> Tensor:
        return self._image


def fitting(metrics: Sequence[Chosen], model: Model) -> list[str]:
    """Notes on options that count more pixels than the model's images have: of those all are taken."""
    if model.preprocess.size is None:
        return []
    pixels = math.prod(model.preprocess.size)
    counts = [(one.name, str(one.entry.properties["pixels"]), one.resolved()) for one in metrics]
    return [
        f"{name}: an image has {pixels} pixels, so {option} is {pixels} and not {options[option]}."
        for name, option, options in counts
        if option and options[option] > pixels
    ]


def rehearse(metrics: Sequence[Chosen], model: Model) -> None:
    """Make every metric once for an image of the model's size, as far as that takes no pass of the model.

    Args:
        metrics: with their options.
        model: the model whose input is imitated.

    Raises:
        UsageError: an option that fits no image: an unknown imputation, tokens that the model has not, a count below 1.
    """
    height, width = model.preprocess.size or (_FREE, _FREE)
    x = made_up((model.preprocess.channels, height, width))
    level = torch.zeros(model.preprocess.channels, 1, 1)
    subject = Subject(x, 0, level, level + 1, 1, 0, _Grey(x.flip(-1)), prepare=model.preprocess)
    half = torch.arange(width).expand(height, width) < width // 2

    def explain(images: Tensor, target: int, model: nn.Module | None = None, seed: int | None = None) -> Tensor:  # noqa: ARG001
        return images

    there = {"explain": explain, "drawn": True, "module": nn.Linear(1, 1), "classes": model.classes, "asked": ASKED}
    for metric in metrics:
        known = metric.entry.properties
        if known["column"] or known["scope"] == "model":  # it needs the model itself
            continue
        case = Case(subject, x, half if known["needs"] == "mask" else None)
        if drops(metric):
            check_drops(model, metric)
            case = with_presence(case)
        with contextlib.suppress(AttributionError):  # of the made-up image: others may do better
            metric.entry.load()(case, *(there[name] for name in known["takes"]), **metric.options)
