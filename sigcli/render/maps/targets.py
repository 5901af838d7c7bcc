"""The sheet of several targets of one picture: a row for each, of two also their difference, a column for each method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .answers import Answer, answers_block
from .layout import (
    BODY,
    GREY,
    INK,
    MARGIN,
    TITLE,
    Line,
    Spacing,
    blank,
    block_height,
    captioned,
    draw_block,
    stack,
    wrapped,
)
from .legend import ENDS, colour_bar
from .outline import outlined
from .paint import as_rgb, overlay, symmetric_limit
from .palette import DEFAULT, Palette
from .single import framed

_WIDTH, _SIDE, _NAMES, _GAP = 1840, (150, 340), 230, 14
_SPACING = Spacing(rise=4, above=14, below=18, foot=MARGIN)


@dataclass(frozen=True)
class TargetMethod:
    """A column.

    Args:
        name: of the method.
        unit: of its maps.
        ends: the words of its colour bar for blue and red.
        turned: positive values are blue, for they speak against the score.
    """

    name: str
    unit: str = ""
    ends: tuple[str, str] = ENDS
    turned: bool = False


@dataclass(frozen=True)
class TargetRow:
    """The maps of one target, or of the difference of two.

    Args:
        name: of the target.
        lines: facts below it.
        maps: (H, W) of each method, or None where it failed.
        region: (H, W) bool, outlined; None for the whole picture.
        ends: the words of the colour bar for blue and red of a row that has a scale of its own; else all rows share one.
    """

    name: str
    lines: Sequence[str]
    maps: Sequence[np.ndarray | None]
    region: np.ndarray | None = None
    ends: tuple[str, str] | None = None


def targets_image(
    picture: np.ndarray,
    methods: Sequence[TargetMethod],
    rows: Sequence[TargetRow],
    *,
    heading: str = "",
    caption: str = "",
    answers: Sequence[Answer] = (),
    palette: Palette = DEFAULT,
) -> Image.Image:
    """Targets under one another and methods beside each other, over the picture.

    All maps of a method share one scale, but for rows that have their own.

    Args:
        picture: uint8 (h, w, 3), (h, w, 1) or (h, w).
        methods: the columns.
        rows: one for each target; those with a scale of their own come last.
        heading: across the top.
        caption: small grey lines below.
        answers: what the model says of the picture.
        palette: the colours.
    """
    height, wide = next(one for row in rows for one in row.maps if one is not None).shape
    width = min(max((_WIDTH - 2 * MARGIN - _NAMES) // len(methods) - _GAP, _SIDE[0]), _SIDE[1])
    size = width, max(1, round(min(height / wide, 1.5) * width))
    columns = [list(_cells(picture, one, place, rows, size, palette)) for place, one in enumerate(methods)]
    headers = [wrapped([Line(one.name, TITLE, INK)], width, 1) for one in methods]
    heights = [max(column[place].height for column in columns) for place in range(len(columns[0]))]
    starts = [sum(heights[:place]) + _GAP * place for place in range(len(heights))]
    top = block_height(*headers) + 8
    page = blank(_NAMES + len(columns) * (width + _GAP) - _GAP, top + sum(heights) + _GAP * (len(heights) - 1))
    for number, (header, column) in enumerate(zip(headers, columns, strict=True)):
        x = _NAMES + number * (width + _GAP)
        draw_block(page, (x, 0), header, width)
        for start, cell in zip(starts, column, strict=True):
            page.paste(cell, (x, top + start))
    shared = sum(row.ends is None for row in rows)
    for number, row in enumerate(rows):  # a bar follows the shared rows, and each of the others
        place = number if row.ends is None else number + 1 + (number - shared)
        lines = wrapped([Line(row.name, TITLE, INK), *(Line(line, BODY, GREY) for line in row.lines)], _NAMES - _GAP, 3)
        draw_block(page, (0, top + starts[place]), lines, _NAMES - _GAP)
    below = wrapped([Line(line, BODY, GREY) for line in caption.splitlines()], page.width + _NAMES)
    body = _beside(_key(picture, size, answers), page, top)
    return captioned(body, wrapped([Line(heading, 28, INK)], body.width, 2), below, _SPACING)


def _key(picture: np.ndarray, size: tuple[int, int], answers: Sequence[Answer]) -> Image.Image:
    """The picture, and below it what the model says."""
    width = _NAMES - _GAP
    photo = framed(as_rgb(picture).resize((width, round(size[1] * width / size[0])), Image.Resampling.BICUBIC))
    return stack([photo, answers_block(answers, width)] if answers else [photo], gap=16)


def _beside(key: Image.Image, page: Image.Image, top: int) -> Image.Image:
    body = blank(key.width + 2 * _GAP + page.width, max(page.height, top + key.height))
    body.paste(key, (0, top))
    body.paste(page, (key.width + 2 * _GAP, 0))
    return body


def _cells(
    picture: np.ndarray, method: TargetMethod, number: int, rows: Sequence[TargetRow], size: tuple[int, int],
    palette: Palette,
) -> Iterator[Image.Image]:  # fmt: skip
    """All maps of one method: those that share a scale, its colour bar, and each of the others with its own."""
    shared = [row for row in rows if row.ends is None]
    for members, ends in [(shared, method.ends), *(([row], row.ends) for row in rows if row.ends is not None)]:
        known = [one for row in members if (one := row.maps[number]) is not None]
        limit = symmetric_limit(known)
        every = np.concatenate([one.ravel() for one in known]) if known else np.zeros(1)
        table = palette.table(every, turned=method.turned)
        for row in members:
            values = row.maps[number]
            if values is None:
                yield blank(*size)
                continue
            over = overlay(picture, -values if method.turned else values, limit, size, table=table)
            yield framed(outlined(over, row.region))
        words = ends or ENDS
        yield colour_bar(limit, method.unit, size[0], over=True, ends=words, turned=method.turned, table=table)
