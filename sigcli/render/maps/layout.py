"""Text and boxes: fonts, lines that fit their width, pictures put together on white.

Every function is pure and safe in threads: fonts are cached per thread, because a FreeType face may not be shared.
"""

from __future__ import annotations

import math
import re
import threading
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

INK, GREY = (20, 20, 20), (95, 95, 95)
MARGIN = 24
TITLE, BODY, SMALL = 22, 16, 14
"""Text heights in pixels: names, figures, captions and scales."""

# The letters of DejaVu Sans, the font of matplotlib's plots, which comes with matplotlib: all figures have one font.
_LETTERS = frozenset(map(chr, [*range(32, 127), *range(0xA1, 0x180), *range(0x391, 0x3CA)])) | frozenset(
    "‘’“”…‹›™•−–—×→←≤≥≈∞′"
)
# Pillow's built-in font, which stands in where that is missing, has these and no others; the rest is spelt out.
_FEW = frozenset(map(chr, range(32, 127))) | frozenset("©«°±´·»‘’“”…‹›™")
_SPELT = str.maketrans(
    {
        "σ": "sigma",
        "μ": "mu",
        "µ": "u",
        "Σ": "sum",
        "Δ": "Delta",
        "α": "alpha",
        "β": "beta",
        "−": "-",
        "–": "-",
        "—": "-",
    }
    | {
        "×": "x",
        "→": "->",
        "←": "<-",
        "≤": "<=",
        "≥": ">=",
        "≈": "~",
        "∞": "inf",
        "′": "'",
        "ß": "ss",
        "ø": "o",
        "æ": "ae",
    }
    | {"\n": " ", "\t": " ", "\u00a0": " ", "\u2009": " "}
)
_SPLIT = re.compile(r"[ \n\t]+(?!%|px\b|= )")
"""Where a line may break: not between a number and its unit."""
_SYSTEM_FONTS = ("DejaVuSans.ttf", "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "msyh.ttc", "arial.ttf")

_fonts = threading.local()


@lru_cache(maxsize=1)
def _system_fonts() -> tuple[str, ...]:
    """Paths of those fallback fonts that this machine has."""
    return tuple(path for path in map(_located, _SYSTEM_FONTS) if path)


def _located(name: str) -> str:
    try:
        return str(ImageFont.truetype(name, 12).path)
    except OSError:
        return ""


@lru_cache(maxsize=1)
def _own_font() -> str:
    """The path of DejaVu Sans, '' where it is missing; matplotlib is found without importing it."""
    found = find_spec("matplotlib")
    places = found.submodule_search_locations if found is not None and found.submodule_search_locations else ()
    files = (Path(place) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf" for place in places)
    return next((str(file) for file in files if file.is_file()), "") or _located("DejaVuSans.ttf")


def glyphs() -> frozenset[str]:
    """The characters that are drawn as they are."""
    return _LETTERS if _own_font() else _FEW


def _font(size: int, path: str = "") -> ImageFont.FreeTypeFont:
    path = path or _own_font()
    cache: dict[tuple[int, str], ImageFont.FreeTypeFont] = _fonts.__dict__.setdefault("cache", {})
    if (size, path) not in cache:
        font = ImageFont.truetype(path, size) if path else ImageFont.load_default(size)
        if not isinstance(font, ImageFont.FreeTypeFont):
            raise RuntimeError("this Pillow was built without FreeType and cannot draw text: reinstall it with pip")
        cache[size, path] = font
    return cache[size, path]


def _has(font: ImageFont.FreeTypeFont, character: str) -> bool:
    def drawn(text: str) -> bytes:
        page = Image.new("L", (32, 32))
        ImageDraw.Draw(page).text((4, 4), text, fill=255, font=font)
        return page.tobytes()

    return character.isspace() or drawn(character) != drawn("\uffff")  # which no font has


def _plain(text: str) -> str:
    """`text` in the font's characters as far as it can be: Greek and signs spelt out, accents dropped."""
    known = glyphs()
    spelt = "".join(c if c in known else c.translate(_SPELT) for c in text)
    parts = (c if c in known else unicodedata.normalize("NFKD", c) for c in spelt)
    return "".join(c for part in parts for c in part if not unicodedata.combining(c) and c.isprintable())


@lru_cache(maxsize=4096)
def printable(text: str) -> tuple[str, str]:
    """What to draw for `text`, and the path of the font that can ('' for the usual one).

    >>> printable("smoothed, σ = 3.4 px")
    ('smoothed, σ = 3.4 px', '')
    """
    known, plain = glyphs(), _plain(text)
    foreign = {c for c in plain if c not in known}
    if not foreign:
        return plain, ""
    found = {path: {c for c in foreign if _has(_font(12, path), c)} for path in _system_fonts()}
    path = max(found, key=lambda name: len(found[name]), default="")
    drawable = found.get(path, set()) | known
    return "".join(c if c in drawable else "?" for c in plain), path if found.get(path) else ""


def text_width(text: str, size: int) -> int:
    """Width in pixels of one line of `text` drawn `size` pixels high."""
    drawn, path = printable(text)
    return math.ceil(_font(size, path).getlength(drawn))


def text_widths(texts: Iterable[str], size: int) -> list[int]:
    """Widths in pixels of some lines of text drawn `size` pixels high."""
    return [text_width(text, size) for text in texts]


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
    """`text` broken at spaces into at most `most` lines of at most `width` pixels; the last is shortened to fit.

    No line breaks between a number and its unit, nor at a no-break space.
    """
    lines: list[str] = []
    words = [printable(word)[0] for word in _SPLIT.split(text.strip()) if word]
    while words and len(lines) < most - 1:
        count = 1
        while count < len(words) and text_width(" ".join(words[: count + 1]), size) <= width:
            count += 1
        lines.append(fit(" ".join(words[:count]), size, width))
        words = words[count:]
    return [*lines, fit(" ".join(words), size, width)] if words else lines


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
    drawn, path = printable(line.text)
    # Drawn from the baseline, lines of different fonts and with or without descenders stand level.
    baseline = corner[1] + round(0.98 * line.size)
    ImageDraw.Draw(image).text((corner[0], baseline), drawn, fill=line.colour, font=_font(line.size, path), anchor="ls")


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
