"""What was assumed of the pictures of a run as they were decoded: counted, named, and told in one note."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..names import escaped
from .left_out import listed_names
from .picture import Picture


class Assumed:
    """Pictures of which something was assumed, by what it was; threads may add to it.

    >>> import numpy as np
    >>> seen = Assumed()
    >>> seen.add(Picture(Path("p/a.png"), np.zeros((1, 1, 3), np.uint8), 0, ("transparent in places, laid on white",)))
    >>> print(*seen.notes)
    Pictures: 1 transparent in places, laid on white (a.png).
    """

    def __init__(self) -> None:
        self._found: dict[str, dict[Path, None]] = {}

    def add(self, picture: Picture) -> None:
        """Note what was assumed of a picture."""
        self.note(picture.path, picture.facts)

    def note(self, path: str | os.PathLike[str], facts: Iterable[str]) -> None:
        """Note what was assumed of a picture, as it was told when it was decoded."""
        for fact in facts:
            self._found.setdefault(fact, {})[Path(path)] = None

    @property
    def notes(self) -> tuple[str, ...]:
        """One note, or none where every picture could be read in one way only."""
        told = []
        for fact, paths in sorted(self._found.items()):
            names = [escaped(path.name) for path in sorted(paths)]
            told.append(f"{len(names)} {fact} ({listed_names(names)})")
        return (f"Pictures: {'; '.join(told)}.",) if told else ()
