"""The manifest of a run folder: which run it is, and the names of the files that the run owns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
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
        wrong = wrong_form(found)
        if wrong and Ledger.there(path):
            raise ValueError(f"{wrong}: sig did not write it in this form")
    except (OSError, ValueError, RecursionError) as error:
        way = "add --overwrite to replace the run" if Ledger.there(path) else "remove the file"
        raise OutputError(
            "the manifest of the run folder cannot be read", given=file,
            hint=f"{' '.join(str(error).split())}. Name another --out, or {way}.",
        ) from error  # fmt: skip
    return None if wrong else found


def wrong_form(found: Any) -> str:
    """What of a manifest is not as sig writes it, in a few words; empty where all is.

    Every reader of manifests relies on it: a part that is there has its form.
    """
    if not isinstance(found, dict) or not isinstance(found.get("spec"), dict):
        return "it has no spec"
    for place, forms in (("", _FORMS), ("spec.", _SPEC_FORMS)):
        part = found["spec"] if place else found
        for name, fits in forms.items():
            if name in part and not fits(part[name]):
                return f"{place}{name} cannot be {json.dumps(part[name])[:40]}"
    return ""


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _methods(value: Any) -> bool:
    """Options of each by its name; a list where an early version or another command than explain wrote it."""
    if isinstance(value, dict):
        return all(_mapping(one) and _text(one.get("method", "")) for one in value.values())
    return isinstance(value, list)


def _or_none(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


_FORMS: dict[str, Callable[[Any], bool]] = {
    "images": _texts, "references": _or_none(_texts), "options": _or_none(_mapping), "versions": _mapping, "notes": _texts,
    "classes": _or_none(_count), "device": _text, "view": _text, "signs": _text, "scale": _text, "cmap": _text,
}  # fmt: skip
_SPEC_FORMS: dict[str, Callable[[Any], bool]] = {
    "methods": _methods, "files": _mapping, "preprocess": _or_none(_mapping), "seed": _or_none(_count), "shard": _text,
}  # fmt: skip


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
