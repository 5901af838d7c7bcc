"""Models of timm, by name."""

from __future__ import annotations

import importlib
import math
from types import ModuleType
from typing import Any

import torch
from torch import nn

from sigcli.errors import ModelError, unknown

from ..checks import one_line
from ..model import Source
from ..preprocess import COVER, Preprocess, describe
from .checkpoint import Checkpoint, State
from .factory import embeds
from .matching import choose, load_into, outputs
from .torchvision import IMAGENET_ASSUMED, RANDOM, advice, imagenet_labels, resized, seeded
from .weights import hash_network, hash_state, read_checkpoint

_HUBS = ("hf-hub:", "hf_hub:", "local-dir:")
"""What the names of models begin with that anyone may have made."""
_MOST_AXES = 4096
"""Spaces that pictures and texts are projected to have fewer; of timm's data sets only ImageNet-1k has so few classes."""


def matches(spec: str) -> bool:
    """Whether it names a timm model."""
    return spec.startswith("timm/")


def load(spec: str, weights: str | None, device: torch.device) -> Source:  # noqa: ARG001  one signature for all
    """Build a timm model with the preprocessing of its data configuration.

    Args:
        spec: `timm/NAME`, also with a weights tag (`timm/resnet50.a1_in1k`).
        weights: None or `DEFAULT` for timm's own, `none` for random ones, or a file.
        device: where it will run.

    Raises:
        ModelError: timm is not installed, an unknown name, no pretrained weights, or a download that failed.
    """
    timm = _timm()
    name = spec.removeprefix("timm/")
    _check_timm_name(timm, name)
    random = weights is not None and weights.lower() == "none"
    own = weights is None or random or weights.upper() == "DEFAULT"
    filled: tuple[str, ...] = ()
    if own:
        module = _create_timm(timm, name, pretrained=not random)
    else:
        module, filled = _filled(timm, name, read_checkpoint(weights or ""))
    config = timm.data.resolve_model_data_config(module)
    preprocess, notes = _timm_preprocess(config)
    if not own:
        tag = (getattr(module, "pretrained_cfg", None) or {}).get("tag")
        of = f"timm's {name.partition('.')[0]}{f'.{tag}' if tag else ''}"
        notes = (*notes, f"the weights file states no preprocessing: that of {of} is used ({describe(preprocess)})")
    if random:
        notes = (*notes, RANDOM)
    sure = own and not name.startswith(_HUBS)
    labels, named = (None, ()) if random else _labels(timm, module, sure=sure)
    return Source(
        module,
        kind="timm",
        weights=weights or (getattr(module, "pretrained_cfg", None) or {}).get("tag") or "DEFAULT",
        weights_hash=hash_state(module.state_dict()) if own else hash_network(module),
        preprocess=preprocess,
        labels=labels,
        notes=(*notes, *filled, *named),
        embeds=_embeds(timm, module, sure=sure),
    )


def details(spec: str) -> str:
    """What is known of a timm network: its weights by tag, and how they are fed.

    Raises:
        ModelError: timm is not installed, or an unknown name.
    """
    timm = _timm()
    name = spec.removeprefix("timm/")
    _check_timm_name(timm, name)
    lines = []
    for tag in timm.list_pretrained(f"{name.partition('.')[0]}.*"):
        stated = timm.get_pretrained_cfg(tag).to_dict()
        fed = describe(_timm_preprocess(timm.data.resolve_data_config(pretrained_cfg=stated))[0])
        lines.append(f"  timm/{tag}: {fed}{'; features only, no classes' if stated.get('num_classes') == 0 else ''}")
    more = ["--weights none: random weights, the same every time", "--weights FILE: a state dict or safetensors"]
    return "\n".join([f"{spec}: timm network", "", "Weights, as --model:", *lines, "", *more])


def _timm() -> ModuleType:
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        hint = "Install it: pip install '.[timm]' in the clone of sig."
        raise ModelError(f"timm cannot be imported: {one_line(error)}", hint=hint) from error


def _check_timm_name(timm: ModuleType, name: str) -> None:
    if name.startswith(_HUBS):
        return
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        raise unknown("timm model", architecture, timm.list_models(), ModelError)
    tagged = timm.list_pretrained(f"{architecture}.*")
    if "." in name and name not in tagged:
        raise unknown(f"weights tag of timm/{architecture}", name, tagged, ModelError)


def _filled(timm: ModuleType, name: str, file: Checkpoint) -> tuple[nn.Module, tuple[str, ...]]:
    """The network with a file's weights and as many outputs as these have, and what to tell of it."""
    usual = _create_timm(timm, name, pretrained=False)
    count = getattr(usual, "num_classes", 0)

    def made(state: State) -> nn.Module:
        found = outputs(usual.state_dict(), state, count)
        return usual if found in (None, count) else _create_timm(timm, name, pretrained=False, classes=found)

    chosen = choose(file, usual, name, outline=made, advise=advice)
    module = made(chosen.state)
    load_into(module, chosen.state, file.path, name)
    return module, (*chosen.notes, *resized(getattr(module, "num_classes", count), count, name))


def _create_timm(timm: ModuleType, name: str, *, pretrained: bool, classes: int | None = None) -> nn.Module:
    options = {} if classes is None else {"num_classes": classes}
    try:
        with seeded():
            return timm.create_model(name, pretrained=pretrained, **options)
    except Exception as error:  # timm and its hub raise all sorts of exceptions
        raise ModelError(
            f"timm cannot make {name}{' with pretrained weights' if pretrained else ''}: {one_line(error)}",
            hint="Connect to the network and try again, or use --weights FILE, or --weights none (random).",
        ) from error


def _labels(timm: ModuleType, module: nn.Module, *, sure: bool) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Class names: the network's own, where its configuration has them, or ImageNet's; and a note where these are assumed.

    Args:
        timm: the package.
        module: the network.
        sure: its weights are timm's own, whose classes are ImageNet's where their number is.
    """
    classes = getattr(module, "num_classes", None)
    own = (getattr(module, "pretrained_cfg", None) or {}).get("label_names")
    if isinstance(own, (list, tuple)) and len(own) == classes and all(isinstance(name, str) for name in own):
        return tuple(own), ()
    if classes == 1000:
        return imagenet_labels(), () if sure else (IMAGENET_ASSUMED,)
    subset = timm.data.infer_imagenet_subset(module) if sure else None
    if subset is None:
        return None, ()
    known = timm.data.ImageNetInfo(subset)
    return tuple(known.index_to_description(index) for index in range(known.num_classes())), ()


def _embeds(timm: ModuleType, module: Any, *, sure: bool) -> bool:
    """Whether outputs are features: no classifier, or the projection to a space of pictures and texts, as of CLIP.

    All data sets that timm's own classifiers are trained on have other numbers of classes than such spaces have axes.
    """
    space = sure and module.num_classes <= _MOST_AXES and timm.data.infer_imagenet_subset(module) is None
    return embeds(module) or space


def _timm_preprocess(config: dict[str, Any]) -> tuple[Preprocess, tuple[str, ...]]:
    """The preprocessing of `timm.data.create_transform` for a data configuration, and notes on what differs."""
    channels, height, width = config["input_size"]
    scaled = (math.floor(height / config["crop_pct"]), math.floor(width / config["crop_pct"]))
    mode, square = config["crop_mode"], height == width
    interpolation = config["interpolation"] if config["interpolation"] != "random" else "bilinear"
    notes = (f"timm's '{mode}' crop is replaced by a central one",) if mode not in ("center", "squash") else ()
    mean, std = tuple(config["mean"]), tuple(config["std"])
    if channels == 1 and len(mean) == 3:
        if len({*mean}) > 1 or len({*std}) > 1:
            notes += (
                "the configuration states mean and std of colours, and the network is grey: their averages are used",
            )
        mean, std = (sum(mean) / 3,), (sum(std) / 3,)
    crop = height if square else (height, width)
    if mode == "squash" or square:
        return Preprocess(scaled if mode == "squash" else scaled[0], crop, mean, std, interpolation), notes
    return Preprocess(COVER, crop, mean, std, interpolation, cover=scaled), notes
