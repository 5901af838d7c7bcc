"""Grey levels of masks: whether what is neither black nor white is but the edge between them."""

from __future__ import annotations

import numpy as np

LIGHT = 239
_DARK, _NEAR = 16, 8


def between(levels: np.ndarray) -> bool:
    """Whether what is neither 0 nor 255 lies at edges of black and white only, as antialiasing and compression leave it."""
    rest = (levels > 0) & (levels < 255)
    if not rest.any():
        return True
    from scipy.ndimage import maximum_filter  # long to import, and not always needed

    near = 2 * _NEAR + 1
    low, high = (np.asarray(maximum_filter(area, near), bool) for area in (levels <= _DARK, levels >= LIGHT))
    return bool((low & high)[rest].all())


def shaded(values: np.ndarray) -> bool:
    """Whether several levels, dark and light, lie between black and white: `values` are those that occur."""
    rest = values[(values > 0) & (values < 255)]
    return bool(len(rest) >= 3 and rest.min() < 96 and rest.max() >= 160 and values.max() <= 255)
