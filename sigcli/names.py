r"""Names as they are shown and written: in one way everywhere, on one line, and so that the name can be recovered.

A file system takes any bytes for a name; terminals, tables and JSON do not. What cannot stand there is written as in a
string of Python: `\n`, `\x1b` and the like for control characters, `\xe9` for a byte that is not UTF-8, `\u202e` for marks
that turn the direction of reading, and `\\` for a backslash.
"""

from __future__ import annotations

import os
import re
import unicodedata
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_ESCAPE = re.compile(r"\\(?:\\|n|r|t|x[0-9a-f]{2}|u[0-9a-f]{4})")
_BYTES = range(0xDC80, 0xDD00)  # how Python holds a byte that is not UTF-8
_URI = "file://"
PAGE = "index.html"
"""The page of a run folder."""
GALLERY = "gallery"
"""Folder of what the page shows, within a run folder."""
_THUMBNAIL = re.compile(r"[0-9a-f]{16}\.jpg")


def images_told(count: int) -> str:
    """A number of images in words.

    >>> images_told(1), images_told(1200)
    ('1 image', '1,200 images')
    """
    return f"{count:,} image{'' if count == 1 else 's'}"


def of_page(name: str) -> bool:
    """Whether a file in the folder `GALLERY` is of the page, by its name: its data, a picture, or one begun."""
    return name == "data.js" or is_thumbnail(name) or (name.startswith(".") and name.endswith(".sig.part"))


def is_thumbnail(name: str) -> bool:
    """Whether a file in the folder `GALLERY` is a picture of the page, by its name.

    >>> is_thumbnail("0123456789abcdef.jpg"), is_thumbnail("cat.jpg")
    (True, False)
    """
    return bool(_THUMBNAIL.fullmatch(name))


@lru_cache(maxsize=1024)  # the same names come again for each method of an image
def printable(text: str) -> str:
    r"""Text for a line of a terminal or a cell of a table; a backslash stays.

    >>> print(printable("a\nb\x1b[31m"))
    a\nb\x1b[31m
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_shown, text))


def escaped(name: str) -> str:
    r"""A name as a run writes it; two names stay two, and `original` gives each back.

    >>> print(escaped("caf\udce9.png"), escaped("caf\\xe9.png"), escaped("café.png"))
    caf\xe9.png caf\\xe9.png café.png
    """
    return printable(name.replace("\\", r"\\"))


def original(text: str) -> str:
    r"""The name that `escaped` wrote.

    >>> original(escaped("a\nb\\c\udcff")) == "a\nb\\c\udcff"
    True
    """
    return _ESCAPE.sub(_character, text)


def portable(path: str) -> str:
    r"""An absolute path as UTF-8: itself, or where it has other bytes its file: URI, which every language can read.

    >>> portable("/in/a.png"), portable("/in/caf\udce9.png")
    ('/in/a.png', 'file:///in/caf%E9.png')
    """
    if any(unicodedata.category(c) == "Cs" for c in path):
        return _URI + quote_from_bytes(os.fsencode(path))
    return path


def local(text: str) -> str:
    """The path that `portable` wrote."""
    return os.fsdecode(unquote_to_bytes(text[len(_URI) :])) if text.startswith(_URI) else text


def _shown(c: str) -> str:
    if c in _SHORT:
        return _SHORT[c]
    code, category = ord(c), unicodedata.category(c)
    if code in _BYTES:
        return f"\\x{code - 0xDC00:02x}"
    if category == "Cc" and code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if category in ("Cc", "Cs", "Zl", "Zp") or c in _TURNING else c


def _character(found: re.Match[str]) -> str:
    text = found[0]
    if text[1] in "xu":
        code = int(text[2:], 16)
        return chr(code + 0xDC00) if text[1] == "x" and code >= 0x80 else chr(code)
    return {r"\\": "\\", **{short: c for c, short in _SHORT.items()}}[text]
