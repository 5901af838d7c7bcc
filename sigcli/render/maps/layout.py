"""Text and boxes: lines that fit their width, pictures put together on white. Every function is pure and safe in threads."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from .letters import printable, text_width, write_text

INK, GREY = (20, 20, 20), (95, 95, 95)
MARGIN = 24
TITLE, BODY, SMALL = 22, 16, 14
"""Text heights in pixels: names, figures, captions and scales."""

_SPACE, _SPLIT = re.compile(r"[ \n\t]+"), re.compile(r" (?!%|px\b|= )")
"""Where a line may break: not between a number and its unit."""
_BETWEEN = " · "
"""Between the items of a line; where the line breaks there, it vanishes."""
_NUMBER = re.compile(r"[<>≈~±]?[ -]?\d[\d.]*(?:e-?\d+)?(?: %| px)?")
_UNITS = (" %", " px")
_PART = re.compile(r"[^\-_/.]*[\-_/.]+|[^\-_/.]+")


def fit(text: str, size: int, width: int) -> str:
    """`text`, shortened with an ellipsis where it is wider than `width` pixels.

    >>> fit("goldfish", 16, 200), fit("goldfish", 16, 40).endswith("…")
    ('goldfish', True)
    """
    text = printable(text)[0]
    if text_width(text, size) <= width:
        return text
    low, high = 0, len(text)
    while low < high:  # the longest beginning that fits, by bisection
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text_width(text[:middle].rstrip() + "…", size) <= width else (low, middle - 1)
    return text[:low].rstrip() + "…"


def wrap(text: str, size: int, width: int, most: int = 3) -> list[str]:
    """`text` broken into at most `most` lines of at most `width` pixels; the last is shortened to fit.

    Lines break between whole items, which have " · " between them, and within an item only where it is longer than a line:
    not between a number and its unit or what it counts, nor at a no-break space.

    >>> wrap("gap 7.4 % · standard error 8.6 %", 16, 200)
    ['gap 7.4 %', 'standard error 8.6 %']
    """
    text = _SPACE.sub(" ", text.strip(" \n\t"))
    lines = flow(text, lambda part: text_width(part, size), width)
    if len(lines) > most:
        for line in lines[: most - 1]:
            text = text[len(line) :].lstrip(" ·")
        lines = [*lines[: most - 1], text]
    return [fit(line, size, width) for line in lines]


def flow(text: str, width_of: Callable[[str], float], room: float) -> list[str]:
    """A text broken as `wrap` does, into as many lines as it needs; no letter is lost.

    Args:
        text: with " · " between items.
        width_of: the width of a line.
        room: the greatest width of a line.
    """
    lines: list[str] = []
    for number, item in enumerate(_SPACE.sub(" ", text.strip(" \n\t")).split(_BETWEEN)):
        for place, (space, atom) in enumerate(_atoms(item, width_of, room)):
            between = (_BETWEEN if number else "") if place == 0 else space
            joined = f"{lines[-1]}{between}{atom}" if lines else atom
            if lines and width_of(joined) <= room:
                lines[-1] = joined
            elif atom:
                lines.append(atom)
    return lines


def _atoms(item: str, width_of: Callable[[str], float], room: float) -> list[tuple[str, str]]:
    """The parts of an item that stay whole, each with what stands before it: the item itself, if it fits a line."""
    if width_of(item) <= room:
        return [("", item)]
    joined: list[list[str]] = []
    for word in _SPLIT.split(item):
        if joined and _stays(joined[-1][-1], word) and width_of(" ".join([*joined[-1], word])) <= room:
            joined[-1].append(word)
        else:
            joined.append([word])
    found: list[tuple[str, str]] = []
    for atom in map(" ".join, joined):
        parts = [atom] if width_of(atom) <= room else list(_chopped(atom, width_of, room))
        found += [(" " if place == 0 else "", part) for place, part in enumerate(parts)]
    return found


def _stays(before: str, word: str) -> bool:
    """Whether two words stay together: a number and what it counts, or what has a value and the value.

    >>> _stays("16", "gradient"), _stays("error", "8.6 %"), _stays("px,", "9")
    (True, True, False)
    """
    if before.endswith("="):
        return True
    if _NUMBER.fullmatch(before):
        return not before.endswith(_UNITS) and word[:1].isalpha()
    return bool(_NUMBER.fullmatch(word)) and word.endswith(_UNITS) and before[-1:].isalpha()


def _chopped(word: str, width_of: Callable[[str], float], room: float) -> Iterable[str]:
    """A word in parts that fit, cut after hyphens, dots and strokes where that will do, else between letters."""
    for part in _PART.findall(word):
        if width_of(part) <= room:
            yield part
            continue
        start = 0
        for end in range(1, len(part) + 1):
            if end - start > 1 and width_of(part[start:end]) > room:
                yield part[start : end - 1]
                start = end - 1
        yield part[start:]


@dataclass(frozen=True)
class Line:
    """One line of text in a block: what, how high in pixels, in which colour."""

    text: str
    size: int = BODY
    colour: tuple[int, int, int] = INK


def line_height(size: int) -> int:
    """Distance in pixels between the tops of two lines."""
    return math.ceil(1.32 * size)


def wrapped(lines: Iterable[Line], width: int, most: int = 3) -> list[Line]:
    """Lines broken as `wrap` does, each in its own height and colour."""
    return [replace(line, text=text) for line in lines for text in wrap(line.text, line.size, width, most)]


def block_height(*blocks: Sequence[Line]) -> int:
    """Height in pixels of a block of lines; of several, which stand beside each other, the greatest."""
    return max(sum(line_height(line.size) for line in lines) for lines in blocks)


def draw_line(image: Image.Image, corner: tuple[int, int], line: Line) -> None:
    """Draw one line with its top left corner at `corner`; the caller has made it fit."""
    # Drawn from the baseline, lines of different fonts and with or without descenders stand level.
    write_text(image, (corner[0], corner[1] + round(0.98 * line.size)), line.text, line.size, line.colour)


def draw_lines(image: Image.Image, placed: Iterable[tuple[tuple[int, int], Line]]) -> None:
    """Draw lines, each with its top left corner where it is placed; the caller has made them fit."""
    for corner, line in placed:
        draw_line(image, corner, line)


def draw_block(image: Image.Image, corner: tuple[int, int], lines: Sequence[Line], width: int) -> None:
    """Draw lines one under another, each cut to `width` pixels."""
    x, y = corner
    for line in lines:
        draw_line(image, (x, y), replace(line, text=fit(line.text, line.size, width)))
        y += line_height(line.size)


def draw_blocks(image: Image.Image, placed: Iterable[tuple[tuple[int, int], Sequence[Line]]], width: int) -> None:
    """Draw blocks of lines, each with its top left corner where it is placed, cut to `width` pixels."""
    for corner, lines in placed:
        draw_block(image, corner, lines, width)


def blank(width: int, height: int) -> Image.Image:
    """A white page."""
    return Image.new("RGB", (width, height), (255, 255, 255))


def stack(images: Sequence[Image.Image], gap: int = 14, *, centred: bool = False) -> Image.Image:
    """Pictures one under another on white, from the left or in the middle."""
    height = sum(image.height for image in images) + gap * max(0, len(images) - 1)
    page, y = blank(max((image.width for image in images), default=1), max(1, height)), 0
    for image in images:
        page.paste(image, ((page.width - image.width) // 2 if centred else 0, y))
        y += image.height + gap
    return page


@dataclass(frozen=True)
class Spacing:
    """Of a page, in pixels: the lines above and below a picture, and how far they stand from it and from the edge.

    Args:
        rise: how far the lines above begin over the margin.
        above: between the lines above and the picture.
        below: between the picture and the lines below.
        foot: between the last line and the lower edge.
    """

    rise: int
    above: int
    below: int
    foot: int


def captioned(body: Image.Image, above: Sequence[Line], below: Sequence[Line], spacing: Spacing) -> Image.Image:
    """A picture on white with a margin, lines above it and lines below it, cut to its width."""
    top = MARGIN + (block_height(above) + spacing.above if above else 0)
    under = top + body.height + (spacing.below if below else 0)
    page = blank(body.width + 2 * MARGIN, under + block_height(below) + spacing.foot)
    page.paste(body, (MARGIN, top))
    draw_blocks(page, [((MARGIN, MARGIN - spacing.rise), above), ((MARGIN, under), below)], body.width)
    return page
