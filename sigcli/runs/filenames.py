"""What the files of a run are called: a folder for each image, and in it the files of each method."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..inputs.given import Source
from ..names import escaped, local
from ..places.urls import path_of_url, url_of

_RESERVED = frozenset((
    "manifest.json", "results.csv", "files.jsonl", "index.html", "metrics.csv", "metrics.jsonl", "summary.csv", "curves.csv",
    "curves.png", "agreement.csv", "agreement.png", "evaluation.json", "table.png", "model.csv", "reliability.png",
    "benchmark.csv", "time.png", "counts.png", "quality-cost.png", "network.safetensors", "undamaged.safetensors",
    "checkpoint.safetensors", "training.csv", "training.png", "sheet.png", "scores.csv", "shares.csv", "shares.png",
    "changes.csv", "change.png", "values.csv", "values.png", "error.png", "convergence.png", "landscape.png",
    "coalitions.csv", "shard.jsonl", "predictions.csv", "gallery",
))  # fmt: skip
"""What stands in the folder of a run itself, so no folder of an image may be called so."""
_FILES = (".npy", ".csv", ".html", ".png")
_LONGEST = 240
"""Bytes of a folder's name; file systems take 255, and leave room for an underscore or two."""
ENDINGS = (
    ".npy", ".csv", ".html", ".stderr.npy", ".deviations.npy", ".png", ".overlay.png", ".stderr.png", ".positive.png",
    ".negative.png",
)  # fmt: skip
"""What follows the name of a method, or of a sheet, in the names of their files."""


def run_names(paths: Sequence[Source], earlier: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """For each path its name (relative to the common folder) and its result folder (without the suffix).

    Both are escaped, so they stand in terminals, tables, titles and JSON as they are. Files that differ only in their
    suffix, and names the run folder itself uses, keep the suffix. A folder does not depend on the order of the paths.

    Args:
        paths: of the images, each once.
        earlier: absolute paths or names of images → the folders that they have in the run folder already, and keep.

    >>> run_names([Path("in/a.jpg"), Path("in/b.png"), Path("in/b.jpg")])
    [('a.jpg', 'a'), ('b.png', 'b.png'), ('b.jpg', 'b.jpg')]
    """
    absolute = [os.path.abspath(path) for path in paths]
    names = _names_of(absolute)
    return list(zip(names, _folders(absolute, names, earlier or {}), strict=True))


def _names_of(absolute: Sequence[str]) -> list[str]:
    """The name of each absolute path: what follows the folder that all share."""
    root = os.path.commonpath({os.path.dirname(path) for path in absolute}) if absolute else "."
    below = len(root) if root.endswith(os.sep) else len(root) + 1
    return [escaped(path[below:].replace(os.sep, "/")) for path in absolute]


def _folders(paths: Sequence[str], names: Sequence[str], earlier: Mapping[str, str]) -> list[str]:
    """The folder of each image: its own from an earlier run, else a free one."""
    found: dict[str, str] = {}
    used: set[str] = set()
    for path, name in sorted(zip(paths, names, strict=True), key=lambda one: one[1]):
        folder = earlier.get(path, earlier.get(name))
        if folder is not None and _same(folder) not in used:
            found[name] = folder
            used.add(_same(folder))
    stems = {name: _stem(name) for name in names}
    counts = Counter(map(_same, stems.values()))
    above = {_same(text) for text in (*stems.values(), *names)} | used
    for name in sorted(name for name in names if name not in found):
        stem = stems[name]
        alike = counts[_same(stem)] > 1 or _same(stem) in used or _same(stem) in _RESERVED
        folder = _free(name if alike else stem, above)
        while _same(folder) in used:
            folder += "_"
        used.add(_same(folder))
        found[name] = folder
    return [found[name] for name in names]


def _same(folder: str) -> str:
    """What two folders share that some file systems take for one: they ignore case, or how accents are composed."""
    return folder.lower() if folder.isascii() else unicodedata.normalize("NFC", folder.casefold())


def _stem(name: str) -> str:
    """A name without its suffix, as `pathlib` of Python 3.10 to 3.13 tells it."""
    folder, slash, last = name.rpartition("/")
    dot = last.rfind(".")
    return f"{folder}{slash}{last[:dot] if 0 < dot < len(last) - 1 else last}"


def _free(folder: str, above: set[str]) -> str:
    """A folder that leads nowhere else, is no longer than names may be, and is not called as a file of the run.

    Args:
        folder: the image's name, with or without its suffix.
        above: folders of images, in which files of maps will be.
    """
    parts: list[str] = []
    for part in map(_fitting, folder.split("/")):
        below = any(_same("/".join(parts[:i])) in above for i in range(1, len(parts) + 1))
        taken = below and part.casefold().endswith(_FILES) if parts else part.casefold() in _RESERVED
        parts.append(f"{part}_" if taken else part)
    return "/".join(parts)


def _fitting(part: str) -> str:
    """One part of a path that every file system takes: not `.` or `..`, and not too long once it is escaped."""
    if part in (".", ".."):
        return part[:-1] + r"\x2e"
    if len(part.encode()) <= _LONGEST:
        return part
    digest = hashlib.blake2b(part.encode(), digest_size=8).hexdigest()
    return f"{part.encode()[: _LONGEST - 17].decode(errors='ignore')}~{digest}"


def earlier_folders(manifest: Mapping[str, Any], by_name: Mapping[str, str]) -> dict[str, str]:
    """The folders of images in a run, by the absolute path and by the name of each, see `run_names`.

    Args:
        manifest: manifest of the run.
        by_name: folder of each image that has files.
    """
    images = [name for name in manifest.get("images", []) if isinstance(name, str)]
    paths = [path_of_url(name) if url_of(local(name)) else os.path.abspath(local(name)) for name in images]
    named = zip(paths, _names_of(paths), strict=True)
    return {**by_name, **{path: by_name[name] for path, name in named if name in by_name}}


def item_file(methods: Iterable[str], endings: Iterable[str] = ENDINGS) -> re.Pattern[str]:
    """Matches the name of every file that a run of these methods may write into the folder of an image.

    Args:
        methods: as the user named them.
        endings: what follows their names.

    >>> bool(item_file(["ig"]).fullmatch("ig.class3.overlay.png")), bool(item_file(["ig"]).fullmatch("sig.npy"))
    (True, False)
    """
    names = "|".join(map(re.escape, methods)) or "(?!)"
    number, ends = r"(\.class[0-9]+)?", "|".join(map(re.escape, endings))
    return re.compile(rf"({names}){number}({ends})|compare{number}\.png")


def folders_of(manifest: Mapping[str, Any]) -> list[str]:
    """The folders of the images of a manifest."""
    images = manifest.get("images", [])
    return [folder for _, folder in run_names([Path(local(name)) for name in images if isinstance(name, str)])]


def methods_of(manifest: Mapping[str, Any]) -> list[str]:
    """The methods of a manifest, in their order."""
    methods = manifest.get("spec", {}).get("methods", [])
    if isinstance(methods, Mapping):
        return list(methods)
    listed = methods if isinstance(methods, list) else []
    return [str(one[0]) for one in listed if isinstance(one, list) and one]


def item_files(
    path: Path, folders: Iterable[str], methods: Iterable[str], endings: Iterable[str] = ENDINGS
) -> Iterator[str]:
    """Names, relative to the run folder, of files in the folders of images that are called as those of such a run."""
    fits = item_file(methods, endings)
    for folder in folders:
        yield from (f"{folder}/{name}" for name in _listed(f"{path}/{folder}") if fits.fullmatch(name))


def files_in(folder: Path | str) -> list[str]:
    """Names of the files in a folder, links to files among them; none where it is not there."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_file()]
    except OSError:
        return []


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
