"""The colour bars below a printed figure: one for each kind of scale, under the columns that have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from ..maps.paint import few_colours, scale_strip
from ..maps.palette import Palette
from .fitted import broken, line_inches, write
from .looks import text_inches

_STRIP, _LONG, _SPACE, _AIR = 0.07, 1.6, 0.12, 0.04
"""Inches: the height of a strip, its greatest length, what is left between two, and above each."""
_GREY = "#444444"


@dataclass(frozen=True)
class Kind:
    """What the colours of a map mean.

    Args:
        ends: the words for negative and positive values.
        signed: the diverging colours; else the sequential ones, from 0 up.
    """

    ends: tuple[str, str]
    signed: bool

    @property
    def words(self) -> tuple[str, str, str]:
        """Below the left end, the middle and the right end of the bar."""
        return (self.ends[0], "0", self.ends[1]) if self.signed else ("0", "", self.ends[1])

    def least(self, size: float) -> float:
        """Inches that the words need."""
        return 2 * max(text_inches(self.words[0], size), text_inches(self.words[2], size)) + 0.25


@dataclass(frozen=True)
class _Bar:
    """A bar: its left end and length in inches, which line of bars it stands on, and what it is for.

    The notes stand below it, or beside it where it has a line to itself.
    """

    kind: Kind
    left: float
    length: float
    notes: Sequence[str] = ()
    line: int | None = None

    def height(self, size: float) -> float:
        """Inches from the upper edge down to the last line."""
        words = 1 + len(self.notes) if self.line is None else 1
        beside = 0.0 if self.line is None else len(self.notes) * line_inches(size)
        return _AIR + max(_STRIP + 0.01 + words * line_inches(size), beside)


@dataclass(frozen=True)
class Bars:
    """All bars of a figure.

    Args:
        bars: from left to right.
        size: of their letters, in points.
    """

    bars: Sequence[_Bar]
    size: float

    @classmethod
    def of(
        cls,
        kinds: Mapping[tuple[int, int], Kind],
        names: Sequence[str],
        edges: Sequence[tuple[float, float]],
        room: tuple[float, float],
        size: float,
    ) -> Bars:
        """A bar for each kind, as near as can be to the middle of its columns; of several each says what it is for.

        Where they have no room side by side they stand under one another.

        Args:
            kinds: (row, column) → kind of its map.
            names: of the columns.
            edges: left and right edge of each column, in inches.
            room: left and right edge of where bars may stand.
            size: of letters, in points.
        """
        spans = {kind: _span(kind, kinds, edges) for kind in dict.fromkeys(kinds.values())}
        order, wide = sorted(spans, key=lambda kind: sum(spans[kind])), room[1] - room[0]
        if len(order) == 1:
            long = min(wide, max(_LONG, order[0].least(size)))
            return cls([_Bar(order[0], room[1] - long, long)], size)
        lengths = [max(kind.least(size), min(_LONG, spans[kind][1] - spans[kind][0] - _SPACE)) for kind in order]
        told = [_told(kind, kinds, names) for kind in order]
        if sum(lengths) + _SPACE * (len(order) - 1) > wide:
            long = min(0.7 * wide, max(lengths))
            beside = [broken(notes, size, wide - long - _SPACE, anywhere=True) or [] for notes in told]
            return cls([_Bar(k, room[0], long, n, i) for i, (k, n) in enumerate(zip(order, beside, strict=True))], size)
        lefts = [sum(spans[kind]) / 2 - length / 2 for kind, length in zip(order, lengths, strict=True)]
        placed = zip(order, _apart(lefts, lengths, room), lengths, told, strict=True)
        return cls(
            [_Bar(k, left, long, broken(notes, size, long, anywhere=True) or []) for k, left, long, notes in placed],
            size,
        )

    @property
    def height(self) -> float:
        """Inches of all lines of bars."""
        heights = [bar.height(self.size) for bar in self.bars]
        return max(heights) if self.bars[0].line is None else sum(heights)

    def draw(self, figure: Figure, top: float, palette: Palette) -> None:
        """Draw them, from `top` inches above the lower edge of the figure down."""
        wide, high = map(float, figure.get_size_inches())
        for bar in self.bars:
            y = top - sum(other.height(self.size) for other in self.bars[: bar.line or 0]) - _AIR
            table = palette.signed if bar.kind.signed else palette.plain
            strip = scale_strip((512, 8), table=None if table is None else few_colours(table))
            axes = figure.add_axes((bar.left / wide, (y - _STRIP) / high, bar.length / wide, _STRIP / high))
            axes.imshow(np.asarray(strip), interpolation="none", aspect="auto")
            axes.set(xticks=(), yticks=())
            under = y - _STRIP - 0.01
            for share, word, align in zip((0, 0.5, 1), bar.kind.words, ("left", "center", "right"), strict=True):
                write(figure, (bar.left + share * bar.length, under), [word], self.size, align=align)
            if bar.line is None:
                at, align = (bar.left + bar.length / 2, under - line_inches(self.size)), "center"
            else:
                at, align = (bar.left + bar.length + _SPACE, y + 0.02), "left"
            write(figure, at, bar.notes, self.size, colour=_GREY, align=align)


def _span(
    kind: Kind, kinds: Mapping[tuple[int, int], Kind], edges: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """From the left to the right of the longest run of columns that have no other kind; else of those that have it."""
    own = sorted({column for (_, column), other in kinds.items() if other == kind})
    alone = [c for c in own if all(other == kind for (_, column), other in kinds.items() if column == c)]
    runs: list[list[int]] = []
    for column in alone or own:
        if runs and runs[-1][-1] == column - 1:
            runs[-1].append(column)
        else:
            runs.append([column])
    longest = max(runs, key=len)
    return edges[longest[0]][0], edges[longest[-1]][1]


def _apart(lefts: Sequence[float], lengths: Sequence[float], room: tuple[float, float]) -> list[float]:
    """Bars in order that do not touch: pushed right by the one before, then left by the edge and the one after."""
    found: list[float] = []
    for left, _ in zip(lefts, lengths, strict=True):
        before = found[-1] + lengths[len(found) - 1] + _SPACE if found else room[0]
        found.append(max(left, before))
    end = room[1]
    for place in reversed(range(len(found))):
        found[place] = min(found[place], end - lengths[place])
        end = found[place] - _SPACE
    return found


def _told(kind: Kind, kinds: Mapping[tuple[int, int], Kind], names: Sequence[str]) -> str:
    """The methods that a bar is for; of one whose maps are of several kinds, the rows."""
    whole, part = [], []
    for column, name in enumerate(names):
        rows = {row: other == kind for (row, c), other in kinds.items() if c == column}
        of = [str(row + 1) for row, own in rows.items() if own]
        if of and all(rows.values()):
            whole.append(name)
        elif of:
            part.append(f"{name} (row{'s' if len(of) > 1 else ''} {', '.join(of)})")
    return ", ".join([*whole, *part])
