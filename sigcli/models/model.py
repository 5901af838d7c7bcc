"""A loaded classifier: a module, its preprocessing and its class names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

import torch
from torch import Tensor, nn

from sigcli.heads import LOGITS, Head

from .preprocess import Preprocess

KINDS = {"classes": "a classifier", "regions": "a segmentation network", "boxes": "a detector"}
"""What a model's outputs are of → what it is."""


@dataclass(frozen=True)
class Reading:
    """How a user says that a network's outputs are to be read.

    Args:
        head: what they are, see `sigcli.models.heads.HEADS`; "auto" finds it out.
        part: which part of what the network returns the scores are, where it returns several tensors: a name or a number.
        prompts: texts that are the classes, for a network of pictures and texts.
    """

    head: str = "auto"
    part: str | int | None = None
    prompts: Sequence[str] | None = None


AS_FOUND = Reading()
"""Nobody says how."""


@dataclass(frozen=True, eq=False)
class Source:
    """What a loader found, before preprocessing is settled and the network is checked.

    Args:
        module: images (N, C, H, W) → scores.
        kind: `bundled`, `torchvision`, `segmentation`, `detection`, `torchscript`, `export`, `timm`, `hf`, `openclip`
            or `factory`.
        weights: where the weights came from, in words.
        weights_hash: hex digest of the weights' file, or of the state dict.
        preprocess: how the weights want their input, where that is known.
        labels: class names, where they are known.
        shape: (C, H, W) as far as the program states it; None for a free size.
        notes: what was assumed.
        inputs: how many tensors the program takes, where it states that.
        embeds: whether it states that it has no classifier and gives features.
        head: what the outputs are, where the source says so.
        part: which part of what the network returns the outputs are, where the source says so.
    """

    module: nn.Module
    kind: str
    weights: str
    weights_hash: str
    preprocess: Preprocess | None = None
    labels: tuple[str, ...] | None = None
    shape: tuple[int | None, int | None, int | None] = (None, None, None)
    notes: tuple[str, ...] = ()
    inputs: int | None = None
    embeds: bool = False
    head: Head | None = None
    part: str | None = None


@dataclass(frozen=True, eq=False)
class Model:
    """A classifier that has been checked and made ready: evaluation mode, frozen parameters, on its device.

    Args:
        name: what the user typed.
        module: normalised images (N, C, H, W) float32 → scores (N, classes).
        preprocess: pixels → normalised image.
        labels: class names, or None if not given.
        classes: how many classes it tells apart.
        weights_hash: hex digest of the weights' file, or of the state dict.
        kind: `bundled`, `torchvision`, `segmentation`, `detection`, `torchscript`, `export`, `timm`, `hf`, `openclip`
            or `factory`.
        weights: where the weights came from, in words.
        device: where the module is.
        notes: what was assumed, in one sentence each, shown to the user.
        certainty: whether it is certainty-aware; then the module also takes (N, C+1, H, W), with the certainty as
            the last channel (see `sigcli.models.wrappers.certainty`).
        mask: (H, W), True where the certainty of every image is 0, or None.
        head: what the outputs are: logits, probabilities, a single logit, ….
        lacks: what methods may need of a model and this one cannot give ("gradients", "hooks"), with the reason.
        task: what its outputs are of: "classes", (N, classes); "regions" of a segmentation, (N, classes,
            H, W); "boxes" of a detector, see `sigcli.models.wrappers.detector`.
    """

    name: str
    module: nn.Module
    preprocess: Preprocess
    labels: tuple[str, ...] | None
    classes: int
    weights_hash: str
    kind: str
    weights: str
    device: torch.device
    notes: tuple[str, ...] = ()
    certainty: bool = False
    mask: Tensor | None = None
    head: Head = LOGITS
    lacks: Mapping[str, str] = field(default_factory=dict)
    task: str = "classes"

    @property
    def title(self) -> str:
        """Its name over pictures: of a model file the file's, without the folder."""
        return (
            PurePath(self.name).name
            if self.kind in ("torchscript", "export", "trained", "hf", "openclip")
            else self.name
        )

    @property
    def answers(self) -> tuple[str, ...] | None:
        """Names of the answers that an image may have: the labels, or for a single output the answers no and yes."""
        if not self.head.single:
            return self.labels
        return ("no", "yes") if self.labels is None else (f"not {self.labels[0]}", self.labels[0])

    def answer(self, index: int) -> str:
        """The name of an answer, or `class 1` where they have no names."""
        return self.answers[index] if self.answers else f"class {index}"

    def label(self, index: int) -> str:
        """The name of class `index`, or `class 7` where classes have no names."""
        return self.labels[index] if self.labels else f"class {index}"
