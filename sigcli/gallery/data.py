"""The data of a page as JSON, and the script that holds them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_NAME = "SIG_PAGE"
_PICTURE = re.compile(r'"(?:photo|map|over)":"([0-9a-f]{16})"')


def json_of(value: Any) -> str:
    """JSON in ASCII without spaces; its numbers are finite, see `sigcli.gallery.tables`."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def data_script(data: Mapping[str, Any]) -> str:
    """The data as a script that only assigns JSON, in ASCII: pages opened from disk may load a script and not a file.

    The JSON stands in a text, which browsers read four times as fast as the same object written in JavaScript. Nothing in it
    ends that text or the script.
    """
    rest = json_of({name: value for name, value in data.items() if name != "cards"})
    parts = [_harmless(part) for part in (rest[:-1], ',"cards":[', *_cards(data), "]}")]
    return f"window.{_NAME} = JSON.parse('{''.join(parts)}');\n"


def _cards(data: Mapping[str, Any]) -> Iterator[str]:
    """The cards as JSON, a comma before each but the first."""
    for number, card in enumerate(data["cards"]):
        cells = ",".join(cell if isinstance(cell, str) else json_of(cell) for cell in card["cells"])
        known = json_of({name: value for name, value in card.items() if name != "cells"})
        yield f'{"," if number else ""}{known[:-1]},"cells":[{cells}]}}'


def _harmless(text: str) -> str:
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return text.replace("\\", "\\\\").replace("'", "\\'")


def pictures_of(data: Mapping[str, Any]) -> set[str]:
    """Names of the small pictures that the cards of a page show."""
    return {name for card in _cards(data) for name in _PICTURE.findall(card)}
