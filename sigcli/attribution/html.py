"""An explanation as a notebook shows it: its sheet, with a caption that can be read aloud. Self-contained HTML."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from PIL import Image

from ..errors import SigError
from .sheets import plot_sheet

if TYPE_CHECKING:
    from .explanation import Explanation

_SIDE, _QUALITY = 1200, 85
_LARGEST = 130_000
"""Bytes of the picture; it and the caption stay below 200 kB once encoded."""
_SHOWN = 12
_SHRUNK = 47
"""Width in a notebook, as a percentage: panels of all sheets are equally large then."""


def html_of(item: Explanation) -> str:
    """One explanation: what the model saw and the map in one sheet, with target, score, gap and standard error below."""
    if item.status != "ok":
        return f"<p><b>{escape(item.method)}</b>, {escape(item.image)}: failed. {escape(item.error)}</p>"
    try:
        drawn = item.plot() if item.picture is None else plot_sheet([item], None, "own")
    except SigError as error:
        return f"<p>{escape(repr(item))}<br>{escape(str(error))}</p>"
    shown = _figure(drawn, f"{item.image}: " + ("map" if item.picture is None else "what the model saw, and the map"))
    caption = "<br>".join(map(escape, (f"{item.image} · {item.method}", *item.facts())))
    note = f"<br>note: {escape(item.note)}" if item.note else ""
    return f'<figure style="margin:0 0 1em 0">{shown}<figcaption>{caption}{note}</figcaption></figure>'


def html_of_all(items: Sequence[Explanation], notes: Sequence[str]) -> str:
    """Several explanations, the first of them in full, and what is noted of the run."""
    told = "".join(f"<p>note: {escape(note)}</p>" for note in notes)
    more = len(items) - _SHOWN
    rest = f"<p>and {more} more: show one with found[{_SHOWN}]</p>" if more > 0 else ""
    return told + "".join(html_of(item) for item in items[:_SHOWN]) + rest


def _figure(picture: Image.Image, words: str) -> str:
    data = base64.b64encode(_encoded(picture)).decode()
    style = f"width:{picture.width * _SHRUNK // 100}px;max-width:100%"
    return f'<img alt="{escape(words)}" style="{style}" src="data:image/jpeg;base64,{data}">'


def _encoded(picture: Image.Image) -> bytes:
    """A JPEG of at most `_LARGEST` bytes: smaller and smaller until it fits."""
    side = _SIDE
    while True:
        small = picture.convert("RGB")
        small.thumbnail((side, side))
        stream = io.BytesIO()
        small.save(stream, "JPEG", quality=_QUALITY)
        if len(stream.getvalue()) <= _LARGEST or side < 64:
            return stream.getvalue()
        side = side * 3 // 4
