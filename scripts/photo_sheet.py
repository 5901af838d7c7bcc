"""Photographs side by side, and under them the overlays of each method: one sheet for the docs.

python scripts/photo_sheet.py sample_images/{astronaut,chelsea,coffee,rocket}.jpg --weights FILE --out sheet.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import sigcli
from sigcli import render
from sigcli.attribution.drawing import Drawing, Page
from sigcli.attribution.explanation import Explanation
from sigcli.render.maps import paint
from sigcli.render.maps.grid import grid_image

SIDE = 300
"""Pixels of a photograph in the sheet."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+")
    parser.add_argument("--model", default="squeezenet1_1")
    parser.add_argument("--weights", default="DEFAULT")
    parser.add_argument("--method", default="sig,gradcam")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    methods = told.method.split(",")
    found = sigcli.explain(
        told.images, model=told.model, weights=told.weights, method=methods, precision=told.precision
    )
    sheet = grid_image(
        [found.of(method=methods[0])[place].picture for place in range(len(told.images))],
        {name: [_overlay(item) for item in found.of(method=name)] for name in methods},
        headings=[item.label or "" for item in found.of(method=methods[0])],
        heading=f"{told.model}: its first class, and what speaks for it",
        caption="Red speaks for the class, blue against it, more opaque for more; every map has its own scale.",
        cell=SIDE,
    )
    render.save_png(sheet, told.out)


def _overlay(item: Explanation) -> np.ndarray:
    """The map over its picture, uint8 (SIDE, SIDE, 3)."""
    page = Page(item, Drawing())
    limit = paint.symmetric_limit(page.shown)
    return np.asarray(paint.overlay(page.picture, page.shown, limit, (SIDE, SIDE)))


if __name__ == "__main__":
    main()
