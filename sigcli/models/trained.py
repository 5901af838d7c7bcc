"""Networks that `sig train` and the scenarios made: safetensors with a header that says how to build and feed them.

The file holds tensors and one JSON text, and nothing that could run.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from sigcli.certainty.networks import CertaintyAware, Components, PixelCNN, SmallCNN
from sigcli.errors import ModelError, UsageError, unknown
from sigcli.writing import write_aside

from .model import Source
from .preprocess import Preprocess
from .statedict import State, check_fits, hash_file, load_into, read_state_dict

HEADER = "sig-network"
_VERSION = 1
OWN = {
    "small-cnn": SmallCNN,
    "small-cnn-any": partial(SmallCNN, pool="any"),
    "small-cnn-ring": partial(SmallCNN, pool="max", padding="circular"),
    "pixel-cnn": PixelCNN,
    "components": Components,
}
"""Networks of our own by name, beside torchvision's."""


@dataclass(frozen=True)
class Trained:
    """What a file says of its network.

    Args:
        arch: a name of `OWN` or of torchvision.
        classes: names of the classes.
        certainty: whether it takes a certainty per pixel.
        preprocess: how it is fed.
        figures: what was measured when it was trained.
    """

    arch: str
    classes: tuple[str, ...]
    certainty: bool
    preprocess: Preprocess
    figures: dict[str, Any] = field(default_factory=dict)


def architectures() -> list[str]:
    """Names of the networks that can be trained (this imports torchvision)."""
    from .vision import architectures as torchvision_names

    return [*OWN, *torchvision_names()]


def build(made: Trained, *, seed: int = 0) -> nn.Module:
    """The network with fresh weights, always the same for one seed.

    Raises:
        UsageError: an unknown architecture, or one that does not fit the pictures.

    >>> made = Trained("small-cnn", ("a", "b"), True, Preprocess(None, 28, (0.0,), (1.0,)))
    >>> build(made)(torch.zeros(1, 1, 28, 28)).shape
    torch.Size([1, 2])
    """
    channels = made.preprocess.channels
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if made.arch in OWN:
            return OWN[made.arch](len(made.classes), channels, certainty=made.certainty)
        net = _torchvision(made)
        return CertaintyAware(net, channels) if made.certainty else net


def _torchvision(made: Trained) -> nn.Module:
    import torchvision

    known = architectures()
    if made.arch not in known:
        raise unknown("architecture", made.arch, known)
    if made.preprocess.channels != 3:
        raise UsageError(
            f"{made.arch} takes pictures of three colours", hint="Leave --grey out, or take --arch small-cnn."
        )
    options: dict[str, Any] = {}
    if made.arch in ("inception_v3", "googlenet"):
        options = {"aux_logits": False, "init_weights": True}
    side = made.preprocess.size
    if side is not None and made.arch.startswith("vit_"):
        options = {"image_size": side[0]}
    if side is not None and made.arch.startswith("maxvit"):
        options = {"input_size": side}
    return torchvision.models.get_model(made.arch, weights=None, num_classes=len(made.classes), **options)


def save(path: Path, module: nn.Module, made: Trained) -> None:
    """Write a network, aside first and then renamed."""
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    header = {HEADER: json.dumps({"version": _VERSION, **asdict(made)})}
    write_aside(path, lambda aside: save_file(state, aside, metadata=header))


def read_header(path: str | Path) -> Trained | None:
    """What a safetensors file says of its network; None where it holds weights alone.

    Raises:
        ModelError: the file is damaged, or its header is none that this version can read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(HEADER)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"the file is damaged: {error}", given=path, hint="Fetch or train it again.") from error
    if text is None:
        return None
    try:
        found = json.loads(text)
        pixels: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in found["preprocess"].items()}
        return Trained(
            str(found["arch"]), tuple(map(str, found["classes"])), bool(found["certainty"]), Preprocess(**pixels),
            dict(found["figures"]),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, UsageError, RecursionError) as error:
        hint = "It may be of another version of sig, or was changed: train it again."
        raise ModelError("the file does not say how its network is built", given=path, hint=hint) from error


def _check_size(made: Trained, state: State, path: Path) -> None:
    """Hold the weights against the network before it is built: the header may ask for one that fits into no memory."""
    try:
        with torch.device("meta"):
            outline = build(made)
    except NotImplementedError:  # RegNet computes its widths with tensors, which meta tensors cannot; they are its own
        if len(made.classes) > max((len(value) for value in state.values() if value.ndim), default=0):
            raise ValueError("more classes than weights") from None
        return
    check_fits(outline, state, path, made.arch)


def load(spec: str, weights: str | None, device: torch.device) -> Source:  # noqa: ARG001  loaders share one signature
    """Load a network that `sig train` made.

    Raises:
        ModelError: the file is damaged or says nothing of its network, or `--weights` was given.
    """
    if weights is not None:
        raise ModelError("a trained network brings its own weights", given=f"--weights {weights}", hint="Leave it out.")
    path = Path(spec)
    made = read_header(path)
    if made is None:
        raise ModelError(
            "the file holds weights without their network", given=path, hint="Try --model NAME --weights FILE."
        )
    state = read_state_dict(path)
    try:
        _check_size(made, state, path)
        module = build(made)
    except (UsageError, ValueError, RuntimeError, TypeError, ArithmeticError, MemoryError, AssertionError) as error:
        what = f"the file names a network that cannot be built ({made.arch})"
        raise ModelError(what, given=path, hint="Train it again: sig train.") from error
    load_into(module, state, path, made.arch)
    return Source(
        module,
        kind="trained",
        weights="in the file",
        weights_hash=hash_file(path),
        preprocess=made.preprocess,
        labels=made.classes,
    )
