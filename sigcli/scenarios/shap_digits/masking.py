"""Masking what speaks for one class and not for another: which pixels, and what the network makes of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from ... import draws
from ...engine.failures import attempted
from ...errors import SigError, UsageError
from ...metrics.case import Outputs
from ...metrics.statistics import paired
from ..comparison import told
from ..mnist.data import Digits
from ..mnist.network import tensors
from ..mnist.shared import numbered
from ..network import Prepared
from ..pictures import Explained

FROM, TO = 8, 3
MASKED = 157
"""A fifth of the 784 pixels, as many as are masked at most."""
RANDOM = "(random)"
Maps = Mapping[tuple[str, str, int], Explained]
"""(image, method, class) → the explanation and its map (28, 28)."""


def named_right(made: Prepared, held: Digits, images: int) -> tuple[list[str], Digits]:
    """The first held-out eights that the network calls an 8, which stand in random order, and names for them.

    Raises:
        UsageError: there are fewer than two.
    """
    eights = held.rows(np.nonzero(held.labels == FROM)[0])
    with torch.no_grad():
        right = (made.net(tensors(eights)).argmax(1) == FROM).cpu().numpy() if len(eights) else np.zeros(0, bool)
    chosen = eights.rows(np.nonzero(right)[0][:images])
    if len(chosen) < 2:
        raise UsageError(
            f"the network names fewer than two held-out digits of class {FROM} rightly",
            hint="Train it longer, with --steps.",
        )
    return numbered(len(chosen)), chosen


def ink_players(images: UInt8[np.ndarray, "n h w"]) -> np.ndarray:
    """A label map int64 (H, W): each pixel that is not black in all pictures is a player, all others together are one.

    A pixel that is black is its own baseline, so that coalitions would be spent on it for nothing.
    """
    ink = (images > 0).any(0)
    labels = np.zeros(ink.shape, np.int64)
    labels[ink] = 1 + np.arange(ink.sum())
    return labels


def to_mask(
    difference: Float[np.ndarray, "h w"], image: UInt8[np.ndarray, "h w"], most: int = MASKED
) -> Bool[np.ndarray, "h w"]:
    """Which pixels become black: of those that are not, the ones with the largest positive difference.

    Args:
        difference: what each pixel gives to the class that is, less what it gives to the class that shall be.
        image: the digit, 0 where it is black.
        most: so many at most.

    >>> to_mask(np.array([[3.0, 1.0, -1.0, 9.0]]), np.array([[5, 5, 5, 0]], np.uint8), 1).tolist()
    [[True, False, False, False]]
    """
    gain = np.where(image > 0, difference, 0.0).ravel()
    first = np.argsort(-gain, kind="stable")[:most]
    masked = np.zeros(gain.shape, bool)
    masked[first[gain[first] > 0]] = True
    return masked.reshape(image.shape)


def as_many_at_random(masked: Bool[np.ndarray, "h w"], image: UInt8[np.ndarray, "h w"], key: int) -> np.ndarray:
    """As many pixels that are not black, drawn at random (H, W)."""
    order = np.where(image > 0, draws.rows(key, 0, 1, image.size)[0].reshape(image.shape), np.inf).ravel()
    found = np.zeros(image.size, bool)
    found[np.argsort(order, kind="stable")[: masked.sum()]] = True
    return found.reshape(image.shape)


def changed(
    judge: Outputs, names: Sequence[str], shown: Digits, methods: Sequence[str], found: Maps, *, seed: int
) -> tuple[list[dict[str, Any]], dict[tuple[str, str], np.ndarray]]:
    """A row for each digit and method, and the masked digits uint8 (28, 28) by (image, method).

    The last row of a digit, "(random)", has as many masked pixels as that of the first method that did not fail.
    """
    rows: list[dict[str, Any]] = []
    pictures: dict[tuple[str, str], np.ndarray] = {}
    for number, (name, image) in enumerate(zip(names, shown.images, strict=True)):
        control: np.ndarray | None = None
        for method in (*methods, RANDOM):
            error, masked = "", None
            if method == RANDOM:
                masked = (
                    None if control is None else as_many_at_random(control, image, draws.stream(seed, RANDOM, number))
                )
            else:
                (one, of_from), (other, of_to) = (found[name, method, label] for label in (FROM, TO))
                error = one.error or other.error
                if of_from is not None and of_to is not None:
                    masked = to_mask(of_from - of_to, image)
                    control = masked if control is None else control
            row = {"image": name, "method": method, "masked": None, "change": None, "named": None, "error": error}
            if masked is not None:
                pictures[name, method] = np.where(masked, np.uint8(0), image)
                row |= {"masked": int(masked.sum()), **_change(judge, image, pictures[name, method])}
            rows.append(row)
    return rows, pictures


def _change(judge: Outputs, image: np.ndarray, masked: np.ndarray) -> dict[str, Any]:
    """By how much the log odds fall, and what the network calls the masked digit; or the error that the network raised."""
    both = tensors(Digits(np.stack([image, masked]), np.zeros(2, np.int64)))
    outputs = attempted(lambda: judge.outputs(both).double().cpu().numpy())
    if isinstance(outputs, SigError):
        return {"error": " ".join(str(outputs).split())}
    odds = outputs[:, FROM] - outputs[:, TO]
    return {"change": float(odds[0] - odds[1]), "named": int(outputs[1].argmax())}


class Judge:
    """The network as `Outputs`."""

    def __init__(self, made: Prepared):
        self._net = made.net

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Its logits."""
        with torch.no_grad():
            return self._net(images)


def findings(changes: Mapping[str, Mapping[str, float]], seed: int) -> list[str]:
    """What the table says in words, each sentence from its values."""
    means = {name: float(np.mean(list(found.values()))) for name, found in changes.items() if found and name != RANDOM}
    if not means:
        return []
    best = max(means, key=lambda name: means[name])
    behind = {name: paired(dict(changes[best]), dict(changes[name]), seed=seed) for name in means if name != best}
    level = [name for name, gain in behind.items() if gain.low is None or gain.low <= 0]
    less = [f"{name} (by {gain.mean:.2f})" for name, gain in behind.items() if gain.low is not None and gain.low > 0]
    return [
        f"Farthest from {FROM} towards {TO} goes {best} ({means[best]:.2f} in log odds).",
        *told("Not to be told from it by a paired interval:", level),
        *told("Behind it:", less),
    ]
