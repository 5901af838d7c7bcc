"""Run lengths of COCO: how many pixels are out, then in, then out, … column by column; in its JSON as numbers or as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

_OFFSET, _BITS, _MORE, _SIGN, _LONGEST = 48, 0x1F, 0x20, 0x10, 60


def lengths(text: str) -> list[int]:
    """The run lengths of COCO's compressed form: five bits a character from the lowest on, the sixth says that more follow;
    from the fourth number on, each is the difference from the last but one.

    Raises:
        ValueError: a character that is none of the code, or a number that ends early.

    >>> lengths("52203")
    [5, 2, 2, 2, 5]
    """
    found: list[int] = []
    number, shift = 0, 0
    for character in text:
        code = ord(character) - _OFFSET
        if not 0 <= code < 64:
            raise ValueError(f"{character!r} is no character of COCO's run lengths")
        number |= (code & _BITS) << shift
        shift += 5
        if shift > _LONGEST:
            raise ValueError("a run length is too large for any picture")
        if code & _MORE:
            continue
        if code & _SIGN:
            number -= 1 << shift
        found.append(number + (found[-2] if len(found) > 2 else 0))
        number, shift = 0, 0
    if shift:
        raise ValueError("the run lengths end within a number")
    return found


def decoded(counts: str | Sequence[int], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """The mask of run lengths.

    Args:
        counts: as numbers, or as COCO's text.
        size: (H, W).

    Raises:
        ValueError: they are not those of a mask of this size.

    >>> decoded([1, 2, 1], (2, 2)).tolist()
    [[False, True], [True, False]]
    """
    runs = lengths(counts) if isinstance(counts, str) else list(counts)
    if not all(isinstance(run, int) and run >= 0 for run in runs) or sum(runs) != size[0] * size[1]:
        raise ValueError(f"the run lengths do not fill {size[1]}x{size[0]} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size, order="F")
