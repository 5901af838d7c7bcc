"""Pairs of drawn faces, and where a map of their distance lies."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from ...models.model import Model
from ...models.networks import expression as network
from .data import NAMES, Face, draw

_STREAM = 2**21  # beside those that the network was trained and chosen on


def faces(seed: int, number: int) -> tuple[Face, Face]:
    """The two faces of a pair, of different persons; even pairs have one expression, odd ones two.

    >>> one, other = faces(0, 4)
    >>> one.label == other.label, faces(0, 5)[0].label == faces(0, 5)[1].label
    (True, False)
    """
    stream = _STREAM + 2 * seed
    first = draw(stream, number)
    if number % 2 == 0:
        return first, draw(stream + 1, number, label=first.label)
    return first, draw(stream + 1, number, label=(first.label + 1 + number // 2 % (len(NAMES) - 1)) % len(NAMES))


def separated(model: Model, seed: int, count: int) -> float:
    """Fraction of fresh pairs that the network rightly calls the same or different, by the threshold it was bundled with."""
    _, threshold = network.load()
    right = 0
    for number in range(count):
        pair = faces(seed, 1_000_000 + number)
        x = torch.stack([model.preprocess(face.image) for face in pair]).to(model.device)
        with torch.no_grad():
            one, other = model.module(x)
        right += (float((one - other).norm()) <= threshold) == (pair[0].label == pair[1].label)
    return right / count


def shares_of(values: np.ndarray, face: Face, margin: int = 0) -> dict[str, float]:
    """Where an attribution (H, W) lies: on the parts (of all, and of what is positive), outside the head, on each part.

    Parts are widened by `margin` pixels. A map without positive values has no positive fraction.
    """
    size, positive = np.abs(values), values.clip(min=0)
    parts = {name: widened(part, margin) for name, part in face.parts.items()}
    every = widened(face.mask, margin)
    total = max(float(size.sum()), np.finfo(float).tiny)
    found = {
        "share": float(size[every].sum()) / total,
        "outside_face": float(size[~(face.face | every)].sum()) / total,
        **{name: float(size[part].sum()) / total for name, part in parts.items()},
    }
    if positive.any():
        found["positive_share"] = float(positive[every].sum() / positive.sum())
    return found


def widened(mask: np.ndarray, margin: int) -> np.ndarray:
    """A mask with so many pixels more at its edge."""
    return ndimage.binary_dilation(mask, iterations=margin) if margin else mask
