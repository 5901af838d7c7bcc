"""The sheet that sets methods side by side: the picture, then a column per method, on scales that say whose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

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
    draw_blocks,
    stack,
    text_width,
    wrapped,
)
from .legend import ENDS, colour_bar, number
from .outline import outlined
from .paint import PERCENTILE, as_rgb, checked, checked_limit, overlay, paint, symmetric_limit
from .single import framed

PER_ROW = 6
"""Methods beside each other; more begin another row of columns."""

_WIDTH = 1840  # aimed at for the whole sheet
_COLUMN = (260, 400)  # narrowest and widest
_GAP, _ROW_GAP = 18, 18
_HEADING = 30
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
    """A method's column, where the scales of its map and of its player map end, and whether its facts tell so."""

    panel: Panel
    limit: float
    player_limit: float
    tells: bool = False

    def facts(self, width: int) -> tuple[str, ...]:
        """The lines under the method's name; its limits on one line if `width` pixels hold both."""
        if not self.tells:
            return self.panel.lines
        limits = [f"colours end at {_end(self.limit)}" if self.limit else "all zero"]
        if self.panel.player_map is not None:
            limits.append("players' " + (f"at {_end(self.player_limit)}" if self.player_limit else "all zero"))
        line = " · ".join(limits)
        return (*self.panel.lines, *([line] if text_width(line, BODY) <= width else limits))


def _end(limit: float) -> str:
    """Both ends of a scale, as its colour bar writes them.

    >>> _end(0.0036)
    '±0.0036'
    """
    return f"±{number(limit, limit)}"


@dataclass(frozen=True)
class _Sheet:
    """What all columns have in common: the picture, a column's width, its pictures' size, the words of the scales.

    Pairs also have a second picture, in a column of its own.
    """

    picture: np.ndarray
    title: tuple[Line, ...]
    width: int
    size: tuple[int, int]
    second: tuple[np.ndarray, tuple[Line, ...]] | None = None
    ends: tuple[str, str] = ENDS
    apart: bool = False
    common: bool = False
    region: np.ndarray | None = None


def _groups(panels: Iterable[Panel], *, players: bool = False) -> dict[str, list[Panel]]:
    """Panels by scale group, in order of appearance; by that of their player maps, where they have some."""
    groups: dict[str, list[Panel]] = {}
    for panel in panels:
        if panel.player_map is not None or not players:
            groups.setdefault(_player_group(panel) if players else panel.group, []).append(panel)
    return groups


def _player_group(panel: Panel) -> str:
    return panel.group + panel.player_group


def _bars(columns: Sequence[_Column], sheet: _Sheet, *, players: bool) -> list[Image.Image]:
    """One colour bar per unit and words of its ends; on common scales, per group. Several name the methods they are for.

    A bar for maps of different limits has no numbers, which are among the facts of their columns.
    """
    kinds: dict[tuple[str, str, tuple[str, str], bool], list[_Column]] = {}
    for column in columns:
        panel = column.panel
        if players and panel.player_map is None:
            continue
        group = "" if not sheet.common else _player_group(panel) if players else panel.group
        kind = group, panel.player_unit if players else panel.unit, panel.ends or sheet.ends, panel.turned
        kinds.setdefault(kind, []).append(column)
    bars = []
    for (_, unit, ends, turned), members in kinds.items():
        limits = {column.player_limit if players else column.limit for column in members}
        limit = limits.pop() if len(limits) == 1 else None
        names = ", ".join(column.panel.name for column in members) if len(kinds) > 1 else ""
        notes = f"scale of {names}" if names else ""
        if limit is None:
            notes = "each map's own limit" + (f": {names}" if names else "")
        bars.append(colour_bar(limit, unit, sheet.width, notes=notes, ends=ends, turned=turned))
    return bars


def by_sign(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The positive and the negative part of a map ([SIG] Fig. 5, [ES] Fig. 4); their sum is the map.

    >>> [part.tolist() for part in by_sign(np.array([[1.0, -2.0]]))]
    [[[1.0, 0.0]], [[0.0, -2.0]]]
    """
    return values.clip(min=0), values.clip(max=0)


def _maps(column: _Column, sheet: _Sheet) -> list[Image.Image]:
    """The pictures of one method from top to bottom: over the picture, alone, and its players' sums."""
    panel, limit = column.panel, column.limit
    overlaid = by_sign(panel.shown) if sheet.apart else (panel.shown,)
    rows = [overlay(sheet.picture, part, limit, sheet.size) for part in overlaid]
    rows = [outlined(row, sheet.region) for row in (*rows, paint(panel.shown, limit, sheet.size))]
    if panel.player_map is not None:
        rows.append(
            paint(
                -panel.player_map if panel.turned else panel.player_map,
                column.player_limit,
                sheet.size,
                blocky=True,
            )
        )
    return [framed(row) for row in rows]


def _key(columns: Sequence[_Column], sheet: _Sheet) -> list[Image.Image]:
    """The first column from top to bottom: the picture, and beside each row of maps the scales that it is read by."""
    photo = as_rgb(sheet.picture).resize(sheet.size, Image.Resampling.BICUBIC)
    rows = [framed(outlined(photo, sheet.region))]
    if sheet.apart:
        told = ("Above: what is red, alone.", "Here: what is blue, alone.")
        lines = wrapped([Line(text, BODY, GREY) for text in told], sheet.width)
        note = blank(sheet.width, block_height(lines))
        draw_blocks(note, [((0, 0), lines)], sheet.width)
        rows.append(note)
    for players in (False, True):
        bars = _bars(columns, sheet, players=players)
        rows += [stack(bars)] if bars else []
    return rows


def _header(name: str, facts: Sequence[str], width: int) -> tuple[Line, ...]:
    """A column's name, and below it its facts, on two lines each if need be."""
    return Line(name, TITLE, INK), *wrapped([Line(fact, BODY, GREY) for fact in facts], width, 2)


def _row_block(shown: Sequence[_Column], sheet: _Sheet) -> Image.Image:
    """The key column and up to PER_ROW methods, rows level with each other."""
    width = sheet.width
    headers = [sheet.title, *(_header(one.panel.name, one.facts(width), width) for one in shown)]
    columns = [_key(shown, sheet), *(_maps(one, sheet) for one in shown)]
    if sheet.second is not None:
        photo = as_rgb(sheet.second[0]).resize(sheet.size, Image.Resampling.BICUBIC)
        headers.insert(1, sheet.second[1])
        columns.insert(1, [framed(photo)])
    depth = max(len(column) for column in columns)
    heights = [max(column[row].height for column in columns if row < len(column)) for row in range(depth)]
    top = block_height(*headers) + 8
    page = blank(len(columns) * (width + _GAP) - _GAP, top + sum(heights) + _ROW_GAP * (depth - 1))
    places = [index * (width + _GAP) for index in range(len(columns))]
    draw_blocks(page, [((x, 0), lines) for x, lines in zip(places, headers, strict=True)], width)
    for x, column in zip(places, columns, strict=True):
        y = top
        for row, image in enumerate(column):
            page.paste(image, (x, y))
            y += heights[row] + _ROW_GAP
    return page


def _measures(shape: tuple[int, ...], columns: int) -> tuple[int, tuple[int, int]]:
    """The width of each of so many columns, and the size of its pictures: in proportion, at most 1.5 times as tall."""
    width = (_WIDTH - 2 * MARGIN + _GAP) // columns - _GAP
    width = min(max(width, _COLUMN[0]), _COLUMN[1])
    factor = min(width / shape[1], 1.5 * width / shape[0])
    size = max(1, round(shape[1] * factor)), max(1, round(shape[0] * factor))
    return max(size[0], _COLUMN[0]), size


def _on_own_scales(panels: Sequence[Panel], percentile: float) -> list[_Column]:
    """Each map and player map on a scale that ends at its own limit."""
    tells = len(panels) > 1
    return [_Column(panel, panel.own_limit(percentile), panel.own_player_limit(), tells=tells) for panel in panels]


def _on_common_scales(panels: Sequence[Panel], percentile: float) -> list[_Column]:
    """The maps and the player maps of each group on one scale.

    The limit is the lower median of the maps' own limits: pooled, one map of strong noise would turn all others pale.
    """
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
    percentile: float = PERCENTILE,
    second: tuple[np.ndarray, Sequence[str]] | None = None,
    ends: tuple[str, str] = ENDS,
    apart: bool = False,
    common: bool = False,
    region: np.ndarray | None = None,
) -> Image.Image:
    """All methods side by side: the picture first, then per method overlay, map and players' sums.

    Args:
        picture: uint8 (h, w, 3), (h, w, 1) or (h, w), of the maps' field of view.
        panels: one per method, in the order shown; more than PER_ROW continue below.
        heading: across the top, for example 'goldfish.jpg, resnet50'.
        caption: small grey lines below; `describe` says what was smoothed and clipped.
        picture_lines: facts under 'input', for example the file's name and the label.
        percentile: of |value| at which a map's own scale ends; players' sums are not clipped.
        second: of a pair, the picture that is held fixed, and facts about it.
        ends: the words of the colour bars for blue and red.
        apart: overlay positive and negative values apart, one under the other, on one scale.
        common: the panels of a group share one scale, which ends at the lower median of their own limits; for player
            maps, at their largest value. Else each map and player map has its own, told among the facts of its column.
        region: (H, W) bool, the part of the picture that the score is of, which is outlined.

    Raises:
        ValueError: no panels, a map that is not (H, W), or one that holds NaN or infinity.
    """
    _checked_panels(panels)
    blocks = -(-len(panels) // PER_ROW)
    per_block = -(-len(panels) // blocks)
    width, size = _measures(panels[0].map.shape, per_block + 1 + (second is not None))
    partner = None if second is None else (second[0], _header("second image", second[1], width))
    title = _header("input", [line for line in picture_lines if line], width)
    sheet = _Sheet(picture, title, width, size, partner, ends, apart, common, region)
    columns = (_on_common_scales if common else _on_own_scales)(panels, percentile)
    body = stack([_row_block(columns[i : i + per_block], sheet) for i in range(0, len(columns), per_block)], gap=36)
    above = wrapped([Line(heading, _HEADING, INK)], body.width, 2)
    below = wrapped([Line(line, BODY, GREY) for line in caption.splitlines()], body.width)
    return captioned(body, above, below, _SPACING)
