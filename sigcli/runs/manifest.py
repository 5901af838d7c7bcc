"""The manifest of a run folder: which run it is, and the names of the files that the run owns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..files import read_bytes, write_aside, write_text
from .ledger import Ledger

MANIFEST = "manifest.json"


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of a run folder, or None where there is none or the file of that name is not of `sig`.

    Raises:
        OutputError: it is damaged.
    """
    file = path / MANIFEST
    if not file.exists():
        return None
    try:
        found = json.loads(read_bytes(file).decode("utf-8-sig"))
        ours = (
            isinstance(found, dict)
            and isinstance(found.get("spec"), dict)
            and isinstance(found.get("images", []), list)
        )
        if not ours and Ledger.there(path):
            raise ValueError("sig did not write it in this form")
    except (OSError, ValueError, RecursionError) as error:
        way = "add --overwrite to replace the run" if Ledger.there(path) else "remove the file"
        raise OutputError(
            "the manifest of the run folder cannot be read", given=file,
            hint=f"{' '.join(str(error).split())}. Name another --out, or {way}.",
        ) from error  # fmt: skip
    return found if ours else None


def manifest_or_none(path: Path) -> dict[str, Any] | None:
    """Like `read_manifest`, and None for one that is damaged."""
    try:
        return read_manifest(path)
    except OutputError:
        return None


def owned(manifest: Mapping[str, Any] | None) -> set[str] | None:
    """Names beside the manifest that its run owns; None where it was written before manifests told."""
    if manifest is None:
        return set()
    names = manifest.get("owns")
    if not isinstance(names, list):
        return None
    return {name for name in names if isinstance(name, str) and Path(name).name == name}


def write_manifest(path: Path, manifest: Mapping[str, Any], owns: Iterable[str]) -> None:
    """Write a manifest with the names that its run owns."""
    text = json.dumps({**manifest, "owns": sorted({MANIFEST, *owns})}, indent=2) + "\n"
    write_aside(path / MANIFEST, lambda aside: write_text(aside, text))
