"""The files of an explained array: beside its `.npy` a table with one row per player or feature, and bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...render.words import READING, coloured_words
from ...runs.folder import save_table, save_text

if TYPE_CHECKING:
    from ...render.plots.bars import Bars
    from ..explanation import Explanation


def feature_rows(item: Explanation) -> list[dict[str, Any]]:
    """One row per feature (its index along each axis, its input, value and standard error), or per player of several.

    A name follows the index where the sample has a file of names.

    A player's standard error is left out: the errors of its features are not independent.
    """
    values, sample, players = item.values, item.sample, item.seen.players
    if values is None or sample is None or players is None:
        return []
    if int(players.max()) + 1 == players.size:
        spread = None if item.stderr is None else item.stderr.ravel()
        return [
            {
                "index": ",".join(map(str, np.unravel_index(place, values.shape))),
                **_name(item, place),
                "input": float(sample.flat[place]),
                "value": float(values.flat[place]),
                "stderr": None if spread is None else float(spread[place]),
            }
            for place in range(values.size)
        ]
    sums = np.bincount(players.ravel(), values.astype(np.float64).ravel())
    counts = np.bincount(players.ravel())
    return [
        {"index": str(player), **_name(item, player), "features": int(count), "value": float(value), "stderr": None}
        for player, (value, count) in enumerate(zip(sums, counts, strict=True))
    ]


def _name(item: Explanation, player: int) -> dict[str, str]:
    return {} if item.names is None else {"name": item.names[player]}


def write_table(base: Path, item: Explanation) -> list[str]:
    """Write `<method>.csv`, and where the players have names also `<method>.html`; returns what was written."""
    rows, names = feature_rows(item), [f"{item.name}.csv"]
    save_table(base / names[0], rows)
    if item.names is not None and rows:
        bars = _bars(item, rows)
        title = f"{item.image}, {item.method}: {' · '.join(item.facts()[:2])}"
        names.append(f"{item.name}.html")
        raises = "Red raises the score where its value grows, blue lowers it"
        reading = raises if item.positive == "raises" else READING
        save_text(
            base / names[1], coloured_words(bars.names, bars.values, title=title, unit=bars.unit, reading=reading)
        )
    return names


def draw_features(path: Path, item: Explanation) -> None:
    """Draw the bars of one explanation."""
    from ...render.plots.bars import draw_bars

    title = f"{item.image}: {' · '.join(item.facts()[:2])}"
    draw_bars([_bars(item, feature_rows(item))], path, title=title)


def write_feature_sheet(path: Path, ready: Sequence[Explanation], heading: str) -> None:
    """Draw `compare.png`: the bars of all methods side by side."""
    from ...render.plots.bars import draw_bars

    panels = [_bars(item, feature_rows(item)) for item in ready]
    title = f"{heading}: {ready[0].what()} · {ready[0].output} {ready[0].score:.3g}"
    draw_bars(panels, path, title=title)


def _bars(item: Explanation, rows: Sequence[dict[str, Any]]) -> Bars:
    from ...render.plots.bars import Bars  # which imports matplotlib: pictures need none

    grouped = bool(rows) and "features" in rows[0]
    errors = [row["stderr"] for row in rows]
    return Bars(
        item.method,
        [str(row.get("name", row["index"])) for row in rows],
        np.array([row["value"] for row in rows]),
        None if any(error is None for error in errors) else np.array(errors, float),
        f"{item.output}, sum per player" if grouped else item.unit,
        item.sample.ravel() if item.sample is not None and item.sample.ndim == 1 and not grouped else None,
    )
