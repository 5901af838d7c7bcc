"""What the files of a run are called: a folder for each image, and in it the files of each method."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..inputs.given import Source
from ..names import escaped, local

_RESERVED = frozenset((
    "manifest.json", "results.csv", "files.jsonl", "index.html", "metrics.csv", "metrics.jsonl", "summary.csv", "curves.csv",
    "curves.png", "agreement.csv", "agreement.png", "evaluation.json", "table.png", "model.csv", "reliability.png",
    "benchmark.csv", "time.png", "counts.png", "quality-cost.png", "network.safetensors", "undamaged.safetensors",
    "checkpoint.safetensors", "training.csv", "training.png", "sheet.png", "scores.csv", "shares.csv", "shares.png",
    "changes.csv", "change.png", "values.csv", "values.png", "error.png", "convergence.png", "landscape.png",
    "coalitions.csv",
))  # fmt: skip
"""What stands in the folder of a run itself, so no folder of an image may be called so."""
ENDINGS = (
    ".npy", ".csv", ".html", ".stderr.npy", ".png", ".overlay.png", ".stderr.png", ".positive.png", ".negative.png",
)  # fmt: skip
"""What follows the name of a method, or of a sheet, in the names of their files."""


def run_names(paths: Sequence[Source]) -> list[tuple[str, str]]:
    """For each path its name (relative to the common folder) and its result folder (without the suffix).

    Both are escaped, so they stand in terminals, tables, titles and JSON as they are.
    Two files that differ only in their suffix, and names the run folder itself uses, keep the suffix.

    >>> run_names([Path("in/a.jpg"), Path("in/b.png"), Path("in/b.jpg")])
    [('a.jpg', 'a'), ('b.png', 'b.png'), ('b.jpg', 'b.jpg')]
    """
    absolute = [Path(os.path.abspath(path)) for path in paths]
    root = os.path.commonpath([path.parent for path in absolute]) if absolute else "."
    names = [Path(escaped(path.relative_to(root).as_posix())) for path in absolute]
    stems = [name.with_suffix("") for name in names]
    lowered = [str(stem).casefold() for stem in stems]  # some file systems ignore case
    counts = Counter(lowered)
    result, used = [], set[str]()
    for name, stem, low in zip(names, stems, lowered, strict=True):
        keep = counts[low] > 1 or (stem.parent == Path() and low in _RESERVED)
        folder = _free((name if keep else stem).as_posix())
        while folder.casefold() in used:
            folder += "_"
        used.add(folder.casefold())
        result.append((name.as_posix(), folder))
    return result


def _free(folder: str) -> str:
    """A folder whose uppermost part is not called as a file of the run."""
    top, slash, rest = folder.partition("/")
    while top.casefold() in _RESERVED:
        top += "_"
    return top + slash + rest


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
) -> Iterator[Path]:
    """The files in the folders of images that are called as those of a run of these methods."""
    fits = item_file(methods, endings)
    for folder in folders:
        try:
            names = [entry.name for entry in os.scandir(path / folder)]
        except OSError:
            continue
        yield from (path / folder / name for name in names if fits.fullmatch(name))
