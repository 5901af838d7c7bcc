"""Burnt Snacks ([ICG] section 5.1): is there a dark square among light squares and other shapes on a dark ground?

A picture has nine places, each empty or with one shape. Class 1 has one to three squares of lightness 0.25 to 0.5 ("burnt");
class 0 has none. Light squares, and rings, crosses and triangles of any lightness, say nothing about the class. Two things
mislead path methods: interpolation from a dark ground makes light squares pass through the range of dark ones, and the mean
picture is dark. No other shape has a solid square of 6 pixels within it, so that what tells a square is its inside: of solid
discs, only the ground around its corners would, and the right answer would not be the square alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from ... import draws
from ...errors import UsageError

CELL, ACROSS = 10, 3
SIZE = CELL * ACROSS
CLASSES = ("no burnt snack", "burnt snack")
EMPTY, DARK, LIGHT, OTHER = range(4)
DARK_RANGE, LIGHT_RANGE, OTHER_RANGE = (0.25, 0.5), (0.6, 1.0), (0.25, 1.0)
_PER_CELL = 7
_SHARES = (0.40, 0.72)  # of the other places: empty, then light squares, then other shapes
_STROKE = 2  # pixels; of rings and crosses


@dataclass(frozen=True, eq=False)
class Snacks:
    """Pictures and what is known about them.

    Args:
        images: float32 (N, H, W), lightness 0..1.
        labels: (N,) index into `CLASSES`.
        objects: int16 (N, H, W), 0 for the ground, else 1 + the place of the shape that the pixel belongs to.
        kinds: (N, 9) EMPTY, DARK, LIGHT or OTHER at each place.
    """

    images: np.ndarray
    labels: np.ndarray
    objects: np.ndarray
    kinds: np.ndarray

    def pixels(self) -> np.ndarray:
        """The pictures as uint8 (N, H, W)."""
        return np.rint(self.images * 255).astype(np.uint8)


def batch(seed: int, first: int, count: int) -> Snacks:
    """Pictures first..first+count-1 of the stream `seed`, each the same whatever else is asked for.

    Args:
        seed: which stream.
        first: index of the first picture, 0 or more.
        count: how many, 1 or more.

    Raises:
        UsageError: an index below 0 or no picture.

    >>> found = batch(0, 0, 4)
    >>> found.images.shape, bool(((found.kinds == DARK).any(1) == (found.labels == 1)).all())
    ((4, 30, 30), True)
    """
    if first < 0 or count < 1:
        raise UsageError("pictures are numbered from 0, and at least one must be asked for", given=f"{first}, {count}")
    places = ACROSS * ACROSS
    u = draws.rows(draws.stream(seed, "burnt-snacks"), first, count, 2 + places * _PER_CELL)
    labels = (u[:, 0] < 0.5).astype(np.int64)
    kinds = _kinds(u[:, 1], u[:, 2 : 2 + 2 * places].reshape(count, places, 2), labels)
    shapes = u[:, 2 + 2 * places :].reshape(count, places, _PER_CELL - 2)
    light = _lightness(kinds, shapes[..., 0])
    covered = _outlines(kinds, shapes)
    images = _assembled(covered * light[..., None, None])
    objects = _assembled(covered * np.arange(1, places + 1)[None, :, None, None])
    return Snacks(images.astype(np.float32), labels, objects.astype(np.int16), kinds)


def _kinds(u: np.ndarray, cells: np.ndarray, labels: Int64[np.ndarray, " n"]) -> np.ndarray:
    """What is at each place: in class 1 the first one to three places of a random order are dark squares."""
    rank = np.argsort(np.argsort(cells[..., 0], axis=1), axis=1)
    dark = (rank < (1 + (u * 3).astype(int))[:, None]) & (labels == 1)[:, None]
    other = np.select([cells[..., 1] < _SHARES[0], cells[..., 1] < _SHARES[1]], [EMPTY, LIGHT], OTHER)
    return np.where(dark, DARK, other)


def _lightness(kinds: np.ndarray, u: np.ndarray) -> np.ndarray:
    light = np.zeros(kinds.shape)
    for kind, (low, high) in ((DARK, DARK_RANGE), (LIGHT, LIGHT_RANGE), (OTHER, OTHER_RANGE)):
        light = np.where(kinds == kind, low + (high - low) * u, light)
    return light


def _outlines(kinds: np.ndarray, u: np.ndarray) -> Float[np.ndarray, "n p h w"]:
    """1 where the shape of each place is, within its cell: squares of 6 to 9 pixels, other shapes as large."""
    side = 6 + (u[..., 1] * 4).astype(int)
    room = CELL - side
    top, left = ((u[..., i] * (room + 1)).astype(int) for i in (2, 3))
    y, x = np.mgrid[:CELL, :CELL] + 0.5
    y, x = y - top[..., None, None], x - left[..., None, None]
    side = side[..., None, None].astype(float)
    square = (y > 0) & (x > 0) & (y < side) & (x < side)
    shape = np.where((kinds == OTHER)[..., None, None], square & _other(y, x, side, u[..., 4, None, None]), square)
    return np.where((kinds == EMPTY)[..., None, None], 0.0, shape)


def _other(y: np.ndarray, x: np.ndarray, side: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Where a ring, an upright cross or a triangle is, (n, p, h, w): none has a solid square of 6 pixels within it."""
    half = side / 2
    radius = np.hypot(y - half, x - half)
    ring = (radius < half) & (radius >= half - _STROKE)
    cross = np.minimum(np.abs(y - half), np.abs(x - half)) <= _STROKE / 2
    return np.select([u < 1 / 3, u < 2 / 3], [ring, cross], np.abs(x - half) < y / 2)


def _assembled(cells: np.ndarray) -> np.ndarray:
    """(n, 9, 10, 10) → (n, 30, 30)."""
    n = len(cells)
    return cells.reshape(n, ACROSS, ACROSS, CELL, CELL).transpose(0, 1, 3, 2, 4).reshape(n, SIZE, SIZE)
