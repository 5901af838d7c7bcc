"""`--show`: the image, its maps and the model's answers in the terminal."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import unknown
from ..names import printable
from .graphics import WAYS, drawn, pixels_of, way_of

if TYPE_CHECKING:
    from PIL import Image

    from ..attribution.explanation import Explanation
    from .command import Screen

_MOST = 8
"""Images that are shown; a terminal of hundreds is no gallery."""
_PANEL, _LEAST, _GAP, _BAR = 32, 20, 2, 20  # columns


class Show:
    """Keeps the pictures of the first explanations while a command runs, and shows them at its end.

    Args:
        way: of `WAYS`; None where nothing is shown.
        screen: whose console it is shown on. In a pipe and beside --json nothing is shown; one line says so.
        cmap: colours of the maps.

    Raises:
        UsageError: no such way.
    """

    def __init__(self, way: str | None, screen: Screen, cmap: str, environment: Mapping[str, str] = os.environ):
        self._screen, self._cmap, self._environment = screen, cmap, environment
        self._images: dict[str, list[Explanation]] = {}
        self._panels: dict[str, list[tuple[str, Image.Image]]] = {}
        self._more: set[str] = set()
        if way is not None and way not in WAYS:
            raise unknown("value of --show", way, WAYS)
        why = self._why_not(way)
        if way is not None and why:
            screen.say(f"note: --show shows no pictures {why}.")
        self._way = None if why else way_of(environment) if way == "auto" else way

    def _why_not(self, way: str | None) -> str:
        """Why nothing can be shown; empty where it can."""
        if self._screen.as_json:
            return "beside --json"
        if not self._screen.console.is_terminal or self._environment.get("TERM") == "dumb":
            return "where there is no terminal that shows colours"
        plain = way == "blocks" or (way == "auto" and way_of(self._environment) == "blocks")
        return "while NO_COLOR is set" if plain and self._environment.get("NO_COLOR") else ""

    def take(self, item: Explanation) -> None:
        """One explanation is finished: its map is drawn while it is in memory."""
        if self._way is None or item.status != "ok":
            return
        if item.image not in self._panels and len(self._panels) == _MOST:
            self._more.add(item.image)
            return
        panels = self._panels.setdefault(item.image, [])
        if not panels and item.picture is not None:
            from PIL import Image

            panels.append((item.image, Image.fromarray(item.picture)))
        if (made := _map(item, self._cmap)) is not None:
            panels.append((item.name or item.method, made))
        self._images.setdefault(item.image, []).append(item.light())

    def end(self) -> None:
        """Show what was kept."""
        for image, panels in self._panels.items():
            self._rows(panels)
            for line in bars(self._images[image][0]):
                self._screen.say(line)
            self._screen.say("")
        if self._more:
            self._screen.say(f"… and {len(self._more)} more images in the run folder.")

    def _rows(self, panels: list[tuple[str, Image.Image]]) -> None:
        """Panels beside each other, as many as the window takes."""
        width = self._screen.console.width - 1
        columns = min(_PANEL, max((width + _GAP) // len(panels) - _GAP, _LEAST))
        each = max((width + _GAP) // (columns + _GAP), 1)
        for start in range(0, len(panels), each):
            some = panels[start : start + each]
            titles = (" " * _GAP).join(printable(title)[-columns:].ljust(columns) for title, _ in some)
            self._screen.say(titles.rstrip(), "bold")
            self._write(self._drawn([picture for _, picture in some], columns))

    def _drawn(self, pictures: list[Image.Image], columns: int) -> str:
        if self._way == "blocks":
            parts = [drawn(picture, columns, "blocks", self._environment).split("\n") for picture in pictures]
            rows = max(map(len, parts))
            parts = [[*lines, *[" " * columns] * (rows - len(lines))] for lines in parts]
            return "\n".join((" " * _GAP).join(row) for row in zip(*parts, strict=True))
        pixels = pixels_of(self._screen.console.file)
        whole = _joined(pictures, columns * pixels, _GAP * pixels)
        wide = columns * len(pictures) + _GAP * (len(pictures) - 1)
        return drawn(whole, wide, self._way or "", self._environment, pixels)

    def _write(self, text: str) -> None:
        stream = self._screen.console.file
        stream.write(text + "\n")
        stream.flush()


def _joined(pictures: list[Image.Image], width: int, gap: int) -> Image.Image:
    """Pictures of one width beside each other, on white."""
    from PIL import Image

    sized = [one.convert("RGB").resize((width, max(1, round(one.height * width / one.width)))) for one in pictures]
    whole = Image.new("RGB", (len(sized) * (width + gap) - gap, max(one.height for one in sized)), "white")
    for place, one in enumerate(sized):
        whole.paste(one, (place * (width + gap), 0))
    return whole


def _map(item: Explanation, cmap: str) -> Image.Image | None:
    """The map in colours, as pictures show it; None of what is no picture, and of what is nowhere."""
    from ..attribution.drawing import Drawing, Page
    from ..attribution.sheets import with_values
    from ..views import DEFAULT, parse

    item = with_values(item)
    if item.picture is None or item.values is None:
        return None
    view = parse(item.view) if item.view else DEFAULT
    return Page(item, Drawing(view=view, cmap=cmap)).bare()


def bars(item: Explanation) -> list[str]:
    """The likeliest classes as bars; nothing where the outputs have no probabilities."""
    from ..attribution.predictions import percent

    width = max((len(one.name) for one in item.predictions), default=0)
    return [
        f"{one.name:<{width}}  {_bar(one.probability):<{_BAR}}  {percent(one.probability)}" for one in item.predictions
    ]


def _bar(share: float) -> str:
    """A bar in eighths of a column.

    >>> _bar(0.5), _bar(0.03), _bar(0)
    ('██████████', '▋', '')
    """
    eighths = round(share * _BAR * 8)
    return "█" * (eighths // 8) + ["", *"▏▎▍▌▋▊▉"][eighths % 8]
