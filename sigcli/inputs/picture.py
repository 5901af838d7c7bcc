"""A decoded picture: its pixels, and the key that random draws follow."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

_ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a picture upright, by its EXIF orientation."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One decoded image.

    Args:
        path: where it came from.
        pixels: uint8 array (H, W, 3), RGB, upright; float32 of any shape where a sample of features was read, and
            (C, H, W) where a program gave the network's input itself.
        key: 64-bit number that depends on shape and pixels only, so random draws follow the content and not the
            file's name or format.
        facts: what was assumed of its file, in the words of `conversion`.
    """

    path: Path
    pixels: np.ndarray
    key: int
    facts: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        high, wide = self.pixels.shape[-2:] if self.pixels.dtype.kind == "f" else self.pixels.shape[:2]
        return high, wide


def content_key(pixels: np.ndarray) -> int:
    """A 64-bit number from the shape and bytes of a uint8 array.

    >>> import numpy as np
    >>> content_key(np.zeros((2, 3, 3), np.uint8)) == content_key(np.zeros((3, 2, 3), np.uint8))
    False
    """
    digest = hashlib.blake2b(np.asarray(pixels.shape, "<i8").tobytes(), digest_size=8)
    digest.update(np.ascontiguousarray(pixels).data.cast("B") if pixels.size else b"")
    return int.from_bytes(digest.digest(), "little")


def doubt(pixels: np.ndarray) -> str:
    """What is strange about the values of a picture; empty where nothing is.

    >>> import numpy as np
    >>> doubt(np.eye(3, dtype=np.uint8)), doubt(255 * np.eye(3, dtype=np.uint8))
    ('its pixels are only 0 and 1 of 255, as of a picture in 0..1 whose fractions were cut off', '')
    """
    if pixels.dtype == np.uint8 and pixels.max(initial=0) == 1:
        return "its pixels are only 0 and 1 of 255, as of a picture in 0..1 whose fractions were cut off"
    return ""


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; a damaged EXIF block is no reason to refuse intact pixels."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  the EXIF parser raises all sorts of exceptions on broken bytes
        return 1
    return found if isinstance(found, int) and found in TURNS else 1


def upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation."""
    return turned(image, orientation(image))


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """An image brought upright that has an EXIF orientation, 1 to 8."""
    return image if orientation == 1 else image.transpose(TURNS[orientation])
