"""The weights of the bundled networks: safetensors files that the scripts of the repository write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError, safe_open
from torch import Tensor

from sigcli.errors import ModelError

T = TypeVar("T")


def read_bundled(path: Path, build: Callable[[Mapping[str, str], Mapping[str, Tensor]], T], name: str) -> T:
    """What a function makes of the metadata and the tensors of a file.

    Args:
        path: the file.
        build: (metadata, tensors) → the network and what else is known.
        name: name of the network, whose script is `scripts/train_NAME.py`, with _ for -.

    Raises:
        ModelError: the file is missing, damaged, or of another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            return build(file.metadata() or {}, state)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        hint = f"Reinstall sig, or retrain with `python scripts/train_{name.replace('-', '_')}.py` ({type(error).__name__})."
        raise ModelError(f"the weights of the network '{name}' cannot be read", given=path, hint=hint) from error
