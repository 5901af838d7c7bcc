"""Colours and textures of the `shapes` scenario: everything here is drawn without looking at the class."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.floating[Any]]
Rng = np.random.Generator

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@lru_cache(maxsize=8)
def grid(size: int) -> tuple[Field, Field]:
    """Coordinates x, y of the pixel centres of a square picture, each (size, size) in -1..1; do not write to them."""
    line = (np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0
    x, y = np.meshgrid(line, line)
    x.flags.writeable = y.flags.writeable = False
    return x, y


def noise(rng: Rng, size: int, cells: tuple[int, int]) -> Field:
    """Smooth value noise (size, size) in 0..1 whose lumps number about `cells` (down, across)."""
    coarse = Image.fromarray(rng.random(cells, dtype=np.float32))
    return np.clip(np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC)), 0.0, 1.0)


def clouds(rng: Rng, size: int) -> Field:
    """Noise of three octaves."""
    cells = int(rng.integers(3, 6))
    total = sum(noise(rng, size, (cells * 2**k, cells * 2**k)) * np.float32(0.58 - 0.18 * k) for k in range(3))
    return smooth(np.asarray(total), 0.25, 0.95)


def smooth(values: Field, low: float, high: float) -> Field:
    """Smoothstep: 0 below `low`, 1 above `high`."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def _turned(rng: Rng, size: int) -> tuple[Field, Field]:
    x, y = grid(size)
    angle = rng.uniform(0, 2 * np.pi)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return c * x + s * y, c * y - s * x


def gradient(rng: Rng, size: int) -> Field:
    """One slope from edge to edge."""
    return smooth(_turned(rng, size)[0], -1.2, 1.2)


def glow(rng: Rng, size: int) -> Field:
    """A soft light somewhere in the picture."""
    x, y = grid(size)
    cx, cy = (np.float32(v) for v in rng.uniform(-0.7, 0.7, 2))
    return np.exp(-((x - cx) ** 2 + (y - cy) ** 2) * np.float32(rng.uniform(0.8, 1.6)))


def stripes(rng: Rng, size: int) -> Field:
    """Parallel bands, straight or a little bent."""
    u, _ = _turned(rng, size)
    bend = noise(rng, size, (3, 3)) * np.float32(rng.choice((0.0, 0.35)))
    return smooth(np.sin((u + bend) * np.float32(rng.uniform(12, 34))), -0.6, 0.6)


def checker(rng: Rng, size: int) -> Field:
    """A turned chequerboard."""
    u, v = _turned(rng, size)
    f = np.float32(rng.uniform(9, 22))
    return smooth(np.sin(u * f) * np.sin(v * f), -0.3, 0.3)


def plaid(rng: Rng, size: int) -> Field:
    """Two sets of bands woven together."""
    u, v = _turned(rng, size)
    f, g = (np.float32(k) for k in rng.uniform(9, 26, 2))
    return 0.5 * (smooth(np.sin(u * f), -0.2, 0.5) + smooth(np.sin(v * g), -0.2, 0.5))


def blotches(rng: Rng, size: int) -> Field:
    """Patches with soft edges, like a cow's coat or a camouflage."""
    cells = int(rng.integers(5, 10))
    return smooth(noise(rng, size, (cells, cells)), 0.42, 0.58)


def wood(rng: Rng, size: int) -> Field:
    """Grain along one direction, with fine fibres."""
    _, y = grid(size)
    bent = y * np.float32(rng.uniform(1.5, 3.5)) + 1.6 * noise(rng, size, (4, 2))
    field = 0.5 + 0.32 * np.sin(bent * np.float32(9.0)) + 0.35 * (noise(rng, size, (size // 2, 6)) - 0.5)
    return np.clip(field if rng.random() < 0.5 else field.T, 0.0, 1.0)


def marble(rng: Rng, size: int) -> Field:
    """Veins through folded noise."""
    u, _ = _turned(rng, size)
    folded = u * np.float32(2.0) + 2.2 * noise(rng, size, (4, 4)) + 0.7 * noise(rng, size, (11, 11))
    return np.abs(np.sin(folded * np.float32(3.0))) ** np.float32(0.6)


def dots(rng: Rng, size: int) -> Field:
    """A lattice of small round dots."""
    u, v = _turned(rng, size)
    f = np.float32(rng.uniform(13, 26))
    return smooth(np.cos(u * f) + np.cos(v * f), 0.5, 1.1)


def bricks(rng: Rng, size: int) -> Field:
    """Courses of bricks of varying tone with pale joints."""
    x, y = grid(size)
    rows = float(rng.uniform(4, 7))
    row = np.floor((y + 1) * rows)
    across = (x + 1) * np.float32(rows / 2.2) + 0.5 * (row % 2)
    tones = rng.uniform(0.0, 0.55, (32, 32)).astype(np.float32)
    tone = tones[row.astype(int) % 32, np.floor(across).astype(int) % 32]
    near = np.minimum(_edge((y + 1) * np.float32(rows)), _edge(across) * np.float32(2.2))
    return tone + (1 - tone) * (1 - smooth(near, 0.03, 0.12))


def _edge(t: Field) -> Field:
    part = t - np.floor(t)
    return np.minimum(part, 1 - part)


TEXTURES: tuple[Callable[[Rng, int], Field], ...] = (
    clouds, gradient, glow, stripes, checker, plaid, blotches, wood, marble, dots, bricks,
)  # fmt: skip


def colour(rng: Rng, saturation: tuple[float, float], value: tuple[float, float], hue: float | None = None) -> Field:
    """One RGB colour (3,) in 0..1 from ranges of saturation and value; any hue unless one is given."""
    h = rng.random() if hue is None else hue % 1.0
    return np.array(colorsys.hsv_to_rgb(h, rng.uniform(*saturation), rng.uniform(*value)), dtype=np.float32)


def background(rng: Rng, size: int) -> tuple[Field, Field]:
    """A textured background and the colours it is made of.

    Returns:
        picture (size, size, 3) in 0..1, and its palette (3, 3).
    """
    hue = rng.random()
    sat = (0.2, 0.65) if rng.random() < 0.8 else (0.0, 0.2)
    low, high = ((0.14, 0.34), (0.36, 0.6)) if rng.random() < 0.45 else ((0.6, 0.8), (0.82, 0.98))
    step = rng.choice((0.03, 0.09, 0.5), p=(0.4, 0.4, 0.2))
    palette = np.stack((colour(rng, sat, low, hue), colour(rng, sat, high, hue + step), colour(rng, sat, low, hue)))
    main = TEXTURES[int(rng.integers(len(TEXTURES)))](rng, size) * np.float32(rng.uniform(0.55, 1.0))
    slow = noise(rng, size, (3, 3))
    light = np.float32(0.92) + np.float32(0.16) * slow
    ground = light * (1 - main)
    shares = (ground * (1 - slow), light * main, ground * slow)
    return np.tensordot(np.stack(shares), palette, axes=(0, 0)), palette


def contrast(a: Field, b: Field) -> float:
    """How different two colours look: distance with lightness counted most."""
    difference = a - b
    luma = float(difference @ _LUMA)
    return 1.3 * abs(luma) + 0.45 * float(np.abs(difference - luma).max())


def standing_out(rng: Rng, palette: Field, least: float = 0.42) -> Field:
    """A lively colour (3,) that can be told from every colour of `palette`; the best of eight tries."""
    best, best_gap = palette[0], -1.0
    for _ in range(8):
        kind = rng.random()
        sat, val = ((0.6, 1.0), (0.75, 1.0)) if kind < 0.7 else ((0.0, 0.25), (0.85, 1.0))
        if kind > 0.85:
            sat, val = (0.5, 0.9), (0.2, 0.45)
        tried = colour(rng, sat, val)
        gap = min(contrast(tried, other) for other in palette)
        if gap > best_gap:
            best, best_gap = tried, gap
        if gap >= least:
            break
    return best


def fill(rng: Rng, size: int, main: Field) -> Field:
    """A painted surface (size, size, 3) around the colour `main`: plain, shaded, or with a pattern of its own."""
    second = np.clip(main * np.float32(rng.uniform(0.62, 0.85)) + np.float32(rng.uniform(0.0, 0.08)), 0, 1)
    if rng.random() < 0.3:
        second = np.clip(main + (1 - main) * np.float32(rng.uniform(0.25, 0.5)), 0, 1)
    kind = int(rng.integers(6))
    if kind <= 1:
        pattern = gradient(rng, size)
    elif kind == 2:
        pattern = glow(rng, size)
    elif kind == 3:
        pattern = clouds(rng, size)
    elif kind == 4:
        u, _ = _turned(rng, size)
        pattern = smooth(np.sin(u * np.float32(rng.uniform(9, 16))), -0.5, 0.5)
    else:
        pattern = blotches(rng, size)
    return main + (second - main) * pattern[..., None]
