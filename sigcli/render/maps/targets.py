"""The sheet of several targets of one picture: a row for each, of two also their difference, a column for each method."""

from __future__ import annotations

from collections.abc import Sequence
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
    draw_line,
    stack,
    wrapped,
)
from .legend import ENDS, colour_bar
from .letters import text_width
from .outline import outlined
from .paint import as_rgb, overlay, symmetric_limit
from .palette import DEFAULT, Palette
from .single import framed

_WIDTH, _SIDE, _GAP = 1840, (150, 400), 14
_BESIDE, _PICTURE = 4, 300
"""Of a single method so many pictures stand beside each other; the picture above several has at most so many pixels."""
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
    """The maps of several targets by some methods, over the picture.

    All maps of a method share one scale, but for rows that have their own. The maps of a single method stand beside each
    other; those of several have a row for each target, below the picture and the model's answer.

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
    beside = len(methods) == 1
    columns = -(-(1 + len(rows)) // -(-(1 + len(rows)) // _BESIDE)) if beside else len(methods)
    width = min(max((_WIDTH - 2 * MARGIN + _GAP) // columns - _GAP, _SIDE[0]), _SIDE[1])
    size = width, max(1, round(min(height / wide, 1.5) * width))
    scales = [
        [_Scale.of(method, number, members, palette) for number, method in enumerate(methods)]
        for members in _groups(rows)
    ]
    lines = [Line(line, BODY, GREY) for line in caption.splitlines()]
    if beside:
        heading = f"{heading}: {methods[0].name}" if heading else methods[0].name
        body, below = _beside(_blocks(picture, scales, size, answers), columns, width, lines)
    else:
        page = _under(picture, methods, scales, size)
        body, below = stack([_band(picture, size, page.width, answers, lines), page], gap=24), []
    return captioned(body, wrapped([Line(heading, 28, INK)], body.width, 2), below, _SPACING)


def _groups(rows: Sequence[TargetRow]) -> list[list[TargetRow]]:
    """Rows that share a scale: those without one of their own, and each of the others."""
    shared = [row for row in rows if row.ends is None]
    return ([shared] if shared else []) + [[row] for row in rows if row.ends is not None]


@dataclass(frozen=True)
class _Scale:
    """The maps of one method that share a scale.

    Args:
        method: whose they are.
        number: its place among the methods.
        rows: whose maps they are.
        limit: where the scale ends.
        table: the colours.
    """

    method: TargetMethod
    number: int
    rows: Sequence[TargetRow]
    limit: float
    table: np.ndarray

    @classmethod
    def of(cls, method: TargetMethod, number: int, rows: Sequence[TargetRow], palette: Palette) -> _Scale:
        """The scale of some maps of a method."""
        known = [one for row in rows if (one := row.maps[number]) is not None]
        every = np.concatenate([one.ravel() for one in known]) if known else np.zeros(1)
        table = palette.table(every, turned=method.turned)
        return cls(method, number, rows, symmetric_limit(known), table)

    def cell(self, picture: np.ndarray, row: TargetRow, size: tuple[int, int]) -> Image.Image:
        """A map over the picture, or the word that the method failed."""
        values = row.maps[self.number]
        if values is None:
            page = blank(*size)
            draw_line(page, (10, 10), Line("failed", BODY, GREY))
            return framed(page)
        over = overlay(picture, -values if self.method.turned else values, self.limit, size, table=self.table)
        return framed(outlined(over, row.region))

    def bar(self, width: int) -> Image.Image:
        """The colour bar."""
        method, ends = self.method, self.rows[0].ends or self.method.ends
        return colour_bar(
            self.limit, method.unit, width, over=True, ends=ends, turned=method.turned, table=self.table
        )  # fmt: skip


def _photo(picture: np.ndarray, size: tuple[int, int]) -> Image.Image:
    return framed(as_rgb(picture).resize(size, Image.Resampling.BICUBIC))


def _name(row: TargetRow, width: int) -> Image.Image:
    """The name of a target and its facts, on one line where they fit."""
    facts, title = " · ".join(row.lines), wrapped([Line(row.name, TITLE, INK)], width, 2)
    start = text_width(title[0].text, TITLE) + 16 if len(title) == 1 else width
    below = [] if start + text_width(facts, BODY) <= width else wrapped([Line(facts, BODY, GREY)], width)
    page = blank(width, block_height([*title, *below]) + 4)
    draw_block(page, (0, 0), [*title, *below], width)
    if not below:
        draw_line(page, (start, round(0.98 * (TITLE - BODY))), Line(facts, BODY, GREY))
    return page


def _blocks(
    picture: np.ndarray, scales: Sequence[Sequence[_Scale]], size: tuple[int, int], answers: Sequence[Answer]
) -> list[list[Image.Image]]:
    """Of a single method: the picture with the model's answer, and each target with its map and colour bar."""
    first = _name(TargetRow("input", (), ()), size[0]), _photo(picture, size)
    found = [[*first, *([answers_block(answers, size[0])] if answers else [])]]
    for (scale,) in scales:
        for row in scale.rows:
            bar = [] if row.maps[0] is None else [scale.bar(size[0])]
            found.append([_name(row, size[0]), scale.cell(picture, row, size), *bar])
    return found


def _beside(
    blocks: Sequence[Sequence[Image.Image]], columns: int, width: int, caption: Sequence[Line]
) -> tuple[Image.Image, list[Line]]:
    """Blocks beside each other, so many in a line, their pictures level; and the lines for which there is no room there.

    There is where the first block is longer than those beside it.
    """
    step, lines, below = width + _GAP, [], wrapped(caption, columns * (width + _GAP) - _GAP)
    for first in range(0, len(blocks), columns):
        members = blocks[first : first + columns]
        top = max(one[0].height for one in members)
        parts = [stack(one[1:], gap=8) for one in members]
        page = blank(columns * step - _GAP, top + max(one.height for one in parts))
        for place, (block, part) in enumerate(zip(members, parts, strict=True)):
            page.paste(block[0], (place * step, top - block[0].height))
            page.paste(part, (place * step, top))
        aside = wrapped(caption, page.width - step, 12)
        free = top + max(one.height for one in parts[1:]) + 24 if len(parts) > 1 else page.height
        if first == 0 and free + block_height(aside) <= page.height:
            draw_block(page, (step, page.height - block_height(aside)), aside, page.width - step)
            below = []
        lines.append(page)
    return stack(lines, gap=24), below


def _under(
    picture: np.ndarray, methods: Sequence[TargetMethod], scales: Sequence[Sequence[_Scale]], size: tuple[int, int]
) -> Image.Image:
    """Of several methods: a column for each, and a row for each target, its name above."""
    width = len(methods) * (size[0] + _GAP) - _GAP
    headers = [wrapped([Line(one.name, TITLE, GREY)], size[0], 3) for one in methods]
    top = blank(width, block_height(*headers))
    for place, header in enumerate(headers):
        draw_block(top, (place * (size[0] + _GAP), 0), header, size[0])
    parts = [top]
    for group in scales:
        for row in group[0].rows:
            cells = _line([scale.cell(picture, row, size) for scale in group])
            parts.append(stack([_name(row, width), cells], gap=2))
        parts.append(_line([scale.bar(size[0]) for scale in group]))
    return stack(parts, gap=10)


def _line(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one width beside each other, level at the top."""
    step = images[0].width + _GAP
    page = blank(len(images) * step - _GAP, max(image.height for image in images))
    for place, image in enumerate(images):
        page.paste(image, (place * step, 0))
    return page


def _band(
    picture: np.ndarray, size: tuple[int, int], width: int, answers: Sequence[Answer], caption: Sequence[Line]
) -> Image.Image:
    """The picture, what the model says beside it, and the caption where there is room."""
    share = min(1.0, _PICTURE / max(size))
    photo = _photo(picture, (round(share * size[0]), round(share * size[1])))
    left, room = photo.width + 24, width - photo.width - 24
    apart = bool(answers) and room >= 2 * _PICTURE + 24
    told = [answers_block(answers, _PICTURE if apart else room)] if answers else []
    lines = wrapped(caption, room - _PICTURE - 24 if apart else room, 12)
    block = blank(max(1, room - _PICTURE - 24 if apart else room), max(1, block_height(lines)))
    draw_block(block, (0, 0), lines, block.width)
    parts = [(0, photo)]
    parts += [(left, told[0]), (left + _PICTURE + 24, block)] if apart else [(left, stack([*told, block], gap=14))]
    page = blank(width, max(part.height for _, part in parts))
    for x, part in parts:
        page.paste(part, (x, 0))
    return page
