"""One map as a picture: alone, over its photograph, or as an uncertainty, with title, colour bar and caption."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from PIL import Image, ImageDraw

from ...files import write_aside
from .colours import sequential
from .layout import BODY, GREY, INK, MARGIN, SMALL, TITLE, Line, Spacing, captioned, stack, wrapped
from .legend import ENDS, colour_bar
from .outline import outlined
from .paint import checked, checked_limit, overlay, paint, shown_size, symmetric_limit
from .palette import DEFAULT, Palette

if TYPE_CHECKING:  # what checks types while Python 3.10 runs knows none such
    from typing_extensions import Unpack

_FRAME = (205, 205, 205)
_SPACING = Spacing(rise=6, above=4, below=10, foot=MARGIN - 6)
_LEAST_WIDTH = 380  # a narrow map still has room for its title and scale


def framed(image: Image.Image) -> Image.Image:
    """The picture with a hairline around it, so that a white map has an edge."""
    out = image.copy()
    ImageDraw.Draw(out).rectangle((0, 0, out.width - 1, out.height - 1), outline=_FRAME)
    return out


def _figure(body: Image.Image, bar: Image.Image, title: str, caption: str) -> Image.Image:
    """Title, picture, colour bar and caption one under another on white; the title's first line is large."""
    width = bar.width
    first, *rest = title.splitlines() or [""]
    above = wrapped([Line(first, TITLE, INK), *(Line(line, BODY, GREY) for line in rest)], width, 2)
    below = wrapped([Line(line, SMALL, GREY) for line in caption.splitlines()], width)
    return captioned(stack([framed(body), bar], centred=True), above, below, _SPACING)


class Dress(TypedDict, total=False):
    """What stands around a map, and how it is shown."""

    limit: float | None
    """Where the scale ends; by default the 99.5th percentile of |value|, see `symmetric_limit`."""
    title: str
    """First line large (method, target, score), further lines small."""
    caption: str
    """Small grey lines below; `describe` says what was smoothed and clipped."""
    unit: str
    """Of the colour bar, for example 'logit per pixel'."""
    scale: float | None
    """Magnification; by default the shorter side is shown at 448 pixels or more."""
    blocky: bool
    """Show pixels as squares, for maps that are constant on each player."""
    ends: tuple[str, str]
    """The words of the colour bar for blue and red."""
    turned: bool
    """Positive values are blue, and negative ones red: for maps whose positive values speak against the score."""
    region: np.ndarray | None
    """(H, W) bool, outlined: the part of the image that the score is of."""
    palette: Palette
    """The colours; red and blue by default."""


def map_image(values: np.ndarray, **dress: Unpack[Dress]) -> Image.Image:
    """A signed map in red (for) and blue (against), with title, colour bar and caption.

    Args:
        values: the map (H, W), in `unit`.
        dress: see `Dress`.

    Raises:
        ValueError: the map is not (H, W), or holds NaN or infinity.

    >>> map_image(np.zeros((28, 28)), title="ig", unit="logit").width
    496
    """
    return _dressed(checked(values), paint, dress)


def overlay_image(picture: np.ndarray, values: np.ndarray, **dress: Unpack[Dress]) -> Image.Image:
    """The same map over its photograph, which turns grey; colour is the more opaque, the larger |value|.

    Args:
        picture: uint8 (h, w, 3), (h, w, 1) or (h, w), of the map's field of view; another size is brought to the map's.
        values: the map (H, W), in `unit`.
        dress: see `Dress`.

    Raises:
        ValueError: the map is not (H, W) or holds NaN or infinity, or the picture is not uint8.
    """
    return _dressed(checked(values), partial(overlay, picture), dress, over=True)


def uncertainty_image(stderr: np.ndarray, **dress: Unpack[Dress]) -> Image.Image:
    """A map of standard errors (H, W) from white (certain) to deep green, with the decorations of `map_image`.

    Args:
        stderr: (H, W), in `unit`.
        dress: see `Dress`; `ends` and `turned` have no meaning here.

    Raises:
        ValueError: the map is not (H, W), holds NaN or infinity, or a value below 0.
    """
    array = checked(stderr)
    if array.min() < 0:
        raise ValueError(f"a standard error cannot be negative, the map holds {array.min():g}")
    return _dressed(array, paint, dress, signed=False)


def _dressed(
    array: np.ndarray, draw: Callable[..., Image.Image], dress: Dress, *, signed: bool = True, over: bool = False
) -> Image.Image:
    """A checked map as a picture with its decorations."""
    limit, turned = dress.get("limit"), signed and dress.get("turned", False)
    limit = symmetric_limit(array) if limit is None else checked_limit(limit)
    size = shown_size(array.shape, scale=dress.get("scale"))
    width = max(size[0], _LEAST_WIDTH)
    ends, unit = dress.get("ends", ENDS), dress.get("unit", "")
    table = dress.get("palette", DEFAULT).table(array, turned=turned) if signed else sequential()
    scale = colour_bar(limit, unit, width, signed=signed, over=over, ends=ends, turned=turned, table=table)
    body = draw(-array if turned else array, limit, size, blocky=dress.get("blocky", False), table=table)
    body = outlined(body, dress.get("region"))
    return _figure(body, scale, dress.get("title", ""), dress.get("caption", ""))


def save_png(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a PNG aside (in the same folder) and rename it, so that `path` never holds half a file.

    Raises:
        OSError: the folder is missing or cannot be written; nothing is left behind.
    """
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(Path(path).parent))
    # Run lengths alone: a quarter of the time of the default search for repeats, files less than a tenth larger.
    write_aside(Path(path), lambda aside: image.save(aside, format="PNG", compress_level=4, compress_type=zlib.Z_RLE))
