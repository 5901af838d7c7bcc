"""The figures of `shap-digits`: box plots of the changes, every value shown; and the digits without what was masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...render.plots.panels import panels
from ..mnist.data import Digits
from ..pictures import SCALES, sheet
from .masking import FROM, MASKED, RANDOM, TO, Maps

_SHOWN = 2
_OURS, _OTHERS, _CONTROL = "#d1495b", "#2b6ca3", "#9a9a9a"


def draw_boxes(values: Mapping[str, Sequence[float]], path: Path, *, unit: str, title: str) -> None:
    """A box for each method: quartiles and median, whiskers to the last value within 1.5 box widths, and all values as dots.

    Args:
        values: method → its values; a method without any has an empty line.
        path: the PNG.
        unit: of the values.
        title: over all.
    """
    with panels(path, 1, size=(6.6, 1.0 + 0.42 * len(values)), columns=1, title=title) as (axis,):
        for place, (name, found) in enumerate(values.items()):
            colour = _CONTROL if name.startswith("(") else _OURS if name.startswith("sig") else _OTHERS
            if not len(found):
                continue
            axis.boxplot(
                [list(found)], positions=[place], orientation="horizontal", widths=0.6, showfliers=False, patch_artist=True,
                boxprops={"facecolor": colour, "alpha": 0.3, "edgecolor": colour}, medianprops={"color": colour, "lw": 2},
                whiskerprops={"color": colour}, capprops={"color": colour}, manage_ticks=False,
            )  # fmt: skip
            spread = place + 0.36 * (
                np.arange(len(found)) * 0.618 % 1 - 0.5
            )  # so that equal values do not hide each other
            axis.plot(list(found), spread, "o", color=colour, ms=3, mew=0, alpha=0.8)
        axis.axvline(0, color="#888888", lw=0.8)
        axis.set_yticks(range(len(values)), list(values))
        axis.set_ylim(len(values) - 0.4, -0.6)
        axis.set_xlabel(unit)
        axis.grid(axis="y", visible=False)


def draw_masked(
    path: Path, names: Sequence[str], shown: Digits, found: Maps, masked: Mapping[tuple[str, str], np.ndarray],
    changes: Mapping[str, Sequence[float]],
) -> None:  # fmt: skip
    """Write the first digits, their maps for both classes, and what is left of them.

    Args:
        path: the PNG.
        names: of the digits.
        shown: the digits.
        found: explanations and maps.
        masked: (image, method) → the digit without what was masked.
        changes: method → by how much the log odds fall.
    """
    first = range(min(_SHOWN, len(shown)))
    rows: dict[str, list[np.ndarray | None]] = {}
    for method in changes:
        for name in (names[i] for i in first):
            maps = [None, None] if method == RANDOM else [found[name, method, label][1] for label in (FROM, TO)]
            rows.setdefault(method, []).extend([*maps, masked.get((name, method))])
    sheet(
        path, [picture for i in first for picture in (shown.images[i], None, None)], rows,
        headings=[text for _ in first for text in (f"for {FROM}", f"for {TO}", "masked")],
        notes={name: f"log odds fall by {np.mean(values):.1f}" for name, values in changes.items() if values},
        heading=f"What makes it an {FROM} and not a {TO}, and the digit without that",
        caption=f"Red speaks for the class, blue against it; {SCALES} Masked: black where a pixel speaks more for {FROM} "
        f"than for {TO}, {MASKED} pixels at most.",
    )  # fmt: skip
