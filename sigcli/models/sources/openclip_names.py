"""Which network of open_clip a user means, and where its weights are."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from sigcli.errors import ModelError, unknown

from ..checks import one_line
from .hf_folder import NONE, read_json
from .hub import file_of_hub
from .weights import is_there

PREFIX = "openclip/"
_CONFIG = "open_clip_config.json"
_FORMS = "openclip/NAME:PRETRAINED, openclip/NAME:FILE or openclip/FOLDER"
_WEIGHTS = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth", "model.safetensors", "pytorch_model.bin",
)  # fmt: skip
"""Files of a folder's weights, in open_clip's order."""
_SHOWN = 6


@dataclass(frozen=True)
class Asked:
    """What a user names.

    Args:
        network: a name of open_clip's, or `local-dir:FOLDER`, as open_clip writes it.
        weights: a file, None for random ones.
        told: where the weights come from, in words.
        stated: what the weights say of themselves: preprocessing, and whether they were trained with QuickGELU.
    """

    network: str
    weights: Path | None
    told: str
    stated: dict[str, Any]


def lasting(spec: str) -> str:
    """What was typed, as it holds from any folder."""
    text = spec.removeprefix(PREFIX)
    name, _, file = text.partition(":")
    if is_there(text):
        return f"{PREFIX}{Path(text).absolute()}"
    return f"{PREFIX}{name}:{Path(file).absolute()}" if file and is_there(file) else spec


def asked_for(package: ModuleType, spec: str, weights: str | None) -> Asked:
    """Which network and weights are meant; weights by name are fetched where they are not here."""
    text = spec.removeprefix(PREFIX)
    own = weights is None or weights.upper() == "DEFAULT"
    if text and Path(text).is_dir():
        return _of_folder(Path(text), None if own else weights)
    name, _, tag = text.partition(":")
    if name not in package.list_models():
        if name and ("/" in name or is_there(name)):
            raise ModelError("no such folder, nor a network of open_clip", given=spec, allowed=_FORMS)
        raise unknown("network of open_clip", name, package.list_models(), ModelError)
    if tag and not own:
        raise ModelError("the weights are named twice", given=f"{spec} and --weights {weights}", allowed=_FORMS)
    return _of_name(package, name, tag or ("" if own else weights or ""), spec)


def _of_folder(folder: Path, weights: str | None) -> Asked:
    """A folder as open_clip writes it; its weights, or others for the same configuration."""
    if not (folder / _CONFIG).is_file():
        hint = "A folder of transformers' is named hf/FOLDER." if (folder / "config.json").is_file() else None
        raise ModelError(f"the folder has no {_CONFIG}, so it is none of open_clip's", given=folder, hint=hint)
    stated = read_json(folder / _CONFIG)
    lacking = [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in dict(stated.get("model_cfg") or {})]
    if lacking:
        raise ModelError(f"{_CONFIG} has no model_cfg with {', '.join(lacking)}", given=folder, hint="Save it again.")
    network = f"local-dir:{folder}"
    if weights is not None:
        return Asked(network, None if weights.lower() == NONE else Path(weights), weights, {})
    file = next((folder / one for one in _WEIGHTS if (folder / one).is_file()), None)
    if file is None:
        allowed = f"{_WEIGHTS[0]} or {_WEIGHTS[2]}"
        hint = "Name them: --weights FILE, or none (random)."
        raise ModelError("the folder has no weights", given=folder, allowed=allowed, hint=hint)
    return Asked(network, file, "of the folder", {})


def _of_name(package: ModuleType, name: str, weights: str, spec: str) -> Asked:
    """A network by name with weights by name, from a file, or random."""
    tags = package.list_pretrained_tags_by_model(name)
    if not weights:
        hint = f"Name them: --model openclip/{name}:{tags[0] if tags else 'FILE'}, or --weights none (random)."
        raise ModelError("no weights are named", given=spec, allowed=_listed(tags), hint=hint)
    if weights.lower() == NONE:
        return Asked(name, None, weights, {})
    stated = dict(package.get_pretrained_cfg(name, weights) or {})
    if stated:
        return Asked(name, _fetched(stated, name, weights), f"{weights} of open_clip", stated)
    if not is_there(weights):
        if "/" in weights or Path(weights).suffix:
            raise ModelError("no such weights file", given=weights, hint="Check the path.")
        error = unknown(f"weights of {name}", weights, tags, ModelError)
        raise ModelError(error.what, given=error.given, allowed=_listed(tags), hint=error.hint)
    return Asked(name, Path(weights), weights, {})


def _listed(tags: Sequence[str]) -> str:
    more = f", and {len(tags) - _SHOWN} more" if len(tags) > _SHOWN else ""
    return ", ".join(tags[:_SHOWN]) + more if tags else "a file: open_clip has none by name"


def _fetched(stated: dict[str, Any], name: str, tag: str) -> Path:
    """The file of weights that have a name: from the cache, else from the hub, or from the address that open_clip knows."""
    given = f"openclip/{name}:{tag}"
    if stated.get("file"):
        return Path(stated["file"])
    if stated.get("hf_hub"):
        repository, _, file = str(stated["hf_hub"]).rpartition("/")
        return file_of_hub(repository, [file] if file else _WEIGHTS[:3], given)
    from open_clip.pretrained import download_pretrained

    try:
        with quiet():
            return Path(download_pretrained(stated))
    except Exception as error:
        what = f"the weights are not here and cannot be fetched: {one_line(error)}"
        raise ModelError(what, given=given, hint=f"Name a file of them: --model openclip/{name}:FILE.") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No log lines and warnings of open_clip: what a user should know is told as notes."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
