"""The colour bar: what the colours of a map mean in numbers, with the words for and against at its ends."""

from __future__ import annotations

from PIL import Image, ImageDraw

from .colours import HALF, diverging
from .layout import BODY, GREY, INK, SMALL, Line, blank, draw_block, draw_line, line_height, number, text_width, wrap
from .paint import scale_strip

STRIP, TICK = 16, 5
_SPACE = 14  # at least, between the words above the strip
_FRAME = (150, 150, 150)


ENDS = ("against", "for")
"""What blue and red say, unless told otherwise."""


def _ends(words: tuple[str, str]) -> tuple[Line, Line]:
    """The words at the two ends, each in its colour."""
    table = diverging()
    against, in_favour = (tuple(int(c) for c in table[HALF + side * round(0.8 * HALF)]) for side in (-1, 1))
    return Line(words[0], BODY, against), Line(words[1], BODY, in_favour)  # pyright: ignore[reportArgumentType]


def _ticks(limit: float, width: int, signed: bool) -> list[tuple[float, str]]:
    """Where along the bar (0..1) which number stands: five on a signed scale, three where five would touch."""
    if limit == 0:
        return [(0.5 if signed else 0.0, "0")]
    for count in (5, 3):
        places = [i / (count - 1) for i in range(count)]
        texts = [number(limit * (2 * place - 1 if signed else place), limit) for place in places]
        if count * (max(text_width(text, SMALL) for text in texts) + 12) <= width:
            break
    return list(zip(places, texts, strict=True))


def _draw_strip(page: Image.Image, top: int, ticks: list[tuple[float, str]], strip: Image.Image) -> None:
    """The strip of colours in the middle of the page, a frame around it, its ticks and numbers below."""
    draw, inset, bottom = ImageDraw.Draw(page), (page.width - strip.width) // 2, top + strip.height
    page.paste(strip, (inset, top))
    draw.rectangle((inset, top, inset + strip.width - 1, bottom - 1), outline=_FRAME)
    for place, text in ticks:
        x = inset + round(place * (strip.width - 1))
        draw.line([(x, bottom), (x, bottom + TICK)], fill=GREY)
        draw_line(page, (x - text_width(text, SMALL) // 2, bottom + TICK + 2), Line(text, SMALL, INK))


def colour_bar(
    limit: float,
    unit: str,
    width: int,
    *,
    signed: bool = True,
    over: bool = False,
    notes: str = "",
    ends: tuple[str, str] = ENDS,
) -> Image.Image:
    """A horizontal scale `width` pixels wide: unit, strip, numbers; and `notes` below in small grey type.

    Args:
        limit: the value at the right end; the left end is its negative, or 0 where not `signed`. 0: 'all zero'.
        unit: what the numbers count, for example 'logit per pixel'.
        width: of the picture returned, in pixels.
        signed: diverging colours with the words of `ends`, else the sequential ones.
        over: colours as they look over a photograph.
        notes: for example which methods share this scale.
        ends: what blue and red say.
    """
    label = f"{unit} (all zero)" if limit == 0 else unit
    against, in_favour = _ends(ends)
    room = width - text_width(in_favour.text, BODY) - _SPACE
    unit_left = max((width - text_width(label, BODY)) // 2, text_width(against.text, BODY) + _SPACE)
    shared = signed and unit_left + text_width(label, BODY) <= room  # one line holds the unit between the two words
    above = [] if shared or not label else [Line(text, BODY) for text in wrap(label, BODY, width, 2)]
    below = [Line(text, SMALL, GREY) for text in wrap(notes, SMALL, width)]
    strip_top = line_height(BODY) * (len(above) + signed) + 3
    height = strip_top + STRIP + TICK + 2 + line_height(SMALL) * (1 + len(below)) + (4 if below else 0)
    page = blank(width, height)
    y = draw_block(page, (0, 0), above, width)
    if signed:
        draw_line(page, (0, y), against)
        draw_line(page, (width - text_width(in_favour.text, BODY), y), in_favour)
        if shared:
            draw_line(page, (unit_left, y), Line(label, BODY))
    ticks = _ticks(limit, width, signed)
    inset = max(text_width(text, SMALL) for _, text in ticks) // 2 + 1  # the numbers at the ends stand under the ends
    _draw_strip(page, strip_top, ticks, scale_strip((width - 2 * inset, STRIP), signed=signed, over=over))
    draw_block(page, (0, height - line_height(SMALL) * len(below)), below, width)
    return page
