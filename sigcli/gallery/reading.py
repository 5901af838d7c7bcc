"""What a page shows: cards, one for each image and target, with a cell for each run and method. From files alone.

    card: image, target's place, photo, truth, predictions of each run, folder in each run, cells
    cell: label, score, gap, standard error, seconds, status, reason, pictures, metrics

Cells and cards hold only what is known: a value that is absent is not in the mapping. Cells of a single run are kept as the
JSON that is written, which takes a fifth of the memory; of several runs they are compared first, and stay mappings.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import OutputError, UsageError
from ..files import cell_text, safe_cell
from ..names import escaped, local
from ..runs.earlier import folders_there
from ..runs.filenames import methods_of, run_names
from ..runs.ledger import Entry, Key, Ledger
from ..runs.manifest import read_manifest
from ..runs.table import COLUMNS, RESULTS
from ..version import __version__
from . import tables
from .data import json_of
from .sources import pictured
from .tables import number
from .thumbnails import Names, there

FIGURES = (
    "table.png", "curves.png", "agreement.png", "reliability.png", "time.png", "counts.png", "quality-cost.png",
)  # fmt: skip
"""Pictures of a whole run."""
TABLES = (
    RESULTS, "metrics.csv", "summary.csv", "curves.csv", "agreement.csv", "model.csv", "predictions.csv",
    "benchmark.csv", "manifest.json", "evaluation.json",
)  # fmt: skip
Cell = dict[str, Any]
_NUMBERS = {
    "score": "score", "seconds": "seconds", "gap": "relative_gap", "error": "relative_standard_error",
    "shown": "shown_standard_error",
}  # fmt: skip
"""What the page calls a number of a row, and its column."""


@dataclass(eq=False)
class RunFiles:
    """What a run folder holds.

    Args:
        path: the folder.
        manifest: its manifest.
        rows: rows of its table, which can be gone through again and again.
        entries: what files each item has.
        thumbnails: names of the pictures that are there.
        named: what the page calls it.
    """

    path: Path
    manifest: Mapping[str, Any]
    rows: Iterable[Mapping[str, str]]
    entries: Mapping[Key, Entry]
    thumbnails: set[str] = field(default_factory=set)
    named: str = ""

    @classmethod
    def read(cls, path: Path) -> RunFiles:
        """A run folder.

        Raises:
            UsageError: it is no folder, or holds no run that explained images.
            OutputError: its manifest is damaged.
        """
        if not path.is_dir():
            raise UsageError("no such run folder", given=path, hint="Name the folder that --out named.")
        try:
            manifest = read_manifest(path)
        except OutputError as error:
            hint = "The page is made from it: repeat the run into another folder, or bring back the file."
            raise OutputError(error.what, given=error.given, hint=hint) from error
        hint = "A run of sig explain, evaluate or benchmark images holds manifest.json and results.csv."
        if manifest is None:
            raise UsageError("the folder holds no run of sig", given=path, hint=hint)
        rows = tables.Table(path / RESULTS, COLUMNS)
        if not (path / RESULTS).is_file():
            raise UsageError("the run explained no images, so there is nothing to show", given=path, hint=hint)
        ledger = Ledger.read(path)
        name = escaped(path.resolve().name)
        return cls(path, manifest, rows, {} if ledger is None else ledger.entries, there(path), name)

    @cached_property
    def _folders(self) -> dict[str, str]:
        """Image → folder of its files, as the names of the images tell."""
        paths = [Path(local(one)) for one in self.manifest.get("images", []) if isinstance(one, str)]
        return dict(run_names(paths, folders_there(self.path, self.manifest)))

    def told(self) -> list[str]:
        """What a user should know of its table: explanations that it has lost."""
        rows = {(row.get("image"), row.get("method"), row.get("target")) for row in self.rows}
        lost = sum((safe_cell(image), method, target) not in rows for image, method, target in self.entries)
        if not lost:
            return []
        return [f"{self.path / RESULTS} has no row of {lost:,} explanations whose files stand: it is damaged, or the run "
                "goes on. The command of the run with --resume makes it whole."]  # fmt: skip

    @property
    def methods(self) -> list[str]:
        """In the order of the run; those of its table where the manifest tells none."""
        return list(
            dict.fromkeys([*methods_of(self.manifest), *(row["method"] for row in self.rows if row.get("method"))])
        )

    @property
    def items(self) -> Iterator[Item]:
        """Its explanations, in the order of its table; each is read when it is its turn, for a run may have very many."""
        targets = {(row["image"], row["target"]) for row in self.rows if row.get("target")}
        several = len(targets) > len({image for image, _ in targets})
        yield from (self._item(row, several=several) for row in self.rows if row.get("image") and row.get("method"))

    def _item(self, row: Mapping[str, str], *, several: bool) -> Item:
        image, method, target = cell_text(row["image"]), row["method"], row.get("target", "")
        entry = self.entries.get((image, method, target))
        numbered = f"{method}.class{target}"
        if entry is not None:
            name = method if f"{method}.npy" in entry.files else numbered
            return Item(self, row, image, entry.folder, name, frozenset(entry.files))
        folder, name = self._folders.get(image, ""), numbered if several else method
        files = [one for one in (f"{name}.npy", *_drawn(name)) if folder and (self.path / folder / one).is_file()]
        return Item(self, row, image, folder, name, frozenset(files))


@dataclass(frozen=True, eq=False)
class Item:
    """One explanation of a run.

    Args:
        run: the run.
        row: its row.
        image: name of its image.
        folder: of its image, relative to the run's.
        name: of its files, without what follows the name of the method.
        files: names of its files.
    """

    run: RunFiles
    row: Mapping[str, str]
    image: str
    folder: str
    name: str
    files: frozenset[str]

    @property
    def names(self) -> Names:
        """Of its small pictures."""
        return Names.of(self.folder, self.name, self.row.get("content", ""))

    @property
    def array(self) -> Path | None:
        """Its raw values, or None where there are none."""
        return self.run.path / self.folder / f"{self.name}.npy" if f"{self.name}.npy" in self.files else None

    def cell(self, metrics: Mapping[str, float]) -> Cell:
        """What the page shows of it."""
        row, names, there = self.row, self.names, self.run.thumbnails
        values = {key: number(row.get(column)) for key, column in _NUMBERS.items()}
        evaluations = [number(row.get(f"{kind}_evaluations")) for kind in ("gradient", "forward")]
        found = {
            "label": cell_text(row.get("label", "")), "target": row.get("target", ""), **values,
            "region": cell_text(row.get("region", "")), "unit": row.get("output", ""),
            "evaluations": sum(filter(None, evaluations)) or None,
            "failed": row.get("status") != "ok", "note": cell_text(row.get("error", "")), "stopped": row.get("stopped"),
            "map": names.map if names.map in there else "", "over": names.overlay if names.overlay in there else "",
            "file": self.name, "png": f"{self.name}.png" in self.files,
            "opng": f"{self.name}.overlay.png" in self.files, "npy": f"{self.name}.npy" in self.files,
            "metrics": metrics,
        }  # fmt: skip
        return {key: value for key, value in found.items() if value or isinstance(value, float)}  # 0 is a value


def _drawn(name: str) -> tuple[str, ...]:
    return f"{name}.png", f"{name}.overlay.png"


@dataclass(frozen=True)
class Place:
    """Where the files of a run are, as the page reaches them.

    Args:
        files: URL of the run folder relative to the page, ending in a slash or empty.
        thumbnails: URL of the folder of its small pictures.
    """

    files: str = ""
    thumbnails: str = "gallery/"


def page_data(
    runs: Sequence[RunFiles], places: Sequence[Place], *, going: tuple[int, int] | None = None, stage: str = ""
) -> dict[str, Any]:
    """All that the page shows.

    Args:
        runs: one, or several to compare.
        places: of each.
        going: where a run is not at its end, how many explanations are done and how many there will be.
        stage: what it is doing, in a word.
    """
    columns, metrics = _columns(runs), dict[str, None]()
    cards = _cards(runs, columns, metrics)
    known = [_run(run, place) for run, place in zip(runs, places, strict=True)]
    return {
        "version": __version__,
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "going": None if going is None else {"done": going[0], "planned": going[1], "stage": stage},
        "runs": known,
        "columns": [{"run": run, "method": method} for run, method in columns],
        "metrics": list(metrics),
        "cards": cards,
    }


def _columns(runs: Sequence[RunFiles]) -> list[tuple[int, str]]:
    """Method by method, of each the runs side by side."""
    methods = dict.fromkeys(method for run in runs for method in run.methods)
    having = [set(run.methods) for run in runs]
    return [(number, method) for method in methods for number in range(len(runs)) if method in having[number]]


def _cards(
    runs: Sequence[RunFiles], columns: Sequence[tuple[int, str]], metrics: dict[str, None]
) -> list[dict[str, Any]]:
    """A card for each image, and where several targets are explained for each target of it, in order.

    Args:
        runs: whose they are.
        columns: run and method of each cell.
        metrics: learns the names of the metrics.
    """
    place = {column: number for number, column in enumerate(columns)}
    cards: dict[tuple[str, int], dict[str, Any]] = {}
    for at, run in enumerate(runs):
        values = tables.metric_values(tables.Table(run.path / "metrics.csv"))
        told = tables.predictions(tables.Table(run.path / "predictions.csv"))
        truths = tables.truths(tables.Table(run.path / "model.csv"))
        targets: dict[str, dict[str, int]] = {}
        for item in run.items:
            ranks = targets.setdefault(item.image, {})
            target = item.row.get("target", "")
            rank = ranks.setdefault(target, len(ranks)) if target else 0
            blank = {"image": item.image, "rank": rank, "runs": [None] * len(runs), "cells": [None] * len(columns)}
            card = cards.setdefault((item.image, rank), blank)
            key = item.image, item.row["method"], target
            measured = values.get(key, {})
            metrics.update(dict.fromkeys(measured))
            cell = item.cell(measured)
            card["cells"][place[at, item.row["method"]]] = cell if len(runs) > 1 else json_of(cell)
            if card["runs"][at] is None or "photo" not in card["runs"][at]:
                card["runs"][at] = _of_image(item, told.get(item.image, []), truths.get(item.image))
    return list(cards.values())


def _of_image(item: Item, told: Sequence[tuple[str, float]], truth: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a run knows of an image: its folder, photograph, true class and predictions."""
    row, names = item.row, item.names
    first = cell_text(row.get("predicted", "")), number(row.get("probability"))
    found: dict[str, Any] = {"folder": item.folder}
    if names.photo in item.run.thumbnails:
        found["photo"] = names.photo
    if truth is not None:
        first = str(truth["predicted"]), truth["probability"]
        found |= {"true": truth["true"], "wrong": truth["wrong"]}
    if not told and first[0] and first[1] is not None:
        told = [(first[0], first[1])]
    if told:
        found["told"] = [[name, share] for name, share in told[:5]]
    if first[0] or told:
        found["predicted"] = first[0] or told[0][0]
    return found


def _run(run: RunFiles, place: Place) -> dict[str, Any]:
    """Facts of a run, its tables and figures."""
    manifest, spec = run.manifest, run.manifest.get("spec", {})
    try:
        names = {one.name for one in os.scandir(run.path) if one.is_file()}
    except OSError:
        names = set()
    methods = spec.get("methods", {})
    return {
        "name": run.named, "files": place.files, "thumbnails": place.thumbnails,
        "pictured": pictured(manifest), "images": len(manifest.get("images", [])),
        **{name: _text(spec.get(name)) for name in ("model", "weights", "weights_hash", "output", "precision", "seed")},
        "target": _text(spec.get("target")), "device": _text(manifest.get("device")), "view": _text(manifest.get("view")),
        "cmap": _text(manifest.get("cmap", "red-blue")),
        "versions": {str(name): str(value) for name, value in dict(manifest.get("versions", {})).items()},
        "notes": [str(note) for note in manifest.get("notes", [])],
        "methods": {str(name): _options(facts) for name, facts in methods.items()} if isinstance(methods, Mapping) else {},
        "means": tables.means(tables.Table(run.path / "summary.csv")),
        "curves": tables.curves(tables.Table(run.path / "curves.csv")),
        "figures": [name for name in FIGURES if name in names], "tables": [name for name in TABLES if name in names],
    }  # fmt: skip


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _options(facts: Any) -> dict[str, str]:
    if not isinstance(facts, Mapping):
        return {}
    return {str(name): "none" if value is None else str(value) for name, value in facts.items()}
