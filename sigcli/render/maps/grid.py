"""A grid of maps: a row for each method, a column for each picture, as in Fig. 4 of Integrated Certainty Gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from .layout import BODY, GREY, INK, MARGIN, TITLE, Line, blank, block_height, draw_block, wrapped
from .paint import as_rgb, paint, symmetric_limit
from .single import framed

_CELL, _GAP, _NAMES = 150, 8, 190
_SMALL = 2.0  # pixels of a map that are shown this large or larger stay squares
_DOT = (40, 190, 80)


def grid_image(
    pictures: Sequence[np.ndarray | None],
    maps: Mapping[str, Sequence[np.ndarray | None]],
    *,
    headings: Sequence[str],
    notes: Mapping[str, str] | None = None,
    dots: Sequence[Sequence[tuple[float, float]]] | None = None,
    extra: Mapping[str, np.ndarray] | None = None,
    heading: str = "",
    caption: str = "",
    cell: int = _CELL,
) -> Image.Image:
    """Pictures across the top, and below them the maps of each method, each map on a scale of its own.

    Args:
        pictures: uint8 (h, w, 3) or (h, w), one for each column, all of one size; None where a column has none of its own,
            but not for the first.
        maps: method → a map (H, W) for each column, or a picture, uint8, that is shown as it is; None for nothing.
        headings: above each column.
        notes: method → what is said below its name.
        dots: for each column the places (y, x), in shares of the picture, that get a green dot.
        extra: name → a picture that is shown under all inputs alike.
        heading: across the top.
        caption: small grey lines below.
        cell: pixels of a picture's side, or of the square of its area.
    """
    first_picture = pictures[0]
    if first_picture is None:
        raise ValueError("the first column needs a picture")
    size = _cell(first_picture.shape[:2], cell)
    blocky = size[0] >= _SMALL * first_picture.shape[1]
    width = _NAMES + len(pictures) * (size[0] + _GAP)
    above = wrapped([Line(heading, TITLE, INK)], width, 2)
    below = wrapped([Line(caption, BODY, GREY)], width, 4)
    top = MARGIN + block_height(above) + 14
    first = top + 30
    names = ("input", *(extra or {}), *maps)
    rows = first + len(names) * (size[1] + _GAP)
    page = blank(width + 2 * MARGIN, rows + block_height(below) + MARGIN)
    draw_block(page, (MARGIN, MARGIN - 4), above, width)
    resample = Image.Resampling.NEAREST if blocky else Image.Resampling.BICUBIC
    for column, picture in enumerate(pictures):
        x = MARGIN + _NAMES + column * (size[0] + _GAP)
        draw_block(page, (x, top), [Line(headings[column], BODY, GREY)], size[0])
        own = None if picture is None else as_rgb(picture).resize(size, resample)
        shown = own and _dotted(own, dots[column] if dots else ())
        cells = [shown, *(as_rgb(other).resize(size, resample) for other in (extra or {}).values())]
        for values in (found[column] for found in maps.values()):
            if values is None or values.dtype == np.uint8:
                cells.append(None if values is None else as_rgb(values).resize(size, resample))
            else:
                cells.append(paint(values, symmetric_limit(values), size, blocky=blocky))
        for row, image in enumerate(cells):
            if image is None:
                continue
            page.paste(framed(image), (x, first + row * (size[1] + _GAP)))
    for row, name in enumerate(names):
        told = wrapped([Line((notes or {}).get(name, ""), BODY, GREY)], _NAMES - 10, 4)
        lines = [Line(name, TITLE, INK), *told]
        draw_block(page, (MARGIN, first + row * (size[1] + _GAP)), lines, _NAMES - 10)
    draw_block(page, (MARGIN, rows + 4), below, width)
    return page


def _cell(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """(width, height) of a cell for pictures (h, w): of the area side×side, small pixels enlarged by a whole number."""
    factor = side / (shape[0] * shape[1]) ** 0.5
    factor = round(factor) if factor >= _SMALL else factor
    return round(shape[1] * factor), round(shape[0] * factor)


def _dotted(image: Image.Image, places: Sequence[tuple[float, float]]) -> Image.Image:
    pen = ImageDraw.Draw(image)
    for y, x in places:
        centre = x * image.width, y * image.height
        pen.ellipse([centre[0] - 6, centre[1] - 6, centre[0] + 6, centre[1] + 6], fill=_DOT, outline=(255, 255, 255))
    return image
