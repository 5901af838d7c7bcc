"""The networks that come with `sig`, so everything works at once and offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from sigcli.errors import ModelError

from ..model import Source
from ..preprocess import Preprocess
from .weights import check_file, hash_state


def is_shapes(spec: str) -> bool:
    """Whether it names the network of drawn shapes."""
    return spec == "shapes"


def is_shapes_vit(spec: str) -> bool:
    """Whether it names the transformer of drawn shapes."""
    return spec == "shapes-vit"


def is_expression(spec: str) -> bool:
    """Whether it names the embedding of drawn faces."""
    return spec == "expression"


def load(spec: str, weights: str | None, device: torch.device) -> Source:  # noqa: ARG001  loaders share one signature
    """Load `shapes` or `shapes-vit` with its own weights, or with those of a network trained anew (`--weights FILE`).

    Raises:
        ModelError: the weights are not those of the network.
    """
    from ..networks import shapes

    load, path = shapes.load, _file(weights)
    if is_shapes_vit(spec):
        from ..networks import shapes_vit  # imports torchvision

        load = shapes_vit.load
    net, labels = load() if path is None else load(Path(path))
    return replace(_source(net, path, shapes.SIZE, shapes.MEAN, shapes.STD), labels=tuple(labels))


def load_expression(spec: str, weights: str | None, device: torch.device) -> Source:  # noqa: ARG001  one signature for all
    """Load `expression` with its own weights, or with those of a network trained anew (`--weights FILE`).

    Raises:
        ModelError: the weights are not those of `expression`.
    """
    from ..networks import expression

    path = _file(weights)
    net, threshold = expression.load() if path is None else expression.load(Path(path))
    note = f"this network cannot distinguish the expressions of faces closer than {threshold:.2f}"
    made = _source(net, path, expression.SIZE, expression.MEAN, expression.STD)
    return replace(made, notes=(note,), inputs=1)


def _source(net: nn.Module, path: str | None, size: int, mean: Sequence[float], std: Sequence[float]) -> Source:
    preprocess = Preprocess(resize=size, crop=size, mean=tuple(mean), std=tuple(std))
    return Source(net, "bundled", path or "bundled", hash_state(net.state_dict()), preprocess)


def _file(weights: str | None) -> str | None:
    """The weights' file that was named, or None for the bundled one."""
    path = None if weights is None or weights.upper() == "DEFAULT" else weights
    if path is not None:
        if path.lower() == "none":
            hint = "Leave --weights out, or give --weights FILE."
            raise ModelError("the bundled network has no random weights", given="--weights none", hint=hint)
        check_file(Path(path), "weights")
    return path
