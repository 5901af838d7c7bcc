"""The run that a folder holds already: what of it differs from the one to come, and what can be taken over."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..files import writing
from ..names import PAGE, printable
from .filenames import earlier_folders
from .ledger import LEDGER, Ledger
from .lines import Entry, Key
from .manifest import MANIFEST, manifest_or_none, owned

_NO_WORK = frozenset((MANIFEST, LEDGER, "results.csv", "predictions.csv", "evaluation.json", PAGE))
"""What a run writes before anything is done."""

_OPTIONS = {"check": "completeness-check", "max_evaluations": "max-evaluations"}
"""Entries of a spec that are options of another name."""


def differences(earlier: Mapping[str, Any], manifest: Mapping[str, Any], *, images: bool) -> list[str]:
    """Names of what differs between two runs: options or other entries of their specs, and where it matters their images."""
    new = json.loads(json.dumps(manifest))
    one, other = earlier.get("spec", {}), new["spec"]
    names = sorted(_OPTIONS.get(name, name) for name in map(str, {*one, *other}) if one.get(name) != other.get(name))
    return names + (["images"] if images and earlier.get("images") != new.get("images") else [])


def nothing_done(path: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether the run of a folder has finished nothing: a command that was rejected or stopped at once, or only failures."""
    ledger, mine = Ledger.peek(path), owned(manifest)
    if mine is None or (ledger is None and (path / "results.csv").exists()):
        return False
    if ledger is not None and (ledger.entries or ledger.sheets or ledger.unreadable or ledger.left()):
        return False
    return not any(os.path.lexists(path / name) for name in mine - _NO_WORK)


def extends(earlier: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Whether a run is an earlier one with more methods, so what was done is the same in both."""
    old, new = earlier.get("spec", {}), json.loads(json.dumps(manifest))["spec"]
    known, methods = old.get("methods"), new.get("methods")
    if not isinstance(known, dict) or not isinstance(methods, dict) or not known.items() <= methods.items():
        return False
    grown = {"methods", "files", *({"references"} - old.keys())}  # references are noted where a method uses them
    files, more = old.get("files", {}), new.get("files", {})
    same = all(old.get(name) == new.get(name) for name in {*old, *new} - grown)
    return same and all(more.get(name) == digest for name, digest in files.items())


def folders_there(path: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    """The folders of images that a run has already where it is made anew or gone on with, see `run_names`."""
    earlier = manifest_or_none(path) if path.is_dir() else None
    if earlier is None or not (extends(earlier, manifest) or not differences(earlier, manifest, images=False)):
        return {}
    ledger = Ledger.peek(path)
    return {} if ledger is None else earlier_folders(earlier, ledger.folders())


def began_elsewhere(earlier: Mapping[str, Any] | None, manifest: Mapping[str, Any]) -> list[str]:
    """What is told of a run that goes on with another version of this package than the one that began it, in a list."""
    before, now = ((one or {}).get("versions", {}).get("sigcli") for one in (earlier, manifest))
    if earlier is None or before == now:
        return []
    which = printable(str(before or "of an unknown version"))
    return [
        f"sig {which} began this run, and this is sig {now}: finished explanations stay as they are, and may differ from "
        "those to come; --overwrite in place of --resume makes all anew."
    ]


def rename(path: Path, earlier: str, name: str) -> None:
    """Let the ledger of a run be that of the run with more methods; a damaged one is not taken over."""
    ledger = Ledger.read(path) if earlier != name else None
    if ledger is not None and ledger.run == earlier and not ledger.unreadable:
        ledger.run = name
        with writing(path):
            ledger.settle()


def named_now(ledger: Ledger, names: Mapping[str, str]) -> Iterator[tuple[Entry, Entry]]:
    """The entries of a ledger by the names that their images have now, in place of those in it; each with what it was.

    Args:
        ledger: of an earlier run, in which other images may have been; then names begin at another folder.
        names: folder of an image → its name.
    """
    renamed: dict[Key, Entry] = {}
    strange: list[Key] = []
    for key, one in ledger.entries.items():
        name = names.get(one.folder)
        if name == one.image:
            yield one, one
        elif name is None:
            strange.append(key)
        else:
            renamed[key] = replace(one, image=name)
    taken = {now.key for now in renamed.values()}
    for key in strange:
        one = ledger.entries[key]
        if key in taken:  # what is no longer among the images gives way
            ledger.begun |= {f"{one.folder}/{name}" for name in one.files}
            del ledger.entries[key]
        else:
            yield one, one
    before = {key: ledger.entries.pop(key) for key in renamed}
    for key, now in renamed.items():
        ledger.entries[now.key] = now
        yield now, before[key]
