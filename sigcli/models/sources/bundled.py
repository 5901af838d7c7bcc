"""The network that comes with `sig`, so that everything works at once and offline."""

from __future__ import annotations

from pathlib import Path

import torch

from sigcli.errors import ModelError

from ..model import Source
from ..preprocess import Preprocess
from .weights import check_file, hash_state


def is_shapes(spec: str) -> bool:
    """Whether it names the network of drawn shapes."""
    return spec == "shapes"


def is_expression(spec: str) -> bool:
    """Whether it names the embedding of drawn faces."""
    return spec == "expression"


def load(spec: str, weights: str | None, device: torch.device) -> Source:  # noqa: ARG001  loaders share one signature
    """Load `shapes` with its own weights, or with those of a network trained anew (`--weights FILE`).

    Raises:
        ModelError: the weights are not those of `shapes`.
    """
    from ..networks import shapes

    path = _file(weights)
    net, labels = shapes.load() if path is None else shapes.load(Path(path))
    return Source(
        net,
        kind="bundled",
        weights=path or "bundled",
        weights_hash=hash_state(net.state_dict()),
        preprocess=Preprocess(resize=shapes.SIZE, crop=shapes.SIZE, mean=tuple(shapes.MEAN), std=tuple(shapes.STD)),
        labels=tuple(labels),
    )


def load_expression(spec: str, weights: str | None, device: torch.device) -> Source:  # noqa: ARG001  one signature for all
    """Load `expression` with its own weights, or with those of a network trained anew (`--weights FILE`).

    Raises:
        ModelError: the weights are not those of `expression`.
    """
    from ..networks import expression

    path = _file(weights)
    net, threshold = expression.load() if path is None else expression.load(Path(path))
    return Source(
        net,
        kind="bundled",
        weights=path or "bundled",
        weights_hash=hash_state(net.state_dict()),
        preprocess=Preprocess(
            resize=expression.SIZE, crop=expression.SIZE, mean=tuple(expression.MEAN), std=tuple(expression.STD)
        ),
        notes=(f"faces nearer than {threshold:.2f} express the same, as far as this network can tell",),
        inputs=1,
    )


def _file(weights: str | None) -> str | None:
    """The weights' file that was named, or None for the bundled one."""
    path = None if weights is None or weights.upper() == "DEFAULT" else weights
    if path is not None:
        if path.lower() == "none":
            hint = "Leave --weights out, or give --weights FILE."
            raise ModelError("the bundled network has no random weights", given="--weights none", hint=hint)
        check_file(Path(path), "weights")
    return path
