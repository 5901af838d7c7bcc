"""Attributions that were made before, by a run of ours or by anyone: arrays in a folder, one or several for each image."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import ImageError, UsageError, unknown
from ..images import read_image
from ..names import original
from ..runs import MANIFEST, RESULTS, read_manifest, safe_cell
from .inputs import run_names
from .results import Explanation
from .work import Session

ONE = "map"
"""What a method is called whose array stands beside the image's name without a name of its own."""


def check_arrays(session: Session, folder: Path, only: tuple[str, ...] | None = None) -> None:
    """Raise UsageError unless the folder is there and holds an array of some image, of every method that was named."""
    if not folder.is_dir():
        raise UsageError("the folder of attributions is not there", given=folder)
    here = {method for _, stem in run_names(session.paths) for method in _files(folder, stem)}
    for name in only or ():
        if name not in here:
            raise unknown("method of these arrays", name, sorted(here))
    if not here:
        raise UsageError("no array fits any image", given=folder, allowed="<image>/<method>.npy or <image>.npy")


def count(session: Session, folder: Path, only: tuple[str, ...] | None = None) -> int:
    """How many explanations `saved` yields: one for each image and method, whether there is an array or not."""
    return len(session.paths) * len(_methods(session, folder, only))


def _methods(session: Session, folder: Path, only: tuple[str, ...] | None) -> list[str]:
    """Every method that some image has an array of: as they were named, as the run has them, else by name."""
    here = {method for _, stem in run_names(session.paths) for method in _files(folder, stem, only)}
    spec = (read_manifest(folder) or {}).get("spec", {}) if (folder / MANIFEST).is_file() else {}
    ordered = [*(only or ()), *(str(one[0]) for one in spec.get("methods", []) if isinstance(one, list) and one)]
    return [*dict.fromkeys(name for name in ordered if name in here), *sorted(here.difference(ordered))]


def saved(session: Session, folder: Path, only: tuple[str, ...] | None = None) -> Iterator[Explanation]:
    """The arrays of a folder as explanations: `<image>/<method>.npy` as a run leaves them, or `<image>.npy`.

    A target that was named holds for all. Otherwise targets come from the folder's `results.csv` or a name like
    `sig.class5.npy`, else the predicted class is taken.

    Args:
        session: its images and model.
        folder: of the arrays.
        only: names of methods, or None for all.
    """
    named = session.target if isinstance(session.target, int) else None
    targets, methods = _targets(folder), _methods(session, folder, only)
    for (name, stem), path in zip(run_names(session.paths), session.paths, strict=True):
        files = _files(folder, stem, only)
        top = _Top(session, path)
        for method in methods:
            if method not in files:
                yield Explanation(name, method, folder=stem, status="failed", error="there is no array for this image")
                continue
            told, content = targets.get((safe_cell(name), method), (None, ""))
            yield replace(_read(name, method, files[method], told if named is None else named, top), content=content)


def _read(name: str, method: str, file: Path, target: int | None, top: _Top) -> Explanation:
    numbered = re.search(r"[.]class([0-9]+)$", method)
    try:
        values = np.load(file, allow_pickle=False)
        if values.dtype.kind not in "fiu":
            raise ValueError(f"its type is {values.dtype}, not numbers")
        if target is None:
            target = int(numbered[1]) if numbered else top()
    except (OSError, ValueError, ImageError) as error:
        text = " ".join(str(error).split())
        if "pickle" in text:
            text = "it is damaged, or holds Python objects and no numbers"
        return Explanation(name, method, status="failed", error=f"the array {file.name} cannot be used: {text}")
    return Explanation(
        name, method, target, values=values.astype(np.float32 if values.dtype.itemsize < 8 else np.float64)
    )


class _Top:
    """The predicted class of an image, found when it is asked for."""

    def __init__(self, session: Session, path: Path):
        self.session, self.path = session, path

    def __call__(self) -> int:
        model = self.session.model
        x = model.preprocess(read_image(self.path).pixels).to(model.device)
        return int(self.session.classifier.outputs(x[None])[0].argmax())


def _files(folder: Path, stem: str, only: tuple[str, ...] | None = None) -> dict[str, Path]:
    """Method → array of one image."""
    every: dict[str, Path] = {}
    for name in dict.fromkeys((original(stem), stem)):  # as anyone names it, and as a run does
        found = {path.stem: path for path in sorted((folder / name).glob("*.npy")) if not path.stem.endswith(".stderr")}
        single = folder / f"{name}.npy"
        every |= {**({ONE: single} if single.exists() else {}), **found}
    return {name: file for name, file in every.items() if only is None or name in only}


def _targets(folder: Path) -> dict[tuple[str, str], tuple[int, str]]:
    """(image, method) → target and the image's hash, as far as the folder's table says."""
    if not (folder / RESULTS).exists():
        return {}
    with (folder / RESULTS).open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row.get("status") == "ok" and row.get("target")]
    several: dict[tuple[str, str], set[tuple[int, str]]] = {}
    for row in rows:
        told = int(row["target"]), row.get("content") or ""
        several.setdefault((row["image"], row["method"]), set()).add(told)
    return {key: next(iter(values)) for key, values in several.items() if len(values) == 1}
