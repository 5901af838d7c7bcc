"""Classes over regions of an image, as a user types them: `cat`, `cat@120,80`, `cat@mask.png`, several, or `cat - dog`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UsageError
from ..inputs.images import decode
from ..inputs.picture import upright
from ..models.wrappers.certainty import white
from ..names import portable
from .targets import class_names
from .wanted import Wanted, parse_wanted, readings, spelled_wanted, spelling

_FORM = "CLASS, CLASS@X,Y (a pixel of the picture) or CLASS@FILE (an image that is white where the region is)"
_PIXEL = re.compile(r"(\d{1,6})\s*,\s*(\d{1,6})")
_NEXT = re.compile(r",(?=[^,@]*@)")
"""Where, by the look of it, the next of several targets begins."""


@dataclass(frozen=True, eq=False)
class Place:
    """Where a score is taken, as `--target` names it after an @.

    Args:
        text: as it was typed; empty for where the network itself sees the class.
        pixel: (x, y) of the picture, from its upper left corner.
        mask: (H, W) bool, read from a file.
    """

    text: str = ""
    pixel: tuple[int, int] | None = None
    mask: np.ndarray | None = None

    def __str__(self) -> str:
        if not self.text:
            return ""
        return f" at {self.text}" if self.pixel else f" in {Path(self.text).name}"


@dataclass(frozen=True, eq=False)
class WantedRegions:
    """What is explained of each image.

    Args:
        wanted: the classes, see `sigcli.attribution.wanted`.
        places: one for each class, or one for all.
        spelled: for a manifest: other targets have another text.
        lasting: the same as it holds from any folder.
        notes: what was assumed of masks.
    """

    wanted: Wanted
    places: tuple[Place, ...]
    spelled: str
    lasting: str
    notes: tuple[str, ...] = ()

    def place_of(self, target: int) -> Place:
        """Where a class is explained."""
        if len(self.places) == 1 or not isinstance(self.wanted, tuple):
            return self.places[0]
        return dict(zip(self.wanted, self.places, strict=True)).get(target, Place())


def parse_regions(
    target: str | int, labels: Sequence[str] | None, classes: int, *, default: bool = False
) -> WantedRegions:
    """The classes that are explained, and where.

    Args:
        target: as typed: of several targets each one may name its place, or none does.
        labels: names of the classes, or None.
        classes: number of classes.
        default: nobody typed it, see `sigcli.attribution.targets.parse_target`.

    Raises:
        UsageError: no such class or place, a text that can be read in two ways, or one class at two places.
    """
    text = str(target).strip()
    known = None if labels is None else tuple(labels)
    if not isinstance(target, str) or "@" not in text or (known and class_names(known).find(text)):
        found = parse_wanted(target, labels, classes, default=default)
        told = spelled_wanted(target, labels, classes)
        return WantedRegions(found, (Place(),), told, told)
    every = readings(text, lambda part: _read(part, known, classes))
    if len(every) > 1:
        raise UsageError("target can be read in several ways", given=text, hint="Name classes by index: 8@12,20.")
    if not every:
        raise _unread(text, known, classes)
    return _several(every[0], known, classes, text)


Typed = tuple[str, str]
"""A class and a place, as typed."""


def _several(found: Sequence[Typed], labels: tuple[str, ...] | None, classes: int, text: str) -> WantedRegions:
    places, notes = zip(*(_place(where) for _, where in found), strict=True)
    told = tuple(dict.fromkeys(note for each in notes for note in each))
    wanted = [parse_wanted(name, labels, classes) for name, _ in found]
    lasting = [
        where if place.pixel else portable(os.path.abspath(where))
        for (_, where), place in zip(found, places, strict=True)
    ]
    if len(wanted) == 1:
        (_, where), once = found[0], spelled_wanted(found[0][0], labels, classes)
        return WantedRegions(wanted[0], places, f"{once}@{where}", f"{once}@{lasting[0]}", told)
    numbers = [one for one in wanted if isinstance(one, int)]
    if len(numbers) < len(wanted):
        raise UsageError("top and top:K stand alone", given=text, allowed="top:K@X,Y, or names of classes")
    if len(set(numbers)) < len(numbers):
        what = "a class can be explained at one place in a run"
        raise UsageError(what, given=text, hint="Explain the other place in a run of its own: --out FOLDER.")

    def text_of(names: Sequence[str]) -> str:
        return ",".join(f"{spelling((one,), classes)}@{where}" for one, where in zip(numbers, names, strict=True))

    return WantedRegions(tuple(numbers), places, text_of([where for _, where in found]), text_of(lasting), told)


def _read(part: str, labels: tuple[str, ...] | None, classes: int) -> Iterator[Typed]:
    """What a part of the text may be: a class and a place."""
    if "@" not in part:
        return
    name, where = _split(part, labels)
    try:
        one = isinstance(parse_wanted(name, labels, classes), int) or re.fullmatch(r"top(:\d+)?", name)
    except UsageError:
        return
    if one and (_PIXEL.fullmatch(where) or _is_file(where)):
        yield name, where


def _alone(part: str, labels: tuple[str, ...] | None, classes: int) -> Iterator[Typed]:
    """A class without a place."""
    try:
        if isinstance(parse_wanted(part, labels, classes), int):
            yield part, ""
    except UsageError:
        return


def _unread(text: str, labels: tuple[str, ...] | None, classes: int) -> UsageError:
    """Why a text names no regions: the first part of it that names none."""
    parts = [part.strip() for part in _NEXT.split(text)]
    if readings(text, lambda part: [*_read(part, labels, classes), *_alone(part, labels, classes)]):
        what = "where one of several targets names a place, each must"
        return UsageError(what, given=text, allowed="CLASS@X,Y,CLASS@X,Y, or classes alone")
    for part in parts:
        name, where = _split(part, labels)
        try:
            if not isinstance(parse_wanted(name, labels, classes), int) and not name.startswith("top"):
                return UsageError("several classes share no place", given=part, allowed="CLASS@X,Y,CLASS@X,Y")
            _place(where)
        except UsageError as error:
            return error
    return UsageError("--target names no region", given=text, allowed=_FORM)


def _split(text: str, labels: tuple[str, ...] | None) -> Typed:
    """The class, and what stands after the @ that is not of its name."""
    cuts = [found.start() for found in re.finditer("@", text)]
    cut = next((at for at in cuts if labels and class_names(labels).find(text[:at])), cuts[0])
    return text[:cut].strip() or "top", text[cut + 1 :].strip()


def _is_file(text: str) -> bool:
    try:
        return bool(text) and Path(text).is_file()
    except (OSError, ValueError):  # too long, a null byte
        return False


def _place(text: str) -> tuple[Place, tuple[str, ...]]:
    """What stands after the @; raises UsageError where it is no place."""
    numbers = _PIXEL.fullmatch(text)
    if numbers:
        return Place(f"{numbers[1]},{numbers[2]}", (int(numbers[1]), int(numbers[2]))), ()
    if not _is_file(text):
        raise UsageError(
            "--target names no region: there is no such file, and it is no pixel X,Y", given=text, allowed=_FORM
        )
    image, frames = decode(Path(text), lambda one: (upright(one).copy(), getattr(one, "n_frames", 1)))
    if frames > 1:
        raise UsageError("the region's image has several frames", given=text, allowed=_FORM)
    mask, notes = white(image, text, "--target", "the region")
    if not mask.any():
        raise UsageError("the region's image has no white pixel", given=text, allowed=_FORM)
    return Place(text, mask=mask), notes
