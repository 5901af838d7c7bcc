"""Reading weights from files that strangers made, and fingerprints of files and weights."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sigcli.errors import ModelError
from sigcli.inputs.refused import nearest_name

from ...inspection.archive import Archive, damaged, unreadable
from ..checks import one_line
from .checkpoint import Checkpoint, State, opened

_NAME_LIMIT = 1000


def is_there(path: str | Path) -> bool:
    """Whether something of that name exists; False also for a name that none can have."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long, a null byte, a folder that may not be entered
        return False


def check_file(path: Path, kind: str) -> None:
    """Raise ModelError unless `path` is an ordinary file with something in it: reading a pipe or device might never end."""
    if not is_there(path):
        if os.path.islink(path):  # False of a name that none can have
            raise ModelError(f"the {kind} file is a link to one that is not there", given=path, hint="Mend the link.")
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
    """Read the largest state dict of a torch.save file (without unpickling objects) or of safetensors.

    Tables around it and words before all of its names (`module.` of DataParallel) are taken off.

    Args:
        path: the file.

    Returns:
        parameter name → tensor, on the CPU.

    Raises:
        ModelError: no such file, damaged, a pickle that calls functions, or no state dict at all.
    """
    return read_checkpoint(path).main()


def read_checkpoint(weights: str | Path) -> Checkpoint:
    """Read all tensors of a file of weights.

    Args:
        weights: the file; `FILE:PART` asks for one of several sets of weights in it.

    Raises:
        ModelError: as `read_state_dict`, but for a file without a state dict, which `Checkpoint.check` tells.
    """
    from ...inspection.saved import SAVE_STATE

    path, asked = place_of_weights(weights)
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
    return _read_safetensors(path, asked) if kind == "safetensors" else _read_pickle(path, asked)


def place_of_weights(weights: str | Path) -> tuple[Path, str | None]:
    """The file of weights that a user names, and the part of it (`FILE:PART`), or None."""
    head, colon, part = str(weights).rpartition(":")
    if not colon or is_there(weights) or not is_there(head) or not Path(head).is_file():
        return Path(weights), None
    return Path(head), part


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


def hash_network(module: nn.Module) -> str:
    """`hash_state` of a network, without the counters of batch norms, which some files lack and nothing uses."""
    state = module.state_dict()
    return hash_state({name: value for name, value in state.items() if not name.endswith("num_batches_tracked")})


def _read_pickle(path: Path, asked: str | None) -> Checkpoint:
    from ...inspection.pickles import Outline
    from ...inspection.saved import opened as opened_file

    with opened_file(path) as saved:
        found = opened(saved.content, path, asked)
        outlines = {str(i): e.value for i, e in enumerate(found.entries) if isinstance(e.value, Outline)}
        values = saved.tensors(outlines)
        entries = [replace(e, value=values.get(str(i), e.value)) for i, e in enumerate(found.entries)]
        return replace(found, entries=tuple(entries))


def _read_safetensors(path: Path, asked: str | None) -> Checkpoint:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return opened(load_file(path), path, asked)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError, MemoryError) as error:
        raise damaged(path, one_line(error)) from error
