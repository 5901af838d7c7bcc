"""What differs between runs of the same images: their maps, scores and metric values, image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from .completing import array_of
from .reading import Item, RunFiles

GRID = 56
"""Maps are compared as means over so many cells a side: single pixels are noise, and maps of two sizes have one grid."""
MEASURE = f"1 − Spearman's ρ of the two maps, as means over {GRID} × {GRID} cells"


def cells_of(values: np.ndarray) -> np.ndarray:
    """A map (H, W) as means over `GRID` × `GRID` cells; a smaller side stays as it is."""
    height, width = (min(side, GRID) for side in values.shape)
    scale = float(np.abs(values).max()) or 1.0  # maps of 1e-60 have no float32
    image = Image.fromarray((values / scale).astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def difference(one: np.ndarray, other: np.ndarray) -> float | None:
    """1 − Spearman's ρ of two maps (H, W), 0 (same order of the cells) to 2 (reversed); None where one is constant.

    >>> difference(np.arange(9.0).reshape(3, 3), np.arange(9.0).reshape(3, 3) ** 3)
    0.0
    """
    one, other = cells_of(one), cells_of(other)
    if one.shape != other.shape:
        shape = max(one.shape[1], other.shape[1]), max(one.shape[0], other.shape[0])
        one, other = (
            np.asarray(Image.fromarray(each).resize(shape, Image.Resampling.BILINEAR)) for each in (one, other)
        )
    ranks = [_ranks(each.ravel()) for each in (one, other)]
    spread = float(ranks[0].std() * ranks[1].std())
    if spread == 0:
        return None
    shared = float(np.mean((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())) / spread)
    return max(0.0, 1 - shared)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks, of equal values their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + last - 1) / 2)[place.ravel()]


def add_differences(data: Mapping[str, Any], runs: Sequence[RunFiles]) -> None:
    """Add to each cell of a page how it differs from that of the first run with the same method, and to cards the mean.

    A cell gets `differs` (maps), `change` (score) and `changes` (metrics); a card `differs`.

    Args:
        data: see `sigcli.gallery.cards.page_data`; it is changed.
        runs: those of the page.
    """
    columns = [(one["run"], one["method"]) for one in data["columns"]]
    items = [_by_file(run) for run in runs]
    for card in data["cards"]:
        maps: dict[str, np.ndarray | None] = {}
        for place, (run, method) in enumerate(columns):
            first, cell = _first(card, columns, method), card["cells"][place]
            if run == columns[first][0] or not _both(card["cells"][first], cell):
                continue
            _compare(card["cells"][first], cell)
            if method not in maps:
                maps[method] = _map(card, card["cells"][first], items, columns[first][0])
            one, other = maps[method], _map(card, cell, items, run)
            found = None if one is None or other is None else difference(one, other)
            if found is not None:
                cell["differs"] = round(found, 5)
        known = [cell["differs"] for cell in card["cells"] if cell and "differs" in cell]
        if known:
            card["differs"] = round(float(np.mean(known)), 5)


def _by_file(run: RunFiles) -> dict[tuple[str, str], Item]:
    return {(item.folder, item.name): item for item in run.items}


def _first(card: Mapping[str, Any], columns: Sequence[tuple[int, str]], method: str) -> int:
    """The column of a method's first run that has the image."""
    having = [place for place, column in enumerate(columns) if column[1] == method]
    return next((place for place in having if card["cells"][place]), having[0])


def _both(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    return bool(one and other and not one.get("failed") and not other.get("failed"))


def _compare(one: Mapping[str, Any], other: dict[str, Any]) -> None:
    """Changes of score, where both are of one unit, and of metrics."""
    if "score" in one and "score" in other and one.get("unit") == other.get("unit"):
        other["change"] = other["score"] - one["score"]
    before, now = one.get("metrics", {}), other.get("metrics", {})
    changes = {name: now[name] - before[name] for name in now if name in before}
    if changes:
        other["changes"] = changes


def _map(
    card: Mapping[str, Any], cell: Mapping[str, Any], items: Sequence[Mapping[tuple[str, str], Item]], run: int
) -> np.ndarray | None:
    item = items[run].get((card["runs"][run]["folder"], cell["file"]))
    return None if item is None else array_of(item)
