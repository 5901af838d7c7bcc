"""Pictures of two drawn objects side by side, with the mask of each: what segmentation and detection are tried on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sigcli.errors import UsageError

from .data import CLASSES, distract, place
from .outlines import OUTLINES
from .textures import background


@dataclass(frozen=True)
class Scene:
    """A picture of two objects.

    Args:
        image: uint8 (H, W, 3), RGB.
        labels: indices into `CLASSES`, of the left and the right object.
        masks: bool (2, H, W), True where an object covers at least half of the pixel.
    """

    image: NDArray[np.uint8]
    labels: tuple[int, int]
    masks: NDArray[np.bool_]

    @property
    def boxes(self) -> NDArray[np.int64]:
        """Left, top, right and bottom of each object, (2, 4); right and bottom are the first outside."""
        found = []
        for mask in self.masks:
            rows, columns = np.nonzero(mask)
            found.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        return np.array(found, dtype=np.int64)


def scene(seed: int, index: int, *, among: Sequence[str] = CLASSES, size: int = 128) -> Scene:
    """Draw scene `index` of the stream `seed`: a textured ground and an object in each half.

    Args:
        seed: which stream, 0 or more.
        index: which scene of it, 0 or more.
        among: names of the classes that are drawn.
        size: side of the picture in pixels, 64 or more.

    Raises:
        UsageError: an argument is out of its range.

    >>> found = scene(0, 3)
    >>> found.image.shape, found.masks.shape, bool((found.masks[0] & found.masks[1]).any())
    ((128, 128, 3), (2, 128, 128), False)
    """
    if seed < 0 or index < 0 or size < 64 or not set(among) <= set(CLASSES):
        given = f"seed {seed}, index {index}, size {size}, {', '.join(among)}"
        raise UsageError("a scene cannot be drawn", given=given, allowed=f"size from 64, among {', '.join(CLASSES)}")
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, index, 2))))
    labels = [CLASSES.index(among[int(rng.integers(len(among)))]) for _ in range(2)]
    picture, palette = background(rng, size)
    for _ in range(int(rng.integers(0, 3))):
        distract(rng, picture, palette)
    side, masks = size // 2, np.zeros((2, size, size), bool)
    for number, label in enumerate(labels):
        top, left = int(rng.integers(0, side + 1)), number * side
        window = slice(top, top + side), slice(left, left + side)
        masks[number][window] = place(rng, picture[window], palette, OUTLINES[CLASSES[label]](rng))
    grain = rng.standard_normal(picture.shape[:2], dtype=np.float32) * np.float32(rng.uniform(0.0, 5.0))
    picture = picture * 255 + (grain + np.float32(0.5))[..., None]
    return Scene(np.clip(picture, 0, 255).astype(np.uint8), (labels[0], labels[1]), masks)
