"""The outline of a region on a picture: what a score is of, where it is not of the whole image."""

from __future__ import annotations

import numpy as np
from PIL import Image

_LINE, _HALO = (20, 20, 20), (255, 255, 255)
_LEAST = 7
"""A region is shown at least so many pixels wide and high."""


def outlined(image: Image.Image, region: np.ndarray | None) -> Image.Image:
    """A picture with the outline of a region in black between white lines, which shows on light and on dark.

    Args:
        image: RGB, of any size.
        region: (H, W) bool over all of the picture, at another resolution; None for no outline.

    >>> corner = np.zeros((4, 4), bool)
    >>> corner[:2, :2] = True
    >>> outlined(Image.new("RGB", (40, 40), "white"), corner).getpixel((10, 19))
    (20, 20, 20)
    """
    if region is None:
        return image
    from scipy import ndimage  # long to import, and not always needed

    inside = np.asarray(Image.fromarray(region).resize(image.size, Image.Resampling.NEAREST))
    rows, columns = np.nonzero(inside)
    if len(rows) and max(np.ptp(rows), np.ptp(columns)) < _LEAST:
        inside = np.asarray(ndimage.binary_dilation(inside, np.ones((3, 3), bool), _LEAST // 2))
    square = np.ones((3, 3), bool)
    line = inside & np.logical_not(ndimage.binary_erosion(inside, square, 2))
    halo = np.logical_and(ndimage.binary_dilation(line, square), ~line)
    pixels = np.array(image)
    pixels[halo] = _HALO
    pixels[line] = _LINE
    return Image.fromarray(pixels)
