"""The data of a page as JSON, and the script that holds them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..files import write_aside

Card = dict[str, Any]
Data = dict[str, Any]
"""See `sigcli.gallery.cards.page_data`."""
_NAME = "SIG_PAGE"
_AROUND = 3
"""Parts of the script that are no cards."""
_PICTURE = re.compile(r'"(?:photo|map|over|(?P<large>lphoto|lmap|lover))":"(?P<name>[0-9a-f]{16})"')
json_of = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
"""JSON in ASCII without spaces; its numbers are finite, see `sigcli.gallery.tables`."""


def data_script(data: Mapping[str, Any]) -> Iterator[str]:
    """The data as a script that only assigns JSON, in ASCII, part by part: pages opened from disk may load a script and
    not a file.

    The JSON stands in a text, which browsers read four times as fast as the same object written in JavaScript. Nothing in it
    ends that text or the script.
    """
    yield f'window.{_NAME} = JSON.parse(\'{{"cards":['
    for number, card in enumerate(data["cards"]):
        yield _harmless(f"{',' if number else ''}{json_of(card)}")
    rest = json_of({name: value for name, value in data.items() if name != "cards"})  # complete once the cards are made
    yield _harmless(f"],{rest[1:]}" if rest != "{}" else "]}")
    yield "');\n"


def _harmless(text: str) -> str:
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return text.replace("\\", "\\\\").replace("'", "\\'")


def write_script(file: Path, data: Mapping[str, Any]) -> tuple[int, set[str]]:
    """Write the script with the data; returns how many cards there are, and which small pictures they show."""
    parts, pictures = 0, set[str]()

    def write(aside: Path) -> None:
        nonlocal parts
        with aside.open("w", encoding="utf-8", newline="") as stream:
            for part in data_script(data):
                stream.write(part)
                pictures.update(found["name"] for found in _PICTURE.finditer(part))
                parts += 1

    write_aside(file, write)
    return parts - _AROUND, pictures


def pictures_of(cards: Iterable[Card], *, large: bool = True) -> set[str]:
    """Names of the pictures that cards of a page show, with those of the large view or without."""
    found = (one for card in cards for one in _PICTURE.finditer(json_of(card)))
    return {one["name"] for one in found if large or one["large"] is None}
