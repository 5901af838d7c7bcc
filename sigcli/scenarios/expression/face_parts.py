"""The parts of a drawn face as polygons in its own coordinates: x right, y down, the face about one unit high either way.

Who somebody is (`Identity`) and what the face does (an expression, six numbers in -1..1) are apart: the outline, hair, ears
and nose look at the identity only; eyes, brows and mouth look at both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..shapes.outlines import Polygon, circle
from ..shapes.textures import Field, Rng, colour

PARAMETERS = ("mouth curve", "mouth opening", "mouth width", "brow angle", "brow height", "eye opening")
"""What an expression is made of, each -1..1. A mouth curve of 1 smiles; a brow angle of 1 frowns, inner ends down."""

EXPRESSIONS: dict[str, tuple[float, ...]] = {
    "neutral": (0.0, -1.0, 0.0, 0.0, 0.0, 0.1),
    "happy": (1.0, 0.2, 0.8, 0.0, 0.2, -0.2),
    "sad": (-1.0, -1.0, -0.4, -0.9, 0.1, -0.5),
    "angry": (-0.6, -0.8, 0.0, 1.0, -0.9, 0.2),
    "surprised": (0.0, 1.0, -0.8, -0.1, 1.0, 1.0),
    "afraid": (-0.6, 0.1, 0.5, -1.0, 0.8, 0.9),
    "sleepy": (0.1, -1.0, -0.2, -0.3, -0.2, -1.0),
}

_SKINS = ((255, 224, 196), (241, 194, 155), (224, 172, 128), (198, 134, 92), (141, 85, 54), (96, 58, 40))
_HAIRS = ((28, 22, 20), (60, 38, 24), (110, 70, 36), (196, 152, 84), (150, 60, 30), (150, 150, 152), (225, 215, 195))
_IRISES = ((70, 45, 30), (60, 105, 150), (70, 120, 80), (110, 115, 120))


@dataclass(frozen=True, eq=False)
class Identity:
    """What makes one person look unlike another; none of it tells an expression.

    Args:
        width: half width of the face.
        jaw: how far the chin narrows, 0..1.
        squareness: exponent of the outline.
        eye: half width of an eye.
        apart: distance of an eye from the middle.
        level: height of the eyes.
        nose: its length and half width.
        mouth: its half width and height.
        lips: thickness of the lips.
        brow: half length and thickness of a brow.
        ear: size of the ears.
        hair: style, 0..4.
        glasses: radius of their rims, 0 for none.
        freckles: (k, 2) places.
        skin: RGB 0..1, and so on for `locks`, `iris`, `lip`, `cloth`, `rim`.
    """

    width: float
    jaw: float
    squareness: float
    eye: float
    apart: float
    level: float
    nose: tuple[float, float]
    mouth: tuple[float, float]
    lips: float
    brow: tuple[float, float]
    ear: float
    hair: int
    glasses: float
    freckles: NDArray[np.float64]
    skin: Field
    locks: Field
    iris: Field
    lip: Field
    cloth: Field
    rim: Field


def person(rng: Rng) -> Identity:
    """A person drawn at random."""
    tone = rng.random() * (len(_SKINS) - 1)
    low = int(tone)
    skin = _shade(_SKINS[low]) * (1 - tone + low) + _shade(_SKINS[min(low + 1, len(_SKINS) - 1)]) * (tone - low)
    locks = _shade(_HAIRS[int(rng.integers(len(_HAIRS)))]) * rng.uniform(0.8, 1.15)
    eye = rng.uniform(0.125, 0.165)
    spots = rng.uniform((-0.45, 0.02), (0.45, 0.3), (int(rng.integers(6, 14)) if rng.random() < 0.2 else 0, 2))
    return Identity(
        width=rng.uniform(0.68, 0.86),
        jaw=rng.uniform(0.08, 0.38),
        squareness=rng.uniform(2.0, 2.7),
        eye=eye,
        apart=rng.uniform(0.27, 0.36),
        level=rng.uniform(-0.13, -0.03),
        nose=(rng.uniform(0.16, 0.28), rng.uniform(0.06, 0.11)),
        mouth=(rng.uniform(0.22, 0.29), rng.uniform(0.47, 0.55)),
        lips=rng.uniform(0.035, 0.06),
        brow=(rng.uniform(0.14, 0.18), rng.uniform(0.035, 0.06)),
        ear=rng.uniform(0.1, 0.18),
        hair=int(rng.integers(5)),
        glasses=eye + rng.uniform(0.04, 0.06) if rng.random() < 0.2 else 0.0,
        freckles=spots,
        skin=skin.clip(0, 1),
        locks=locks.clip(0, 1),
        iris=_shade(_IRISES[int(rng.integers(len(_IRISES)))]),
        lip=(skin * (0.82, 0.5, 0.5) * rng.uniform(0.85, 1.1) + (0.08, 0, 0)).clip(0, 1),
        cloth=colour(rng, (0.2, 0.8), (0.25, 0.9)),
        rim=colour(rng, (0.0, 0.6), (0.05, 0.35)),
    )


def head(who: Identity) -> Polygon:
    """The outline of the face: a superellipse that narrows towards the chin."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    x, y = (np.sign(v) * np.abs(v) ** (2 / who.squareness) for v in (np.cos(angle), np.sin(angle)))
    return np.stack((who.width * x * (1 - who.jaw * np.clip(y, 0, 1) ** 1.5), 0.98 * y), axis=1)


def hair_behind(who: Identity) -> list[Polygon]:
    """Hair behind the head: long at the sides, or a mass of curls."""
    if who.hair == 2:
        return [circle(0, 0.1, who.width + 0.16, height=1.16), _box(who.width + 0.16, 0.1, 1.2)]
    if who.hair == 3:
        turns = np.linspace(np.pi * 0.95, np.pi * 2.05, 11)
        return [circle((who.width + 0.06) * np.cos(t), -0.25 + 0.85 * np.sin(t), 0.24) for t in turns]
    return []


def hair_before(who: Identity) -> list[Polygon]:
    """Hair over the forehead, which always leaves the brows free."""
    if who.hair == 0:
        return []
    line = {1: -0.62, 2: -0.66, 3: -0.6, 4: -0.6}[who.hair]
    outline = head(who) * 1.04
    cap = outline[outline[:, 1] < line + 0.04]
    cap = cap[np.argsort(np.arctan2(-cap[:, 1], cap[:, 0]))]
    left, right = cap[:, 0].min(), cap[:, 0].max()
    across = np.linspace(left, right, 16)
    bend = (across - left) / (right - left)
    dip = {1: 0.1 * np.sin(bend * np.pi), 2: 0.3 * np.abs(bend - 0.5), 3: 0.05 * np.cos(bend * 18), 4: 0.22 * bend}
    edge = line - 0.1 + dip[who.hair] * (1 if who.hair != 1 else -1)
    return [np.concatenate((cap, np.stack((across, edge), axis=1)))]


def ears(who: Identity) -> list[Polygon]:
    """Both ears, at the height of the eyes."""
    return [circle(side * (who.width + 0.02), who.level + 0.08, 0.6 * who.ear, height=who.ear) for side in (-1, 1)]


def nose(who: Identity) -> Polygon:
    """The shadow of the nose."""
    length, half = who.nose
    top, end = who.level + 0.08, who.level + 0.1 + length
    return np.array(
        [(0.0, top), (half, end), (0.6 * half, end + 0.035), (-0.6 * half, end + 0.035), (-half * 0.4, end)]
    )


def eye(who: Identity, expression: NDArray[np.float64], side: int) -> Polygon:
    """The opening of one eye; `side` is -1 for the left one and 1 for the right one."""
    height = who.eye * (0.16 + 0.84 * (expression[5] + 1) / 2)
    return circle(side * who.apart, who.level, who.eye, height=height, points=36)


def lid(who: Identity, expression: NDArray[np.float64], side: int) -> Polygon:
    """The dark line of the upper lid."""
    edge = eye(who, expression, side)
    upper = edge[edge[:, 1] <= who.level + 1e-9]
    upper = upper[np.argsort(upper[:, 0])]
    return np.concatenate((upper - (0, 0.03), upper[::-1]))


def brow(who: Identity, expression: NDArray[np.float64], side: int) -> Polygon:
    """One brow: a bent bar above the eye."""
    half, thick = who.brow
    t = np.linspace(-1, 1, 9)  # from the inner end to the outer one
    x = side * (who.apart + 0.01 + half * t)
    slope = -0.085 * expression[3] * t
    y = who.level - 0.235 - 0.075 * expression[4] + slope - 0.025 * (1 - t**2)
    width = thick * (0.62 - 0.3 * t)
    return np.concatenate((np.stack((x, y - width), axis=1), np.stack((x, y + width), axis=1)[::-1]))


def mouth(who: Identity, expression: NDArray[np.float64]) -> tuple[Polygon, Polygon]:
    """The lips' outer edge, and the opening between them."""
    curve, opening, wide = expression[0], (expression[1] + 1) / 2, expression[2]
    half, level = who.mouth[0] * (1 + 0.28 * wide), who.mouth[1]
    t = np.linspace(-1, 1, 21)
    bow = 1 - t**2
    middle = level + 0.05 * curve - 0.15 * curve * t**2
    upper, lower = middle - 0.05 * opening * bow, middle + 0.22 * opening * bow
    lip = who.lips * (0.25 + 0.75 * np.sqrt(bow))
    outer = np.concatenate(
        (
            np.stack((half * 1.06 * t, upper - lip), axis=1),
            np.stack((half * 1.06 * t, lower + 1.15 * lip), axis=1)[::-1],
        )
    )
    inner = np.concatenate((np.stack((half * t, upper), axis=1), np.stack((half * t, lower), axis=1)[::-1]))
    return outer, inner


def _box(half: float, top: float, bottom: float) -> Polygon:
    return np.array([(-half, top), (half, top), (half, bottom), (-half, bottom)])


def _shade(rgb: tuple[int, int, int]) -> Field:
    return np.array(rgb, dtype=np.float64) / 255
