"""The colour maps that a user may choose by name: a diverging one for signed maps, a sequential one for maps from 0 up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...errors import UsageError, unknown
from .colours import HALF, diverging, diverging_of

DEFAULT_NAME = "red-blue"
_OURS = {"red-blue": ("red", "blue"), "orange-purple": ("orange", "purple"), "teal-brown": ("teal", "brown")}
_MATPLOTLIB = {"RdBu": ("red", "blue"), "PuOr": ("orange", "purple"), "BrBG": ("teal", "brown")}
DIVERGING = {**_OURS, **_MATPLOTLIB}
"""Diverging colour maps → the colours for and against."""
SEQUENTIAL = ("viridis", "cividis", "inferno", "magma")
"""Sequential colour maps of matplotlib, dark for 0."""
_PURE = (
    (218, 10, 36),
    (18, 66, 222),
)  # over a photograph, purer than the ends of the table, which darken what they cover
_TINT, _WORD = 0.55, 0.8  # of the limit: colours over a photograph, and of words


@dataclass(frozen=True, eq=False)
class Palette:
    """The colours of maps; their tables are made as the first map is drawn.

    Args:
        name: as it is typed.
        two_sided: the diverging colour map.
        one_sided: the sequential colour map, of maps without negative values; None where the other serves all.
    """

    name: str
    two_sided: str
    one_sided: str | None

    @property
    def signed(self) -> np.ndarray:
        """The table of the diverging colour map, (2 * HALF + 1, 3) bytes, from the negative limit to the positive one."""
        return _signed(self.two_sided)

    @property
    def plain(self) -> np.ndarray | None:
        """The table of the sequential colour map, (HALF + 1, 3) bytes from 0 to the limit, or None."""
        return None if self.one_sided is None else _sampled(self.one_sided, HALF + 1)

    @property
    def words(self) -> tuple[str, str]:
        """Names of the colours for positive and negative values."""
        return DIVERGING[self.two_sided]

    def table(self, values: np.ndarray, *, turned: bool = False) -> np.ndarray:
        """The table that a map is drawn with.

        Args:
            values: the map.
            turned: its positive values speak against the score, so they need the other colour.
        """
        plain = self.plain
        if plain is None or turned or values.size == 0 or float(np.min(values)) < 0 or not np.any(values):
            return self.signed
        return plain

    def worded(self, text: str) -> str:
        """A sentence about red and blue, with the names of these colours."""
        positive, negative = self.words
        new = {"Red": positive.capitalize(), "Blue": negative.capitalize(), "red": positive, "blue": negative}
        return " ".join(_swapped(word, new) for word in text.split(" "))


def _swapped(word: str, new: dict[str, str]) -> str:
    bare = word.rstrip(",.;:")
    return new.get(bare, bare) + word[len(bare) :]


def tints(table: np.ndarray) -> np.ndarray:
    """The colours of a table over a photograph, of its shape: one for each sign, or those of a sequential table."""
    if len(table) == HALF + 1:
        return table
    against, in_favour = (table[HALF + side * round(_TINT * HALF)] for side in (-1, 1))
    if table is diverging():
        in_favour, against = (np.array(colour, np.uint8) for colour in _PURE)
    return np.where(np.arange(len(table))[:, None] < HALF, against, in_favour).astype(np.uint8)


def word_colours(table: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The colours in which the words at the two ends of a signed scale stand."""
    against, in_favour = (tuple(int(c) for c in table[HALF + side * round(_WORD * HALF)]) for side in (-1, 1))
    return against, in_favour


@lru_cache(maxsize=64)
def palette(spec: str = DEFAULT_NAME) -> Palette:
    """The palette of a name: a diverging colour map, a sequential one for maps without negative values, or both.

    Args:
        spec: names with a comma between them, for example 'PuOr' or 'PuOr,cividis'.

    Raises:
        UsageError: no such colour map, two of one kind, or the sequential one before the other.

    >>> palette("PuOr,viridis").words
    ('orange', 'purple')
    """
    names = [name.strip() for name in spec.split(",")]
    for name in names:
        if name not in DIVERGING and name not in SEQUENTIAL:
            raise unknown("colour map", name, [*DIVERGING, *SEQUENTIAL])
    signed = [name for name in names if name in DIVERGING]
    plain = [name for name in names if name in SEQUENTIAL]
    if len(signed) > 1 or len(plain) > 1:
        what = "two diverging colour maps" if len(signed) > 1 else "two sequential colour maps"
        raise UsageError(what, given=spec, allowed="one of each kind, for example PuOr,cividis")
    if names[0] in SEQUENTIAL and signed:  # one palette, one name: manifests and --resume compare it
        allowed = f"{signed[0]},{names[0]}"
        raise UsageError("the diverging colour map comes first", given=spec, allowed=allowed)
    first = signed[0] if signed else DEFAULT_NAME
    return Palette(spec, first, plain[0] if plain else None)


def _signed(name: str) -> np.ndarray:
    if name not in _OURS:  # matplotlib's have blue, purple and teal where values are high
        return _sampled(name if name == "BrBG" else f"{name}_r", 2 * HALF + 1)
    return diverging() if name == DEFAULT_NAME else diverging_of(name)


@lru_cache(maxsize=16)
def _sampled(name: str, rows: int) -> np.ndarray:
    """A colour map of matplotlib, which is imported only where one of its maps is asked for."""
    from matplotlib import colormaps

    table = np.rint(255 * colormaps[name](np.linspace(0, 1, rows))[:, :3]).astype(np.uint8)
    table.setflags(write=False)
    return table


DEFAULT = palette()
