"""The figures of an evaluation: curves of the methods, and agreement between them; the table is in `table`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from ...metrics.statistics import FEWEST
from ..maps.layout import flow
from ..shown import through_file
from .looks import Look, legend_below, looks, text_inches
from .panels import canvas, even, panels, signed_colours
from .table import arrow, draw_table, intervals_of

Row = Mapping[str, Any]
Kind = tuple[str, str]
"""Metric and imputation."""
BANDS = 5
"""Up to this many methods have bands; more would cover each other."""
_FLIPPED = "share of the superpixels removed"
"""IROF is the area over its curve, so a good map has a high value and a low curve."""


def draw_evaluation(
    summary: Sequence[Row],
    pairs: Sequence[Row],
    curves: Sequence[Row],
    agreement: Sequence[Row],
    folder: Path,
) -> None:
    """Write curves.png, table.png and agreement.png, those for which there is something to draw."""
    if drawn_kinds(curves):
        draw_curves(curves, summary, folder / "curves.png")
    draw_table(summary, pairs, folder / "table.png")
    if agreement:
        draw_agreement(agreement, [row["method"] for row in summary], folder / "agreement.png")


def plot_means(summary: Sequence[Row], pairs: Sequence[Row], path: str | Path | None) -> Image.Image:
    """The table of means as a picture, also written to `path` where that is given."""
    return through_file(path, lambda file: draw_table(summary, pairs, file))


def drawn_kinds(rows: Sequence[Row]) -> dict[Kind, dict[str, list[Row]]]:
    """Rows of each curve by metric and imputation, then by method; without those of a single point, which is not a curve."""
    kinds: dict[Kind, dict[str, list[Row]]] = {}
    for row in rows:
        kinds.setdefault((row["metric"], row["imputation"]), {}).setdefault(row["method"], []).append(row)
    curves = {kind: {name: mine for name, mine in found.items() if len(mine) > 1} for kind, found in kinds.items()}
    return {kind: found for kind, found in curves.items() if found}


def draw_curves(rows: Sequence[Row], summary: Sequence[Row], path: Path) -> None:
    """One panel per metric and imputation: mean curve of each method, with its 95 % band where these are few.

    Args:
        rows: rows of `curves.csv`.
        summary: rows of `summary.csv`, for unit and direction of each metric.
        path: the PNG.
    """
    kinds = drawn_kinds(rows)
    styles = looks(row["method"] for row in rows)
    drawn = {name: look for name, look in styles.items() if any(name in found for found in kinds.values())}
    told = {(row["metric"], row["imputation"]): row for row in summary}
    bands = len(drawn) <= BANDS
    with panels(path, len(kinds), size=(4.6, 3.4), columns=even(len(kinds))) as axes:
        for axis, (kind, found) in zip(axes, kinds.items(), strict=True):
            _lines(axis, found, drawn, bands=bands)
            along = next(iter(found.values()))[0]["along"]
            axis.set_title(", ".join(part for part in kind if part))
            axis.set_xlabel("\n".join([along, *_coinciding(found)]))
            axis.set_ylabel(_measured(told.get(kind), along))
        legend_below(canvas(axes), drawn, note=_caption(kinds, bands))


def _lines(axis: Axes, found: Mapping[str, list[Row]], styles: Mapping[str, Look], *, bands: bool) -> None:
    """The curves of a panel; earlier lines are thicker and markers are staggered, so none is hidden by a later one."""
    names = list(found)
    widths = np.linspace(min(3.4, 1.6 + 0.25 * (len(names) - 1)), 1.2, len(names))
    for i, (name, width) in enumerate(zip(names, widths, strict=True)):
        look = styles[name]
        x, mean, low, high = (np.array([r[c] for r in found[name]], float) for c in ("at", "mean", "ci_low", "ci_high"))
        every = max(1, len(x) // 8)
        axis.plot(
            x, mean, color=look.colour, ls=look.dashes, lw=width, marker=look.marker, ms=3.6 + 1.1 * width, mec="white",
            mew=0.5, markevery=(i % every, every), label=name,
        )  # fmt: skip
        if bands and not np.isnan(low).any():
            axis.fill_between(x, low, high, color=look.colour, alpha=0.1 if len(names) < 3 else 0.045, lw=0)
            for edge in (low, high):
                axis.plot(x, edge, color=look.colour, ls=look.dashes, lw=0.6, alpha=0.6)


def _measured(row: Row | None, along: str) -> str:
    """Unit of a curve, and whether a good map's is high or low."""
    if row is None:
        return ""
    better = row["better"]
    if along == _FLIPPED and better:
        better = "lower" if better == "higher" else "higher"
    return f"{row['unit']} ({arrow(better)} {better} is better)" if better else row["unit"]


def _coinciding(found: Mapping[str, list[Row]]) -> list[str]:
    """Which methods' curves cannot be told apart by eye, as lines of text: those within 0.3 % of the panel's height."""
    curves = {name: np.array([row["mean"] for row in mine], float) for name, mine in found.items()}
    height = np.ptp(np.concatenate(list(curves.values()))) or 1.0
    groups: list[list[str]] = []
    for name, curve in curves.items():
        for group in groups:
            first = curves[group[0]]
            if len(first) == len(curve) and np.max(np.abs(first - curve)) <= 0.003 * height:
                group.append(name)
                break
        else:
            groups.append([name])
    told = "; ".join("one line: " + " = ".join(group) for group in groups if len(group) > 1)
    return flow(told, len, 60)


def _caption(kinds: Mapping[Kind, Mapping[str, list[Row]]], bands: bool) -> str:
    numbers = sorted({row["n"] for found in kinds.values() for mine in found.values() for row in mine})
    images = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    mean = f"Mean over {images} image{'s' if numbers[-1] != 1 else ''}"
    if numbers[-1] < FEWEST:
        return f"{mean}; an interval takes {FEWEST}."
    if bands:
        rows = [row for found in kinds.values() for mine in found.values() for row in mine]
        return f"{mean}; band: 95 % interval over images ({intervals_of(rows)})."
    return f"{mean}. Bands of more than {BANDS} methods would hide each other: their 95 % intervals are in curves.csv."


def draw_agreement(rows: Sequence[Row], methods: Sequence[str], path: Path) -> None:
    """Spearman correlation of the maps, and overlap of their top 5 %, for each pair of methods.

    Args:
        rows: rows of `agreement.csv`; a pair that is not there was never compared, and has a dash.
        methods: in order; those that occur in `rows` only come last.
        path: the PNG.
    """
    names = list(dict.fromkeys([*methods, *(name for row in rows for name in (row["method"], row["other"]))]))
    same = {row["n"] for row in rows if row["n"]}
    images = f"{same.copy().pop()} images" if len(same) == 1 else "n: images that both have"
    images = images.replace("1 images", "1 image") if same == {1} else images
    label = max(text_inches(name, 9) for name in names)
    side = 0.9 + 0.62 * max(len(names), 3) + label
    with panels(path, 2, size=(max(side - label / 2, 3.9), max(side - 0.3 * label, 2.6))) as axes:
        for axis, column, title in zip(
            axes,
            ("spearman", "top_overlap"),
            ("rank correlation of the maps", "overlap of their top 5 % (0.05 by chance)"),
            strict=True,
        ):
            _matrix(axis, rows, names, column, counts=len(same) != 1)
            axis.set_title(f"{title}\n{images}" + ("; -: never compared" if _lacking(rows, names) else ""), fontsize=9)
        axes[1].tick_params(labelleft=False)


def _lacking(rows: Sequence[Row], names: Sequence[str]) -> bool:
    return len(rows) < len(names) * (len(names) - 1) // 2


def _matrix(axis: Axes, rows: Sequence[Row], names: Sequence[str], column: str, *, counts: bool) -> None:
    """Values of all pairs as coloured cells; grey where a method would meet itself, a dash where there is none."""
    m = len(names)
    matrix, n = np.full((m, m), np.nan), np.zeros((m, m), int)
    for row in rows:
        i, j = names.index(row["method"]), names.index(row["other"])
        if row[column] is not None:
            matrix[i, j] = matrix[j, i] = row[column]
            n[i, j] = n[j, i] = row["n"]
    axis.imshow(np.ma.masked_invalid(matrix), cmap=signed_colours(), vmin=-1, vmax=1)
    for i in range(m):
        axis.fill_between([i - 0.5, i + 0.5], i - 0.5, i + 0.5, color="#e9e9e9", lw=0)
        for j in range(m):
            if i == j:
                continue
            told = "-" if np.isnan(matrix[i, j]) else f"{round(matrix[i, j], 2) + 0.0:.2f}"  # no -0.00
            told += f"\nn {n[i, j]}" if counts and n[i, j] else ""
            shade = "white" if abs(np.nan_to_num(matrix[i, j])) > 0.6 else "#222222"
            axis.text(j, i, told, ha="center", va="center", fontsize=7.5, color=shade)
    axis.set_xticks(range(m), names, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(m), names)
    axis.grid(visible=False)
