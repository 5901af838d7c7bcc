"""Warnings of networks and libraries: of each place in the code the first few are shown, the rest is counted.

A network that warns in each pass would else write gigabytes in a night.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

FEW = 3
_PLACES = 1000
"""Places that are told apart; those of generated code have no end."""


@contextmanager
def few_of_each() -> Iterator[None]:
    """While it lasts, at most three warnings of each place are shown; at its end one line counts the others of all."""
    show = warnings.showwarning
    seen: Counter[tuple[type[Warning], str, int]] = Counter()

    def shown(message: Warning | str, category: type[Warning], filename: str, lineno: int, *more: Any) -> None:
        place = category, filename, lineno
        if place not in seen and len(seen) >= _PLACES:
            place = Warning, "", 0
        seen[place] += 1
        if seen[place] <= FEW:
            show(message, category, filename, lineno, *more)

    warnings.showwarning = shown
    try:
        yield
    finally:
        warnings.showwarning = show
        hidden = sum(max(0, count - FEW) for count in seen.values())
        if hidden:
            places = sum(count > FEW for count in seen.values())
            of = "one place" if places == 1 else f"{places:,} places"
            print(f"note: {hidden:,} more warnings from {of} in the code of the network or a library", file=sys.stderr)
