"""One map as a picture: alone, over its photograph, or as an uncertainty, with title, colour bar and caption."""

from __future__ import annotations

import errno
import os
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ...files import write_aside
from .layout import BODY, GREY, INK, MARGIN, SMALL, TITLE, Line, blank, block_height, draw_block, wrap
from .legend import ENDS, colour_bar
from .paint import checked, checked_limit, overlay, paint, shown_size, symmetric_limit

_FRAME = (205, 205, 205)
_LEAST_WIDTH = 380  # a narrow map still has room for its title and scale


def framed(image: Image.Image) -> Image.Image:
    """The picture with a hairline around it, so that a white map has an edge."""
    out = image.copy()
    ImageDraw.Draw(out).rectangle((0, 0, out.width - 1, out.height - 1), outline=_FRAME)
    return out


def _title_lines(title: str, width: int) -> list[Line]:
    """The first line of a title large, on two lines if need be; the others smaller and grey."""
    first, *rest = title.splitlines() or [""]
    lines = [Line(text, TITLE, INK) for text in wrap(first, TITLE, width, 2)]
    return lines + [Line(text, BODY, GREY) for line in rest for text in wrap(line, BODY, width, 2)]


def _figure(body: Image.Image, bar: Image.Image, title: str, caption: str) -> Image.Image:
    """Title, picture, colour bar and caption one under another on white."""
    width = bar.width
    above = _title_lines(title, width)
    below = [Line(text, SMALL, GREY) for line in caption.splitlines() for text in wrap(line, SMALL, width)]
    top = MARGIN - 6 + block_height(above) + (10 if above else 6)
    bar_top = top + body.height + 14
    caption_top = bar_top + bar.height + (10 if below else 0)
    page = blank(width + 2 * MARGIN, caption_top + block_height(below) + MARGIN - 6)
    draw_block(page, (MARGIN, MARGIN - 6), above, width)
    page.paste(framed(body), (MARGIN + (width - body.width) // 2, top))
    page.paste(bar, (MARGIN, bar_top))
    draw_block(page, (MARGIN, caption_top), below, width)
    return page


def map_image(
    values: np.ndarray,
    *,
    limit: float | None = None,
    title: str = "",
    caption: str = "",
    unit: str = "",
    scale: float | None = None,
    blocky: bool = False,
    ends: tuple[str, str] = ENDS,
) -> Image.Image:
    """A signed map in red (for) and blue (against), with title, colour bar and caption.

    Args:
        values: the map (H, W), in `unit`.
        limit: where the symmetric scale ends; by default the 99.5th percentile of |value|, see `symmetric_limit`.
        title: first line large (method, target, score), further lines small.
        caption: small grey lines below; `describe` says what was smoothed and clipped.
        unit: of the colour bar, for example 'logit per pixel'.
        scale: magnification; by default the shorter side is shown at 448 pixels or more.
        blocky: show pixels as squares, for maps that are constant on each player.
        ends: the words of the colour bar for blue and red.

    Raises:
        ValueError: the map is not (H, W), or holds NaN or infinity.

    >>> map_image(np.zeros((28, 28)), title="ig", unit="logit").width
    496
    """
    array = checked(values)
    limit = symmetric_limit(array) if limit is None else checked_limit(limit)
    size = shown_size(array.shape, scale=scale)
    bar = colour_bar(limit, unit, max(size[0], _LEAST_WIDTH), ends=ends)
    return _figure(paint(array, limit, size, blocky=blocky), bar, title, caption)


def overlay_image(
    picture: np.ndarray,
    values: np.ndarray,
    *,
    limit: float | None = None,
    title: str = "",
    caption: str = "",
    unit: str = "",
    scale: float | None = None,
    blocky: bool = False,
    ends: tuple[str, str] = ENDS,
) -> Image.Image:
    """The same map over its photograph, which turns grey; colour is the more opaque, the larger |value|.

    Args:
        picture: uint8 (h, w, 3), (h, w, 1) or (h, w), of the map's field of view; another size is brought to the map's.
        values: the map (H, W), in `unit`.
        limit: as in `map_image`.
        title: as in `map_image`.
        caption: as in `map_image`.
        unit: as in `map_image`.
        scale: as in `map_image`.
        blocky: as in `map_image`.
        ends: as in `map_image`.

    Raises:
        ValueError: the map is not (H, W) or holds NaN or infinity, or the picture is not uint8.
    """
    array = checked(values)
    limit = symmetric_limit(array) if limit is None else checked_limit(limit)
    size = shown_size(array.shape, scale=scale)
    bar = colour_bar(limit, unit, max(size[0], _LEAST_WIDTH), over=True, ends=ends)
    return _figure(overlay(picture, array, limit, size, blocky=blocky), bar, title, caption)


def uncertainty_image(
    stderr: np.ndarray,
    *,
    limit: float | None = None,
    title: str = "",
    caption: str = "",
    unit: str = "",
    scale: float | None = None,
    blocky: bool = False,
) -> Image.Image:
    """A map of standard errors (H, W) from white (certain) to deep green, with the decorations of `map_image`.

    Raises:
        ValueError: the map is not (H, W), holds NaN or infinity, or a value below 0.
    """
    array = checked(stderr)
    if array.min() < 0:
        raise ValueError(f"a standard error cannot be negative, the map holds {array.min():g}")
    limit = symmetric_limit(array) if limit is None else checked_limit(limit)
    size = shown_size(array.shape, scale=scale)
    bar = colour_bar(limit, unit, max(size[0], _LEAST_WIDTH), signed=False)
    return _figure(paint(array, limit, size, signed=False, blocky=blocky), bar, title, caption)


def save_png(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a PNG aside (in the same folder) and rename it, so that `path` never holds half a file.

    Raises:
        OSError: the folder is missing or cannot be written; nothing is left behind.
    """
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(Path(path).parent))
    # Run lengths alone: a quarter of the time of the default search for repeats, files less than a tenth larger.
    write_aside(Path(path), lambda aside: image.save(aside, format="PNG", compress_level=4, compress_type=zlib.Z_RLE))
