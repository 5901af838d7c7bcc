"""Networks that `sig train` and the scenarios made: safetensors with a header that states how to build and feed them.

The file holds tensors and one JSON text, and nothing that could run.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from sigcli.errors import ModelError, UsageError, unknown
from sigcli.files import write_aside
from sigcli.models.networks.certainty import CertaintyAware, Components, PixelCNN, SmallCNN

from ...inspection.archive import shown
from ..model import Source
from ..preprocess import COVER, FILTERS, LARGEST, Preprocess, Size
from .checkpoint import State
from .matching import check_fits, load_into
from .weights import hash_file, holds, read_checkpoint

HEADER = "sig-network"
_VERSION = 1
_LIMIT = 1e6  # of mean and, upside down, of std; beyond, float32 overflows in the first layers
OWN = {
    "small-cnn": SmallCNN,
    "small-cnn-any": partial(SmallCNN, pool="any"),
    "small-cnn-ring": partial(SmallCNN, pool="max", padding="circular"),
    "pixel-cnn": PixelCNN,
    "components": Components,
}
"""Networks of our own by name, besides torchvision's."""


@dataclass(frozen=True)
class Trained:
    """The header of a network file.

    Args:
        arch: a name of `OWN` or of torchvision.
        classes: names of the classes.
        certainty: whether it is certainty-aware.
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
    from .torchvision import architectures as torchvision_names

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
        raise UsageError(f"{made.arch} takes RGB pictures only", hint="Leave --grey out, or take --arch small-cnn.")
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
    told = asdict(made)
    del told["preprocess"]["cover"]  # sig trains on pictures that fill the crop
    header = {HEADER: json.dumps({"version": _VERSION, **told})}
    write_aside(path, lambda aside: save_file(state, aside, metadata=header))


def read_header(path: str | Path) -> Trained | None:
    """The header of a safetensors file; None where it holds weights alone.

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
    except (ValueError, RecursionError) as error:
        raise _untold(path, "its text is not JSON") from error
    try:
        return _read(found)
    except _WrongError as error:
        raise _untold(path, str(error)) from error
    except UsageError as error:
        raise _untold(path, error.what) from error


class _WrongError(Exception):
    """A header with a value of another type or range; `str` says which."""


def _untold(path: str | Path, why: str) -> ModelError:
    what = f"the file does not say how its network is built: {shown(why)}"
    return ModelError(what, given=path, hint="It may come from another version of sig, or was changed: train it again.")


def _read(found: Any) -> Trained:
    _expect(isinstance(found, dict), "it is not a table")
    lacks = [key for key in ("version", *(f.name for f in fields(Trained))) if key not in found]
    _expect(not lacks, f"it has no {', '.join(lacks)}")
    _expect(type(found["version"]) is int and found["version"] == _VERSION, f"its version is not {_VERSION}")
    _expect(_is_name(found["arch"]), "its arch is not a name")
    classes = found["classes"]
    _expect(isinstance(classes, list) and len(classes) > 0 and all(map(_is_name, classes)), "its classes are not names")
    _expect(isinstance(found["certainty"], bool), "its certainty is neither true nor false")
    _expect(
        isinstance(found["figures"], dict) and _is_plain(found["figures"]), "its figures are not a table of numbers"
    )
    return Trained(
        found["arch"], tuple(classes), found["certainty"], _read_pixels(found["preprocess"]), found["figures"]
    )


def _read_pixels(found: Any) -> Preprocess:
    _expect(isinstance(found, dict), "its preprocess is not a table")
    names = [f.name for f in fields(Preprocess) if f.name != "cover"]
    odd = [*(name for name in names if name not in found), *(name for name in found if name not in names)]
    _expect(not odd, f"its preprocess has other fields than {', '.join(names)}: {', '.join(odd)}")
    mean, std = found["mean"], found["std"]
    for name, values in (("mean", mean), ("std", std)):
        listed = isinstance(values, list) and len(values) in (1, 3) and all(map(_is_number, values))
        _expect(listed, f"its {name} is not 1 or 3 numbers up to {_LIMIT:.0e}")
    _expect(len(mean) == len(std), "its mean and std have different lengths")
    _expect(min(std) >= 1 / _LIMIT, f"its std is below {1 / _LIMIT:.0e}")
    _expect(found["interpolation"] in tuple(FILTERS), "its interpolation is unknown")
    resize = COVER if found["resize"] == COVER else _read_size("resize", found["resize"])
    crop = _read_size("crop", found["crop"])
    return Preprocess(resize, crop, tuple(map(float, mean)), tuple(map(float, std)), found["interpolation"])


def _read_size(name: str, found: Any) -> Size | None:
    if found is None:
        return None
    sides: list[Any] = found if isinstance(found, list) and len(found) == 2 else [found]
    whole = all(type(side) is int and side >= 1 for side in sides)
    _expect(whole, f"its {name} is neither a number of pixels, nor a pair of them, nor null")
    _expect(max(sides) <= LARGEST, f"with a {name} above {LARGEST} pixels it cannot be built")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def _expect(holds: bool, wrong: str) -> None:
    if not holds:
        raise _WrongError(wrong)


def _is_name(value: Any) -> bool:
    """A text that can be a file's name; halves of characters, which JSON can spell, cannot."""
    try:
        return isinstance(value, str) and bool(value.encode(errors="surrogateescape"))
    except UnicodeEncodeError:
        return False


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= _LIMIT  # NaN is not


def _is_plain(value: Any, depth: int = 3) -> bool:
    """Measured values: numbers or null, by name, or a list of such tables (the training's points)."""
    if isinstance(value, (dict, list)):
        each = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(item, depth - 1) for item in each)
    return value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 63)


def _check_size(made: Trained, state: State, path: Path) -> None:
    """Hold the weights against the network before it is built: the header may describe one that does not fit into memory."""
    try:
        with torch.device("meta"):
            outline = build(made)
    except NotImplementedError:  # RegNet computes its widths with tensors, which meta tensors cannot; they are its own
        if len(made.classes) > max((len(value) for value in state.values() if value.ndim), default=0):
            raise ValueError("more classes than weights") from None
        return
    check_fits(outline, state, path, made.arch)


def matches(spec: str) -> bool:
    """Whether it names a file that says which network it holds."""
    return holds(spec, "safetensors") and read_header(Path(spec)) is not None


def load(spec: str, weights: str | None, device: torch.device) -> Source:  # noqa: ARG001  loaders share one signature
    """Load a network that `sig train` made.

    Raises:
        ModelError: the file is damaged or does not describe its network, or `--weights` was given.
    """
    if weights is not None:
        raise ModelError("a trained network brings its own weights", given=f"--weights {weights}", hint="Leave it out.")
    path = Path(spec)
    made = read_header(path)
    if made is None:
        raise ModelError(
            "the file holds weights without their network", given=path, hint="Try --model NAME --weights FILE."
        )
    state = {e.name: e.value for e in read_checkpoint(path).entries}
    try:
        _check_size(made, state, path)
        module = build(made)
    except (UsageError, ValueError, RuntimeError, TypeError, ArithmeticError, MemoryError, AssertionError) as error:
        what = f"the file names a network that cannot be built ({shown(made.arch)})"
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
