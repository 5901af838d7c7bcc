"""Folders of Hugging Face's transformers: their configuration, and their weights, of which nothing is run."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from sigcli.errors import ModelError

from ..checks import one_line
from .bounds import bounded, check_counts
from .checkpoint import State
from .hub import CONFIG, PICKLED, SAFE, fetched, holds_weights, is_name
from .torchvision import RANDOM, seeded
from .weights import is_there, read_checkpoint, read_state_dict

PREFIX = "hf/"
PIXELS = "pixel_values"
"""What networks of pictures call their input."""
NONE = "none"
"""What `--weights` says for random ones."""
_ADAPTER = "adapter_config.json"
_LARGEST = 1 << 24
"""Bytes of a configuration, at most."""
_SHOWN = 3
OLDEST = 5
_OWN = "Prepare its input in a network of yours that takes pictures: --model package.module:function."
_INSTALL = "Install it: pip install '.[hf]' in the clone of sig."


@dataclass(frozen=True, eq=False)
class Opened:
    """A model's folder, and which weights the user wants.

    Args:
        package: transformers.
        folder: of the model.
        config: its configuration.
        weights: None for those of the folder, `none` for random ones, or a file.
        told: where the weights come from, in words.
    """

    package: ModuleType
    folder: Path
    config: Any
    weights: str | None
    told: str

    def network(self, kind: Any) -> tuple[nn.Module, tuple[str, ...]]:
        """The network of a class with these weights, and notes.

        Raises:
            ModelError: as `built`, or the network takes no pictures.
        """
        if PIXELS not in inspect.signature(kind.forward).parameters:
            what = f"a {kind.__name__} takes no pictures: its forward pass has no {PIXELS}"
            raise ModelError(what, given=self.folder, hint=_OWN)
        if self.weights == NONE:
            network, notes = built(kind, self.config, None, self.folder)
            return network, (*notes, RANDOM)
        state = read_state(self.folder) if self.weights is None else read_state_dict(self.weights)
        return built(kind, self.config, state, self.folder)


def opened(spec: str, weights: str | None) -> Opened:
    """The folder of a model with its configuration; its weights are not read yet.

    Args:
        spec: see `load`.
        weights: likewise.

    Raises:
        ModelError: transformers is not installed, no such folder or name, or a configuration that cannot be used.
    """
    package = transformers()
    own = weights is None or weights.upper() == "DEFAULT"
    folder, told = folder_of(spec, weights=own)
    asked = None if own else NONE if str(weights).lower() == NONE else weights
    config = read_config(package, folder)
    if config.model_type.startswith("siglip2"):
        hint = "SigLIP 2 of a fixed size, such as google/siglip2-base-patch16-224, is of the kind 'siglip' and works."
        raise ModelError(f"a '{config.model_type}' takes sequences of patches and no pictures", given=spec, hint=hint)
    return Opened(package, folder, config, asked, told if own else weights or "")


def transformers() -> ModuleType:
    """The package; raises ModelError where it is not installed, or too old."""
    try:
        found = importlib.import_module("transformers")
    except ImportError as error:
        raise ModelError(f"transformers cannot be imported: {one_line(error)}", hint=_INSTALL) from error
    major = found.__version__.partition(".")[0]
    if major.isdigit() and int(major) < OLDEST:  # its image processors and loading differ
        allowed = f"transformers {OLDEST} or newer"
        raise ModelError("transformers is too old", given=found.__version__, allowed=allowed, hint=_INSTALL)
    return found


def folder_of(spec: str, *, weights: bool = True) -> tuple[Path, str]:
    """The folder that a user names, and where it came from in words.

    Raises:
        ModelError: no such folder, or none of a model, or a name that cannot be had.
    """
    text = spec.removeprefix(PREFIX)
    if not is_folder(text):
        if spec.startswith(PREFIX) and is_folder(spec) and (Path(spec) / CONFIG).is_file():
            hint = f"If that folder is meant: --model ./{spec}. If the hub's model is: work in a folder without {spec}."
            raise ModelError(
                f"there is a folder {spec} here, and {spec} names {text} of the hub", given=spec, hint=hint
            )
        if is_name(text) and spec.startswith(PREFIX):
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
    kinds = stated.get("architectures") or []
    if not isinstance(kinds, list) or not all(isinstance(one, str) for one in kinds):
        raise ModelError(f"architectures in {CONFIG} is no list of names", given=folder, hint="Save the model again.")
    check_counts(stated, folder)
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
        with _quiet(), seeded(), bounded(None if state is None else len(state)):
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


def is_folder(text: str) -> bool:
    """Whether a folder has that name; False also for a name that none can have."""
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
