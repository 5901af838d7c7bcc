"""torchvision's segmentation networks by name, with weights downloaded, read from a file, or random."""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from torch import nn

from ..model import Source
from ..preprocess import Preprocess, describe
from ..wrappers.dense import Dense
from .checkpoint import State
from .matching import choose, load_into, outputs
from .torchvision import ANY_CLASSES, NO_WEIGHTS, RANDOM, downloaded, entries, member_of, recognised, resized, seeded
from .weights import hash_network, hash_state, place_of_weights, read_checkpoint

_CLASSES = 21
_AUXILIARY = "aux_classifier."
_ASSUMED = "21 classes: the names of torchvision's weights (Pascal VOC's) are assumed (--class-names FILE for others)"


def names() -> list[str]:
    """The names of torchvision's segmentation networks, sorted."""
    return torchvision.models.list_models(module=torchvision.models.segmentation)


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
    choice = (weights or "DEFAULT").rsplit("::", 1)[-1]
    if choice.lower() == NO_WEIGHTS:
        module = _build(name, _CLASSES)
        return _source(name, module, "none", hash_state(module.state_dict()), notes=(RANDOM,))
    member = member_of(name, choice)
    if member is None:
        return _from_file(name, choice)
    state = downloaded(name, member)
    module = _build(name, len(member.meta["categories"]), state)
    load_into(module, state, member.url, name)
    labels = tuple(member.meta["categories"])
    return _source(name, module, member.name, hash_state(state), labels=labels, member=member)


def details(name: str) -> str:
    """What is known of a segmentation network: its size, its weights and how they are fed."""
    every, lines = entries(name), []
    for weights in every:
        mark = " (DEFAULT)" if weights == every.DEFAULT else ""
        known = f"{describe(_preset(weights))}; {len(weights.meta['categories'])} classes"
        lines.append(f"  {weights.name}{mark}: {known}")
    size = f"{every.DEFAULT.meta['num_params'] / 1e6:.1f} million parameters"
    return "\n".join([f"{name}: torchvision segmentation network, {size}", "", "--weights:", *lines, *ANY_CLASSES])


def _preset(weights: Any) -> Preprocess:
    transform = weights.transforms()
    (side,) = transform.resize_size
    mean, std = tuple(transform.mean), tuple(transform.std)
    return Preprocess(side, None, mean, std, transform.interpolation.value)


def _build(name: str, classes: int, state: State | None = None) -> nn.Module:
    """The network; with the second head only where weights have one, whose places `load_into` checks."""
    options: dict[str, Any] = {}
    if not name.startswith("lraspp"):
        options["aux_loss"] = any(key.startswith(_AUXILIARY) for key in state or ())
    with seeded():
        return torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=classes, **options)


def _outline(name: str, classes: int, state: State | None = None) -> nn.Module:
    with torch.device("meta"):
        return _build(name, classes, state)


def _from_file(name: str, weights: str) -> Source:
    path, _ = place_of_weights(weights)

    def classes_of(state: State) -> int:
        return outputs(_outline(name, _CLASSES, state).state_dict(), state, _CLASSES) or _CLASSES

    def outline(state: State) -> nn.Module:
        return _outline(name, classes_of(state), state)

    chosen = choose(read_checkpoint(weights), _outline(name, _CLASSES), name, outline=outline)
    classes = classes_of(chosen.state)
    module = _build(name, classes, chosen.state)
    load_into(module, chosen.state, path, name)
    known = recognised(name, path)
    notes = [] if known else [f"the weights file states no preprocessing: that of {name}'s torchvision weights is used"]
    notes += [_ASSUMED] if not known and classes == _CLASSES else []
    labels = tuple(entries(name).DEFAULT.meta["categories"]) if classes == _CLASSES else None
    told = (*notes, *chosen.notes, *resized(classes, _CLASSES, name))
    return _source(name, module, weights, hash_network(module), labels=labels, member=known, notes=told)


def _source(name: str, module: Any, weights: str, digest: str, **known: Any) -> Source:
    """The network without its second head, as `Dense`; `member` is the torchvision entry of its weights, or None."""
    if getattr(module, "aux_classifier", None) is not None:
        module.aux_classifier = None
    preprocess = _preset(known.pop("member", None) or entries(name).DEFAULT)
    return Source(Dense(module, "out"), "segmentation", weights, digest, preprocess, **known)
