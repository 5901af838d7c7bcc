"""Pictures in a terminal: half blocks in colour, kitty's graphics protocol, sixels."""

from __future__ import annotations

import base64
import io
import os
import struct
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING

from rich.color import Color, ColorSystem

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

WAYS = ("auto", "blocks", "kitty", "sixel")
_KITTY, _SIXEL = ("kitty", "ghostty"), ("foot", "mlterm", "contour", "yaft", "wezterm", "mintty", "iterm.app")
_MULTIPLEXERS = ("tmux", "screen")
_CHUNK = 4096
PIXELS = 8
"""Pixels that a column of the terminal is taken to have, where it does not say."""


def pixels_of(stream: IO[str]) -> int:
    """Pixels that a column of the terminal has, where a picture is sent in pixels: as it says itself, else `PIXELS`.

    Titles stand in columns above pictures, and a picture that is wider than the window is cut off.
    """
    try:
        from fcntl import ioctl
        from termios import TIOCGWINSZ

        _, columns, wide, _ = struct.unpack("HHHH", ioctl(stream.fileno(), TIOCGWINSZ, bytes(8)))
    except (ImportError, AttributeError, OSError, ValueError):  # Windows, or a stream in memory
        return PIXELS
    return wide // columns if columns and wide >= columns else PIXELS


def way_of(environment: Mapping[str, str]) -> str:
    """How a terminal draws pictures, by what it says of itself: kitty, sixel, or blocks, which every one has.

    >>> way_of({"TERM": "xterm-kitty"}), way_of({"TERM": "foot"}), way_of({"TERM": "xterm-256color"})
    ('kitty', 'sixel', 'blocks')
    """
    names = [environment.get(name, "").casefold() for name in ("TERM", "TERM_PROGRAM")]
    if "TMUX" in environment or names[0].startswith(_MULTIPLEXERS):
        return "blocks"  # what is between keeps pictures back
    if "KITTY_WINDOW_ID" in environment or any(known in name for known in _KITTY for name in names):
        return "kitty"
    return "sixel" if any(name.startswith(_SIXEL) for name in names) else "blocks"


def colours_of(environment: Mapping[str, str]) -> ColorSystem:
    """24-bit colours where the terminal says that it has them, else the 256 that nearly all have."""
    true = environment.get("COLORTERM", "").strip().casefold() in ("truecolor", "24bit")
    return ColorSystem.TRUECOLOR if true else ColorSystem.EIGHT_BIT


def drawn(
    picture: Image.Image, columns: int, way: str, environment: Mapping[str, str] = os.environ, pixels: int = PIXELS
) -> str:
    """A picture as what is written to a terminal, lines of half blocks or one escape sequence; so many columns wide.

    Args:
        picture: the picture.
        columns: its width.
        way: of `WAYS`, not auto.
        environment: where the terminal tells its colours.
        pixels: that a column has.
    """
    if way == "blocks":
        return blocks(picture, columns, colours_of(environment))
    picture = picture.resize((columns * pixels, max(1, round(picture.height * columns * pixels / picture.width))))
    return kitty(picture, columns) if way == "kitty" else sixels(picture)


def blocks(picture: Image.Image, columns: int, colours: ColorSystem) -> str:
    """Lines of half blocks, each of which shows two pixels one above the other."""
    rows = max(1, round(picture.height * columns / picture.width / 2))
    small = picture.convert("RGB").resize((columns, 2 * rows))
    at = small.load()
    if at is None:
        raise RuntimeError("the picture has no pixels")
    lines = []
    for row in range(rows):
        cells = (
            f"{_code(at[x, 2 * row], colours, 38)}{_code(at[x, 2 * row + 1], colours, 48)}▀" for x in range(columns)
        )
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)


def _code(pixel: object, colours: ColorSystem, ground: int) -> str:
    red, green, blue = pixel  # type: ignore[misc]
    if colours is ColorSystem.TRUECOLOR:
        return f"\x1b[{ground};2;{red};{green};{blue}m"
    return f"\x1b[{ground};5;{Color.from_rgb(red, green, blue).downgrade(colours).number}m"


def kitty(picture: Image.Image, columns: int) -> str:
    """The sequences that kitty's graphics protocol shows a picture by: a PNG in pieces."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode()
    pieces = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    heads = [f"a=T,f=100,c={columns},q=2,", *[""] * (len(pieces) - 1)]
    more = [1] * (len(pieces) - 1) + [0]
    return "".join(f"\x1b_G{h}m={m};{piece}\x1b\\" for h, m, piece in zip(heads, more, pieces, strict=True))


def sixels(picture: Image.Image) -> str:
    """The sequence that shows a picture as sixels, in up to 255 colours."""
    import numpy as np

    flat = picture.convert("RGB").quantize(255)
    index, palette = np.asarray(flat), flat.getpalette() or []
    used = np.unique(index)
    parts = [f'\x1bPq"1;1;{flat.width};{flat.height}']
    for colour in map(int, used):  # of bytes, whose threefold overflows
        red, green, blue = (round(value * 100 / 255) for value in palette[3 * colour : 3 * colour + 3])
        parts.append(f"#{colour};2;{red};{green};{blue}")
    for top in range(0, flat.height, 6):
        band = index[top : top + 6]
        weights = 1 << np.arange(len(band))[:, None]
        rows = (f"#{colour}{_runs(((band == colour) * weights).sum(axis=0))}" for colour in np.unique(band))
        parts.append("$".join(rows) + "-")
    return "".join(parts) + "\x1b\\"


def _runs(bits: np.ndarray) -> str:
    """A row of sixels, equal ones counted."""
    import numpy as np

    starts = np.concatenate([[0], np.flatnonzero(np.diff(bits)) + 1, [len(bits)]])
    pairs = zip(np.diff(starts), bits[starts[:-1]], strict=True)
    return "".join(f"!{count}{chr(63 + value)}" if count > 3 else chr(63 + value) * count for count, value in pairs)
