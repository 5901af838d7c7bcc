"""Targets that compare two classes, `cat - dog`: one number for each ordered pair, beyond those of the classes.

With K classes the targets 0 … K-1 are classes, and K + a·K + b is class a against class b. So a target is an integer
wherever scores are computed; people read and write `a-b`.
"""

from __future__ import annotations

import re

_TEXT = re.compile(r"(\d+)-(\d+)")


def against(a: int, b: int, classes: int) -> int:
    """The target that is class a against class b.

    >>> against(2, 0, 3), pair_of(9, 3), told(9, 3), target_of("2-0", 3)
    (9, (2, 0), '2-0', 9)
    """
    return classes + a * classes + b


def pair_of(target: int, classes: int) -> tuple[int, int] | None:
    """The two classes that a target compares, or None where it is a class."""
    return divmod(target - classes, classes) if target >= classes else None


def told(target: int, classes: int) -> int | str:
    """A target as results name it: a class as its index, a comparison as "a-b"."""
    pair = pair_of(target, classes)
    return target if pair is None else f"{pair[0]}-{pair[1]}"


def target_of(text: int | str, classes: int) -> int:
    """The target that results name so; raises ValueError where they name none.

    >>> target_of("7", 3)
    7
    """
    found = _TEXT.fullmatch(str(text))
    return int(text) if found is None else against(int(found[1]), int(found[2]), classes)
