"""Reading weights from files that strangers made, fitting them to a network, and fingerprints of both."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sigcli.errors import ModelError
from sigcli.inputs.images import nearest_name

from ..checks import one_line
from ..inspection.archive import Archive, damaged, shown, unreadable

State = dict[str, Tensor]

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
_NAME_LIMIT = 1000
_PREFIXES = ("module.", "_orig_mod.", "model.")


def is_there(path: str | Path) -> bool:
    """Whether something of that name exists; False also for a name that none can have."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long, a null byte, a folder that may not be entered
        return False


def check_file(path: Path, kind: str) -> None:
    """Raise ModelError unless `path` is an ordinary file with something in it: reading a pipe or device might never end."""
    if not is_there(path):
        near = nearest_name(path) if len(str(path)) < _NAME_LIMIT else None
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
    except OSError as error:
        raise unreadable(path, error) from error
    # Safetensors begin with the length of their header, whose first bytes may be those of a pickle or of a zip file.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size - 8:
        return "safetensors"
    if head[:2] == b"PK":
        with Archive(path) as archive:
            return _sniff_archive(archive)
    if head[:1] == b"\x80":
        return "pickle"
    return "safetensors" if head[8:9] == b"{" else "unknown"


def holds(spec: str, kind: str) -> bool:
    """Whether what a user typed names a file of that kind, see `sniff`.

    Raises:
        ModelError: something of that name is there and cannot be read.
    """
    return is_there(spec) and sniff(Path(spec)) == kind


def refuse_weights(weights: str | None) -> None:
    """Raise ModelError where --weights was given for a file that contains its own."""
    if weights is not None:
        raise ModelError(
            "a program file brings its own weights", given=f"--weights {weights}", hint="Leave --weights out."
        )


def _sniff_archive(archive: Archive) -> str:
    if "archive_format" in archive or "serialized_exported_program.json" in archive:
        return "export"
    if "model.json" in archive or ("constants.pkl" in archive and archive.below("code/")):
        return "torchscript"
    return "pickle" if "data.pkl" in archive else "unknown"


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
    from ..inspection.saved import SAVE_STATE

    path = Path(path)
    kind = sniff(path, "weights")
    if kind in ("torchscript", "export"):
        raise ModelError(
            "the file holds a whole program instead of weights", given=path, hint=f"Try: --model '{path}'."
        )
    if kind == "unknown":
        raise ModelError(
            "not a weights file",
            given=path,
            allowed="a state dict saved by torch.save, or safetensors",
            hint=SAVE_STATE,
        )
    state = _read_safetensors(path) if kind == "safetensors" else _read_pickle(path)
    if not state:
        raise ModelError("the file holds no state dict (names and tensors)", given=path, hint=SAVE_STATE)
    return state


def load_into(module: nn.Module, state: State, path: str | Path, name: str) -> None:
    """Fill a network with weights, all of them or none.

    Raises:
        ModelError: names or shapes differ; the message shows a few of each.
    """
    check_fits(module, state, path, name)
    module.load_state_dict(state, strict=False)


def check_fits(module: nn.Module, state: Mapping[str, Tensor], path: str | Path, name: str) -> None:
    """Hold the names and shapes of weights against a network's.

    Raises:
        ModelError: they differ; the message shows a few of each.
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
    other += [
        f"{key} complex instead of real"
        for key, value in state.items()
        if key in own and value.is_complex() and not own[key].is_complex()
    ]
    if missing or extra or other:
        found = [_some("missing", missing), _some("unexpected", extra), _some("of another shape or type", other)]
        what = f"the weights are not those of {name}: {'; '.join(text for text in found if text)}"
        raise ModelError(what, given=path, hint="Name the network that they were trained with.")


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
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode(errors="surrogatepass"))
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read_pickle(path: Path) -> State:
    from ..inspection.pickles import Outline, Strange
    from ..inspection.saved import SAVE_STATE, opened

    with opened(path) as saved:
        chosen = _unwrap(saved.content, (Tensor, Outline, Strange))
        strange = next((f"{shown(name)} is {v.kind}" for name, v in chosen.items() if isinstance(v, Strange)), None)
        if strange is not None:
            raise ModelError(f"the file holds a tensor that no network takes: {strange}", given=path, hint=SAVE_STATE)
        return saved.tensors(chosen)


def _read_safetensors(path: Path) -> State:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return _unwrap(load_file(path), (Tensor,))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError, MemoryError) as error:
        raise damaged(path, one_line(error)) from error


def _unwrap(content: Any, kinds: tuple[type, ...]) -> dict[str, Any]:
    """The names and tensors (or what stands for them: `kinds`) in a file's content; none where that is no state dict."""
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(v, kinds) for v in content.values())
        or not all(isinstance(key, str) for key in content)  # other keys may be of any size, and name no weight
    ):
        return {}
    state = dict(content)
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _some(kind: str, keys: list[str], limit: int = 2) -> str:
    more = f" and {len(keys) - limit} more" if len(keys) > limit else ""
    return f"{kind} {', '.join(map(shown, keys[:limit]))}{more}" if keys else ""
