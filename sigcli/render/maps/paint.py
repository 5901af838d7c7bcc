"""From attributions to colours: summed channels, smoothing, the shared clip, a map painted alone or over a picture."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image

from .colours import HALF, diverging, sequential
from .palette import tints

PERCENTILE = 99.5
"""Where |value| is clipped unless told otherwise: a handful of single pixels must not make the rest of a map white."""


def checked(values: np.ndarray) -> np.ndarray:
    """A map (H, W), float32 or float64, or `ValueError` where it has another shape or holds NaN or infinity."""
    array = np.asarray(values)
    array = array if array.dtype == np.float64 else array.astype(np.float32)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"a map to draw must have shape (H, W), got {array.shape}; sum channels with reduce_channels")
    broken = int(array.size - np.count_nonzero(np.isfinite(array)))
    if broken:
        raise ValueError(f"the map holds NaN or infinity at {broken} of {array.size} pixels and cannot be drawn")
    return array


def checked_limit(limit: float) -> float:
    """The end of a scale, or `ValueError` where it is negative, NaN or infinite."""
    if not (limit >= 0 and np.isfinite(limit)):
        raise ValueError(f"the limit of a scale must be finite and 0 or more, got {limit:g}")
    return float(limit)


def reduce_channels(values: np.ndarray) -> np.ndarray:
    """Sum an attribution (C, H, W) over channels to (H, W), float64; a sum keeps completeness, a norm would not.

    >>> reduce_channels(np.ones((3, 2, 2))).tolist()
    [[3.0, 3.0], [3.0, 3.0]]
    """
    if np.ndim(values) != 3:
        raise ValueError(f"an attribution must have shape (C, H, W), got {np.shape(values)}")
    return np.asarray(values).sum(axis=0, dtype=np.float64)


def smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """A map (H, W) under a Gaussian of `sigma` pixels, mirrored at the edge so that its sum stays; 0 leaves it be."""
    if sigma < 0:
        raise ValueError(f"the smoothing must be 0 or more pixels, got {sigma:g}")
    array = checked(values)
    if sigma == 0:
        return array
    from scipy import ndimage  # long to import, and not always needed

    return ndimage.gaussian_filter(array, sigma, mode="reflect", truncate=3.0)


def symmetric_limit(maps: np.ndarray | Iterable[np.ndarray], percentile: float = PERCENTILE) -> float:
    """Where a scale symmetric about 0 ends: the percentile of |value| over all pixels of all maps, 0 if all are zero.

    A map that is zero nearly everywhere would be clipped at 0; its largest value is taken then.

    >>> symmetric_limit([np.array([[0.0, -4.0]]), np.array([[3.0]])], percentile=100)
    4.0
    """
    if not 0 < percentile <= 100:
        raise ValueError(f"the percentile must be above 0 and at most 100, got {percentile:g}")
    each = [maps] if isinstance(maps, np.ndarray) else list(maps)
    if not each:
        return 0.0
    magnitudes = np.concatenate([np.abs(checked(values)).ravel() for values in each])
    limit = float(np.percentile(magnitudes, percentile))
    return limit if limit > 0 else float(magnitudes.max())


def describe(view: str, percentile: float = PERCENTILE) -> str:
    """The caption that says what was done to the map between the array and the picture.

    Args:
        view: the view in words, see `sigcli.views.View.describe`.
        percentile: of |value|, where the colours end.

    >>> describe("smoothed, σ = 3.4 px")
    'channels summed · smoothed, σ = 3.4 px · clipped at the 99.5th percentile of |value|'
    """
    clip = "not clipped" if percentile >= 100 else f"clipped at the {ordinal(percentile)} percentile of |value|"
    return f"channels summed · {view} · {clip}"


def ordinal(value: float) -> str:
    """A percentile as it is read.

    >>> ordinal(99.5), ordinal(91), ordinal(12)
    ('99.5th', '91st', '12th')
    """
    whole = value == int(value) and int(value) // 10 != 1
    return f"{value:g}" + ({1: "st", 2: "nd", 3: "rd"}.get(int(value) % 10, "th") if whole else "th")


def shown_size(
    shape: tuple[int, int], *, least: int = 448, most: int = 1024, scale: float | None = None
) -> tuple[int, int]:
    """(width, height) at which a map (H, W) is shown: enlarged by a whole factor until each side has `least` pixels.

    The longer side stays within `most`; `scale` overrides both.

    >>> shown_size((224, 224)), shown_size((28, 28)), shown_size((3000, 1500))
    ((448, 448), (448, 448), (512, 1024))
    """
    height, width = shape
    factor = scale if scale else max(1, -(-least // min(shape)))
    if not scale and factor * max(shape) > most:
        factor = most / max(shape)
    return max(1, round(width * factor)), max(1, round(height * factor))


def resized(values: np.ndarray, size: tuple[int, int], *, blocky: bool = False) -> np.ndarray:
    """A map (H, W) at `size` (width, height), float32: bicubic, but nearest where pixels are large or mean players."""
    array = np.asarray(values, dtype=np.float32)
    if array.shape == (size[1], size[0]):
        return array
    large = blocky or size[0] >= 6 * array.shape[1]
    method = Image.Resampling.NEAREST if large else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(array).resize(size, method))


def _unit(values: np.ndarray, limit: float) -> np.ndarray:
    """Values over the limit, float32 in -1..1; zeros where the limit is 0."""
    # Divided before the cast: maps of 1e-60 or 1e60 have no float32.
    share = np.clip(checked(values) / limit, -1, 1) if checked_limit(limit) > 0 else np.zeros(np.shape(values))
    return share.astype(np.float32)


def _rows(shares: np.ndarray, lowest: float) -> np.ndarray:
    """Which row of a colour table each share of the limit has; a bicubic enlargement may have overshot 1."""
    return np.rint((np.clip(shares, lowest, 1) - lowest) * HALF).astype(np.int32)


def paint(
    values: np.ndarray, limit: float, size: tuple[int, int], *, signed: bool = True, blocky: bool = False,
    table: np.ndarray | None = None,
) -> Image.Image:  # fmt: skip
    """A map (H, W) as colours at `size` (width, height): diverging over -limit..limit, or sequential over 0..limit.

    Args:
        values: the map.
        limit: where the scale ends.
        size: of the picture, in pixels.
        signed: whether the map has a sign, where no `table` is given.
        blocky: its pixels mean players, and stay squares.
        table: colours, see `sigcli.render.maps.palette`.
    """
    shares = resized(_unit(values, limit), size, blocky=blocky)
    colours = (diverging() if signed else sequential()) if table is None else table
    return Image.fromarray(colours[_rows(shares, _lowest(colours))])


def few_colours(table: np.ndarray) -> np.ndarray:
    """A table of the same length with so few colours that a picture of them can name each in a byte.

    The ends and the middle stay as they are, and no entry moves by more than half of 1/125 of the scale's half.

    >>> small = few_colours(diverging())
    >>> len(small) == len(diverging()), len(np.unique(small, axis=0)), small[HALF].tolist()
    (True, 251, [255, 255, 255])
    """
    last = len(table) - 1
    levels = np.rint(np.linspace(0, _LEVELS, last + 1))
    return table[np.rint(levels * last / _LEVELS).astype(np.int32)]


_LEVELS = 250
"""Steps of a table of few colours; an outline takes two more."""


def _lowest(table: np.ndarray) -> float:
    """The share of the limit at which a table begins."""
    return 0.0 if len(table) == HALF + 1 else -1.0


def as_rgb(picture: np.ndarray) -> Image.Image:
    """A picture (H, W, 3), (H, W, 1) or (H, W) of bytes as an RGB image; `ValueError` for anything else."""
    array = np.asarray(picture)
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise ValueError(f"a picture must be uint8 (H, W, 3) or (H, W), got {array.dtype} {array.shape}")
    return Image.fromarray(array).convert("RGB")


# The photograph stays as it is where the map is near 0, a little paler so that both hues stand out on it. A map of several
# scales is above 0 nearly everywhere: an opacity in proportion to the value would lay a veil over the whole picture.
_TINT = 0.5  # of the photograph's own colour that is left
_FLOOR, _CEILING = 40, 245  # where its black and white go
_STRENGTH, _GAMMA = 0.92, 2.0  # opacity at the limit, and how late it rises
_BESIDE = (190, 190, 190)  # what the colour bar of an overlay is laid on


def _tinted(backdrop: Image.Image, shares: np.ndarray, table: np.ndarray) -> Image.Image:
    """The backdrop under the colours of `shares` (H, W) of the limit, the more opaque, the larger they are."""
    lowest = _lowest(table)
    opacity = np.rint(255 * _STRENGTH * np.abs(np.linspace(lowest, 1, len(table))) ** _GAMMA).astype(np.uint8)
    index = _rows(shares, lowest)
    return Image.composite(Image.fromarray(tints(table)[index]), backdrop, Image.fromarray(opacity[index]))


def overlay(
    picture: np.ndarray, values: np.ndarray, limit: float, size: tuple[int, int], *, blocky: bool = False,
    table: np.ndarray | None = None,
) -> Image.Image:  # fmt: skip
    """A map (H, W) over its picture at `size` (width, height): the picture pale, colour more opaque for more."""
    photo = as_rgb(picture).resize(size, Image.Resampling.BICUBIC)
    pale = Image.blend(photo.convert("L").convert("RGB"), photo, _TINT)
    levels = [round(_FLOOR + (_CEILING - _FLOOR) * level / 255) for level in range(256)]
    shares = resized(_unit(values, limit), size, blocky=blocky)
    return _tinted(pale.point(levels * 3), shares, diverging() if table is None else table)


def scale_strip(
    size: tuple[int, int], *, signed: bool = True, over: bool = False, table: np.ndarray | None = None
) -> Image.Image:
    """The colours of a scale from left to right at `size`, as `paint` draws them or, with `over`, as `overlay` does."""
    colours = (diverging() if signed else sequential()) if table is None else table
    ramp = np.broadcast_to(np.linspace(_lowest(colours), 1, size[0], dtype=np.float32), (size[1], size[0]))
    return _tinted(Image.new("RGB", size, _BESIDE), ramp, colours) if over else paint(ramp, 1.0, size, table=colours)
