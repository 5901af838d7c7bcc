"""A grid of maps: a row for each method, a column for each picture, as in Fig. 4 of Integrated Certainty Gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from .figures import framed
from .layout import BODY, GREY, INK, MARGIN, TITLE, Line, blank, block_height, draw_block, wrap
from .maps import as_rgb, paint, symmetric_limit

_CELL, _GAP, _NAMES = 150, 8, 190
_DOT = (40, 190, 80)


def grid_image(
    pictures: Sequence[np.ndarray],
    maps: Mapping[str, Sequence[np.ndarray]],
    *,
    headings: Sequence[str],
    notes: Mapping[str, str] | None = None,
    dots: Sequence[Sequence[tuple[float, float]]] | None = None,
    heading: str = "",
    caption: str = "",
) -> Image.Image:
    """Pictures across the top, and below them the maps of each method, each map on a scale of its own.

    Args:
        pictures: uint8 (h, w, 3) or (h, w), one for each column.
        maps: method → a map (H, W) for each column.
        headings: above each column.
        notes: method → what is said below its name.
        dots: for each column the places (y, x), in shares of the picture, that get a green dot.
        heading: across the top.
        caption: small grey lines below.
    """
    width = _NAMES + len(pictures) * (_CELL + _GAP)
    above = [Line(text, TITLE, INK) for text in wrap(heading, TITLE, width, 2)]
    below = [Line(text, BODY, GREY) for text in wrap(caption, BODY, width, 4)]
    top = MARGIN + block_height(above) + 14
    first = top + 30
    rows = first + (len(maps) + 1) * (_CELL + _GAP)
    page = blank(width + 2 * MARGIN, rows + block_height(below) + MARGIN)
    draw_block(page, (MARGIN, MARGIN - 4), above, width)
    size = _CELL, _CELL
    for column, picture in enumerate(pictures):
        x = MARGIN + _NAMES + column * (_CELL + _GAP)
        draw_block(page, (x, top), [Line(headings[column], BODY, GREY)], _CELL)
        shown = as_rgb(picture).resize(size, Image.Resampling.NEAREST)
        page.paste(framed(_dotted(shown, dots[column] if dots else ())), (x, first))
        for row, found in enumerate(maps.values()):
            limit = symmetric_limit(found[column])
            page.paste(framed(paint(found[column], limit, size, blocky=True)), (x, first + (row + 1) * (_CELL + _GAP)))
    for row, name in enumerate(("input", *maps)):
        told = wrap((notes or {}).get(name, ""), BODY, _NAMES - 10, 4)
        lines = [Line(name, TITLE, INK), *(Line(text, BODY, GREY) for text in told)]
        draw_block(page, (MARGIN, first + row * (_CELL + _GAP)), lines, _NAMES - 10)
    draw_block(page, (MARGIN, rows + 4), below, width)
    return page


def _dotted(image: Image.Image, places: Sequence[tuple[float, float]]) -> Image.Image:
    pen = ImageDraw.Draw(image)
    for y, x in places:
        centre = x * image.width, y * image.height
        pen.ellipse([centre[0] - 6, centre[1] - 6, centre[0] + 6, centre[1] + 6], fill=_DOT, outline=(255, 255, 255))
    return image
