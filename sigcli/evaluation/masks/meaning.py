"""What the values of masks mean, judged over all masks of a run: one meaning for all, or none."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...errors import UsageError
from ...inputs.levels import between, shaded
from .areas import Areas
from .files import BINARY, COLOURS, PALETTE, VOIDS, Raw, solid
from .wanted import ANY, Wanted

_BLACK, _WHITE, _VOC_VOID = 0, 0xFFFFFF, 0xE0E0C0
_INDEX = 90
"""No data set with a void of 255 has greater class numbers and few classes; grey levels have."""
_COLOURS = 256
_WAY_OUT = "Name the object: --mask-class VALUE (several with commas, or any)."


@dataclass(frozen=True)
class Look:
    """What is to be known of a mask to judge what its values mean.

    Args:
        kind: of the values, see `sigcli.evaluation.masks.files`.
        values: those that occur.
        colours: of a palette.
        lossy: the format changes values a little.
        cut_out: the values are the alpha channel's.
        opaque: there is an alpha channel, which hides nothing.
        blurred: what is neither black nor white lies at their edges.
        light: pixels that are white or nearly, and those of them that are no thin border.
    """

    kind: str
    values: frozenset[int]
    colours: Mapping[int, int] = field(default_factory=dict)
    lossy: bool = False
    cut_out: bool = False
    opaque: bool = False
    blurred: bool = False
    light: tuple[int, int] = (0, 0)


def look_at(raw: Raw) -> Look:
    """Look at one mask."""
    found = np.unique(raw.values)
    grey = raw.kind not in (BINARY, COLOURS)
    rest = found[(found > 0) & (found < 255)]
    may_blur = grey and found[0] >= 0 and found[-1] <= 255 and (not len(rest) or rest[-1] > _INDEX)
    blurred = bool(may_blur and between(raw.values))
    light = solid(raw.values) if blurred and len(rest) else (0, 0)
    values = frozenset(int(one) for one in found)
    return Look(raw.kind, values, raw.colours, raw.lossy, raw.cut_out, raw.opaque, blurred, light)


@dataclass(frozen=True)
class Meaning:
    """What the values of all masks of a run mean.

    Args:
        text: in words, for a note.
        classes: values of the object.
        void: values that are left out.
        half: grey levels above one half are the object.
        colours: values are colours, of grey masks too.
        cut_outs: the object is what is not transparent.
    """

    text: str
    classes: frozenset[int] = frozenset()
    void: frozenset[int] = frozenset()
    half: bool = False
    colours: bool = False
    cut_outs: bool = False

    def areas(self, raw: Raw) -> Areas:
        """Object and void of one of the masks."""
        if raw.kind == BINARY:
            return Areas(raw.values)
        if self.cut_outs and raw.opaque:
            return Areas(np.ones(raw.values.shape, bool))
        if self.half:
            return Areas(raw.values > 127)
        values = raw.values * 0x010101 if self.colours and raw.kind != COLOURS else raw.values
        void = np.isin(values, sorted(self.void)) if self.void else None
        return Areas(np.isin(values, sorted(self.classes)), void)


def judge(looks: Mapping[str, Look], wanted: Wanted) -> Meaning:
    """The one meaning that all masks of a run can have.

    Args:
        looks: name of a mask → what it looks like.
        wanted: what the user says of the values.

    Raises:
        UsageError: they can be read in two ways, or what the user says does not fit them.
    """
    return _Judge(looks, wanted).meaning()


class _Judge:
    """The masks of a run and what the user says of them, while they are judged."""

    def __init__(self, looks: Mapping[str, Look], wanted: Wanted):
        self.wanted = wanted
        self.cut_outs = any(look.cut_out for look in looks.values())
        self.plain = {
            name: look for name, look in looks.items()
            if look.kind != BINARY and not (self.cut_outs and look.opaque)
        }  # fmt: skip
        self.binary = [name for name in looks if name not in self.plain]
        self.colours = any(look.kind == COLOURS for look in self.plain.values())
        self.palette = any(look.kind == PALETTE for look in self.plain.values())
        self.values = frozenset[int]().union(*map(self._values, self.plain.values()))

    def _values(self, look: Look) -> frozenset[int]:
        wider = self.colours and look.kind != COLOURS
        return frozenset(value * 0x010101 for value in look.values) if wider else look.values

    def meaning(self) -> Meaning:
        if not self.plain:
            return self._of_binary()
        self._refuse_mixtures()
        if self._blurred():
            text = "greys lie between black and white at the edges only: above half is the object"
            return self._made(text, half=True)
        if any(look.lossy for look in self.plain.values()) and not self.values <= {0, 255}:
            raise UsageError(
                "a compressed picture does not keep the numbers of classes, and these masks are not black and white",
                given=self.named(self._lossy()), hint="Save the masks as PNG.",
            )  # fmt: skip
        return self._found() if self.wanted.classes is None else self._asked()

    def _of_binary(self) -> Meaning:
        if self.wanted.classes not in (None, ANY) and not {*self.wanted.numbers()} <= {1, 255}:
            raise UsageError(
                "no mask has this class: all are object or not", given=f"--mask-class {self.wanted.text}",
                hint="Leave --mask-class out.",
            )  # fmt: skip
        what = "what is not transparent" if self.cut_outs else "white (in arrays, true)"
        return Meaning(f"{what} is the object", cut_outs=self.cut_outs)

    def _refuse_mixtures(self) -> None:
        if self.colours and self.palette:
            raise UsageError(
                "some masks have class numbers with a palette, others colours alone", given=self.named(self.plain),
                hint="Save all in one way.",
            )  # fmt: skip
        if self.colours and len(self.values) > _COLOURS:
            raise UsageError(
                "the masks look like pictures", given=f"{self.named(self.plain)}: {len(self.values)} colours",
                hint="Name the folder of the masks with --masks.",
            )  # fmt: skip
        known: dict[int, tuple[int, str]] = {}
        for name, look in self.plain.items():
            for value, colour in look.colours.items():
                before, first = known.setdefault(value, (colour, name))
                if before != colour and self._matters(value):
                    raise UsageError(
                        "the masks have different palettes, so one number means two things",
                        given=f"{value} is {_hex(before)} in {first}, {_hex(colour)} in {name}",
                        hint="Save all masks with the same palette.",
                    )  # fmt: skip
        self._refuse_black({value: colour for value, (colour, _) in known.items()})

    def _matters(self, value: int) -> bool:
        return self.wanted.classes in (None, ANY) or value in self.wanted.numbers()

    def _refuse_black(self, known: Mapping[int, int]) -> None:
        black = [value for value, colour in known.items() if colour == _BLACK and value]
        if black and self.wanted.classes is None and len({*known.values()}) > 1:
            raise UsageError(
                f"number {black[0]} of the palette is black, so the ground may be 0 or {black[0]}",
                given=self.named(self.plain), hint=_WAY_OUT,
            )  # fmt: skip

    def _blurred(self) -> bool:
        asked = self.wanted.classes in (None, ANY, ("255",)) and not self.wanted.void
        if self.colours or self.palette or not asked:
            return False
        looks = self.plain.values()
        light, thick = (sum(look.light[part] for look in looks) for part in (0, 1))
        return all(look.blurred for look in looks) and 2 * thick > light and shaded(np.array(sorted(self.values)))

    def _found(self) -> Meaning:
        """The meaning where the user names no class: of one value besides 0 there is but one."""
        if 0 not in self.values:
            raise self._unclear("no pixel is 0, so nothing says what is the ground")
        if self.values == {0}:
            raise UsageError("no mask has an object: all are 0 everywhere", given=self.named(self.plain))
        void = self.wanted.void or frozenset()
        rest = self.values - {0} - void
        if len(rest) == 1:
            (one,) = rest
            self._refuse_only_void(one)
            return self._made(self._single(one), classes=rest, void=void)
        likely = rest & self._voids()
        if len(rest) == 2 and len(likely) == 1:
            (one,) = rest - likely
            raise self._unclear(
                f"{self.said(likely)} may be the object, or void beside the object {self.said([one])}",
                f"If it is void: --mask-class {self.said([one])}; it is then left out of object and ground.",
            )
        raise self._unclear("they have several classes" if rest else "nothing but void and ground")

    def _asked(self) -> Meaning:
        """The meaning where the user names the classes."""
        told, given_classes = self.wanted.void, self.wanted.classes
        named = None if given_classes == ANY else frozenset(self.wanted.numbers())
        absent = sorted((named or frozenset()) - self.values)
        if absent:
            raise UsageError(
                f"no mask has class {self.said(absent)}", given=f"--mask-class {self.wanted.text}",
                allowed=f"of the values found: {self.said(self.values)}",
            )  # fmt: skip
        void = (self.values & self._voids()) - (named or frozenset()) if told is None else told
        rest = self.values - {0} - void
        if told is None and void and not self._like_classes(rest):
            raise UsageError(
                f"nothing says whether {self.said(void)} is void or a class", given=f"values {self.said(self.values)}",
                hint=f"Say it: --mask-void {self.said(void)} leaves it out, --mask-void none makes it ground.",
            )  # fmt: skip
        classes = named if named is not None else rest
        if not classes:
            raise self._unclear("nothing but void and ground")
        others = self.values - classes - void - {0}
        ground = f"; {self.said(others)} counts as ground" if others else ""
        return self._made(f"class {self.said(classes)} is the object{ground}", classes=classes, void=void)

    def _made(
        self,
        text: str,
        *,
        classes: frozenset[int] = frozenset(),
        void: frozenset[int] = frozenset(),
        half: bool = False,
    ) -> Meaning:
        if self.binary and not half and classes not in ({1}, {255}, {_WHITE}):
            raise UsageError(
                "some masks are object or not, others have class numbers",
                given=f"{self.named(self.binary)}; {self.named(self.plain)}", hint="Save all in one way.",
            )  # fmt: skip
        if void:
            absent = "" if void & self.values else ", which no mask has"
            text += f"; {self.said(void)} is void, left out of object and ground{absent}"
        return Meaning(text, classes, void, half, self.colours, self.cut_outs)

    def _voids(self) -> frozenset[int]:
        return frozenset([_VOC_VOID] if self.colours else VOIDS)

    def _like_classes(self, rest: Collection[int]) -> bool:
        """Whether values besides 0 and 255 are numbers of classes rather than levels of grey."""
        if not rest or self.colours or self._coloured() or max(rest) <= _INDEX:
            return True
        steps = np.diff([0, *sorted(rest), 255])
        return len(rest) > 2 and bool(steps.max() - steps.min() > 2)

    def _coloured(self) -> bool:
        """Whether the numbers have a palette of colours, as numbers of classes do."""
        return any(c % 0x010101 for look in self.plain.values() for c in look.colours.values())

    def _refuse_only_void(self, one: int) -> None:
        """Refuse one value besides 0 that is void by its colour."""
        colours = {look.colours.get(one) for look in self.plain.values()} - {None}
        if (self.colours and one == _VOC_VOID) or (one in VOIDS and not colours <= {_WHITE}):
            raise self._unclear(f"{self.said([one])} is void in such masks, and there is no other class")

    def _single(self, one: int) -> str:
        if one in (255, _WHITE):
            return "255 (white) is the object"
        return f"class {self.said([one])} is the object, the only value besides 0"

    def _unclear(self, why: str, way_out: str = _WAY_OUT) -> UsageError:
        return UsageError(
            f"the masks can be read in several ways: {why}",
            given=f"{self.named(self.plain)}: values {self.said(self.values)}", hint=way_out,
        )  # fmt: skip

    def said(self, values: Collection[int]) -> str:
        """Values in words; of many the first."""
        shown = [_hex(one) if self.colours else str(one) for one in sorted(values)]
        return ", ".join(shown) if len(shown) <= 24 else f"{', '.join(shown[:8])}, … {shown[-1]} ({len(shown)} values)"

    def _lossy(self) -> list[str]:
        return [name for name, look in self.plain.items() if look.lossy]

    @staticmethod
    def named(names: Collection[str]) -> str:
        """The first of some masks, and how many more."""
        return some(list(names))


def some(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _hex(colour: int) -> str:
    return f"#{colour:06x}"
