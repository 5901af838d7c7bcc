"""Which image of a run a cell of a table names, however it writes the path."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from ..files import cell_text
from ..inputs.given import Source
from ..names import original, printable
from ..runs.filenames import run_names

_RUN, _NAME, _CASE, _STEM, _STEM_CASE = 4, 3, 2, 1, 0
"""How a name agrees: as a run writes it, as the file is called, but for case, without its suffix, or without both."""


@dataclass(frozen=True)
class Fit:
    """The images that a cell names equally well; several where it cannot be known which is meant.

    Args:
        images: their numbers.
        agrees: how the name of the file agrees, the higher the better.
        parts: how many parts of the path agree, from the file upwards.
        elsewhere: only the file's name agrees, and the table gives it another folder.
    """

    images: tuple[int, ...]
    agrees: int
    parts: int
    elsewhere: bool = False

    @property
    def strength(self) -> tuple[int, int]:
        """Of two rows about one image, the one with more counts."""
        return self.agrees, self.parts

    @property
    def whole(self) -> bool:
        """Whether the cell has the file's suffix."""
        return self.agrees >= _CASE


@dataclass(frozen=True)
class _Image:
    number: int
    path: tuple[str, ...]  # from the root, folded
    name: str
    depth: int  # parts of its name in the run


class ImageNames:
    r"""The images of a run, looked up by what tables call them.

    A cell names an image by its file, or by more of its path: relative to any folder above it, absolute, or below another
    root, which must then have all of the image's name in the run. `./`, backslashes and repeated slashes don't matter; case
    and suffix do only where they tell two images apart.

    Args:
        paths: the images, in the order of the run.

    >>> from pathlib import Path
    >>> known = ImageNames([Path("in/cat/1.png"), Path("in/dog/1.png"), Path("in/dog/2.png")])
    >>> [known.fit(text).images for text in ("cat/1.png", ".\\dog\\1.png", "/other/in/dog/2.png", "2", "1.PNG")]
    [(0,), (1,), (2,), (2,), (0, 1)]
    """

    def __init__(self, paths: Sequence[Source]):
        self.names = [name for name, _ in run_names(paths)]
        self._run: dict[str, int] = {}
        self._by_name: dict[tuple[str, ...], list[_Image]] = {}
        self._by_stem: dict[tuple[str, ...], list[_Image]] = {}
        for number, (name, path) in enumerate(zip(self.names, paths, strict=True)):
            for known in (name, printable(original(name)), name.strip()):
                self._run.setdefault(known, number)
            parts = tuple(map(_folded, os.path.abspath(path).split("/")[1:]))
            image = _Image(number, parts, printable(os.path.basename(path)), name.count("/") + 1)
            stem = (*parts[:-1], _folded(_stem(image.name)))
            for ends, key in ((self._by_name, parts), (self._by_stem, stem)):
                for end in {key[-1:], key[-2:]}:
                    ends.setdefault(end, []).append(image)

    def __len__(self) -> int:
        return len(self.names)

    def fit(self, cell: str) -> Fit | None:
        """The images that a cell names best, or None."""
        text = printable(cell_text(cell))
        parts = [part for part in text.replace("\\", "/").split("/") if part.strip() not in ("", ".")]
        for known in (text, "/".join(parts)):
            if known in self._run:
                return Fit((self._run[known],), _RUN, len(parts))
        key = tuple(map(_folded, parts))
        fits: dict[tuple[int, int], list[_Image]] = {}
        for image, stem in self._near(key):
            agreed = 1 + _common(key[:-1], image.path[:-1])
            if agreed == len(key) or agreed >= image.depth:
                own = _stem(image.name) if stem else image.name
                same = unicodedata.normalize("NFC", own) == unicodedata.normalize("NFC", parts[-1].strip())
                agrees = (_STEM if same else _STEM_CASE) if stem else (_NAME if same else _CASE)
                fits.setdefault((agrees, agreed), []).append(image)
        if not fits:
            return None
        best = max(fits)
        return Fit(tuple(image.number for image in fits[best]), *best, elsewhere=best[1] == 1 < len(key))

    def _near(self, key: tuple[str, ...]) -> list[tuple[_Image, bool]]:
        """Images whose names end as a path does, and whether only without their suffix."""
        for ends, stem in ((self._by_name, False), (self._by_stem, True)):
            for end in (key[-2:], key[-1:]):
                if found := ends.get(end):
                    return [(image, stem) for image in found]
        return []


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", printable(name)).casefold().strip()


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many of the last parts agree."""
    count = 0
    while count < min(len(one), len(other)) and one[-1 - count] == other[-1 - count]:
        count += 1
    return count
