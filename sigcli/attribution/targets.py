"""Classes by what a user calls them: `top`, an index or a name, and what to do where a text could be two of these."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from numbers import Integral
from typing import TYPE_CHECKING, Any

from ..errors import SigError, UsageError, unknown

if TYPE_CHECKING:
    from torch import Tensor

Target = int | tuple[str, int]
"""A class index, or ("top", K)."""


class ClassNames:
    """The names of classes, looked up as people write them.

    Args:
        names: of class 0, 1, …; two classes may have one name.

    >>> known = ClassNames(["tench, Tinca tinca", "great white shark", "crane", "crane"])
    >>> known.find("Great_White_Shark"), known.find("tench"), known.find("crane"), known.find("dog")
    ([1], [0], [2, 3], [])
    """

    def __init__(self, names: Sequence[str]):
        self.names = tuple(names)
        self._exact = _places((name.strip(), i) for i, name in enumerate(names))
        self._folded = _places((_folded(name), i) for i, name in enumerate(names))
        self._parts = _places((part, i) for i, name in enumerate(names) for part in _parts(name))

    def called(self, text: str) -> bool:
        """Whether a class has this name, exactly or but for case, spaces and underscores."""
        return text.strip() in self._exact or _folded(text) in self._folded

    def find(self, text: str) -> list[int]:
        """The classes that a text names: exactly, else but for case, spaces and underscores, else by some of the synonyms
        that commas separate in the name. Several where it cannot be known which is meant.
        """
        found = self._exact.get(text.strip()) or self._folded.get(_folded(text))
        parts = _parts(text)
        if (
            not found and 0 < len(parts) == text.count(",") + 1
        ):  # `heart,heart` repeats a name instead of naming synonyms
            found = sorted(set.intersection(*(set(self._parts.get(part, ())) for part in parts)))
        return list(found or ())

    def unknown(self, text: str) -> SigError:
        """The error for a text that names no class; it shows the first of synonyms, with the others in brackets."""
        firsts = {name: _titled(name) for name in self.names}
        error = unknown("target", text, firsts.values())
        parts = {part: name for name in self.names for part in _parts(name)}
        close = difflib.get_close_matches(_folded(text), parts, n=1, cutoff=0.5)
        hint = f"Did you mean '{parts[close[0]].partition(',')[0].strip()}'?" if close else None
        return UsageError(error.what, given=text, allowed=error.allowed, hint=hint)


def _titled(name: str) -> str:
    first, *others = (part.strip() for part in name.split(","))
    return f"{first} ({'; '.join(others)})" if others else first


def elsewhere(text: str, labels: Sequence[str] | None) -> UsageError | None:
    """The error for a target of a region or a box, which only networks that find them have; None for another text.

    Args:
        text: a target that names no class.
        labels: of the classes, which may themselves be written so.
    """
    for form, what in _FORMS.items():
        found = form.fullmatch(text.strip())
        if found and not any(form.fullmatch(name) for name in labels or ()):
            named = found[1].isdigit() or labels is None or class_names(tuple(labels)).find(found[1])
            alone = found[1] if named else "CLASS"
            return UsageError(what, given=text, hint=f"Name a class alone: --target {alone}.")
    return None


_FORMS = {
    re.compile(r"([^@]+?)\s*@.+"): "a place after @ names a region, which only a segmentation network has",
    re.compile(r"(.+?)\s*:\s*\d{1,6}"): "a number after a colon names a box, which only a detection network finds",
}
"""How regions and boxes are written."""


@lru_cache(maxsize=8)
def class_names(names: tuple[str, ...]) -> ClassNames:
    """The names of a model, made ready for look-ups once."""
    return ClassNames(names)


def _places(items: Iterable[tuple[Hashable, int]]) -> dict[Hashable, list[int]]:
    found: dict[Hashable, list[int]] = {}
    for key, place in items:
        found.setdefault(key, []).append(place)
    return found


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).casefold().replace("_", " ").split())


def _parts(name: str) -> set[str]:
    return {_folded(part) for part in name.split(",")} - {""}


def parse_target(target: str | int, labels: Sequence[str] | None, classes: int, *, default: bool = False) -> Target:
    """What is explained: a class index, or ("top", K) for the K classes of highest score.

    Args:
        target: `top`, `top:K`, a class index, or a label; `index:10` and `name:10` say which of the two 10 is. An int is
            always an index.
        labels: the model's labels, where it has them.
        classes: number of classes.
        default: nobody typed it, so that `top` means no class of that name.

    Raises:
        UsageError: an index out of range, K below 1 or above the number of classes, an unknown label, a label of several
            classes, or a text that is the index of one class and the name of another.

    >>> parse_target("top", None, 10), parse_target("star", ["ring", "star"], 2)
    (('top', 1), 1)
    >>> parse_target("name:10", ["1", "10", "2"], 3), parse_target("10", ["1", "10", "2"], 3)
    (1, 1)
    """
    if isinstance(target, Integral):  # of numpy, too
        return _in_range(int(target), classes, str(target))
    text = str(target).strip()
    kind, colon, rest = text.partition(":")
    if colon and kind in _KINDS:
        return _KINDS[kind](rest.strip(), labels, classes)
    if match := re.fullmatch(r"top(?::([0-9]+))?", text):
        count = int(match[1] or 1)
        if text == "top" and not default and labels and "top" in labels:
            what = "target top is the class of highest score, and also the name of a class"
            raise UsageError(what, given=text, allowed="top:1 for the highest score, name:top for that class")
        if not 1 <= count <= classes:
            raise UsageError("target top:K is out of range", given=text, allowed=f"K from 1 to {classes}")
        return "top", count
    if re.fullmatch(r"[+-]?[0-9]+", text):
        return _number(text, labels, classes)
    return _name(text, labels, classes)


def spelled(target: str | int, labels: Sequence[str] | None, classes: int) -> str:
    """A target for a manifest: another class has another text, also where a number is a name."""
    text = str(target).strip()
    found = parse_target(target, labels, classes, default=True)
    return f"name:{text}" if text.isdigit() and found != int(text) else text


def _number(text: str, labels: Sequence[str] | None, classes: int) -> int:
    """The class that digits stand for: an index, or a name that is a number."""
    named = class_names(tuple(labels)).find(text) if labels else []
    index = int(text)
    if not 0 <= index < classes:
        return _name(text, labels, classes) if named else _in_range(index, classes, text)
    if not named or named == [index]:
        return index
    others = f"class {named[0]}" if len(named) == 1 else f"classes {', '.join(map(str, named))}"
    what = f"target {text} is the index of the class named '{labels[index] if labels else ''}' and the name of {others}"
    raise UsageError(what, given=text, allowed=f"index:{text} or name:{text}")


def _in_range(index: int, classes: int, text: str) -> int:
    if not 0 <= index < classes:
        raise UsageError("target is out of range", given=text, allowed=f"0 to {classes - 1}")
    return index


def _index(text: str, labels: Sequence[str] | None, classes: int) -> int:
    del labels
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise UsageError("target index: needs an integer", given=f"index:{text}", allowed=f"0 to {classes - 1}")
    return _in_range(int(text), classes, text)


def _name(text: str, labels: Sequence[str] | None, classes: int) -> int:
    if not labels:
        raise elsewhere(text, labels) or UsageError(
            "the model has no class names",
            given=text,
            allowed=f"top, top:K or an index 0 to {classes - 1}",
            hint="Give a file of names with --class-names.",
        )
    known = class_names(tuple(labels))
    found = known.find(text)
    if len(found) > 1:
        these = ", ".join(f"index:{i} ({labels[i]})" for i in found[:5]) + (", …" if len(found) > 5 else "")
        raise UsageError("several classes have this label", given=text, allowed=these)
    if not found:
        raise elsewhere(text, labels) or known.unknown(text)
    return found[0]


_KINDS: dict[str, Callable[[str, Sequence[str] | None, int], int]] = {"index": _index, "name": _name}


class Targets(list[Any]):
    """The targets of a sample, and the network's outputs for it, (K,), where they are scores of classes."""

    outputs: Tensor | None = None

    @classmethod
    def of(cls, targets: Iterable[Any], outputs: Tensor) -> Targets:
        """Targets with the outputs that they were found by."""
        made = cls(targets)
        made.outputs = outputs
        return made
