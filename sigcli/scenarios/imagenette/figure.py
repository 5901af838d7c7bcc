"""The sheet of the scenario `imagenette`: photographs, and maps as they are and blurred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ... import render
from ...attribution.explanation import Explanation
from ...views import default_sigma
from ..pictures import SCALES, sheet

_SHOWN, _PAIRED = 6, 2


def draw_photographs(
    path: Path, items: Sequence[Explanation], maps: Mapping[str, Sequence[np.ndarray]],
    cells: Mapping[str, Mapping[str, Any]], output: str,
) -> None:  # fmt: skip
    """Write the first photographs, and below them the maps of each method, blurred; of the first two also as they are.

    Args:
        path: the PNG.
        items: explanations, which have the photographs.
        maps: method → its maps.
        cells: method → means of its measures.
        output: what is explained.
    """
    first = next(iter(maps))
    of_first = enumerate(item for item in items if item.method == first)
    seen = [(i, item) for i, item in of_first if item.picture is not None][:_SHOWN]
    if not seen:
        return
    sigma = max(1.0, default_sigma(maps[first][0].shape))
    rows, notes = dict[str, list[np.ndarray]](), dict[str, str]()
    for number, (name, found) in enumerate(maps.items()):
        if number < _PAIRED:
            rows[name] = [found[i] for i, _ in seen]
        rows[f"{name}, blur"] = [render.smooth(found[i], sigma) for i, _ in seen]
        of = cells[name]
        if of["deletion"] is not None:
            below = name if number < _PAIRED else f"{name}, blur"
            notes[below] = f"deletion {of['deletion']:.2f}, insertion {of['insertion']:.2f}"
    sheet(
        path, [item.picture for _, item in seen if item.picture is not None], rows,
        headings=[item.label for _, item in seen], notes=notes,
        heading=f"What speaks for the class of each image ({output})",
        caption=f"Red speaks for the class, blue against it; {SCALES} Blurred: by a Gaussian of {sigma:g} pixels.",
    )  # fmt: skip
