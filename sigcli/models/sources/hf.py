"""Networks of Hugging Face's transformers that classify, label pixels or find boxes: a folder of theirs, or a name."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from sigcli.heads import LOGITS, Head
from sigcli.wrapping import Wrapper

from ..model import Source
from ..wrappers.dense import Dense
from .hf_folder import PREFIX, is_folder, opened
from .hf_tasks import BOXES, REGIONS, kind_of
from .weights import hash_state


class Pixels(Wrapper):
    """A network of transformers as a module of images.

    Args:
        inner: takes `pixel_values`.
        flipped: it takes blue, green, red; images here have red first.
    """

    def __init__(self, inner: nn.Module, *, flipped: bool = False):
        super().__init__(inner)
        self.flipped = flipped

    def forward(self, images: Tensor) -> Any:
        """(N, C, H, W) → the network's outputs."""
        return self.inner(pixel_values=images.flip(1) if self.flipped else images)


def matches(spec: str) -> bool:
    """Whether it names such a model: `hf/NAME`, or a folder."""
    return spec.startswith(PREFIX) or is_folder(spec)


def load(spec: str, weights: str | None, device: torch.device) -> Source:  # noqa: ARG001  one signature for all
    """Load a network with its image processor's steps and its class names. Nothing of a file is run.

    Args:
        spec: a folder, `hf/FOLDER`, or `hf/OWNER/NAME` on the hub (`@REVISION` behind it).
        weights: None or `DEFAULT` for the folder's own, `none` for random ones, or a file.
        device: where it will run.

    Raises:
        ModelError: transformers is not installed, no such folder or name, a configuration of code or of another task,
            weights that lack a part of the network, or an image processor that does more than `Preprocess` can.
    """
    found = opened(spec, weights)
    config = found.config
    kind, task = kind_of(found.package, config, found.folder)
    network, notes = found.network(kind)
    labels, named = _labels(config)
    made, own_notes, known = _made(network, task, config, found.folder, found.package)
    return Source(
        made,
        kind="hf",
        weights=found.told,
        weights_hash=hash_state(network.state_dict()),
        labels=labels,
        shape=shape_of(config),
        notes=(*told_of(spec, kind), *own_notes, *notes, *named),
        **known,
    )


def _made(
    network: nn.Module, task: str, config: Any, folder: Path, package: ModuleType
) -> tuple[nn.Module, tuple[str, ...], dict[str, Any]]:
    """A network as a module of images, notes on what it is fed, and what else is known of it."""
    from .hf_boxes import detector_of
    from .image_processor import read_processor

    if task == BOXES:
        return detector_of(network, config.num_labels, folder, package), (), {}
    processor = read_processor(folder, package)
    pixels = Pixels(network, flipped=processor.flipped)
    if task == REGIONS:
        head = LOGITS if config.num_labels > 1 else Head("logit")
        return Dense(pixels, "logits"), processor.notes, {"preprocess": processor.preprocess, "head": head}
    head, read = _head(config)
    known = {"preprocess": processor.preprocess, "head": head, "part": "logits"}
    return pixels, (*processor.notes, *read), known


def lasting(spec: str) -> str:
    """What was typed, as it holds from any folder."""
    prefix = PREFIX if spec.startswith(PREFIX) else ""
    text = spec.removeprefix(prefix)
    return f"{prefix}{Path(text).absolute()}" if is_folder(text) else spec


def _labels(config: Any) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Class names, where they are more than LABEL_0, LABEL_1, …."""
    count, names = config.num_labels, config.id2label or {}
    if all(str(name) == f"LABEL_{index}" for index, name in names.items()):
        return None, ()
    if sorted(names) != list(range(count)):
        return None, (f"the names in id2label do not belong to classes 0 to {count - 1}, so they are left out",)
    return tuple(str(names[index]) for index in range(count)), ()


def _head(config: Any) -> tuple[Head, tuple[str, ...]]:
    """What the outputs are, as transformers would train them, and a note where they are no plain logits."""
    kind = config.problem_type
    if kind == "multi_label_classification":
        told = (
            "config.json says multi_label_classification: each output is the logit of a label that may be right or not"
        )
        return Head("label-logits" if config.num_labels > 1 else "logit"), (told,)
    if kind == "regression" or (kind is None and config.num_labels == 1):
        why = "says regression" if kind else "has one label, which transformers trains as a regression"
        other = (
            "single reads it as the logit of yes"
            if config.num_labels == 1
            else "sigmoid reads them as logits of labels"
        )
        return Head("values"), (f"config.json {why}: the outputs are values, not classes (--head {other})",)
    return (LOGITS, ()) if config.num_labels > 1 else (Head("logit"), ())


def shape_of(config: Any) -> tuple[int | None, int | None, int | None]:
    """(C, H, W) as far as the configuration states it."""
    side, channels = getattr(config, "image_size", None), getattr(config, "num_channels", None)
    high, wide = side if isinstance(side, (list, tuple)) and len(side) == 2 else (side, side)
    sizes = [one if isinstance(one, int) and one > 0 else None for one in (channels, high, wide)]
    return sizes[0], sizes[1], sizes[2]


def told_of(spec: str, kind: Any) -> tuple[str, ...]:
    """That a folder was taken for one of transformers, where the user did not say so."""
    told = f"the folder is read as one of Hugging Face's transformers ({kind.__name__})"
    return () if spec.startswith(PREFIX) else (told,)
