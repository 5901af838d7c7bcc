"""Text of a printed figure that is never cut: broken into lines, made smaller as far as it can be read, or turned."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from ..maps.layout import flow
from .looks import text_inches

LEAST = 5.5
"""Points of the smallest letters of a printed figure."""
_LINE = 1.25
"""Distance of two lines, in heights of letters."""
_PIECE = re.compile(r"[^\s\-_/]*[\-_/]+|[^\s\-_/]+|\s+")


def line_inches(size: float) -> float:
    """Distance in inches of two lines of `size` points."""
    return _LINE * size / 72


def broken(text: str, size: float, room: float, *, anywhere: bool = False) -> list[str] | None:
    """A text in lines of at most `room` inches, broken at spaces and after hyphens; None where a word is too wide.

    Args:
        text: with a space between words.
        size: of its letters, in points.
        room: width of a line in inches.
        anywhere: a word that is too wide is broken between any two letters.

    >>> broken("guided-backprop", 7, 0.6), broken("deconvolution", 7, 0.3)
    (['guided-', 'backprop'], None)
    """
    lines = [""]
    for piece in _PIECE.findall(text.strip()):
        if text_inches((lines[-1] + piece).rstrip(), size) <= room:
            lines[-1] += piece
        elif piece.isspace():
            lines.append("")
        elif text_inches(piece, size) <= room:
            lines.append(piece)
        elif anywhere:
            lines += _chopped(piece, size, room)
        else:
            return None
    return [line.strip() for line in lines if line.strip()]


def _chopped(word: str, size: float, room: float) -> list[str]:
    """A word in parts that fit, of a letter each at least."""
    parts = [""]
    for letter in word:
        if parts[-1] and text_inches(parts[-1] + letter, size) > room:
            parts.append("")
        parts[-1] += letter
    return parts


def flowing(text: str, size: float, room: float) -> list[str]:
    """A text in lines of at most so many inches; see `sigcli.render.maps.layout.flow`."""
    return flow(text, lambda part: text_inches(part, size), room)


@dataclass(frozen=True)
class Fitted:
    """Texts of one kind, all of one size.

    Args:
        lines: of each text.
        size: of the letters, in points.
        turned: they read upwards, since they have no room across.
    """

    lines: Sequence[Sequence[str]]
    size: float
    turned: bool = False

    @property
    def height(self) -> float:
        """Inches of the longest text, from its first line to its last; of turned ones the length of the longest line."""
        if self.turned:
            return max((text_inches(line, self.size) for of in self.lines for line in of), default=0.0) + 0.02
        return self.most * line_inches(self.size)

    @property
    def most(self) -> int:
        """Lines of the longest text."""
        return max(map(len, self.lines), default=0)


def fitted(texts: Sequence[str | Sequence[str]], size: float, rooms: Sequence[float], most: int = 3) -> Fitted | None:
    """Texts at the greatest common size at which each fits its room in `most` lines; None where they do at no size.

    Args:
        texts: each a text, or parts that begin a line each; all but the first part stay on one line.
        size: the greatest, in points.
        rooms: widths of lines in inches, one for each text.
        most: lines of the first part.
    """
    steps = [size - 0.5 * step for step in range(max(0, int(2 * (size - LEAST))) + 1)]
    for points in [one for one in steps if one > LEAST] + [LEAST]:
        found = [_parts(text, points, room, most) for text, room in zip(texts, rooms, strict=True)]
        if all(one is not None for one in found):
            return Fitted([one or [] for one in found], points)
    return None


def _parts(text: str | Sequence[str], size: float, room: float, most: int) -> list[str] | None:
    first, *others = [text] if isinstance(text, str) else text
    lines = broken(first, size, room)
    others = [one for one in others if one]
    if lines is None or len(lines) > most or any(text_inches(one, size) > room for one in others):
        return None
    return [*lines, *others]


def write(
    figure: Figure, corner: tuple[float, float], lines: Sequence[str], size: float, *, turned: bool = False,
    align: str = "center", colour: str = "black",
) -> None:  # fmt: skip
    """Write lines under one another, or beside each other where they are turned.

    Args:
        figure: on which.
        corner: x and y in inches from the lower left: where lines are aligned, and the upper edge of the first; of turned
            ones the left edge of the first, and the height at which they are aligned.
        lines: from the first to the last.
        size: in points.
        turned: they read upwards.
        align: "left", "center" or "right"; of turned ones "left" begins at the height given.
        colour: of the letters.
    """
    wide, high = map(float, figure.get_size_inches())
    for number, line in enumerate(lines):
        down = (number + 0.8) * line_inches(size)
        x, y = (corner[0] + down, corner[1]) if turned else (corner[0], corner[1] - down)
        figure.text(
            x / wide, y / high, line, size=size, ha=align, va="baseline", rotation=90 if turned else 0,
            rotation_mode="anchor", color=colour,
        )  # fmt: skip
