"""Detectors: a list of images in, the boxes that are found in each out; and all candidates among which they are found."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sigcli.wrapping import Wrapper

_THRESHOLDS = ("score_thresh", "nms_thresh", "detections_per_img")
_ALL = 1_000_000
_LOW = -40.0


@dataclass(frozen=True, eq=False)
class Found:
    """Boxes in one image.

    Args:
        boxes: (m, 4) left, top, right and bottom, in pixels.
        labels: (m,) indices of classes.
        scores: (m,) in 0..1.
    """

    boxes: Float[Tensor, "m 4"]
    labels: Int64[Tensor, " m"]
    scores: Float[Tensor, " m"]

    def sorted(self) -> Found:
        """By score, the highest first."""
        order = torch.argsort(self.scores, descending=True, stable=True)
        return Found(self.boxes[order], self.labels[order], self.scores[order])


class Detector(Wrapper):
    """A detector as torchvision's: images in 0..1, which it normalises and resizes itself.

    Args:
        inner: a list of (3, H, W) → for each a dict of boxes (m, 4), labels (m,) and scores (m,); or a pair whose second is
            that, as a detector in TorchScript gives.

    `least` is the score from which on it reports a box, as far as that is known; `background` the class that no box has:
    0 unless the network says otherwise.
    """

    def __init__(self, inner: nn.Module):
        super().__init__(inner)
        self.open, self.opened = opened(inner)
        self.least = _reported(inner) if self.opened else 0.0
        self.background: int | None = getattr(inner, "background", 0)
        self._focus = _Focus()
        if self.opened and _one_stage(inner):
            self.open.postprocess_detections = partial(self._focus, self.open)  # type: ignore[assignment]

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> list[Found]:
        """What it finds in each image."""
        return read(self.inner(list(images)))

    def candidates(self, images: Float[Tensor, "n 3 h w"], labels: Sequence[int] | None = None) -> list[Found]:
        """All boxes that it considers in each image, before any is left out for its score or for a better one beside it.

        Args:
            images: in 0..1.
            labels: the class of each image whose boxes are wanted: those of others may be missing.
        """
        self._focus.labels = labels
        return read(self.open(list(images)))


class _Focus:
    """RetinaNet and FCOS look at the best 1000 of all classes and places: here, at those of the class that is wanted."""

    labels: Sequence[int] | None = None

    def __call__(self, network: Any, outputs: dict[str, list[Tensor]], *rest: Any) -> Any:
        if self.labels is not None:
            wanted = torch.tensor(self.labels, device=outputs["cls_logits"][0].device)
            outputs = {**outputs, "cls_logits": [self._only(logits, wanted) for logits in outputs["cls_logits"]]}
        return type(network).postprocess_detections(network, outputs, *rest)

    @staticmethod
    def _only(logits: Tensor, wanted: Tensor) -> Tensor:
        """(N, places, K), of other classes than an image's own too low to count; not -inf, whose gradients are NaN."""
        own = torch.arange(logits.shape[-1], device=logits.device) == wanted[:, None]
        return torch.where(own[:, None], logits, logits.new_tensor(_LOW))


def opened(inner: nn.Module) -> tuple[nn.Module, bool]:
    """A detector with the same weights that gives all its candidates, and whether that is so; else the detector itself.

    A network of torchvision's kinds leaves out boxes by `score_thresh`, `nms_thresh` and `detections_per_img`, of itself or
    of its `roi_heads`. A copy that shares its layers leaves out none by these; the number of candidates of each class or
    feature map stays limited (`topk_candidates`). Masks and key points are not computed there.
    """
    if isinstance(inner, torch.jit.ScriptModule):
        return inner, False
    owner = _owner(inner)
    if not all(hasattr(owner, name) for name in _THRESHOLDS):
        return inner, False
    network, changed = _sharing(inner), _sharing(owner)
    if owner is not inner:
        network.roi_heads = changed
    else:
        changed = network
    changed.score_thresh, changed.nms_thresh, changed.detections_per_img = 0.0, 1.0, _ALL
    for name in ("mask_roi_pool", "keypoint_roi_pool"):
        if getattr(changed, name, None) is not None:
            setattr(changed, name, None)
    return network, True


def _one_stage(inner: nn.Module) -> bool:
    """Whether it is a RetinaNet or an FCOS of torchvision's."""
    from torchvision.models.detection import FCOS, RetinaNet  # takes two seconds to import

    return isinstance(inner, (RetinaNet, FCOS))


def _owner(inner: nn.Module) -> nn.Module:
    """The part of a detector that has its thresholds."""
    heads = getattr(inner, "roi_heads", None)
    return heads if isinstance(heads, nn.Module) else inner


def _reported(inner: nn.Module) -> float:
    return float(_owner(inner).score_thresh)  # type: ignore[arg-type]


def detects(module: nn.Module, place: torch.device) -> bool:
    """Whether a network takes a list of images and gives boxes, labels and scores of each."""
    images = list(torch.rand((2, 3, 96, 96), generator=torch.Generator().manual_seed(0)).to(place))
    try:
        with torch.no_grad():
            found = module(images)
        return len(read(found)) == len(images)
    except (Exception, SystemExit):  # noqa: BLE001  foreign code raises what it likes
        return False


def read(output: Any) -> list[Found]:
    """What a detector returned; raises ValueError where it is nothing of the kind."""
    if isinstance(output, tuple) and len(output) == 2 and isinstance(output[1], list):
        output = output[1]  # a detector in TorchScript gives its losses first
    if not isinstance(output, (list, tuple)) or not all(isinstance(one, Mapping) for one in output):
        raise ValueError("a detector gives a list of dicts")
    return [Found(one["boxes"], one["labels"].long(), one["scores"]) for one in output]


def _sharing(module: nn.Module) -> Any:
    """A copy of a module that shares its layers and weights, so their attributes can differ."""
    made = copy.copy(module)
    made.__dict__["_modules"] = dict(module._modules)
    return made
