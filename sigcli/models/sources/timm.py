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
from ..preprocess import Preprocess, describe
from .checkpoint import Checkpoint, State
from .matching import choose, load_into, outputs
from .torchvision import advice, imagenet_labels, resized, seeded
from .weights import hash_network, hash_state, read_checkpoint


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
    if random:
        notes = (*notes, "the weights are random (--weights none, always the same): maps of this network mean nothing")
    classes = getattr(module, "num_classes", None)
    return Source(
        module,
        kind="timm",
        weights=weights or (getattr(module, "pretrained_cfg", None) or {}).get("tag") or "DEFAULT",
        weights_hash=hash_state(module.state_dict()) if own else hash_network(module),
        preprocess=preprocess,
        labels=imagenet_labels() if classes == 1000 and not random else None,
        notes=(*notes, *filled),
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
        config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(tag).to_dict())
        lines.append(f"  timm/{tag}: {describe(_timm_preprocess(config)[0])}")
    more = ["--weights none: random weights, the same every time", "--weights FILE: a state dict or safetensors"]
    return "\n".join([f"{spec}: timm network", "", "Weights, as --model:", *lines, "", *more])


def _timm() -> ModuleType:
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        hint = "Install it: pip install '.[timm]' in the clone of sig."
        raise ModelError(f"timm cannot be imported: {one_line(error)}", hint=hint) from error


def _check_timm_name(timm: ModuleType, name: str) -> None:
    if name.startswith(("hf-hub:", "hf_hub:", "local-dir:")):
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
            hint="Try again with a connection, or use --weights FILE, or --weights none (random).",
        ) from error


def _timm_preprocess(config: dict[str, Any]) -> tuple[Preprocess, tuple[str, ...]]:
    _, height, width = config["input_size"]
    scaled = (math.floor(height / config["crop_pct"]), math.floor(width / config["crop_pct"]))
    mode = config["crop_mode"]
    square = height == width
    resize = scaled if mode == "squash" or not square else scaled[0]
    interpolation = config["interpolation"] if config["interpolation"] != "random" else "bilinear"
    notes = (f"timm's '{mode}' crop is replaced by a central one",) if mode not in ("center", "squash") else ()
    mean, std = tuple(config["mean"]), tuple(config["std"])
    return Preprocess(resize, height if square else (height, width), mean, std, interpolation), notes
