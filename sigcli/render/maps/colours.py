"""Colour tables: diverging red/blue for signed maps, sequential green for uncertainty, computed in OKLab.

OKLab (Ottosson, 2020) is a space in which equal distances look equally different, so a table walked at constant speed
there shows equal steps of value as equal steps of colour.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

HALF = 256
"""Entries on each side of zero: a diverging table has `2 * HALF + 1` rows, a sequential one `HALF + 1`."""

# Control colours from zero outward as (lightness, chroma, hue in degrees), in OKLCh. Both arms share their lightness,
# so that equally strong evidence for and against prints equally dark, also in greyscale and to a colour-blind reader.
_LIGHTNESS = (1.0, 0.86, 0.70, 0.56, 0.43, 0.34)
_RED = ((0.0, 0.075, 0.15, 0.195, 0.165, 0.13), (45.0, 42.0, 33.0, 26.0, 22.0, 20.0))
_BLUE = ((0.0, 0.065, 0.12, 0.145, 0.13, 0.11), (228.0, 231.0, 240.0, 250.0, 256.0, 259.0))
_ORANGE = ((0.0, 0.065, 0.125, 0.125, 0.10, 0.08), (72.0, 70.0, 64.0, 58.0, 54.0, 52.0))
_PURPLE = ((0.0, 0.06, 0.12, 0.17, 0.17, 0.14), (308.0, 306.0, 303.0, 300.0, 298.0, 297.0))
_TEAL = ((0.0, 0.06, 0.10, 0.095, 0.075, 0.06), (190.0, 190.0, 191.0, 193.0, 196.0, 198.0))
_BROWN = ((0.0, 0.05, 0.095, 0.10, 0.085, 0.07), (78.0, 76.0, 70.0, 64.0, 60.0, 58.0))
_GREEN = ((0.0, 0.055, 0.10, 0.11, 0.085, 0.065), (165.0, 165.0, 167.0, 170.0, 175.0, 180.0))

_LMS_FROM_LAB = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]]
)
_RGB_FROM_LMS = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def oklab_from_srgb(colours: np.ndarray) -> np.ndarray:
    """Convert sRGB colours (..., 3) in 0..255 to OKLab (..., 3), whose first axis is lightness in 0..1.

    >>> oklab_from_srgb(np.array([255, 255, 255])).round(3).tolist()
    [1.0, 0.0, 0.0]
    """
    unit = np.asarray(colours, dtype=np.float64) / 255
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    lms = np.cbrt(linear @ np.linalg.inv(_RGB_FROM_LMS).T)
    return lms @ np.linalg.inv(_LMS_FROM_LAB).T + 0.0


def _srgb_from_oklab(lab: np.ndarray) -> np.ndarray:
    """OKLab (N, 3) to sRGB bytes (N, 3), clipped to the gamut."""
    linear = np.clip((lab @ _LMS_FROM_LAB.T) ** 3 @ _RGB_FROM_LMS.T, 0, 1)
    unit = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * unit).astype(np.uint8)


def _arms(*arms: tuple[tuple[float, ...], tuple[float, ...]]) -> list[np.ndarray]:
    """Arms of a table, each (HALF + 1, 3) bytes from white outward, walked together at constant (mean) OKLab speed.

    Walked together, arms keep the same lightness at the same distance from zero.
    """
    from scipy.interpolate import PchipInterpolator  # long to import, and not always needed

    knots, fine = np.linspace(0, 1, len(_LIGHTNESS)), np.linspace(0, 1, 4097)
    curves = []
    for chroma, degrees in arms:
        angle = np.deg2rad(degrees)
        control = np.stack([np.array(_LIGHTNESS), chroma * np.cos(angle), chroma * np.sin(angle)], axis=1)
        curves.append(PchipInterpolator(knots, control)(fine))
    speed = np.mean([np.linalg.norm(np.diff(curve, axis=0), axis=1) for curve in curves], axis=0)
    length = np.concatenate([[0.0], np.cumsum(speed)])
    even = np.linspace(0, length[-1], HALF + 1)
    return [_srgb_from_oklab(np.stack([np.interp(even, length, axis) for axis in curve.T], axis=1)) for curve in curves]


def _frozen(table: np.ndarray) -> np.ndarray:
    table.setflags(write=False)
    return table


@lru_cache(maxsize=1)
def diverging() -> np.ndarray:
    """The table for signed maps, (2 * HALF + 1, 3) bytes: deep blue (against), white at the middle, deep red (for).

    >>> diverging()[HALF].tolist()
    [255, 255, 255]
    """
    blue, red = _arms(_BLUE, _RED)
    return _frozen(np.concatenate([blue[:0:-1], red]))


@lru_cache(maxsize=4)
def diverging_of(name: str) -> np.ndarray:
    """The table of two other hues, (2 * HALF + 1, 3) bytes, made like `diverging`: 'orange-purple' or 'teal-brown'."""
    positive, negative = {"orange-purple": (_ORANGE, _PURPLE), "teal-brown": (_TEAL, _BROWN)}[name]
    below, above = _arms(negative, positive)
    return _frozen(np.concatenate([below[:0:-1], above]))


@lru_cache(maxsize=1)
def sequential() -> np.ndarray:
    """The table for magnitudes such as a standard error, (HALF + 1, 3) bytes: white at 0 to deep green.

    >>> sequential().shape
    (257, 3)
    """
    return _frozen(_arms(_GREEN)[0])
