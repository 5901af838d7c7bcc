"""torchvision's segmentation networks by name, with weights downloaded, read from a file, or random."""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from torch import nn

from ..model import Source
from ..preprocess import Preprocess, describe
from ..wrappers.dense import Dense
from .by_task import Kind, usual
from .checkpoint import State
from .matching import outputs
from .torchvision import entries

_AUXILIARY = "aux_classifier."


def names() -> list[str]:
    """The names of torchvision's segmentation networks, sorted."""
    return KIND.names()


def matches(spec: str) -> bool:
    """Whether it is the name of a torchvision segmentation network."""
    return spec in names()


def load(name: str, weights: str | None, device: torch.device) -> Source:  # noqa: ARG001  loaders share one signature
    """Build a torchvision segmentation network, without the second head that serves its training only.

    Args:
        name: `deeplabv3_resnet50`, `fcn_resnet50`, `lraspp_mobilenet_v3_large`, ….
        weights: None or `DEFAULT`, a torchvision weights name, `none` for random ones, or a file.
        device: where it will run.

    Raises:
        ModelError: unknown weights, a download that failed, or a file with another network's weights.
    """
    return KIND.load(name, weights)


def details(name: str) -> str:
    """What is known of a segmentation network: its size, its weights and how they are fed."""
    return KIND.details(name)


def _preset(weights: Any) -> Preprocess:
    transform = weights.transforms()
    (side,) = transform.resize_size
    mean, std = tuple(transform.mean), tuple(transform.std)
    return Preprocess(side, None, mean, std, transform.interpolation.value)


def _options(name: str, state: State | None) -> dict[str, Any]:
    """The second head only where weights have one, whose places `load_into` checks."""
    if name.startswith("lraspp"):
        return {}
    return {"aux_loss": any(key.startswith(_AUXILIARY) for key in state or ())}


def _classes_in(name: str, state: State) -> int:
    whole = usual(name)
    return outputs(KIND.outline(name, whole, state).state_dict(), state, whole) or whole


def _assumed(name: str) -> tuple[str, ...]:
    return (f"the weights file states no preprocessing: that of {name}'s torchvision weights is used",)


def _made(name: str, module: nn.Module, weights: str, digest: str, *, member: Any = None, **known: Any) -> Source:
    """The network without its second head, as `Dense`."""
    if getattr(module, "aux_classifier", None) is not None:
        setattr(module, "aux_classifier", None)  # noqa: B010 (a module's attributes are typed as modules)
    preprocess = _preset(member or entries(name).DEFAULT)
    return Source(Dense(module, "out"), "segmentation", weights, digest, preprocess, **known)


KIND = Kind(
    torchvision.models.segmentation,
    "segmentation network",
    _classes_in,
    lambda weights: describe(_preset(weights)),
    _made,
    _options,
    _assumed,
    "{} classes: the names of torchvision's weights (Pascal VOC's) are assumed (--class-names FILE for others)",
)
