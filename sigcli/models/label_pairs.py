"""Class names that come with their indices, in one order or the other: which of the two is the index."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sigcli.errors import ModelError

_DIGITS = re.compile(r"[0-9]{1,9}(?:\.0*)?")
_WNID = re.compile(r"n[0-9]{8}")


@dataclass(frozen=True)
class Names:
    """Class names as a file gives them.

    Args:
        names: of class 0, 1, ….
        how: how the file was read, in words; empty for one name on each line.
    """

    names: tuple[str, ...]
    how: str = ""


def numbers(cells: Sequence[Any]) -> list[int] | None:
    """Cells as whole numbers, or None where one of them is none."""
    texts = [str(cell).strip() for cell in cells]
    if any(isinstance(cell, bool) for cell in cells) or not all(map(_DIGITS.fullmatch, texts)):
        return None
    return [int(text.partition(".")[0]) for text in texts]


def wnids(cells: Sequence[Any]) -> bool:
    """Whether cells are WordNet ids, as n01440764."""
    return bool(cells) and all(_WNID.fullmatch(str(cell).strip()) for cell in cells)


def counted(found: list[int] | None, start: int = 0) -> bool:
    """Whether numbers are each of `start`, `start` + 1, … once."""
    return found is not None and sorted(found) == [*range(start, start + len(found))]


def ordered(indices: Sequence[int], names: Sequence[Any], classes: int, how: str) -> Names:
    """Names in the order of their indices.

    Args:
        indices: from 0, or from 1 where they are each of 1 to the number of names.
        names: as many.
        classes: how many the network has.
        how: how the file was read.

    Raises:
        ModelError: an index twice, or one that no class has.
    """
    start = 1 if counted(list(indices), 1) else 0
    by: dict[int, str] = {}
    for index, name in zip(indices, names, strict=True):
        if index in by:
            raise ModelError(f"class {index} has two labels", allowed="each index once")
        by[index] = str(name).strip()
    if not counted(list(by), start):
        odd = next((i for i in by if i >= max(classes, len(by))), None)
        lost = next(i for i in range(len(by) + 1) if i not in by)
        what = f"class {lost} has no label" if odd is None else f"there is no class {odd}"
        raise ModelError(what, allowed=f"each index from 0 to {classes - 1} once")
    return Names(tuple(by[i] for i in sorted(by)), how + (", which counts from 1" if start else ""))


def paired(one: Sequence[Any], other: Sequence[Any], classes: int, words: tuple[str, str]) -> Names | None:
    """Names by their indices, or None where neither side has indices.

    Args:
        one: one side.
        other: the other, as many.
        classes: how many the network has.
        words: what the sides are called, for the note.

    Raises:
        ModelError: either side may be the index, and they differ; or the indices do not fit.

    >>> paired(["cat", "dog"], ["1", "0"], 2, ("first", "second")).names
    ('dog', 'cat')
    """
    a, b = numbers(one), numbers(other)
    if a is not None and b is not None and a != b:
        side = _index_side(one, other, a, b)
        if side is None:
            what = f"{words[0]} and {words[1]} are numbers, and either may be the index"
            raise ModelError(what, given=f"{one[0]}, {other[0]}", allowed="titles index,name, or one name on each line")
        a, b = (a, None) if side == 0 else (None, b)
    if a is not None:
        return ordered(a, other, classes, f"{words[0]} is the index")
    return None if b is None else ordered(b, one, classes, f"{words[1]} is the index")


def _index_side(one: Sequence[Any], other: Sequence[Any], a: list[int], b: list[int]) -> int | None:
    """Which of two sides of numbers is the index: the one of integers beside texts, or which has each index once."""
    for start in (0, 1):
        if counted(a, start) != counted(b, start):
            return 0 if counted(a, start) else 1
    whole = [all(isinstance(cell, int) for cell in side) for side in (one, other)]
    return None if whole[0] == whole[1] else whole.index(True)


def after_wnids(ids: Sequence[str], names: Names) -> Names:
    """Names beside their WordNet ids, which say in which order ImageNet's networks have them.

    Raises:
        ModelError: the names are in another order: the file is of another numbering, as ILSVRC's own is.
    """
    if list(ids) != sorted(ids):
        raise ModelError(
            "the classes are not in the order of their WordNet ids, which is that of ImageNet's networks",
            given=", ".join(ids[:3]), hint="Sort the lines by the ids, or leave the ids out if the order is the network's.",
        )  # fmt: skip
    return Names(names.names, names.how or "names after their WordNet ids, in the order of the lines")
