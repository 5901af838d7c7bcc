"""Checking a detector and making it ready: what `loading` does for networks that give a tensor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from sigcli.errors import ModelError, UsageError

from .checks import one_line, probe_images
from .fold import freeze
from .labels import read_names
from .model import Model, Source
from .preprocess import Preprocess, Wishes, adapt
from .wrappers.detector import Detector, detects
from .wrappers.queries import Queries

FED = Preprocess(None, None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""Detectors take images in 0..1 at any size, and normalise and resize them."""
_SIDE = 128
_GIVEN = "the network gives boxes, labels and scores: it is explained as a detector"
_OWN_LIMITS = (
    "the detector keeps its own limits on scores and overlaps: the score falls to 0 where it would report no box"
)


def is_detector(source: Source, module: nn.Module, place: torch.device) -> bool:
    """Whether a network is a detector; one whose preprocessing is known, and that is none, is not tried."""
    return (
        source.kind == "detection"
        or isinstance(module, Queries)
        or (source.preprocess is None and detects(module, place))
    )


def detector_model(
    name: str, source: Source, module: nn.Module, wishes: Wishes, place: torch.device, class_names: str | Path | None
) -> Model:
    """A detector that is checked and ready.

    Raises:
        ModelError: it fails on pictures, gives other boxes from call to call, or does not say how many classes it has.
        UsageError: --mean or --std, since it normalises images itself.
    """
    if wishes.mean is not None or wishes.std is not None:
        raise UsageError("a detector normalises its images itself", given="--mean or --std", hint="Leave them out.")
    preprocess, notes = adapt(FED, wishes)
    freeze(module)
    detector = Detector(module)
    lacks = _tried(detector, preprocess, place)
    classes = _classes(module, source.labels)
    names, named = (source.labels, ()) if class_names is None else read_names(class_names, classes)
    limits = () if detector.opened else (_OWN_LIMITS,)
    told = () if source.kind in ("detection", "hf") else (_GIVEN,)
    return Model(
        name, detector, preprocess, names, classes, source.weights_hash, source.kind, source.weights, place,
        (*source.notes, *notes, *told, *limits, *named), lacks=lacks, task="boxes",
    )  # fmt: skip


def _tried(detector: Detector, preprocess: Preprocess, place: torch.device) -> Mapping[str, str]:
    """What the detector lacks; raises ModelError where it cannot be used."""
    high, wide = preprocess.size or (_SIDE, _SIDE)
    images = probe_images((3, high, wide), place, 1).mul(0.2).add(0.5).clamp(0, 1)
    try:
        with torch.no_grad():
            first, second = (detector.candidates(images)[0] for _ in range(2))
    except Exception as error:
        hint = "Try another --image-size, or leave it out."
        raise ModelError(f"the detector fails on pictures: {one_line(error)}", hint=hint) from error
    if first.scores.shape != second.scores.shape or not torch.allclose(first.scores, second.scores, atol=1e-5):
        raise ModelError(
            "the detector gives different boxes for the same image from call to call",
            hint="It draws random numbers or keeps something between calls: call .eval(), and take that out.",
        )
    layers = "it is a detector, whose boxes are made beside its layers"
    reason = _without_gradient(detector, images)
    return {"hooks": layers} if reason is None else {"hooks": layers, "gradients": reason}


def _without_gradient(detector: Detector, images: torch.Tensor) -> str | None:
    """Why its scores have no gradient, or None; a detector that finds nothing in noise is taken to have one."""
    try:
        with torch.enable_grad():
            (found,) = detector.candidates(images.requires_grad_())
    except Exception as error:  # noqa: BLE001  foreign code raises what it likes
        return one_line(error)
    if found.scores.requires_grad or not len(found.scores):
        return None
    return "its scores do not carry a gradient (no_grad, detach, or no torch)"


def _classes(module: nn.Module, labels: tuple[str, ...] | None) -> int:
    """How many classes a detector tells apart, the background included."""
    if labels is not None:
        return len(labels)
    predictor = getattr(getattr(module, "roi_heads", None), "box_predictor", None)
    for owner, name in (
        (getattr(predictor, "cls_score", None), "out_features"),
        (getattr(getattr(module, "head", None), "classification_head", None), "num_classes"),
        (getattr(getattr(module, "head", None), "classification_head", None), "num_columns"),
        (module, "num_classes"),
    ):
        if isinstance(found := getattr(owner, name, None), int):
            return found
    raise ModelError(
        "the detector does not say how many classes it has",
        hint="Give the network an attribute num_classes, the background included.",
    )
