"""Reading weights from files that strangers made, fitting them to a network, and fingerprints of both."""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sigcli.errors import ModelError
from sigcli.images import nearest_name

from .checks import one_line

State = dict[str, Tensor]

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
_PREFIXES = ("module.", "_orig_mod.", "model.")
_SAVE_STATE = (
    "Save it again as torch.save(model.state_dict(), FILE) or as safetensors, then --model NAME --weights FILE."
)


def check_file(path: Path, kind: str) -> None:
    """Raise ModelError unless `path` is a readable file with something in it."""
    if not path.exists():
        near = nearest_name(path)
        raise ModelError(
            f"no such {kind} file", given=path, hint=f"Did you mean '{near}'?" if near else "Check the path."
        )
    if not path.is_file():
        raise ModelError(f"the {kind} file is not an ordinary file", given=path, hint="Name the file itself.")
    if path.stat().st_size == 0:
        raise ModelError(f"the {kind} file is empty (0 bytes)", given=path, hint="Fetch or save it again.")


def sniff(path: Path, kind: str = "model") -> str:
    """What a file is by its content: `torchscript`, `export`, `pickle` (torch.save), `safetensors` or `unknown`.

    Raises:
        ModelError: no such file, or it cannot be read.
    """
    check_file(path, kind)
    try:
        with open(path, "rb") as stream:
            head = stream.read(16)
        names = zipfile.ZipFile(path).namelist() if head[:2] == b"PK" else []
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"the file cannot be read: {one_line(error)}", given=path, hint="Fetch it again.") from error
    inside = {name.split("/", 1)[-1] for name in names}
    if "constants.pkl" in inside and any(name.startswith("code/") for name in inside):
        return "torchscript"
    if "archive_format" in inside or "serialized_exported_program.json" in names:
        return "export"
    if "data.pkl" in inside or head[:1] == b"\x80":
        return "pickle"
    return "safetensors" if head[8:9] == b"{" else "unknown"


def read_state_dict(path: str | Path) -> State:
    """Read a state dict from a torch.save file (without unpickling objects) or from safetensors.

    Wrappers (`{"state_dict": ...}`, `{"model": ...}`) and prefixes (`module.` of DataParallel) are taken off.

    Args:
        path: the file.

    Returns:
        parameter name → tensor, on the CPU.

    Raises:
        ModelError: no such file, damaged, a pickle with other objects than tensors, or no state dict at all.
    """
    path = Path(path)
    kind = sniff(path, "weights")
    if kind in ("torchscript", "export"):
        raise ModelError("a whole program where weights were expected", given=path, hint=f"Try: --model '{path}'.")
    if kind == "unknown":
        raise ModelError(
            "not a weights file",
            given=path,
            allowed="a state dict saved by torch.save, or safetensors",
            hint=_SAVE_STATE,
        )
    content = _read_safetensors(path) if kind == "safetensors" else _read_pickle(path)
    state = _unwrap(content)
    if not state:
        raise ModelError("the file holds no state dict (names and tensors)", given=path, hint=_SAVE_STATE)
    return state


def load_into(module: nn.Module, state: State, path: str | Path, name: str) -> None:
    """Fill a network with weights, all of them or none.

    Raises:
        ModelError: names or shapes differ; the message shows a few of each.
    """
    own = module.state_dict()
    # Written only by BatchNorm since torch 0.4.1, and used by nothing in evaluation mode.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    extra = [key for key in state if key not in own]
    other = [
        f"{key} {tuple(value.shape)} instead of {tuple(own[key].shape)}"
        for key, value in state.items()
        if key in own and value.shape != own[key].shape
    ]
    if missing or extra or other:
        found = [_some("missing", missing), _some("unexpected", extra), _some("of another shape", other)]
        what = f"the weights are not those of {name}: {'; '.join(text for text in found if text)}"
        raise ModelError(what, given=path, hint="Name the network that they were trained with.")
    module.load_state_dict(state, strict=False)


def hash_file(path: str | Path, algorithm: str = "blake2b") -> str:
    """Hex digest of a file's bytes: 64 characters of blake2b, or another algorithm's full length."""
    digest = hashlib.blake2b(digest_size=32) if algorithm == "blake2b" else hashlib.new(algorithm)
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def hash_state(state: Mapping[str, Any]) -> str:
    """Hex digest (blake2b, 64 characters) of names, types, shapes and bytes of all tensors in order.

    >>> hash_state({"a": torch.zeros(2)}) == hash_state({"a": torch.zeros(3)})
    False
    """
    digest = hashlib.blake2b(digest_size=32)
    for name, value in state.items():
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def refused(path: Path, error: BaseException) -> ModelError:
    """The message for a pickle that holds more than tensors: reading it would run code from it."""
    match = re.search(r"GLOBAL (\S+)", str(error))
    holds = f" ({match.group(1)})" if match else ""
    return ModelError(
        f"refused: the file pickles Python objects{holds}, which could run code", given=path, hint=_SAVE_STATE
    )


def _read_pickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise refused(path, error) from None
    except Exception as error:  # broken archives raise all sorts of exceptions
        raise _damaged(path, error) from error


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ModelError:
    return ModelError(f"the weights file is damaged: {one_line(error)}", given=path, hint="Fetch or save it again.")


def _unwrap(content: Any) -> State:
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        return {}
    state = {str(key): value for key, value in content.items()}
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _some(kind: str, keys: list[str], limit: int = 2) -> str:
    more = f" and {len(keys) - limit} more" if len(keys) > limit else ""
    return f"{kind} {', '.join(keys[:limit])}{more}" if keys else ""
