"""The page of a run in the browser of this machine, or where it is."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from ..names import PAGE, printable
from .command import Screen


def say_page(folder: Path | None, screen: Screen) -> None:
    """With --open, open the page of a run folder; say where it is where that cannot be."""
    if not screen.opens:
        return
    page = None if folder is None else Path(folder) / PAGE
    if page is None or not page.is_file():
        screen.say("note: the run has no page to open; leave --no-gallery out, or use sig report.")
        return
    open_page(page.resolve().as_uri(), printable(str(page)), screen)


def open_page(address: str, shown: str, screen: Screen) -> None:
    """Open an address in a browser; say how to open it where this machine has none."""
    try:
        opened = webbrowser.open(address)
    except webbrowser.Error:
        opened = False
    screen.say(f"opened {shown}" if opened else f"note: no browser was found; open {shown}")
