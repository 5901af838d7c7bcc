"""The colour bar: what the colours of a map mean in numbers, with the words for and against at its ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .colours import HALF, diverging
from .layout import BODY, GREY, INK, SMALL, Line, blank, draw_lines, line_height, wrapped
from .letters import text_widths
from .paint import scale_strip
from .palette import word_colours

STRIP, TICK = 16, 5
_SPACE = 14  # at least, between the words above the strip
_FRAME = (150, 150, 150)
_BODY_LINE, _SMALL_LINE = line_height(BODY), line_height(SMALL)


ENDS = ("against", "for")
"""What blue and red say, unless told otherwise."""


def _ends(words: tuple[str, str], table: np.ndarray) -> tuple[Line, Line]:
    """The words at the two ends, each in its colour."""
    against, in_favour = word_colours(table)
    return Line(words[0], BODY, against), Line(words[1], BODY, in_favour)  # pyright: ignore[reportArgumentType]


def number(value: float, limit: float) -> str:
    """`value` as a tick on a scale that ends at `limit`: two figures, and one exponent along the whole scale.

    >>> number(0.0186, 0.0372), number(-6.2e-06, 1.24e-05), number(250, 500), number(9.98e-5, 9.98e-5)
    ('0.019', '-0.62e-5', '250', '1.00e-4')
    """
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(limit))
    if exponent < -300:  # 10 to this power is no longer a float
        return f"{value:.1e}"
    mantissa = limit / 10.0**exponent
    if mantissa >= 9.95:  # would be written as 10.0
        exponent, mantissa = exponent + 1, mantissa / 10
    figures = 2 if mantissa < 2 else 1  # after the first: half of 1.1 is 0.55
    if -3 <= exponent <= 4:
        return f"{value:.{max(0, figures - exponent)}f}"
    return f"{value / 10.0**exponent:.{figures}f}e{exponent}"


@dataclass(frozen=True)
class _Tick:
    """A number under the bar: where along it (0..1), its text, and how wide this is in pixels."""

    place: float
    text: str
    width: int


def _ticks(limit: float | None, width: int, signed: bool, turned: bool = False) -> list[_Tick]:
    """The numbers under a bar, falling on a turned one: five, and three or two where they would touch.

    Words where the limit is not one number.
    """
    if limit is None:
        words = (["-limit"] if signed else []) + ["0", "+limit" if signed else "limit"]
        texts = words[::-1] if turned else words
        places = [i / (len(texts) - 1) for i in range(len(texts))]
        return list(map(_Tick, places, texts, text_widths(texts, SMALL)))
    if limit == 0:
        return [_Tick(0.5 if signed else 0.0, "0", *text_widths("0", SMALL))]
    for count in (5, 3, 2):
        places = [i / (count - 1) for i in range(count)]
        values = [place if not signed else 1 - 2 * place if turned else 2 * place - 1 for place in places]
        texts = [number(limit * value, limit) for value in values]
        widths = text_widths(texts, SMALL)
        if count * (max(widths) + 12) <= width:
            break
    return list(map(_Tick, places, texts, widths))


def _draw_strip(
    page: Image.Image, top: int, ticks: list[_Tick], strip: Image.Image
) -> list[tuple[tuple[int, int], Line]]:
    """The strip of colours in the middle of the page, a frame around it, its ticks below; returns the numbers to draw."""
    draw, inset, bottom = ImageDraw.Draw(page), (page.width - strip.width) // 2, top + strip.height
    page.paste(strip, (inset, top))
    draw.rectangle((inset, top, inset + strip.width - 1, bottom - 1), outline=_FRAME)
    numbers = []
    for tick in ticks:
        x = inset + round(tick.place * (strip.width - 1))
        draw.line([(x, bottom), (x, bottom + TICK)], fill=GREY)
        numbers.append(((x - tick.width // 2, bottom + TICK + 2), Line(tick.text, SMALL, INK)))
    return numbers


def colour_bar(
    limit: float | None,
    unit: str,
    width: int,
    *,
    signed: bool = True,
    over: bool = False,
    notes: str = "",
    ends: tuple[str, str] = ENDS,
    turned: bool = False,
    table: np.ndarray | None = None,
) -> Image.Image:
    """A horizontal scale `width` pixels wide: unit, strip, numbers; and `notes` below in small grey type.

    Args:
        limit: the value at the right end; the left end is its negative, or 0 where not `signed`. 0: 'all zero'; None:
            the maps' limits differ, and the ticks are words.
        unit: what the numbers count, for example 'logit per pixel'.
        width: of the picture returned, in pixels.
        signed: diverging colours with the words of `ends`, else the sequential ones.
        over: colours as they look over a photograph.
        notes: for example which methods share this scale.
        ends: what blue and red say.
        turned: positive values are blue, so the right end is the negative of `limit`.
        table: colours, see `sigcli.render.maps.palette`; a sequential one begins at 0 whatever `signed` says.
    """
    label = f"{unit} (all zero)" if limit == 0 else unit
    signed = signed and (table is None or len(table) != HALF + 1)
    against, in_favour = _ends(ends, table if signed and table is not None else diverging())
    left_width, right_width, label_width = text_widths((against.text, in_favour.text, label), BODY)
    unit_left = max((width - label_width) // 2, left_width + _SPACE)
    room = width - right_width - _SPACE
    shared = signed and unit_left + label_width <= room  # one line holds the unit between the two words
    above = [] if shared or not label else wrapped([Line(label, BODY)], width, 2)
    below = wrapped([Line(notes, SMALL, GREY)], width) if notes else []
    words_top = _BODY_LINE * len(above)
    strip_top = words_top + _BODY_LINE * signed + 3
    notes_top = strip_top + STRIP + TICK + 2 + _SMALL_LINE + (4 if below else 0)
    page = blank(width, notes_top + _SMALL_LINE * len(below))
    words = [((0, _BODY_LINE * row), line) for row, line in enumerate(above)]
    words += [((0, notes_top + _SMALL_LINE * row), line) for row, line in enumerate(below)]
    words += [((0, words_top), against), ((width - right_width, words_top), in_favour)] if signed else []
    words += [((unit_left, words_top), Line(label, BODY))] if shared else []
    ticks = _ticks(limit, width, signed, turned)
    inset = max(tick.width for tick in ticks) // 2 + 1  # the numbers at the ends stand under the ends
    numbers = _draw_strip(
        page, strip_top, ticks, scale_strip((width - 2 * inset, STRIP), signed=signed, over=over, table=table)
    )
    draw_lines(page, [*words, *numbers])
    return page
