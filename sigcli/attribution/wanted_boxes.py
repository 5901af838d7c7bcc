"""Boxes that a detector finds, as a user types them: `person`, `person:2`, `top:3`, `person:1,dog:1`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import UsageError
from .targets import Target, class_names, parse_target, spelled
from .wanted import Wanted, halves, readings

_PREFIXES = ("top", "index", "name")
_MOST = 1000
"""Boxes of one image that may be explained."""


@dataclass(frozen=True)
class WantedBoxes:
    """What is explained of each image.

    Args:
        wanted: ("top", K), or the class of each box.
        ranks: the place of each box among those of its class, by score, from 1; empty for the boxes of highest score.
        spelled: for a manifest: other targets have another text.
    """

    wanted: Wanted
    ranks: tuple[int, ...]
    spelled: str

    @property
    def boxes(self) -> list[tuple[int, int]]:
        """Class and rank of each box that was named."""
        classes = (self.wanted,) if isinstance(self.wanted, int) else self.wanted
        return list(zip((one for one in classes if isinstance(one, int)), self.ranks, strict=bool(self.ranks)))


def parse_boxes(target: str | int, labels: Sequence[str] | None, classes: int, *, default: bool = False) -> WantedBoxes:
    """The boxes that are explained.

    Args:
        target: as typed.
        labels: names of the classes, or None.
        classes: number of classes.
        default: nobody typed it, see `sigcli.attribution.targets.parse_target`.

    Raises:
        UsageError: no such class, a rank of 0, a difference, or a text that can be read in two ways.
    """
    text = str(target).strip()
    known = None if labels is None else tuple(labels)
    if isinstance(target, str) and not (known and class_names(known).called(text)):
        _refuse_difference(text, known, classes)
        if "," in text:
            every = readings(text, lambda part: _read(part, known, classes))
            if len(every) > 1:
                raise UsageError("target can be read in several ways", given=text, hint="Name classes by index: 8:1.")
            if not every:
                raise _unread(text, known, classes)
            of, ranks = tuple(one for one, _ in every[0]), tuple(rank for _, rank in every[0])
            told = ",".join(f"index:{one}:{rank}" for one, rank in every[0])
            return WantedBoxes(of if len(of) > 1 else every[0][0][0], ranks, told)
    name, rank = _split(target, known)
    count = _MOST if re.fullmatch(r"top(:\d+)?", str(name)) else classes
    found: Target = parse_target(name, labels, count, default=default)
    told = spelled(name, labels, count)
    return WantedBoxes(found, (), told) if isinstance(found, tuple) else WantedBoxes(found, (rank,), f"{told}:{rank}")


def _read(part: str, labels: tuple[str, ...] | None, classes: int) -> Iterator[tuple[int, int]]:
    """What a part of the text may be: a class and a rank."""
    try:
        name, rank = _split(part, labels)
        found = parse_target(name, labels, classes)
    except UsageError:
        return
    if isinstance(found, int):
        yield found, rank


def _unread(text: str, labels: tuple[str, ...] | None, classes: int) -> UsageError:
    """Why a text is no list of boxes: the first part of it that names none."""
    for part in (piece.strip() for piece in text.split(",")):
        try:
            name, _ = _split(part, labels)
            if not isinstance(parse_target(name, labels, classes), int):
                return UsageError("top and top:K stand alone", given=text, allowed="top:K, or boxes such as person:1")
        except UsageError as error:
            return error
    return UsageError("unknown target", given=text)


def _refuse_difference(text: str, labels: tuple[str, ...] | None, classes: int) -> None:
    """Refuse a box minus another, whose scores are of two places."""
    for part in (piece.strip() for piece in text.split(",")):
        for left, right in halves(part):
            if next(_read(left, labels, classes), None) and next(_read(right, labels, classes), None):
                what = "two boxes are in two places, so a detector has no score of one against the other"
                raise UsageError(what, given=part, hint=f"Explain them side by side: --target {left},{right}.")


def _split(target: str | int, labels: tuple[str, ...] | None) -> tuple[str | int, int]:
    """The class, and the rank that stands after a colon; 1 where none does.

    Raises:
        UsageError: a rank of 0, or two ranks.
    """
    text = str(target).strip()
    found = re.fullmatch(r"(.+):(\d{1,6})", text)
    if found is None or found[1].strip() in _PREFIXES or (labels and class_names(labels).find(text)):
        return target, 1
    twice = re.fullmatch(r"(.+):\d+", found[1].strip())
    if twice and twice[1].strip() not in _PREFIXES and not (labels and class_names(labels).find(found[1])):
        raise UsageError("a box is a class and one rank", given=text, allowed="CLASS or CLASS:RANK, such as person:2")
    if int(found[2]) < 1:
        raise UsageError("boxes of a class are counted from 1", given=text, allowed=f"{found[1]}:1, {found[1]}:2, …")
    return found[1].strip(), int(found[2])
