"""Networks of Hugging Face's transformers that classify, label pixels or find boxes: a folder of theirs, or a name."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from sigcli.errors import ModelError
from sigcli.heads import LOGITS, Head

from ..checks import one_line
from ..model import Source
from ..wrappers.dense import Dense
from .checkpoint import State
from .hf_tasks import BOXES, REGIONS, kind_of
from .hub import CONFIG, PICKLED, SAFE, fetched, holds_weights, is_name
from .torchvision import seeded
from .weights import hash_state, is_there, read_checkpoint, read_state_dict

_PREFIX = "hf/"
_ADAPTER = "adapter_config.json"
_LARGEST = 1 << 24
"""Bytes of a configuration, at most."""
_SHOWN = 3


class Pixels(nn.Module):
    """A network of transformers as a module of images.

    Args:
        inner: takes `pixel_values`.
        flipped: it takes blue, green, red; images here have red first.
    """

    def __init__(self, inner: nn.Module, *, flipped: bool = False):
        super().__init__()
        self.inner, self.flipped = inner, flipped

    def forward(self, images: Tensor) -> Any:
        """(N, C, H, W) → the network's outputs."""
        return self.inner(pixel_values=images.flip(1) if self.flipped else images)


def matches(spec: str) -> bool:
    """Whether it names such a model: `hf/NAME`, or a folder."""
    return spec.startswith(_PREFIX) or _is_folder(spec)


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
    package = transformers()
    random = weights is not None and weights.lower() == "none"
    own = weights is None or weights.upper() == "DEFAULT"
    folder, told = folder_of(spec, weights=own)
    config = read_config(package, folder)
    kind, task = kind_of(package, config, folder)
    state = None if random else read_state(folder) if own else read_state_dict(weights or "")
    network, notes = built(kind, config, state, folder)
    if random:
        notes = (*notes, "the weights are random (--weights none, always the same): maps of this network mean nothing")
    labels, named = _labels(config)
    made, own_notes, known = _made(network, task, config, folder, package)
    return Source(
        made,
        kind="hf",
        weights=told if own else weights or "",
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
    prefix = _PREFIX if spec.startswith(_PREFIX) else ""
    text = spec.removeprefix(prefix)
    return f"{prefix}{Path(text).absolute()}" if _is_folder(text) else spec


def transformers() -> ModuleType:
    """The package; raises ModelError where it is not installed."""
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        hint = "Install it: pip install '.[hf]' in the clone of sig."
        raise ModelError(f"transformers cannot be imported: {one_line(error)}", hint=hint) from error


def folder_of(spec: str, *, weights: bool = True) -> tuple[Path, str]:
    """The folder that a user names, and where it came from in words.

    Raises:
        ModelError: no such folder, or none of a model, or a name that cannot be had.
    """
    text = spec.removeprefix(_PREFIX)
    if not _is_folder(text):
        if is_name(text) and spec.startswith(_PREFIX):
            folder = fetched(text, weights=weights)
            _check_folder(folder, spec, weights=weights)
            return folder, f"{text} of the hub"
        what = (
            "a file, and not the folder of a model"
            if text and is_there(text)
            else "no such folder, nor a name of the hub"
        )
        raise ModelError(what, given=spec, allowed="hf/FOLDER or hf/OWNER/NAME")
    _check_folder(Path(text), spec, weights=weights)
    return Path(text), "of the folder"


def _check_folder(folder: Path, spec: str, *, weights: bool) -> None:
    """Raise ModelError for a folder without a whole network."""
    if (folder / _ADAPTER).is_file():
        hint = "Merge it and save the whole network: model.merge_and_unload().save_pretrained(FOLDER)."
        raise ModelError("the folder holds an adapter, not a whole network", given=spec, hint=hint)
    if not (folder / CONFIG).is_file():
        hint = "Name the folder that save_pretrained wrote."
        what = f"not an ordinary file but a folder, and the folder has no {CONFIG}, so it is no model's"
        raise ModelError(what, given=spec, hint=hint)
    if weights and not holds_weights(folder):
        hint = "Save it with transformers' save_pretrained, or name weights: --weights FILE, or none (random)."
        raise ModelError("the folder has no weights", given=spec, allowed=f"{SAFE} or {PICKLED}", hint=hint)


def read_config(package: ModuleType, folder: Path) -> Any:
    """The configuration of a folder.

    Raises:
        ModelError: it is damaged, asks for code that came with it, or is of a kind that the installed transformers lacks.
    """
    stated = read_json(folder / CONFIG)
    foreign = [key for key, value in stated.items() if key.endswith("_implementation") and "/" in str(value)]
    if "auto_map" in stated or foreign:
        what = "refused: the model brings its own code, which sig does not run"
        hint = "Build it in a function of yours that returns the network: --model package.module:function."
        raise ModelError(what, given=folder, hint=hint)
    try:
        return package.AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises all sorts of exceptions
        what = f"transformers {package.__version__} cannot read the configuration: {one_line(error)}"
        raise ModelError(what, given=folder, hint="A newer transformers may know it: pip install -U.") from error


def read_json(path: Path) -> dict[str, Any]:
    """A table in JSON; raises ModelError where it is damaged or too large."""
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path.name} cannot be read: {one_line(error)}", given=path, hint="Save it again.") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path.name} holds no table", given=path, hint="Save it again.")
    return found


def read_state(folder: Path) -> State:
    """The weights of a folder, safetensors first; a pickle is read without running anything of it.

    Raises:
        ModelError: a file is damaged, is not there, or pickles objects.
    """
    state: State = {}
    for file in _files(folder):
        entries = read_checkpoint(file).entries
        state.update({one.name: one.value for one in entries if not one.table and isinstance(one.value, Tensor)})
    return state


def built(kind: Any, config: Any, state: State | None, folder: Path) -> tuple[nn.Module, tuple[str, ...]]:
    """A network with these weights, in float32, or with random ones; and notes on what the weights had too much.

    Raises:
        ModelError: transformers refuses, or the weights lack a part of the network, which would be random.
    """
    try:
        with _quiet(), seeded():
            if state is None:
                return kind(config).float(), ()
            given = {"config": config, "state_dict": state, "dtype": torch.float32, "local_files_only": True}
            network, found = kind.from_pretrained(None, **given, output_loading_info=True)
    except Exception as error:  # transformers raises all sorts of exceptions
        what = f"transformers cannot load it as a {kind.__name__}: {one_line(error)}"
        raise ModelError(what, given=folder, hint="Do weights and config.json belong together?") from error
    _check_complete(kind.__name__, found, folder)
    unused, types = sorted(found["unexpected_keys"]), {value.dtype for value in state.values()}
    notes = (f"weights that the network does not use are left out: {_listed(unused)}",) if unused else ()
    odd = sorted(str(one).removeprefix("torch.") for one in types if one.is_floating_point and one != torch.float32)
    return network, (
        *notes,
        *((f"the network's weights are {', '.join(odd)}: they are used as float32",) if odd else ()),
    )


def _check_complete(kind: str, found: dict[str, Any], folder: Path) -> None:
    lacking = sorted(found["missing_keys"])
    other = sorted(str(one[0]) for one in found["mismatched_keys"])
    if lacking or other:
        what = f"the weights lack {_listed(lacking)}" if lacking else f"{_listed(other)} have another shape"
        hint = "Was it saved without its classifier? Name the folder of the fine-tuned network."
        raise ModelError(f"{what} of {kind}, which would be random", given=folder, hint=hint)


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _files(folder: Path) -> Iterator[Path]:
    """The files of a folder's weights."""
    for name in (SAFE, PICKLED):
        index = folder / f"{name}.index.json"
        if (folder / name).is_file():
            yield folder / name
            return
        if index.is_file():
            pieces = read_json(index).get("weight_map")
            names = sorted(set(pieces.values())) if isinstance(pieces, dict) else []
            if not names or not all(isinstance(one, str) and Path(one).name == one for one in names):
                raise ModelError("the index of the weights does not name files beside it", given=index)
            yield from (folder / one for one in names)
            return


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
    return () if spec.startswith(_PREFIX) else (told,)


def _is_folder(text: str) -> bool:
    try:
        return bool(text) and Path(text).is_dir()
    except (OSError, ValueError):  # too long, a null byte
        return False


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No bars and warnings of transformers: what a user should know is told as notes."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
