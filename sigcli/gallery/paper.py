"""The HTML of a page and the script with its data: no request to anywhere, nothing that a name or label could become."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from .data import data_script

SCRIPTS = (
    "dom.js", "words.js", "cards.js", "legend.js", "tiles.js", "list.js", "bars.js", "row.js", "controls.js", "address.js",
    "detail.js", "charts.js", "panels.js", "keys.js", "main.js",
)  # fmt: skip
"""The page's code, in the order in which it is put together."""


def page(title: str, source: str) -> str:
    """The page, whose data are in a script beside it.

    Args:
        title: of the window.
        source: URL of that script, relative to the page.
    """
    return _page(title, f'<script src="{html.escape(source)}"></script>', "'self' file:")


def single_page(title: str, data: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The page with its data and pictures in it.

    Args:
        title: of the window.
        data: see `sigcli.gallery.cards`.
        pictures: name → JPEG.
    """
    inside = {name: f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" for name, jpeg in pictures.items()}
    script = "".join(data_script({**data, "inside": inside}))
    return _page(title, f"<script>{script}</script>", _hash(script), "data:")


def _page(title: str, data: str, source: str, images: str = "'self' file: data:") -> str:
    code, style = _code(), _text("style.css")
    policy = "; ".join((
        "default-src 'none'", f"img-src {images}", f"style-src {_hash(style)}", f"script-src {source} {_hash(code)}",
        "base-uri 'none'", "form-action 'none'",
    ))  # fmt: skip
    filled = {"TITLE": html.escape(title), "POLICY": policy, "STYLE": style, "DATA": data, "CODE": code}
    parts = _text("page.html").split("%%")
    return "".join(filled[part] if number % 2 else part for number, part in enumerate(parts))


@cache
def _code() -> str:
    """The scripts as one, in a function of its own."""
    return "\n(() => {\n'use strict';\n" + "\n".join(map(_text, SCRIPTS)) + "\n})();\n"


@cache
def _text(name: str) -> str:
    return (files("sigcli.gallery") / "page" / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """What the policy calls a script or style that stands in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def title_of(names: Sequence[str]) -> str:
    """The title of a page of these runs."""
    return " and ".join(names) + " · sig"
