"""Archives of `torch.export.save`: which members torch gets to see, and what these may hold.

Three formats: one JSON file and three pickles side by side (before torch 2.8), a package with pickled weights (2.8), and one
with plain weights (since 2.9). Pickles are read by `saved`, and written anew where torch asks for one.
"""

from __future__ import annotations

import json
import re
from math import prod
from pathlib import Path
from typing import Any

import torch

from sigcli.errors import ModelError

from .archive import Archive, damaged, shown
from .exported import BrokenProgramError, OddProgramError, clean_payload, clean_program
from .pickles import Outline, Storage
from .saved import messages, of_archive

RE_EXPORT = "Export it again: torch.export.save(torch.export.export(model.eval(), (images,)), 'model.pt2')."

_PLAIN = re.compile(
    r"models/[^/]+\.json|extra/.*|archive_format|archive_version|byteorder|version|\.data/\w+"
    r"|data/(weights/weight_\d+|constants/tensor_\d+|(weights|constants)/\w+_config\.json)"
    r"|data/(weights|constants|sample_inputs)/[^/]+\.pt"
)
_OLD = re.compile(
    r"serialized_(exported_program|state_dict|constants|example_inputs)\.(json|pt)|version|extra_files/.*"
)
_PARTS = (("weights", re.compile(r"weight_\d+")), ("constants", re.compile(r"tensor_\d+")))

Members = dict[str, bytes | str | Path]


def clean_members(archive: Archive, aside: Path) -> tuple[str, Members]:
    """The members that torch needs, inspected and made anew, and the folder that they lie in.

    Args:
        archive: the file.
        aside: an empty folder for what has to be written anew.

    Raises:
        ModelError: it holds compiled code, pickled objects or a program that no export writes, or is damaged.
    """
    old = "serialized_exported_program.json" in archive
    for name in archive.members:
        if not (_OLD if old else _PLAIN).fullmatch(name):
            what = f"refused: the file holds '{name}', which is compiled code or pickled objects"
            raise ModelError(what, given=archive.path, hint=RE_EXPORT)
    try:
        return ("", _old_members(archive, aside)) if old else ("model/", _new_members(archive, aside))
    except OddProgramError as error:
        raise ModelError(f"refused: the program {shown(error)}", given=archive.path, hint=RE_EXPORT) from error
    except BrokenProgramError as error:
        what = f"torch.export cannot load the file: {error}"
        raise ModelError(what, given=archive.path, hint=RE_EXPORT) from error


def _old_members(archive: Archive, aside: Path) -> Members:
    made: Members = {"version": archive.read("version")}
    made["serialized_exported_program.json"] = clean_program(archive.read("serialized_exported_program.json"))
    for part in ("state_dict", "constants"):
        name = next((name for name in archive.below(f"serialized_{part}.")), f"serialized_{part}.json")
        made[name] = _tensors_anew(archive, name, aside)
    for name in archive.below("serialized_example_inputs."):
        _tensors_anew(archive, name, None)
    made["serialized_example_inputs.pt"] = b""
    return made


def _new_members(archive: Archive, aside: Path) -> Members:
    made: Members = {name: archive.read(name) for name in ("archive_format", "archive_version")}
    made |= {name: archive.read(name) for name in ("byteorder", "version", ".data/version") if name in archive}
    if "models/model.json" not in archive:
        raise damaged(archive.path, "it lacks 'models/model.json'")
    made["models/model.json"] = clean_program(archive.read("models/model.json"))
    for part, path_name in _PARTS:
        pickled, config = f"data/{part}/model.pt", f"data/{part}/model_{part}_config.json"
        if pickled in archive:
            made[pickled] = _tensors_anew(archive, pickled, aside)
            continue
        entries = clean_payload(archive.read(config), path_name)
        for entry in entries.values():
            name = f"data/{part}/{entry['path_name']}"
            _check_layout(archive, name, entry["tensor_meta"])
            made[name] = name
        made[config] = json.dumps({"config": entries}).encode()
    for name in archive.below("data/sample_inputs/"):
        _tensors_anew(archive, name, None)
    made["data/sample_inputs/model.pt"] = b""
    return made


def _tensors_anew(archive: Archive, name: str, aside: Path | None) -> bytes | Path:
    """A pickle of tensors, inspected and, where torch will read it, written anew by torch.save to a folder."""
    if archive.size(name) == 0:
        return b""
    with archive.inner(name) as inner, messages(archive.path):
        saved = of_archive(inner)
        if aside is None:
            return b""
        outlines: dict[str, Outline] = {}
        content: Any = saved.content if isinstance(saved.content, dict) else None
        for key, value in (content or {}).items():
            if not isinstance(key, str) or not isinstance(value, Outline):
                named = shown(key) if isinstance(key, str) else f"a {type(key).__name__} as its name"
                raise OddProgramError(f"has more than tensors among its weights ({named})")
            outlines[key] = value
        if content is None:
            raise damaged(archive.path, f"'{name}' holds no table of tensors")
        target = aside / f"{len(list(aside.iterdir()))}.pt"
        torch.save(saved.tensors(outlines), target)
        return target


def element_type(code: int) -> torch.dtype | None:
    """The type of numbers that a program writes as `code`; None for none."""
    from torch._export.serde.serialize import _SERIALIZE_TO_TORCH_DTYPE

    return _SERIALIZE_TO_TORCH_DTYPE.get(code)


def _check_layout(archive: Archive, name: str, meta: dict[str, Any]) -> None:
    """A weight must lie within its bytes: torch would make up numbers for an empty file, of any size."""
    dtype = element_type(meta["dtype"])
    numbers = [[entry.get("as_int") for entry in meta[part]] for part in ("sizes", "strides")]
    offset = meta["storage_offset"].get("as_int")
    if dtype is None or offset is None or None in numbers[0] or None in numbers[1]:
        raise OddProgramError(f"states no shape or type of '{name}'")
    outline = Outline(Storage(name, dtype, 0), dtype, offset, tuple(numbers[0]), tuple(numbers[1]))
    with messages(archive.path):
        outline.check_in(archive.size(name))
    if archive.size(name) == 0 and prod(numbers[0]):
        raise damaged(archive.path, f"'{name}' is empty")
