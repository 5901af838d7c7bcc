"""What the model saw of a sample, and the words for its maps; a target that a sample does not have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ... import render
from ...errors import AttributionError
from ..drawing import Drawing, Page
from ..sheets import sheet

if TYPE_CHECKING:
    from ..explanation import Explanation

PICTURE, PAIR, ARRAY = "picture", "pair", "array"


@dataclass(frozen=True, eq=False)
class Seen:
    """What the model saw of a sample, and the words for its maps.

    Args:
        picture: (H, W, 3) uint8, or None.
        region: (H, W) bool, the part of it that the score is of, outlined in pictures; None where it is of the whole.
    """

    picture: np.ndarray | None = None
    region: np.ndarray | None = field(default=None, kw_only=True)
    kind = PICTURE
    per = "pixel"
    ends = ("against", "for")
    """What blue and red say."""

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The shape of its values, where that is not the network's (C, H, W)."""
        return None

    @property
    def players(self) -> np.ndarray | None:
        """The player of each value, where all methods share them."""
        return None

    def what(self, label: str, target: int | str | None) -> str:
        """The target in words."""
        return label or f"class {target}"

    def reading(self, output: str) -> str:  # noqa: ARG002  pairs name it
        """How the colours are read, in a sentence."""
        return "Red speaks for the target, blue against it."

    def beside(self, item: Explanation) -> tuple[tuple[str, str], tuple[np.ndarray, tuple[str, str]] | None]:
        """Lines below the picture in a sheet; and a second picture with its lines, or None."""
        return (item.image, f"target: {item.what()}"), None

    def draw(self, item: Explanation, path: Path) -> None:
        """Draw the picture that shows one explanation best: the overlay."""
        render.save_png(Page(item, Drawing()).overlay(), path)

    def draw_sheet(self, ready: Sequence[Explanation], drawing: Drawing, heading: str, path: Path) -> None:
        """Draw all methods of one sample and target side by side."""
        render.save_png(sheet(ready, drawing, heading), path)


@dataclass(frozen=True, eq=False)
class Missing:
    """A target that a sample does not have.

    Args:
        error: why.
        target: as results name it, or None where it has no name.
        label: in words.
    """

    error: AttributionError
    target: int | str | None
    label: str


UNSEEN = Seen()
"""Of a sample that could not be read, or whose explanation failed."""
