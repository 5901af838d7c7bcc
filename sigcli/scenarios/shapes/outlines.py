"""The twelve kinds of object that the `shapes` scenario draws, as polygons in the unit circle (x right, y down).

Adding a kind is one function here and one line in `OUTLINES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Polygon = NDArray[np.float64]


@dataclass(frozen=True)
class Outline:
    """What one object covers.

    Args:
        fills: polygons (k, 2) whose union is the object, before the holes.
        holes: polygons cut out of it.
        details: polygons inside it that are painted in a second tone (an eye, a door); they belong to the object.
        tilt: the largest rotation, in degrees, at which a person still sees the same thing.
    """

    fills: list[Polygon]
    holes: list[Polygon] = field(default_factory=list)
    details: list[Polygon] = field(default_factory=list)
    tilt: float = 180.0


def circle(x: float, y: float, radius: float, *, height: float | None = None, points: int = 40) -> Polygon:
    """An ellipse around (x, y) as a polygon of `points` corners; `height` is its second half axis."""
    angle = np.linspace(0.0, 2 * np.pi, points, endpoint=False)
    return np.stack((x + radius * np.cos(angle), y + (height or radius) * np.sin(angle)), axis=1)


def box(left: float, top: float, right: float, bottom: float) -> Polygon:
    """An upright rectangle as a polygon."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=np.float64)


def blob(rng: np.random.Generator, roughness: float = 0.25) -> Polygon:
    """A smooth lump without a name, of radius about 1; the distractors are made of it."""
    angle = np.linspace(0.0, 2 * np.pi, 28, endpoint=False)
    radius = np.ones_like(angle)
    for wave in (2, 3):
        radius += roughness * rng.uniform(0.3, 1.0) / wave * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    return np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1)


def arrow(rng: np.random.Generator) -> Outline:
    """A head and a shaft, in any direction."""
    shaft, neck, head = rng.uniform(0.17, 0.23), rng.uniform(-0.02, 0.15), rng.uniform(0.62, 0.74)
    half = [(1.0, 0.0), (neck, head), (neck, shaft), (-0.98, shaft)]
    return Outline([np.array(half + [(x, -y) for x, y in reversed(half[1:])])])


def crescent(rng: np.random.Generator) -> Outline:
    """A disc with a smaller disc bitten out of its side."""
    bite = rng.uniform(0.76, 0.86)
    return Outline([circle(0, 0, 1.0, points=56)], holes=[circle(rng.uniform(0.42, 0.5), 0, bite, points=56)])


def cross(rng: np.random.Generator) -> Outline:
    """Two bars of one length at a right angle."""
    arm = rng.uniform(0.2, 0.3)
    return Outline([box(-0.94, -arm, 0.94, arm), box(-arm, -0.94, arm, 0.94)])


def fish(rng: np.random.Generator) -> Outline:
    """A body, a tail and a fin, with an eye."""
    height = rng.uniform(0.42, 0.52)
    angle = np.linspace(0, np.pi, 24)
    upper = np.stack((-0.28 + 0.72 * np.cos(angle), -height * np.sin(angle) ** 1.15), axis=1)
    body = np.concatenate((upper, upper[::-1] * (1, -1)))
    tail = np.array([(0.2, 0.0), (0.58, -0.22), (1.0, -0.56), (0.84, 0.0), (1.0, 0.56), (0.58, 0.22)])
    fin = np.array([(-0.45, -0.8 * height), (0.05, -height - 0.28), (0.2, -0.6 * height)])
    gill = np.array([(-0.5, -0.24), (-0.42, 0.0), (-0.5, 0.24), (-0.34, 0.0)])
    return Outline([body, tail, fin], details=[circle(-0.7, -0.12, 0.085, points=14), gill], tilt=30)


def flower(rng: np.random.Generator) -> Outline:
    """Five to seven petals around a middle of another tone."""
    petals = int(rng.integers(5, 8))
    width = {5: 0.38, 6: 0.34, 7: 0.29}[petals]
    fills = [circle(0, 0, 0.34)]
    for turn in np.arange(petals) * 2 * np.pi / petals:
        petal = circle(0.6, 0, 0.4, height=width, points=28)
        fills.append(petal @ np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))]))
    return Outline(fills, details=[circle(0, 0, rng.uniform(0.25, 0.31))])


def heart(rng: np.random.Generator) -> Outline:
    """A heart, point down."""
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return Outline([np.stack((x / 17.0, -(y + 2.5) / 16.5 * rng.uniform(0.92, 1.05)), axis=1)], tilt=35)


def house(rng: np.random.Generator) -> Outline:
    """Walls, a roof with eaves and a chimney; a door and a window."""
    wall, eaves, top = rng.uniform(0.52, 0.6), rng.uniform(0.78, 0.88), rng.uniform(-0.12, 0.0)
    roof = np.array([(-eaves, top), (0.0, -0.92), (eaves, top)])
    side = 1 if rng.random() < 0.5 else -1
    chimney = np.sort(np.array([0.36, 0.58]) * side)
    door = np.sort(np.array([0.08, 0.38]) * side)
    window = np.sort(np.array([-0.4, -0.1]) * side)
    details = [box(door[0], 0.3, door[1], 0.84), box(window[0], 0.2, window[1], 0.48)]
    return Outline(
        [box(-wall, top - 0.05, wall, 0.84), roof, box(chimney[0], -0.88, chimney[1], top)], details=details, tilt=12
    )


def lightning(rng: np.random.Generator) -> Outline:
    """A bolt of three strokes."""
    bend = rng.uniform(-0.05, 0.05)
    corners = [(0.22, -0.98), (-0.5, 0.12 + bend), (-0.06, 0.1 + bend), (-0.26, 0.98), (0.52, -0.2), (0.1, -0.2)]
    return Outline([np.array([*corners, (0.46, -0.98)])], tilt=28)


def ring(rng: np.random.Generator) -> Outline:
    """A disc with a round hole in its middle."""
    return Outline([circle(0, 0, 0.96, points=60)], holes=[circle(0, 0, rng.uniform(0.5, 0.66), points=48)])


def spiral(rng: np.random.Generator) -> Outline:
    """A band of two and a bit turns, tapering inward."""
    turns = rng.uniform(2.0, 2.4)
    t = np.linspace(0.0, 1.0, 90)
    radius, angle = 0.06 + 0.82 * t, 2 * np.pi * turns * t
    half = (0.06 + 0.05 * t) * rng.uniform(0.95, 1.15)
    ray = np.stack((np.cos(angle), np.sin(angle)), axis=1)
    outer, inner = ray * (radius + half)[:, None], ray * (radius - half)[:, None]
    end = ray[-1] * radius[-1]
    cap = circle(float(end[0]), float(end[1]), float(half[-1]), points=14)
    return Outline([np.concatenate((outer, inner[::-1])), cap])


def star(rng: np.random.Generator) -> Outline:
    """Five or six points."""
    points = 5 if rng.random() < 0.75 else 6
    angle = np.arange(2 * points) * np.pi / points - np.pi / 2
    radius = np.where(np.arange(2 * points) % 2 == 0, 1.0, rng.uniform(0.4, 0.5) + 0.06 * (points == 6))
    return Outline([np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1)])


def triangle(rng: np.random.Generator) -> Outline:
    """Three corners, nearly of equal sides."""
    angle = np.array([-90.0, 30.0, 150.0]) + rng.uniform(-9, 9, 3)
    return Outline([np.stack((np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))), axis=1)])


OUTLINES: dict[str, Callable[[np.random.Generator], Outline]] = {
    made.__name__: made
    for made in (arrow, crescent, cross, fish, flower, heart, house, lightning, ring, spiral, star, triangle)
}
