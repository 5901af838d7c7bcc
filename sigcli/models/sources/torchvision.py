"""torchvision's classifiers by name, with weights downloaded, read from a file, or random."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sigcli.errors import ModelError, unknown

from ..checks import one_line
from ..model import Source
from ..preprocess import Preprocess, describe
from .checkpoint import State
from .matching import choose, load_into, outputs
from .weights import hash_file, hash_network, hash_state, is_there, place_of_weights, read_checkpoint

_TIMEOUT = 30.0
NO_WEIGHTS = "none"
_CLASSES = 1000
RANDOM = "the weights are random (--weights none, always the same): maps of this network mean nothing"
IMAGENET_ASSUMED = "1000 classes: ImageNet's names are assumed (--class-names FILE for others)"
ANY_CLASSES = (
    "  none: random weights, the same every time",
    "  FILE: a state dict or safetensors, with any number of classes",
)
"""What else may follow --weights, in the details of networks for regions and boxes."""


def _models() -> Any:
    """`torchvision.models`, which takes two seconds to import: only networks that need it wait for it."""
    import torchvision

    return torchvision.models


def architectures() -> list[str]:
    """The names of torchvision's image classifiers, sorted."""
    return _models().list_models(module=_models())


def imagenet_labels() -> tuple[str, ...]:
    """The 1,000 class names of ImageNet-1k in torchvision's order."""
    return tuple(_models().ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def matches(spec: str) -> bool:
    """Whether it is the name of a torchvision classifier."""
    return spec in architectures()


_OTHERS = {
    "detection": "finds objects", "segmentation": "labels every pixel", "video": "takes videos",
    "optical_flow": "estimates motion", "quantization": "is quantised and has no gradients",
}  # fmt: skip
_FAMILIES = (
    (
        r"yolo|(rt)?detr|efficientdet|(faster|mask|keypoint)[-_]?rcnn|ssd\d*([-_]|$)|retinanet|fcos([-_]|$)",
        "finds objects",
    ),
    (r"u-?net([-_]|$)|deeplab|segformer|sam([-_]|$)", "labels every pixel"),
)
"""How names of well-known families begin that torchvision does not have, or writes in another way."""


def what_else(name: str) -> str | None:
    """What a torchvision model does that is no classifier of images `sig` builds by name; None where there is none.

    >>> what_else("fasterrcnn_resnet50_fpn"), what_else("yolov8n"), what_else("resnet18")
    ('finds objects', 'finds objects', None)
    """
    for module, what in _OTHERS.items():
        if name in _models().list_models(module=getattr(_models(), module)):
            return what
    return next((what for start, what in _FAMILIES if re.match(start, name.lower())), None)


def load(name: str, weights: str | None, device: torch.device) -> Source:  # noqa: ARG001  loaders share one signature
    """Build a torchvision classifier.

    Args:
        name: as `torchvision.models.list_models` spells it.
        weights: None or `DEFAULT`, a torchvision weights name, `none` for random ones, or a file.
        device: where it will run.

    Raises:
        ModelError: unknown name or weights, a download that failed, or a file with another network's weights.
    """
    if name not in architectures():
        raise unknown("torchvision model", name, architectures(), ModelError)
    choice = (weights or "DEFAULT").rsplit("::", 1)[-1]
    if choice.lower() == NO_WEIGHTS:
        return _random(name)
    member = member_of(name, choice)
    return _from_file(name, choice) if member is None else _pretrained(name, member)


def preset(weights: Any) -> Preprocess:
    """The preprocessing that a torchvision weights entry asks for."""
    transform = weights.transforms()
    return Preprocess(
        resize=transform.resize_size[0],
        crop=transform.crop_size[0],
        mean=tuple(transform.mean),
        std=tuple(transform.std),
        interpolation=transform.interpolation.value,
    )


def details(name: str) -> str:
    """What is known of a classifier: its size, its weights, how they are fed and how often they are right."""
    every, lines = entries(name), []
    for weights in every:
        if weights.meta["categories"]:
            right = weights.meta["_metrics"].get("ImageNet-1K", {}).get("acc@1")
            known = f"{describe(preset(weights))}; {len(weights.meta['categories'])} classes; top-1 {right} %"
            mark = " (DEFAULT)" if weights == every.DEFAULT else ""
            lines.append(f"  {weights.name}{mark}: {known}")
    size = f"{every.DEFAULT.meta['num_params'] / 1e6:.1f} million parameters"
    more = [
        "  none: random weights, the same every time",
        "  FILE: a state dict or safetensors, with any number of classes",
    ]
    return "\n".join([f"{name}: torchvision classifier, {size}", "", "--weights:", *lines, *more])


@contextmanager
def seeded() -> Iterator[None]:
    """Random initial weights that are the same every time, and leave the caller's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def fitting(state: State) -> list[str]:
    """The torchvision classifiers that a state dict fits, apart from the number of classes."""
    count = sum(value.numel() for key, value in state.items() if not key.endswith(("running_mean", "running_var")))
    sizes = {name: entries(name).DEFAULT.meta["num_params"] for name in architectures()}
    near = [name for name in sizes if count / 2 < sizes[name] < count * 2]
    nearest = sorted(near, key=lambda name: abs(sizes[name] - count))[:12]
    return [name for name in nearest if _fits(name, state)]


def entries(name: str) -> Any:
    """All weights that torchvision has of a network."""
    return _models().get_model_weights(name)


def member_of(name: str, choice: str) -> Any:
    """The torchvision weights entry of that name, or None when `choice` is a file."""
    members = entries(name).__members__
    short = choice.rsplit(".", 1)[-1] if choice.startswith(f"{entries(name).__name__}.") else choice
    for key, member in members.items():
        if key.lower() == short.lower():
            return member
    if is_there(place_of_weights(choice)[0]) or "/" in choice or re.search(r"\.\w+$", choice):
        return None
    raise unknown(f"weights of {name}", choice, [*members, NO_WEIGHTS, "FILE"], ModelError)


def _build(name: str, classes: int = _CLASSES, **options: Any) -> nn.Module:
    if name in ("inception_v3", "googlenet"):
        options = {"init_weights": False, **options}
    with seeded():
        return _models().get_model(name, weights=None, num_classes=classes, **options)


def _random(name: str) -> Source:
    module = _build(name, **({"init_weights": True} if name in ("inception_v3", "googlenet") else {}))
    return Source(
        module,
        kind="torchvision",
        weights="none",
        weights_hash=hash_state(module.state_dict()),
        preprocess=preset(entries(name).DEFAULT),
        labels=None,
        notes=(RANDOM,),
    )


def _pretrained(name: str, weights: Any) -> Source:
    categories = weights.meta["categories"]
    if not categories:
        others = ", ".join(member for member in entries(name).__members__ if member != weights.name)
        raise ModelError(f"the weights {weights.name} of {name} have no classifier, only features", allowed=others)
    rename = _renamer(name)
    state = {rename(key): value for key, value in downloaded(name, weights).items()}
    module = _build(name, **_options(name, state))
    load_into(module, state, weights.url, name)
    return Source(
        module,
        kind="torchvision",
        weights=weights.name,
        weights_hash=hash_state(state),
        preprocess=preset(weights),
        labels=tuple(categories),
    )


def downloaded(name: str, weights: Any) -> State:
    """The state dict of a torchvision weights entry, from torch's cache or its address; raises ModelError."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)  # torch.hub sets none: a dead connection would hang for ever
    try:
        return weights.get_state_dict(
            progress=sys.stderr.isatty(), check_hash=True, weights_only=True, map_location="cpu"
        )
    except (OSError, HTTPException, RuntimeError, EOFError) as error:
        reason = getattr(error, "reason", None) or one_line(error)
        raise ModelError(
            f"the weights {weights.name} of {name} could not be downloaded: {reason}",
            given=weights.url,
            hint="Connect to the network and try again, or use --weights FILE, or --weights none (random).",
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _from_file(name: str, weights: str) -> Source:
    path, _ = place_of_weights(weights)
    file = read_checkpoint(weights).renamed(_renamer(name))
    usual = _outline(name, {})

    def outline(state: State) -> nn.Module:
        options = _options(name, state)
        classes = outputs(_outline(name, options).state_dict(), state, _CLASSES)
        return _outline(name, options, classes or _CLASSES)

    chosen = choose(file, usual, name, outline=outline, advise=advice)
    state, options = chosen.state, _options(name, chosen.state)
    classes = outputs(_outline(name, options).state_dict(), state, _CLASSES) or _CLASSES
    module = _build(name, classes, **options)
    load_into(module, state, path, name)
    known = recognised(name, path)
    ready = preset(known or _by_size(name, options))
    notes = [] if known else [f"the weights file states no preprocessing: that of {name}'s torchvision weights is used"]
    if not known and options.get("transform_input"):
        notes.append("the input is rescaled to -1..1 inside the network, as torchvision's own weights expect")
    if not known and classes == _CLASSES:
        notes.append(IMAGENET_ASSUMED)
    return Source(
        module,
        kind="torchvision",
        weights=weights,
        weights_hash=hash_network(module),
        preprocess=ready,
        labels=imagenet_labels() if classes == _CLASSES else None,
        notes=(*notes, *chosen.notes, *resized(classes, _CLASSES, name)),
    )


def resized(classes: int, usual: int, name: str) -> tuple[str, ...]:
    """What a user is told of a network whose number of outputs is read off its weights."""
    told = f"the weights have a head of {classes} outputs: {name} is built with {classes} instead of {usual}"
    return () if classes == usual else (told,)


def _outline(name: str, options: dict[str, Any], classes: int = _CLASSES) -> nn.Module:
    """The architecture for its names and shapes only."""
    try:
        with torch.device("meta"):
            return _build(name, classes, **options)
    except NotImplementedError:  # RegNet computes its widths with tensors, which meta tensors cannot
        return _build(name, classes, **options)


def _options(name: str, state: State) -> dict[str, Any]:
    """Building options that weights imply: auxiliary heads, Inception's input scale, a transformer's image size."""
    if name in ("inception_v3", "googlenet"):
        return {"aux_logits": any(key.lower().startswith("aux") for key in state), "transform_input": True}
    positions, patch = state.get("encoder.pos_embedding"), state.get("conv_proj.weight")
    if name.startswith("vit_") and positions is not None and patch is not None:
        return {"image_size": round((positions.shape[1] - 1) ** 0.5) * patch.shape[-1]}
    return {}


def _fits(name: str, state: State) -> bool:
    try:
        module = _outline(name, _options(name, state))
    except (RuntimeError, AssertionError, ValueError):  # options read off a foreign file may be nonsense
        return False
    own = {key for key in module.state_dict() if not key.endswith("num_batches_tracked")}
    theirs = {key for key in state if not key.endswith("num_batches_tracked")}
    return own == theirs and outputs(module.state_dict(), state, _CLASSES) is not None


def advice(state: State) -> str | None:
    """Which torchvision networks weights fit, as a hint; None where they fit none."""
    names = fitting(state)
    return f"They fit {' or '.join(names)}: try --model {names[0]}." if names else None


def recognised(name: str, path: Path) -> Any:
    """The torchvision entry that a file is a copy of: its address ends in the start of the file's SHA-256."""
    digest = hash_file(path, "sha256")
    for member in entries(name):
        match = re.search(r"-([0-9a-f]{8,})\.pth$", member.url)
        if match and digest.startswith(match.group(1)):
            return member
    return None


def _by_size(name: str, options: dict[str, Any]) -> Any:
    """The entry whose crop is the transformer's image size, else the default one."""
    every = entries(name)
    fits: Callable[[Any], bool] = lambda member: member.transforms().crop_size[0] == options.get("image_size")  # noqa: E731
    return next(filter(fits, every), every.DEFAULT)


def _renamer(name: str) -> Callable[[str], str]:
    """New names for old: torchvision's published DenseNet files have those from before 2018 (`norm.1` for `norm1`)."""
    if not name.startswith("densenet"):
        return str
    old = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.(?:weight|bias|running_mean|running_var))$")
    return lambda key: old.sub(r"\1\2", key)
