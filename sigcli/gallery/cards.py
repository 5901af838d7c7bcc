"""What a page shows: cards, one for each image and target, with a cell for each run and method. From files alone.

    card: image, target's place, photo, truth, predictions of each run, folder in each run, cells
    cell: label, score, gap, standard error, seconds, status, reason, pictures, metrics

Cells and cards hold only what is known: a value that is absent is not in the mapping. Cards of a single run are made as they
are written, for it may have a million; those of several runs are compared first, so they are all held.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

from ..files import cell_text, figure, safe_cell
from ..runs.table import RESULTS
from ..version import __version__
from . import tables
from .colours import colours_of, ends_of, positive_of
from .data import Card, Data
from .reading import Item, RunFiles
from .sources import pictured
from .tables import number

FIGURES = (
    "table.png", "curves.png", "agreement.png", "reliability.png", "time.png", "counts.png", "quality-cost.png",
)  # fmt: skip
"""Pictures of a whole run."""
TABLES = (
    RESULTS, "metrics.csv", "summary.csv", "curves.csv", "agreement.csv", "model.csv", "predictions.csv",
    "benchmark.csv", "manifest.json", "evaluation.json",
)  # fmt: skip
_MOST = 5
"""Answers of the model that a card shows."""


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
    runs: Sequence[RunFiles],
    places: Sequence[Place],
    *,
    going: tuple[int, int] | None = None,
    stage: str = "",
    ended: bool = False,
) -> Data:
    """All that the page shows.

    Args:
        runs: one, or several to compare.
        places: of each.
        going: where a run is not at its end, how many explanations are done and how many there will be.
        stage: what it is doing, in a word.
        ended: it has stopped before its end.

    Returns:
        Its "cards" are made anew each time they are gone through where there is one run; of several they are a list. The
        names of the "metrics" are complete once they were gone through.
    """
    columns = _columns(runs)
    cards = _Cards(runs, columns)
    known = [_run(run, place) for run, place in zip(runs, places, strict=True)]
    return {
        "version": __version__,
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "going": None if going is None else {"done": going[0], "planned": going[1], "stage": stage, "ended": ended},
        "runs": known,
        "columns": [_column(runs[run], run, method) for run, method in columns],
        "metrics": cards.metrics,
        "cards": cards if len(runs) == 1 else list(cards),
    }


def _columns(runs: Sequence[RunFiles]) -> list[tuple[int, str]]:
    """Method by method, of each the runs side by side."""
    methods = dict.fromkeys(method for run in runs for method in run.methods)
    having = [set(run.methods) for run in runs]
    return [(number, method) for method in methods for number in range(len(runs)) if method in having[number]]


def _column(run: RunFiles, number: int, method: str) -> dict[str, Any]:
    """A column of cells: its run and method, and what the colours of its maps say."""
    ends, positive = ends_of(run.manifest, method), positive_of(run.manifest, method)
    return {"run": number, "method": method, "ends": ends, "positive": positive}


class _Cards(Iterable[Card]):
    """A card for each image, and where several targets are explained for each target of it, in order.

    Args:
        runs: whose they are.
        columns: run and method of each cell.
    """

    def __init__(self, runs: Sequence[RunFiles], columns: Sequence[tuple[int, str]]):
        self._runs, self._size = [_Told(run) for run in runs], len(columns)
        self._place = {column: number for number, column in enumerate(columns)}
        self.metrics: list[str] = []

    def __iter__(self) -> Iterator[Card]:
        if len(self._runs) == 1:
            for items in self._runs[0].run.images:
                cards: dict[tuple[str, int], Card] = {}
                self._take(cards, 0, items)
                yield from cards.values()
            return
        every: dict[tuple[str, int], Card] = {}
        for at, one in enumerate(self._runs):
            for items in one.run.images:
                self._take(every, at, items)
        yield from every.values()

    def _take(self, cards: dict[tuple[str, int], Card], at: int, items: Sequence[Item]) -> None:
        """Put what a run has of an image onto its cards."""
        run, ranks = self._runs[at], dict[str, int]()
        answers = run.answers(items)
        for item in items:
            target = item.row.get("target", "")
            rank = ranks.setdefault(target, len(ranks)) if target else 0
            blank = {"image": item.image, "rank": rank, "runs": [None] * len(self._runs), "cells": [None] * self._size}
            card = cards.setdefault((item.image, rank), blank)
            measured = run.values.get((item.image, item.row["method"], target), {})
            self.metrics.extend(name for name in measured if name not in self.metrics)
            card["cells"][self._place[at, item.row["method"]]] = item.cell(measured)
            if card["runs"][at] is None or "photo" not in card["runs"][at]:
                card["runs"][at] = _of_image(item, answers, run.truths.get(item.image))


class _Told:
    """A run, and what its tables tell of its images; each table is read when it is needed.

    Args:
        run: the run.
    """

    def __init__(self, run: RunFiles):
        self.run = run

    @cached_property
    def values(self) -> dict[tuple[str, str, str], dict[str, float]]:
        """See `sigcli.gallery.tables.metric_values`."""
        return tables.metric_values(tables.Table(self.run.path / "metrics.csv"))

    @cached_property
    def truths(self) -> dict[str, dict[str, Any]]:
        """See `sigcli.gallery.tables.truths`."""
        return tables.truths(tables.Table(self.run.path / "model.csv"))

    @cached_property
    def _told(self) -> dict[str, list[tuple[str, float]]]:
        return tables.predictions(tables.Table(self.run.path / "predictions.csv"))

    def answers(self, items: Sequence[Item]) -> Sequence[tuple[str, float]]:
        """The model's likeliest answers to an image: by the record of its files, or else by the table of the run."""
        for item in items:
            if item.answers:
                return [(cell_text(safe_cell(name)), float(figure(share))) for _, name, share in item.answers]
        lacking = any(item.row.get("status") == "ok" for item in items)  # else there were none to record
        return self._told.get(items[0].image, ()) if lacking else ()


def _of_image(item: Item, told: Sequence[tuple[str, float]], truth: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a run knows of an image: its folder, photograph, true class and predictions."""
    row = item.row
    first = cell_text(row.get("predicted", "")), number(row.get("probability"))
    found: dict[str, Any] = {"folder": item.folder}
    if item.run.thumbnails and item.names.photo in item.run.thumbnails:
        found["photo"] = item.names.photo
        if (large := item.names.large.photo) in item.run.thumbnails:
            found["lphoto"] = large
    if truth is not None:
        first = str(truth["predicted"]), truth["probability"]
        found |= {"true": truth["true"], "wrong": truth["wrong"]}
    if not told and first[0] and first[1] is not None:
        told = [(first[0], first[1])]
    if told:
        found["told"] = [[name, share] for name, share in told[:_MOST]]
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
        "colours": _colours(run),
        "versions": {str(name): str(value) for name, value in dict(manifest.get("versions", {})).items()},
        "notes": [str(note) for note in manifest.get("notes", [])],
        "methods": {str(name): _options(facts) for name, facts in methods.items()} if isinstance(methods, Mapping) else {},
        "means": tables.means(tables.Table(run.path / "summary.csv")),
        "curves": tables.curves(tables.Table(run.path / "curves.csv")),
        "figures": [name for name in FIGURES if name in names], "tables": [name for name in TABLES if name in names],
    }  # fmt: skip


def _colours(run: RunFiles) -> dict[str, Any]:
    """The colours of its maps; of arrays those of their bars, which are red and blue."""
    if pictured(run.manifest):
        return colours_of(run.manifest, shown=bool(run.thumbnails))
    first = next(iter(run.entries.values()), None)
    return colours_of({}, shown=first is not None and any(name.endswith(".png") for name in first.files))


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _options(facts: Any) -> dict[str, str]:
    if not isinstance(facts, Mapping):
        return {}
    return {str(name): "none" if value is None else str(value) for name, value in facts.items()}
