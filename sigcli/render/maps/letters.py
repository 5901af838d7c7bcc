"""Letters on pictures: which fonts draw what, how wide a text is, and in which direction it runs.

Fonts are cached per thread, because a FreeType face may not be shared.
"""

from __future__ import annotations

import math
import threading
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, features

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

    A character that no font has is told by its number, so different names stay different.

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
    runs = groupby(plain, key=lambda c: c in drawable)
    drawn = "".join("".join(run) if there else _told(run) for there, run in runs)
    return drawn, path if found.get(path) else ""


def _told(characters: Iterable[str]) -> str:
    """The numbers of characters that cannot be drawn.

    >>> _told("🐟")
    '[U+1F41F]'
    """
    return f"[{' '.join(f'U+{ord(character):04X}' for character in characters)}]"


@lru_cache(maxsize=1)
def _direction() -> dict[str, Any]:
    """Lines begin at the left, whatever their first letter; without libraqm Pillow knows no directions."""
    return {"direction": "ltr"} if features.check("raqm") else {}


def ordered(text: str) -> str:
    """A text whose Hebrew or Arabic parts run to the left within themselves and move nothing beside them.

    A mark after each such part keeps numbers that follow to its right. Without libraqm the parts are turned by hand.
    """
    kinds = [] if text.isascii() else [unicodedata.bidirectional(c) in ("R", "AL") for c in text]
    if not any(kinds):
        return text
    parts: list[str] = []
    place = 0
    while place < len(text):
        end = place + 1
        if kinds[place]:
            for other in range(place + 1, len(text)):
                if kinds[other]:
                    end = other + 1
                elif text[other].isalnum():
                    break
        part = text[place:end]
        if kinds[place]:
            part = f"{part}\u200e" if _direction() else part[::-1]
        parts.append(part)
        place = end
    return "".join(parts)


def text_width(text: str, size: int) -> int:
    """Width in pixels of one line of `text` drawn `size` pixels high."""
    drawn, path = printable(text)
    return math.ceil(_font(size, path).getlength(ordered(drawn), **_direction()))


def text_widths(texts: Iterable[str], size: int) -> list[int]:
    """Widths in pixels of some lines of text drawn `size` pixels high."""
    return [text_width(text, size) for text in texts]


def write_text(image: Image.Image, corner: tuple[int, int], text: str, size: int, colour: tuple[int, int, int]) -> None:
    """Write one line with its baseline beginning at `corner`."""
    drawn, path = printable(text)
    ImageDraw.Draw(image).text(
        corner, ordered(drawn), fill=colour, font=_font(size, path), anchor="ls", **_direction()
    )  # fmt: skip
