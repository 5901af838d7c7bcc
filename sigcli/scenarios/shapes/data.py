"""Pictures of one drawn object over a varied texture, with the exact mask of the object.

What the class is can be told from the object's outline alone: colours, textures, place, size and distractors are drawn
without looking at the class, so an attribution that is right lies on the object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from sigcli.errors import UsageError

from .outlines import OUTLINES, Outline, Polygon, blob, box
from .textures import Field, Rng, background, fill, standing_out

CLASSES: tuple[str, ...] = tuple(OUTLINES)

_FINE = 4  # polygons are drawn this many times finer than the picture, then averaged: smooth edges


@dataclass(frozen=True)
class ShapesPicture:
    """One picture and what is known about it.

    Args:
        image: uint8 (H, W, 3), RGB.
        label: index into `CLASSES`.
        mask: bool (H, W), True where the object covers at least half of the pixel.
    """

    image: NDArray[np.uint8]
    label: int
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class ShapesBatch:
    """Pictures stacked: `images` uint8 (N, H, W, 3), `labels` int64 (N,), `masks` bool (N, H, W)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    masks: NDArray[np.bool_]


def draw(seed: int, index: int, *, label: int | None = None, size: int = 128) -> ShapesPicture:
    """Draw picture `index` of the stream `seed`.

    Args:
        seed: which stream, 0 or more.
        index: which picture of it, 0 or more.
        label: the class to draw; drawn evenly from all classes unless given.
        size: side of the picture in pixels, 32 or more.

    Returns:
        the picture, its class and its mask; the same for the same arguments (another machine may round a grey level
        the other way).

    Raises:
        UsageError: an argument is out of its range.

    >>> picture = draw(0, 7, label=CLASSES.index("star"))
    >>> picture.image.shape, CLASSES[picture.label], bool(picture.mask.any())
    ((128, 128, 3), 'star', True)
    """
    if seed < 0 or index < 0 or size < 32:
        raise UsageError(
            "a picture's seed, index or size is out of range",
            given=f"seed {seed}, index {index}, size {size}",
            allowed="seed and index from 0, size from 32",
        )
    if label is not None and not 0 <= label < len(CLASSES):
        raise UsageError("there is no such class of shapes", given=label, allowed=f"0 to {len(CLASSES) - 1}")
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, index))))
    drawn = int(rng.integers(len(CLASSES)))
    kind = drawn if label is None else label
    picture, palette = background(rng, size)
    for _ in range(int(rng.integers(0, 5))):
        distract(rng, picture, palette)
    # The object comes last: what lies beneath it is drawn without knowing the class.
    mask = place(rng, picture, palette, OUTLINES[CLASSES[kind]](rng))
    grain = rng.standard_normal(picture.shape[:2], dtype=np.float32) * np.float32(rng.uniform(0.0, 5.0))
    picture *= 255
    picture += (grain + np.float32(0.5))[..., None]
    image = np.clip(picture, 0, 255, out=picture).astype(np.uint8)
    return ShapesPicture(image, kind, mask)


def batch(seed: int, indices: Iterable[int], *, size: int = 128) -> ShapesBatch:
    """Draw several pictures of one stream and stack them.

    Args:
        seed: which stream.
        indices: which pictures; at least one.
        size: side of the pictures in pixels.

    Raises:
        UsageError: as `draw`, or no indices.

    >>> batch(0, range(3), size=64).images.shape
    (3, 64, 64, 3)
    """
    pictures = [draw(seed, index, size=size) for index in indices]
    if not pictures:
        raise UsageError("no pictures were asked for", allowed="one index or more")
    return ShapesBatch(
        np.stack([p.image for p in pictures]),
        np.array([p.label for p in pictures], dtype=np.int64),
        np.stack([p.mask for p in pictures]),
    )


def place(rng: Rng, picture: Field, palette: Field, outline: Outline) -> NDArray[np.bool_]:
    """Paint the object into `picture` at a random place, size and rotation; returns its mask."""
    size = picture.shape[0]
    radius = size * rng.uniform(0.125, 0.23)
    centre = rng.uniform(radius + 0.02 * size, 0.98 * size - radius, 2)
    turn = _turn(rng, outline.tilt)
    main = standing_out(rng, palette)
    top_left, side = _window(centre, radius, size)

    def cover(polygons: Sequence[Polygon], holes: Sequence[Polygon] = ()) -> Field:
        return _cover([_moved(p, turn, centre - top_left, radius) for p in polygons], side,
                      [_moved(p, turn, centre - top_left, radius) for p in holes])  # fmt: skip

    coverage = cover(outline.fills, outline.holes)
    surface = fill(rng, side, main)
    surface = _lit(rng, surface, coverage, size)
    if outline.details:
        tone = np.float32(0.25) if main.mean() > 0.45 else np.float32(0.9)
        surface += (tone + 0.15 * main - surface) * 0.85 * cover(outline.details)[..., None]
    surface = _rimmed(rng, surface, coverage, main, size)
    return _paste(picture, surface, coverage, top_left)


def distract(rng: Rng, picture: Field, palette: Field) -> None:
    """Paint something small that is of no class: a lump, a line, a few dots or a rectangle."""
    size = picture.shape[0]
    radius = size * rng.uniform(0.03, 0.06)
    kind = int(rng.integers(4))
    if kind == 0:
        polygons = [blob(rng)]
    elif kind == 1:
        radius = size * rng.uniform(0.06, 0.14)
        polygons = [box(-1.0, -0.07, 1.0, 0.07)]
    elif kind == 2:
        spots = rng.uniform(-0.75, 0.75, (int(rng.integers(2, 6)), 2))
        polygons = [spot + 0.2 * blob(rng, 0.1) for spot in spots]
    else:
        polygons = [box(-0.85, -1.0, 0.85, 1.0) * (1.0, rng.uniform(0.35, 0.9))]
    centre = rng.uniform(0.05 * size, 0.95 * size, 2)
    turn = _turn(rng, 180.0)
    top_left, side = _window(centre, radius * 1.3, size)
    coverage = _cover([_moved(p, turn, centre - top_left, radius) for p in polygons], side, ())
    surface = fill(rng, side, standing_out(rng, palette))
    _paste(picture, surface, coverage * np.float32(rng.uniform(0.75, 1.0)), top_left)


def _turn(rng: Rng, tilt: float) -> NDArray[np.float64]:
    """A random rotation of at most `tilt` degrees with a little squeeze, and a mirror half of the time: (2, 2)."""
    angle = np.deg2rad(rng.uniform(-tilt, tilt))
    mirror = 1.0 if rng.random() < 0.5 else -1.0
    squeeze = np.diag((mirror * rng.uniform(0.86, 1.0), rng.uniform(0.9, 1.0)))
    return squeeze @ np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])


def _moved(polygon: Polygon, turn: NDArray[np.float64], centre: NDArray[np.float64], radius: float) -> Polygon:
    return polygon @ turn * radius + centre


def _window(centre: NDArray[np.float64], radius: float, size: int) -> tuple[NDArray[np.int64], int]:
    """The square of pixels around an object: its first row and column as (x, y), and its side."""
    side = min(size, int(np.ceil(2 * radius)) + 6)
    return np.clip(np.round(centre - side / 2), 0, size - side).astype(np.int64), side


def _cover(polygons: Sequence[Polygon], side: int, holes: Sequence[Polygon]) -> Field:
    """The share of each pixel (side, side) that the polygons without the holes cover."""
    canvas = Image.new("L", (side * _FINE, side * _FINE), 0)
    pen = ImageDraw.Draw(canvas)
    for polygons_of_one_tone, tone in ((polygons, 255), (holes, 0)):
        for polygon in polygons_of_one_tone:
            pen.polygon([tuple(p) for p in (polygon * _FINE - 0.5).tolist()], fill=tone)
    return np.asarray(canvas.reduce(_FINE), dtype=np.float32) / 255


def _blurred(coverage: Field, radius: float) -> Field:
    picture = Image.fromarray(np.rint(coverage * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(picture, dtype=np.float32) / 255


def _lit(rng: Rng, surface: Field, coverage: Field, size: int) -> Field:
    """The surface with light from one side, as if its edge were rounded."""
    soft = _blurred(coverage, 0.014 * size)
    down, across = np.gradient(soft)
    angle = rng.uniform(-np.pi, 0)
    strength = rng.uniform(0.3, 1.0) * 0.022 * size
    return surface * (1 + strength * (np.cos(angle) * -across + np.sin(angle) * -down)[..., None])


def _rimmed(rng: Rng, surface: Field, coverage: Field, main: Field, size: int) -> Field:
    """The surface with a thin dark or light rim inside its outline, in six pictures of ten."""
    style = rng.random()
    if style > 0.6:
        return surface
    rim = np.clip((1 - _blurred(coverage, 0.008 * size)) * 2.2, 0, 1)
    tone = main * np.float32(0.35) if style < 0.4 else 0.3 * main + np.float32(0.7)
    return surface + (tone - surface) * np.float32(0.75) * rim[..., None]


def _paste(picture: Field, surface: Field, coverage: Field, top_left: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Lay the surface over `picture` (which is changed) and return where it covers half of a pixel or more."""
    side = coverage.shape[0]
    rows, columns = (slice(int(first), int(first) + side) for first in top_left[::-1])
    under = picture[rows, columns]
    under += (np.clip(surface, 0, 1) - under) * coverage[..., None]
    mask = np.zeros(picture.shape[:2], dtype=bool)
    mask[rows, columns] = coverage >= 0.5
    return mask
