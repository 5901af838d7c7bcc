"""An explanation as a notebook shows it: the picture, and the map over it, with a caption. Self-contained HTML."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from PIL import Image

from ..errors import SigError

if TYPE_CHECKING:
    from .explanation import Explanation

_SIDE, _QUALITY = 384, 85
_LARGEST = 60_000
"""Bytes of one picture; two of them and the caption stay below 200 kB once encoded."""
_SHOWN = 12


def html_of(item: Explanation) -> str:
    """One explanation: what the model saw beside the map, with target, score, gap and standard error below."""
    if item.status != "ok":
        return f"<p><b>{escape(item.method)}</b>, {escape(item.image)}: failed. {escape(item.error)}</p>"
    try:
        drawn = item.plot()
    except SigError as error:
        return f"<p>{escape(repr(item))}<br>{escape(str(error))}</p>"
    shown = _figure(drawn, f"{item.image}: map", "max-height:320px")
    if item.picture is not None:
        shown = _figure(Image.fromarray(item.picture), f"{item.image}: what the model saw", "width:220px") + shown
    caption = "<br>".join(map(escape, (f"{item.image} · {item.method}", *item.facts())))
    note = f"<br>note: {escape(item.note)}" if item.note else ""
    return f'<figure style="margin:0 0 1em 0">{shown}<figcaption>{caption}{note}</figcaption></figure>'


def html_of_all(items: Sequence[Explanation], notes: Sequence[str]) -> str:
    """Several explanations, the first of them in full, and what is noted of the run."""
    told = "".join(f"<p>note: {escape(note)}</p>" for note in notes)
    more = len(items) - _SHOWN
    rest = f"<p>and {more} more: show one with found[{_SHOWN}]</p>" if more > 0 else ""
    return told + "".join(html_of(item) for item in items[:_SHOWN]) + rest


def _figure(picture: Image.Image, words: str, size: str) -> str:
    data = base64.b64encode(_encoded(picture)).decode()
    style = f"{size};margin-right:1em;vertical-align:middle"
    return f'<img alt="{escape(words)}" style="{style}" src="data:image/jpeg;base64,{data}">'


def _encoded(picture: Image.Image) -> bytes:
    """A JPEG of at most `_LARGEST` bytes: smaller and smaller until it fits."""
    side = _SIDE * 2
    while True:
        small = picture.convert("RGB")
        small.thumbnail((side, side))
        stream = io.BytesIO()
        small.save(stream, "JPEG", quality=_QUALITY)
        if len(stream.getvalue()) <= _LARGEST or side < 64:
            return stream.getvalue()
        side = side * 3 // 4
