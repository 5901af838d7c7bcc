"""Several targets of one image, and comparisons of two classes, as a user types them: `cat,dog`, `cat - dog`.

Names of classes may hold commas and dashes themselves: what is the name of a class stays one, and where a text can be read
in two ways it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import TypeVar

from ..comparisons import against, pair_of
from ..errors import UsageError
from .targets import Target, class_names, elsewhere, parse_target, spelled

T = TypeVar("T")
Wanted = Target | tuple[int, ...]
"""A class index, ("top", K), or several targets; those from the number of classes on are comparisons."""
_MINUS = re.compile(r"\s[-−]\s|(?<=\d)-(?=\d)")
_KIND = re.compile(r"(index|name):")
_MOST = 100


def parse_wanted(target: str | int, labels: Sequence[str] | None, classes: int, *, default: bool = False) -> Wanted:
    """What is explained: as `parse_target`, and also several targets and the difference of two classes' scores.

    Args:
        target: also `cat,dog` or `cat - dog` (with spaces around the dash; `281-207` of indices), and both together.
        labels: see `parse_target`.
        classes: likewise.
        default: likewise.

    Raises:
        UsageError: as `parse_target`; or a text that can be read in several ways, or a class against itself.

    >>> parse_wanted("cat,dog", ["cat", "dog"], 2), parse_wanted("dog - cat", ["cat", "dog"], 2)
    ((0, 1), 4)
    """
    text = str(target).strip()
    if not isinstance(target, str) or not ("," in text or _MINUS.search(text)):
        return parse_target(target, labels, classes, default=default)
    if labels and class_names(tuple(labels)).called(text):
        return parse_target(target, labels, classes, default=default)
    found = _readings(text, None if labels is None else tuple(labels), classes)
    if len(found) > 1:
        ways = "; or ".join(f"{spelling(one, classes)} for {_told(one, labels, classes)}" for one in found[:3])
        raise UsageError("target can be read in several ways", given=text, allowed=ways)
    if not found:
        raise _unread(text, labels, classes)
    first = found[0]
    return first if len(first) > 1 else next(iter(first))


def count_of(wanted: Wanted) -> int:
    """How many targets of each image are explained."""
    if isinstance(wanted, int):
        return 1
    return wanted[1] if isinstance(wanted[0], str) else len(wanted)


def compares(wanted: Wanted, classes: int) -> bool:
    """Whether two classes are compared."""
    if isinstance(wanted, int):
        return wanted >= classes
    return any(isinstance(one, int) and one >= classes for one in wanted) and wanted[:1] != ("top",)


def spelled_wanted(target: str | int, labels: Sequence[str] | None, classes: int) -> str:
    """What is explained, for a manifest: another target has another text."""
    found = parse_wanted(target, labels, classes, default=True)
    if isinstance(found, int) and pair_of(found, classes) is not None:
        return spelling((found,), classes)
    if isinstance(found, tuple) and not isinstance(found[0], str):
        return spelling(found, classes)  # type: ignore[arg-type]
    return spelled(target, labels, classes)


def spelling(targets: Sequence[int], classes: int) -> str:
    """Targets as they can be typed without another reading."""

    def one(target: int) -> str:
        pair = pair_of(target, classes)
        return f"index:{target}" if pair is None else f"index:{pair[0]} - index:{pair[1]}"

    return ",".join(map(one, targets))


def _told(targets: Sequence[int], labels: Sequence[str] | None, classes: int) -> str:
    """A reading in words: how many targets it has, and of which classes."""

    def one(target: int) -> str:
        pair = pair_of(target, classes) or (target,)
        return " - ".join(f"'{labels[place]}'" if labels else str(place) for place in pair)

    count = "one target" if len(targets) == 1 else f"{len(targets)} targets"
    return f"{count}, {' and '.join(map(one, targets))}"


def _readings(text: str, labels: tuple[str, ...] | None, classes: int) -> list[tuple[int, ...]]:
    return readings(text, lambda part: _targets(part, labels, classes))


def readings(text: str, one: Callable[[str], Iterable[T]]) -> list[tuple[T, ...]]:
    """The ways in which a text is a list of targets, at most three of them: its commas may be of names.

    Args:
        text: as a user typed it.
        one: what a part of it may be as one target.

    Raises:
        UsageError: more than 100 parts.
    """
    pieces = text.split(",")
    if len(pieces) > _MOST:
        raise UsageError("too many targets", given=len(pieces), allowed=f"up to {_MOST}")

    @cache
    def group(start: int, end: int) -> tuple[T, ...]:
        return tuple(one(",".join(pieces[start:end]).strip()))

    @cache
    def rest(start: int) -> tuple[tuple[T, ...], ...]:
        if start == len(pieces):
            return ((),)
        found: dict[tuple[T, ...], None] = {}
        for end in range(start + 1, len(pieces) + 1):
            for first in group(start, end):
                for more in rest(end):
                    found.setdefault((first, *more))
                    if len(found) > 2:
                        return tuple(found)
        return tuple(found)

    return list(dict.fromkeys(tuple(dict.fromkeys(way)) for way in rest(0)))


def _targets(text: str, labels: tuple[str, ...] | None, classes: int) -> Iterator[int]:
    """What a text may be as one target: a class, or one class against another."""
    whole = _class(text, labels, classes)
    if whole is not None:
        yield whole
        if labels and class_names(labels).called(text):
            return
    for left, right in halves(text):
        a, b = _class(left, labels, classes), _class(right, labels, classes)
        if a is not None and b is not None and a != b:
            yield against(a, b, classes)


def halves(text: str) -> Iterator[tuple[str, str]]:
    """The two sides of a difference, as often as a text can be one."""
    for cut in _MINUS.finditer(text):
        yield text[: cut.start()].strip(), text[cut.end() :].strip()


def _class(text: str, labels: tuple[str, ...] | None, classes: int) -> int | None:
    """The class that a text names, or None where it names none or several."""
    if not text:
        return None
    if _KIND.match(text) or re.fullmatch(r"[+-]?\d+", text):
        try:
            found = parse_target(text, labels, classes)
        except UsageError:
            return None
        return found if isinstance(found, int) else None
    named = class_names(labels).find(text) if labels else []
    return named[0] if len(named) == 1 else None


def _unread(text: str, labels: Sequence[str] | None, classes: int) -> UsageError:
    """Why a text is no list of targets: the first part of it that is none."""
    known = None if labels is None else tuple(labels)
    if other := elsewhere(text, labels):
        return other
    for piece in text.split(","):
        part = piece.strip()
        if part and next(_targets(part, known, classes), None) is not None:
            continue
        for one in next(halves(part), (part,)):
            try:
                alone = parse_target(one, labels, classes)
            except UsageError as error:
                return error
            if not isinstance(alone, int):
                return UsageError("top and top:K stand alone", given=text, allowed="top:K, or names of classes")
        return UsageError("a class minus itself is 0 for every image", given=part)
    return UsageError("unknown target", given=text)
