"""What the user says of the values of masks: which are the object, which are left out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...errors import UsageError

ANY = "any"
_FORM = "numbers of classes such as 15 or 8,12, colours such as #400000, names where the file has them, or any"


@dataclass(frozen=True)
class Wanted:
    """What the user says of the values.

    Args:
        classes: those of the object, as they were written; `ANY` for all but ground and void; None where nothing was said.
        void: values that are left out; None where nothing was said.
        text: --mask-class as it was written.
    """

    classes: str | tuple[str, ...] | None = None
    void: frozenset[int] | None = None
    text: str = ""

    def numbers(self) -> tuple[int, ...]:
        """The classes as numbers.

        Raises:
            UsageError: one is a name.
        """
        return tuple(_number(one, "--mask-class") for one in self.classes or () if self.classes != ANY)


def read_wanted(classes: str | int | None, void: str | int | None) -> Wanted:
    """What --mask-class and --mask-void say.

    Raises:
        UsageError: nothing, or what cannot be read.

    >>> read_wanted("8, #400000", 255)
    Wanted(classes=('8', '#400000'), void=frozenset({255}), text='8, #400000')
    """
    if isinstance(classes, bool) or isinstance(void, bool):
        raise UsageError("--mask-class and --mask-void take numbers", given=f"{classes}, {void}", allowed=_FORM)
    text = "" if classes is None else str(classes).strip()
    parts = tuple(part.strip() for part in text.split(","))
    if classes is not None and not all(parts):
        raise UsageError("--mask-class names no class", given=classes, allowed=_FORM)
    if ANY in parts and len(parts) > 1:
        raise UsageError("--mask-class any stands alone", given=classes)
    chosen = None if classes is None else ANY if parts == (ANY,) else parts
    return Wanted(chosen, None if void is None else _void(str(void)), text)


def _void(text: str) -> frozenset[int]:
    if text.strip() == "none":
        return frozenset()
    return frozenset(_number(part.strip(), "--mask-void") for part in text.split(","))


def _number(text: str, option: str) -> int:
    colour = re.fullmatch(r"#([0-9a-fA-F]{6})", text)
    if colour:
        return int(colour[1], 16)
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        allowed = _FORM if option == "--mask-class" else "numbers such as 255 or 0,3, colours, or none"
        raise UsageError(f"{option} cannot be read", given=text, allowed=allowed)
    return int(text)
