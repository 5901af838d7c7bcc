"""The sheet that sets methods side by side: the picture, then a column per method, each map with its own colour bar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from .paint import PERCENTILE, as_rgb, checked, checked_limit, overlay, paint, symmetric_limit
from .palette import DEFAULT, Palette
from .single import framed

PER_ROW = 6
"""Methods beside each other; more begin another row of columns."""

_WIDTH = 1840  # aimed at for the whole sheet
_COLUMN = (260, 400)  # narrowest and widest
_GAP, _ROW_GAP, _BAR_GAP = 18, 16, 6
_HEADING = 28
_SPACING = Spacing(rise=4, above=14, below=18, foot=MARGIN)


@dataclass(frozen=True)
class Panel:
    """One method's column in a sheet.

    Args:
        name: the method.
        map: (H, W), channels summed and smoothed as it is to be shown, in `unit`.
        player_map: (H, W), each pixel with the sum of its player, in `player_unit`; None for methods without players.
        lines: short facts under the name, for example ('goldfish 12.3', 'gap 0.3 % · 256 evals').
        group: panels of one group share a common scale; give methods in another unit (a bare gradient) their own group.
        unit: of the colour bar, for example 'logit per pixel'.
        player_unit: of the colour bar of the player maps.
        player_group: player maps of one group share a common scale: those of one partition, since large players have
            large sums.
        ends: the words of the colour bars for blue and red, where they are not those of the sheet.
        turned: positive values are blue, for they speak against the score.
        limit: where the map's own scale ends, if not at its own percentile: of a map that is faded, where it ends unfaded.
        player_limit: likewise of the player map, if not at its largest magnitude.
        player_note: below the colour bar of the player map: whose players they are, where they are not the method's.
    """

    name: str
    map: np.ndarray
    player_map: np.ndarray | None = None
    lines: tuple[str, ...] = ()
    group: str = ""
    unit: str = ""
    player_unit: str = "sum per player"
    player_group: str = ""
    ends: tuple[str, str] | None = None
    turned: bool = False
    limit: float | None = None
    player_limit: float | None = None
    player_note: str = ""

    def own_limit(self, percentile: float) -> float:
        """Where a scale for this map alone ends."""
        return symmetric_limit(self.map, percentile) if self.limit is None else checked_limit(self.limit)

    def own_player_limit(self) -> float:
        """Where a scale for this player map alone ends: its values are few, and not clipped."""
        if self.player_map is None:
            return 0.0
        return symmetric_limit(self.player_map, 100) if self.player_limit is None else checked_limit(self.player_limit)

    @property
    def shown(self) -> np.ndarray:
        """The map with red for positive values."""
        return -self.map if self.turned else self.map


@dataclass(frozen=True)
class _Column:
    """A method's column, and where the scales of its map and of its player map end."""

    panel: Panel
    limit: float
    player_limit: float


@dataclass(frozen=True)
class _Sheet:
    """What all columns have in common: the picture, a column's width, its pictures' size, the words of the scales."""

    picture: np.ndarray
    width: int
    size: tuple[int, int]
    ends: tuple[str, str] = ENDS
    apart: bool = False
    region: np.ndarray | None = None
    palette: Palette = DEFAULT


@dataclass(frozen=True)
class _Strip:
    """A column of a sheet that is being put together: lines above, and pictures from top to bottom.

    Args:
        header: lines above.
        cells: pictures; those of the same place stand level in all columns.
        level: whether they do; else they follow each other below the first.
    """

    header: Sequence[Line]
    cells: Sequence[Image.Image]
    level: bool = True


def _groups(panels: Iterable[Panel], *, players: bool = False) -> dict[str, list[Panel]]:
    """Panels by scale group, in order of appearance; by that of their player maps, where they have some."""
    groups: dict[str, list[Panel]] = {}
    for panel in panels:
        if panel.player_map is not None or not players:
            groups.setdefault(_player_group(panel) if players else panel.group, []).append(panel)
    return groups


def _player_group(panel: Panel) -> str:
    return panel.group + panel.player_group


def by_sign(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The positive and the negative part of a map ([SIG] Fig. 5, [ES] Fig. 4); their sum is the map.

    >>> [part.tolist() for part in by_sign(np.array([[1.0, -2.0]]))]
    [[[1.0, 0.0]], [[0.0, -2.0]]]
    """
    return values.clip(min=0), values.clip(max=0)


def _drawn(column: _Column, sheet: _Sheet) -> list[Image.Image]:
    """The pictures of one method: over the picture, alone, and its players' sums; the last two with their colour bars."""
    panel, limit = column.panel, column.limit
    table = sheet.palette.table(panel.map, turned=panel.turned)
    overlaid = by_sign(panel.shown) if sheet.apart else (panel.shown,)
    rows = [overlay(sheet.picture, part, limit, sheet.size, table=table) for part in overlaid]
    cells = [_cell(outlined(row, sheet.region)) for row in rows]
    alone = outlined(paint(panel.shown, limit, sheet.size, table=table), sheet.region)
    cells.append(_cell(alone, _bar(column, sheet, limit, table)))
    if panel.player_map is not None:
        table = sheet.palette.table(panel.player_map, turned=panel.turned)
        sums = -panel.player_map if panel.turned else panel.player_map
        painted = paint(sums, column.player_limit, sheet.size, blocky=True, table=table)
        cells.append(_cell(painted, _bar(column, sheet, column.player_limit, table, players=True)))
    return cells


def _cell(image: Image.Image, bar: Image.Image | None = None) -> Image.Image:
    return framed(image) if bar is None else stack([framed(image), bar], gap=_BAR_GAP, centred=True)


def _bar(column: _Column, sheet: _Sheet, limit: float, table: np.ndarray, *, players: bool = False) -> Image.Image:
    """The colour bar of a map, or of the sums of players."""
    panel = column.panel
    return colour_bar(
        limit, panel.player_unit if players else panel.unit, sheet.width, notes=panel.player_note if players else "",
        ends=panel.ends or sheet.ends, turned=panel.turned, table=table,
    )  # fmt: skip


def _header(name: str, facts: Sequence[str], width: int) -> tuple[Line, ...]:
    """A column's name, and below it its facts, on three lines each if need be."""
    return *wrapped([Line(name, TITLE, INK)], width, 3), *wrapped([Line(fact, BODY, GREY) for fact in facts], width, 3)


def _photo(picture: np.ndarray, sheet: _Sheet, region: np.ndarray | None = None) -> Image.Image:
    return framed(outlined(as_rgb(picture).resize(sheet.size, Image.Resampling.BICUBIC), region))


def _methods(columns: Sequence[_Column], sheet: _Sheet) -> list[_Strip]:
    """A column for each method; of a single method a column for each of its pictures."""
    drawn = [(_header(one.panel.name, one.panel.lines, sheet.width), _drawn(one, sheet)) for one in columns]
    if len(columns) > 1:
        return [_Strip(header, cells) for header, cells in drawn]
    header, cells = drawn[0]
    return [_Strip(header if place == 0 else (), [cell]) for place, cell in enumerate(cells)]


def _row_block(strips: Sequence[_Strip], width: int) -> Image.Image:
    """Columns beside each other, their pictures level."""
    level = [one.cells for one in strips if one.level]
    heights = [max(cells[row].height for cells in level if row < len(cells)) for row in range(max(map(len, level)))]
    top = block_height(*(one.header for one in strips)) + 8
    flowing = [sum(cell.height + _ROW_GAP for cell in one.cells) - _ROW_GAP for one in strips if not one.level]
    height = max([sum(heights) + _ROW_GAP * (len(heights) - 1), *flowing])
    page = blank(len(strips) * (width + _GAP) - _GAP, top + height)
    for place, strip in enumerate(strips):
        x, y = place * (width + _GAP), top
        draw_block(page, (x, 0), strip.header, width)
        for row, image in enumerate(strip.cells):
            page.paste(image, (x, y))
            y += (heights[row] if strip.level else image.height) + _ROW_GAP
    return page


def _measures(shape: tuple[int, ...], columns: int) -> tuple[int, tuple[int, int]]:
    """The width of each of so many columns, and the size of its pictures: in proportion, at most 1.5 times as tall."""
    width = (_WIDTH - 2 * MARGIN + _GAP) // columns - _GAP
    width = min(max(width, _COLUMN[0]), _COLUMN[1])
    factor = min(width / shape[1], 1.5 * width / shape[0])
    size = max(1, round(shape[1] * factor)), max(1, round(shape[0] * factor))
    return max(size[0], _COLUMN[0]), size


def _scaled(panels: Sequence[Panel], percentile: float, *, common: bool) -> list[_Column]:
    """Each map and player map with its limit: its own, or that of its group.

    A common limit is the lower median of the maps' own limits: pooled, one map of strong noise would turn all others pale.
    """
    if not common:
        return [_Column(panel, panel.own_limit(percentile), panel.own_player_limit()) for panel in panels]
    limits, player_limits = {}, {}
    for group, members in _groups(panels).items():
        own = sorted(limit for limit in (panel.own_limit(percentile) for panel in members) if limit > 0)
        limits[group] = own[(len(own) - 1) // 2] if own else 0.0
    for group, members in _groups(panels, players=True).items():
        player_limits[group] = max(panel.own_player_limit() for panel in members)
    return [_Column(panel, limits[panel.group], player_limits.get(_player_group(panel), 0.0)) for panel in panels]


def _checked_panels(panels: Sequence[Panel]) -> None:
    if not panels:
        raise ValueError("a sheet needs at least one panel")
    for panel in panels:
        for values in (panel.map, panel.player_map):
            if values is not None:
                try:
                    checked(values)
                except ValueError as error:
                    raise ValueError(f"panel '{panel.name}': {error}") from error


def compare_image(
    picture: np.ndarray,
    panels: Sequence[Panel],
    *,
    heading: str = "",
    caption: str = "",
    picture_lines: Sequence[str] = (),
    answers: Sequence[Answer] = (),
    percentile: float = PERCENTILE,
    second: tuple[np.ndarray, Sequence[str]] | None = None,
    ends: tuple[str, str] = ENDS,
    apart: bool = False,
    common: bool = False,
    region: np.ndarray | None = None,
    palette: Palette = DEFAULT,
) -> Image.Image:
    """All methods side by side: the picture first, then per method overlay, map and players' sums.

    A single method has its pictures beside each other, several have them one under another.

    Args:
        picture: uint8 (h, w, 3), (h, w, 1) or (h, w), of the maps' field of view.
        panels: one per method, in the order shown; more than PER_ROW continue below.
        heading: across the top, for example 'goldfish.jpg, resnet50'.
        caption: small grey lines, below the picture where there is room; `describe` says what was smoothed and clipped.
        picture_lines: facts under 'input', for example the file's name and the label.
        answers: what the model says of the picture.
        percentile: of |value| at which a map's own scale ends; players' sums are not clipped.
        second: of a pair, the picture that is held fixed, and facts about it.
        ends: the words of the colour bars for blue and red.
        apart: overlay positive and negative values apart, one under the other, on one scale.
        common: the panels of a group share one scale, which ends at the lower median of their own limits; for player
            maps, at their largest value. Else each map and player map has its own. Colour bars tell them.
        region: (H, W) bool, the part of the picture that the score is of, which is outlined.
        palette: the colours.

    Raises:
        ValueError: no panels, a map that is not (H, W), or one that holds NaN or infinity.
    """
    _checked_panels(panels)
    pictures = 1 + (second is not None)
    alone = len(panels) == 1
    methods = 2 + apart + (panels[0].player_map is not None) if alone else len(panels)
    blocks = -(-(pictures + methods) // (PER_ROW + pictures))
    per_block = -(-(pictures + methods) // blocks)
    width, size = _measures(panels[0].map.shape, per_block)
    sheet = _Sheet(picture, width, size, ends, apart, region, palette)
    told = [answers_block(answers, width)] if answers else []
    first = [_photo(picture, sheet, region), *told]
    strips = [_Strip(_header("input", [line for line in picture_lines if line], width), first, level=False)]
    if second is not None:
        strips.append(_Strip(_header("second image", second[1], width), [_photo(second[0], sheet)]))
    strips += _methods(_scaled(panels, percentile, common=common), sheet)
    rows = [_row_block(strips[i : i + per_block], width) for i in range(0, len(strips), per_block)]
    lines = [Line(line, BODY, GREY) for line in caption.splitlines()]
    aside = wrapped(lines, width, 12)
    below = [] if _fits(aside, strips[:per_block], rows[0].height) else wrapped(lines, max(row.width for row in rows))
    if not below and lines:
        draw_block(rows[0], (0, rows[0].height - block_height(aside)), aside, width)
    body = stack(rows, gap=36)
    return captioned(body, wrapped([Line(heading, _HEADING, INK)], body.width, 2), below, _SPACING)


def _fits(lines: Sequence[Line], strips: Sequence[_Strip], height: int) -> bool:
    """Whether lines have room in the first column of a block, below what stands there."""
    used = block_height(*(one.header for one in strips)) + 8 + sum(cell.height + _ROW_GAP for cell in strips[0].cells)
    return used + _ROW_GAP + block_height(lines) <= height
