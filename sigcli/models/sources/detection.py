"""torchvision's detectors by name, with weights downloaded, read from a file, or random."""

from __future__ import annotations

import re
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models.detection._utils import overwrite_eps

from ..model import Source
from .checkpoint import State
from .matching import choose, load_into
from .torchvision import ANY_CLASSES, NO_WEIGHTS, RANDOM, downloaded, entries, member_of, recognised, resized, seeded
from .weights import hash_network, hash_state, place_of_weights, read_checkpoint

_CLASSES = 91
_HEAD = re.compile(r"(box_predictor\.cls_score|classification_head\.(cls_logits|module_list\.0(\.1)?))\.weight$")
_EXACT = re.compile(r"(faster|mask|keypoint)rcnn_resnet50_fpn$|retinanet_resnet50_fpn$")
"""Networks whose published weights were trained with batch norms of ε = 0."""
_ASSUMED = "{} classes: the names of torchvision's weights (COCO's) are assumed (--class-names FILE for others)"


def names() -> list[str]:
    """The names of torchvision's detectors, sorted."""
    return torchvision.models.list_models(module=torchvision.models.detection)


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
    choice = (weights or "DEFAULT").rsplit("::", 1)[-1]
    if choice.lower() == NO_WEIGHTS:
        module = _build(name, _usual(name))
        return Source(module, "detection", "none", hash_state(module.state_dict()), notes=(RANDOM,))
    member = member_of(name, choice)
    if member is None:
        return _from_file(name, choice)
    state, labels = downloaded(name, member), tuple(member.meta["categories"])
    module = _build(name, len(labels))
    load_into(module, state, member.url, name)
    _as_trained(name, module, member)
    return Source(module, "detection", member.name, hash_state(state), labels=labels)


def details(name: str) -> str:
    """What is known of a detector: its size and its weights."""
    every, lines = entries(name), []
    for weights in every:
        mark = " (DEFAULT)" if weights == every.DEFAULT else ""
        lines.append(f"  {weights.name}{mark}: {len(weights.meta['categories'])} classes; images in 0..1 of any size")
    size = f"{every.DEFAULT.meta['num_params'] / 1e6:.1f} million parameters"
    return "\n".join([f"{name}: torchvision detector, {size}", "", "--weights:", *lines, *ANY_CLASSES])


def _usual(name: str) -> int:
    return len(entries(name).DEFAULT.meta["categories"])


def _build(name: str, classes: int) -> nn.Module:
    with seeded():
        return torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=classes)


def _outline(name: str, classes: int) -> nn.Module:
    with torch.device("meta"):
        return _build(name, classes)


def classes_in(name: str, state: State) -> int:
    """How many classes weights are for: the first head has a row for each, or for each class and anchor."""
    usual, own = _usual(name), _outline(name, _usual(name)).state_dict()
    head = next(key for key in own if _HEAD.search(key))
    theirs = state.get(head)
    return usual if theirs is None or not theirs.ndim else max(1, round(usual * len(theirs) / len(own[head])))


def _from_file(name: str, weights: str) -> Source:
    path, _ = place_of_weights(weights)
    usual = _usual(name)

    def outline(state: State) -> nn.Module:
        return _outline(name, classes_in(name, state))

    chosen = choose(read_checkpoint(weights), _outline(name, usual), name, outline=outline)
    classes = classes_in(name, chosen.state)
    module = _build(name, classes)
    load_into(module, chosen.state, path, name)
    known = recognised(name, path)
    _as_trained(name, module, known)
    notes = (_ASSUMED.format(classes),) if known is None and classes == usual else ()
    labels = tuple(entries(name).DEFAULT.meta["categories"]) if classes == usual else None
    told = (*notes, *chosen.notes, *resized(classes, usual, name))
    return Source(module, "detection", weights, hash_network(module), labels=labels, notes=told)


def _as_trained(name: str, module: nn.Module, member: Any) -> None:
    """Set ε of batch norms to 0 where torchvision does for its published weights."""
    if member is not None and member.name == "COCO_V1" and _EXACT.search(name):
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = 0.0
        overwrite_eps(module, 0.0)
