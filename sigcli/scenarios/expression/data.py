"""Drawn faces of varied identity and expression, with exact masks of eyes, brows and mouth.

They stand in for the private face data of [SIG]'s expression code task. What a face expresses can be told from its eyes,
brows and mouth alone; everything else is drawn without looking at the expression, so an attribution of an expression
distance that is right lies on those parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from sigcli.errors import UsageError

from ..shapes.outlines import Polygon, circle
from ..shapes.textures import Field, background, noise
from . import face_parts as f
from .face_parts import EXPRESSIONS, Identity, person

NAMES: tuple[str, ...] = tuple(EXPRESSIONS)
PARTS = ("eyes", "brows", "mouth")
JITTER = 0.15
"""Half the range by which the parameters of one expression differ from face to face."""

_FINE = 3  # faces are drawn this many times finer than the picture, then averaged


@dataclass(frozen=True, eq=False)
class Face:
    """One picture and what is known about it.

    Args:
        image: uint8 (H, W, 3), RGB.
        label: index into `NAMES`; -1 for an expression between them.
        expression: (6,) the parameters, see `sigcli.scenarios.expression.face_parts.PARAMETERS`.
        parts: for each of `PARTS` where it covers at least half of the pixel, bool (H, W).
        face: bool (H, W), where the head is.
    """

    image: NDArray[np.uint8]
    label: int
    expression: NDArray[np.float64]
    parts: dict[str, NDArray[np.bool_]]
    face: NDArray[np.bool_]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where any expressive part is, (H, W)."""
        return np.logical_or.reduce([self.parts[name] for name in PARTS])


def draw(
    seed: int, index: int, *, label: int | None = None, identity: int | None = None, free: bool = False, size: int = 96
) -> Face:
    """Draw face `index` of the stream `seed`.

    Args:
        seed: which stream, 0 or more; streams share no person.
        index: which picture of it, 0 or more.
        label: the expression; drawn evenly from all unless given.
        identity: which person of the stream; a person of its own for each picture unless given.
        free: any mixture of expression parameters instead of one of `NAMES`.
        size: side of the picture in pixels, 32 or more.

    Returns:
        the picture, its expression and its masks; the same for the same arguments.

    Raises:
        UsageError: an argument is out of its range.

    >>> face = draw(0, 3, label=NAMES.index("happy"))
    >>> face.image.shape, NAMES[face.label], sorted(face.parts)
    ((96, 96, 3), 'happy', ['brows', 'eyes', 'mouth'])
    """
    if min(seed, index, 0 if identity is None else identity) < 0 or size < 32:
        raise UsageError(
            "a face's seed, index, identity or size is out of range",
            given=f"seed {seed}, index {index}, identity {identity}, size {size}",
            allowed="seed, index and identity from 0, size from 32",
        )
    if label is not None and not 0 <= label < len(NAMES):
        raise UsageError("there is no such expression", given=label, allowed=f"0 to {len(NAMES) - 1}")
    who = person(_random(seed, 1, index if identity is None else identity))
    rng = _random(seed, 2, index)
    drawn = int(rng.integers(len(NAMES)))
    kind = drawn if label is None else label
    expression = np.array(EXPRESSIONS[NAMES[kind]]) + rng.uniform(-JITTER, JITTER, 6)
    expression = rng.uniform(-1.1, 1.1, 6) if free else expression
    return _picture(who, expression, -1 if free else kind, rng, size)


def batch(seed: int, indices: Iterable[int], *, free: bool = False, size: int = 96) -> Sequence[Face]:
    """Several faces of one stream."""
    return [draw(seed, index, free=free, size=size) for index in indices]


def _random(*parts: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(parts)))


class _Canvas:
    """A finer picture (S, S, 3) on black, with its opacity; polygons in face coordinates are painted onto it."""

    def __init__(self, size: int, place: tuple[float, float], scale: float, tilt: float):
        self.side = size * _FINE
        self.place, self.scale = np.array(place) * _FINE, scale * _FINE
        self.turn = np.array([(np.cos(tilt), np.sin(tilt)), (-np.sin(tilt), np.cos(tilt))])
        self.image = Image.new("RGB", (self.side, self.side))
        self.opacity = self.layer()
        self.pen = ImageDraw.Draw(self.image)

    def layer(self) -> Image.Image:
        """An empty mask at the finer size."""
        return Image.new("L", (self.side, self.side))

    def points(self, polygon: Polygon) -> list[tuple[float, float]]:
        """Corners of a polygon in finer pixels."""
        return [(x, y) for x, y in (polygon @ self.turn * self.scale + self.place).tolist()]

    def paint(self, polygons: Sequence[Polygon], tone: Field, *masks: Image.Image) -> None:
        """Fill polygons with a colour (3,) in 0..1, and with 255 in masks."""
        pens = [ImageDraw.Draw(mask) for mask in (self.opacity, *masks)]
        for polygon in polygons:
            points = self.points(polygon)
            self.pen.polygon(points, fill=_tone(tone))
            for pen in pens:
                pen.polygon(points, fill=255)

    def inside(self, polygon: Polygon, tone: Field, within: Polygon) -> None:
        """Fill what of a polygon lies within another one."""
        edge = np.array(self.points(within))
        low, high = np.floor(edge.min(0)).astype(int), np.ceil(edge.max(0)).astype(int) + 1
        masks = []
        for outline in (np.array(self.points(polygon)), edge):
            masks.append(Image.new("1", (int(high[0] - low[0]), int(high[1] - low[1]))))
            ImageDraw.Draw(masks[-1]).polygon([(x, y) for x, y in (outline - low).tolist()], fill=1)
        self.image.paste(_tone(tone), (int(low[0]), int(low[1])), ImageChops.logical_and(*masks))


def _tone(tone: Field) -> tuple[int, int, int]:
    red, green, blue = (int(v) for v in np.clip(np.asarray(tone) * 255, 0, 255))
    return red, green, blue


def _picture(who: Identity, expression: NDArray[np.float64], label: int, rng: np.random.Generator, size: int) -> Face:
    place = (size * rng.uniform(0.44, 0.56), size * rng.uniform(0.46, 0.54))
    canvas = _Canvas(size, place, size * rng.uniform(0.36, 0.42), np.deg2rad(rng.uniform(-9, 9)))
    face = _head(canvas, who)
    parts = _expressive(canvas, who, expression)
    _glasses(canvas, who)
    behind, _ = background(rng, size)
    light = 0.86 + 0.28 * noise(rng, size, (2, 2))
    front, opacity = _coarse(canvas.image)[..., :3] * light[..., None], _coarse(canvas.opacity)
    picture = behind * (1 - opacity) + front  # the finer picture is black where nothing is drawn
    picture = 255 * picture + rng.normal(0, rng.uniform(0, 4), picture.shape[:2])[..., None] + 0.5
    masks = {name: _coarse(mask)[..., 0] >= 0.5 for name, mask in parts.items()}
    return Face(np.clip(picture, 0, 255).astype(np.uint8), label, expression, masks, _coarse(face)[..., 0] >= 0.5)


def _coarse(image: Image.Image) -> Field:
    """A finer picture averaged to the picture's size, (H, W, channels) in 0..1."""
    small = image.resize((image.width // _FINE, image.height // _FINE), Image.Resampling.BOX)
    values = np.asarray(small, dtype=np.float32) / 255
    return values if values.ndim == 3 else values[..., None]


def _head(canvas: _Canvas, who: Identity) -> Image.Image:
    """All that is drawn without looking at the expression; returns where the head is."""
    neck = np.array([(-0.3, 0.7), (0.3, 0.7), (0.36, 1.5), (-0.36, 1.5)])
    face = canvas.layer()
    canvas.paint(f.hair_behind(who), who.locks)
    canvas.paint([circle(0, 1.62, 1.05, height=0.5)], who.cloth)
    canvas.paint([neck], who.skin * 0.82)
    canvas.paint(f.ears(who), who.skin * 0.9)
    canvas.paint([f.head(who)], who.skin, face)
    canvas.paint([circle(x, y, 0.017, points=8) for x, y in who.freckles], who.skin * 0.78)
    canvas.paint([f.nose(who)], who.skin * 0.85)
    canvas.paint(f.hair_before(who), who.locks)
    return face


def _expressive(canvas: _Canvas, who: Identity, expression: NDArray[np.float64]) -> dict[str, Image.Image]:
    """Eyes, brows and mouth; returns where they are."""
    masks = {name: canvas.layer() for name in PARTS}
    for side in (-1, 1):
        ball, at = f.eye(who, expression, side), side * who.apart
        canvas.paint([ball], np.array((0.96, 0.96, 0.94)), masks["eyes"])
        canvas.inside(circle(at, who.level, 0.62 * who.eye, points=24), who.iris, ball)
        canvas.inside(circle(at, who.level, 0.32 * who.eye, points=16), np.full(3, 0.04), ball)
        canvas.paint([f.lid(who, expression, side)], who.skin * 0.3, masks["eyes"])
        canvas.paint([f.brow(who, expression, side)], who.locks * 0.7, masks["brows"])
    outer, inner = f.mouth(who, expression)
    canvas.paint([outer], who.lip, masks["mouth"])
    canvas.paint([inner], np.array((0.3, 0.06, 0.08)), masks["mouth"])
    if expression[1] > -0.5:
        teeth = np.minimum(inner, (np.inf, float(inner[:, 1].min()) + 0.06))
        canvas.inside(teeth, np.array((0.95, 0.94, 0.9)), inner)
    return masks


def _glasses(canvas: _Canvas, who: Identity) -> None:
    """Thin rims around the eyes: part of who it is, beside what it expresses."""
    if not who.glasses:
        return
    for side in (-1, 1):
        outer = circle(side * who.apart, who.level, who.glasses)
        inner = circle(side * who.apart, who.level, who.glasses - 0.025)
        canvas.paint([np.concatenate((outer, outer[:1], inner[:1], inner[::-1]))], who.rim)
    half = who.apart - who.glasses
    bridge = np.array([(-half, -0.012), (half, -0.012), (half, 0.012), (-half, 0.012)])
    bridge[:, 1] += who.level
    canvas.paint([bridge], who.rim)
