"""torchvision's detectors by name, with weights downloaded, read from a file, or random."""

from __future__ import annotations

import re
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models.detection._utils import overwrite_eps

from ..model import Source
from .by_task import Kind, usual
from .checkpoint import State

_HEAD = re.compile(r"(box_predictor\.cls_score|classification_head\.(cls_logits|module_list\.0(\.1)?))\.weight$")
_EXACT = re.compile(r"(faster|mask|keypoint)rcnn_resnet50_fpn$|retinanet_resnet50_fpn$")
"""Networks whose published weights were trained with batch norms of ε = 0."""


def names() -> list[str]:
    """The names of torchvision's detectors, sorted."""
    return KIND.names()


def matches(spec: str) -> bool:
    """Whether it is the name of a torchvision detector."""
    return spec in names()


def load(name: str, weights: str | None, device: torch.device) -> Source:  # noqa: ARG001  loaders share one signature
    """Build a torchvision detector.

    Args:
        name: `fasterrcnn_resnet50_fpn`, `retinanet_resnet50_fpn`, `ssd300_vgg16`, `fcos_resnet50_fpn`, ….
        weights: None or `DEFAULT`, a torchvision weights name, `none` for random ones, or a file.
        device: where it will run.

    Raises:
        ModelError: unknown weights, a download that failed, or a file with another network's weights.
    """
    return KIND.load(name, weights)


def details(name: str) -> str:
    """What is known of a detector: its size and its weights."""
    return KIND.details(name)


def classes_in(name: str, state: State) -> int:
    """How many classes weights are for: the first head has a row for each, or for each class and anchor."""
    whole = usual(name)
    own = KIND.outline(name, whole).state_dict()
    head = next(key for key in own if _HEAD.search(key))
    theirs = state.get(head)
    return whole if theirs is None or not theirs.ndim else max(1, round(whole * len(theirs) / len(own[head])))


def _made(name: str, module: nn.Module, weights: str, digest: str, *, member: Any = None, **known: Any) -> Source:
    """The detector, with ε of batch norms 0 where torchvision sets it for its published weights."""
    if member is not None and member.name == "COCO_V1" and _EXACT.search(name):
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = 0.0
        overwrite_eps(module, 0.0)
    return Source(module, "detection", weights, digest, **known)


KIND = Kind(
    torchvision.models.detection,
    "detector",
    classes_in,
    lambda _weights: "images in 0..1 of any size",
    _made,
    names_assumed="{} classes: the names of torchvision's weights (COCO's) are assumed (--class-names FILE for others)",
)
