"""What the scenarios on digits share: the data, its networks, the digits that are explained. No printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...training.report import NETWORK
from ..network import Prepared
from ..pictures import PictureComparison, sheet
from . import data as digits
from .data import Digits, Split
from .network import digit_network, digit_recipe

_REFERENCES = 256
_ORDER = (5, 0, 1, 2, 3, 4, 6, 7, 8, 9)  # the paper's example is a 5


class OnDigits(PictureComparison[Any]):
    """A scenario on digits, MNIST's or scikit-learn's, with networks that are trained on them."""

    split: Split

    def check(self) -> None:
        """Read the digits, and the recipe of the training."""
        super().check()
        self.split = digits.load(self.options.data)
        self.recipe = self.recipe_with()

    def spec(self) -> dict[str, Any]:
        """The options, and the digits themselves in place of their folder."""
        return {**super().spec(), "data": self.split.digest()}

    def recipe_with(self, *, damage: bool = True) -> Any:
        """How a network is trained, on damaged digits or on digits as they are."""
        o = self.options
        return digit_recipe(o.preset, steps=o.steps, seed=o.seed, damage=damage)

    def network(self, name: str, **changes: Any) -> Prepared:
        """A trained network; `name` is that of the scenario whose network it is, `changes` as in `digit_network`."""
        known = {"arch": "small-cnn", "recipe": self.recipe, "file": NETWORK, "listener": self.listener}
        return digit_network(name, self.split, folder=self.folder, device=self.device, **{**known, **changes})

    @property
    def here(self) -> Path:
        """The folder of the digits as files."""
        return self.folder / "pictures" / self.split.digest()

    def seen(self) -> Digits:
        """Digits of the training, for means and references."""
        return self.split.train.rows(np.arange(min(_REFERENCES, len(self.split.train))))


def chosen(held: Digits, images: int) -> tuple[list[str], Digits]:
    """The first held-out digits of each class, classes in turn, and names for them."""
    by = [list(np.nonzero(held.labels == label)[0]) for label in _ORDER]
    turns = [rows[turn] for turn in range(len(held)) for rows in by if turn < len(rows)][:images]
    rows = np.array(turns, int)
    return [f"{i:03d}-class{held.labels[row]}.png" for i, row in enumerate(rows)], held.rows(rows)


def numbered(count: int) -> list[str]:
    """Names of so many pictures."""
    return [f"{i:03d}.png" for i in range(count)]


def draw_digits(
    path: Path,
    inputs: np.ndarray,
    labels: np.ndarray,
    maps: Mapping[str, Sequence[np.ndarray]],
    *,
    most: int,
    **texts: Any,
) -> None:
    """Write the first digits and their maps, at most so many; `texts` as in `sheet`."""
    columns = range(min(most, len(labels)))
    shown = {name: [found[i] for i in columns] for name, found in maps.items()}
    sheet(path, [inputs[i] for i in columns], shown, headings=[f"a {labels[i]}" for i in columns], **texts)
