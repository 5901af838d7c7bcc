"""The scenario `mnist-masked`: [ICG] A.3.1 and Fig. 7, maps of digits of which an area is not known. No printing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...training.report import NETWORK
from ..comparison import Means, Measure, correlation, known, told
from ..pictures import SCALES, Explained, written
from ..scenario import Verdict
from .data import SIDE
from .options import MaskedOptions
from .shared import OnDigits, chosen, draw_digits

MASKED = (0.5, 0.0, 1.0, 0.5)
"""Left, top, right and bottom of the area, as fractions of the picture: the upper right quarter."""
COMBINED = "zero+one"
_SHOWN = 4


class Masked(OnDigits):
    """The scenario `mnist-masked`: the network of `mnist`, digits with an area masked and whole."""

    options: MaskedOptions
    files = ("scores.csv", "summary.csv", "sheet.png")
    networks = (NETWORK,)
    least = (1, "digit")
    measures = {
        "masked": Measure("in the masked area", 1), "known": Measure("the same area, known", 1),
        "as_icg": Measure("r(icg)"),
    }  # fmt: skip
    defaults = {
        "icg.steps": "100", "zero.steps": "100", "zero.baseline": "black", "one.steps": "100", "one.baseline": "white",
    }  # fmt: skip

    def measure(self) -> None:
        """Explain the digits masked and whole, and score the maps."""
        o, self.made = self.options, self.network("mnist")
        self.names, self.shown = chosen(self.split.held, o.images)
        paths = written(self.names, self.shown.images, self.here)
        found = []
        for kind, mask in (("masked", ",".join(map(str, MASKED))), ("known", None)):
            items = self.explained(paths, model=str(self.made.file), out=self.folder / kind, mask_certainty=mask)
            found.append({(Path(item.image).name, item.method): (item, values) for item, values in items})
        for name, label in zip(self.names, self.shown.labels, strict=True):
            rows, maps = of_digit(name, found[0], found[1], masked_area())
            self.scores += [{"image": name, "class": int(label), **row} for row in rows]
            for method, values in maps.items():
                self.keep(method, values, (SIDE, SIDE))

    def verdict(self) -> Verdict:
        what = f"{len(self.names)} held-out digits, the upper right quarter masked ({self.options.output})"
        fractions = "Fractions are of the |attribution|; r: correlation with the map of icg of the same digit."
        return self.compared(
            f"Is an area that is not known left out? {what}",
            facts=(self.split.told, self.made.told(), fractions),
            findings=findings(self.means),
            figures={"sheet.png": self._sheet},
        )

    def _sheet(self, path: Path) -> None:
        draw_digits(
            path, np.where(masked_area(), np.uint8(127), self.shown.images), self.shown.labels, self.maps, most=_SHOWN,
            notes={name: f"{self.cells(name)['masked'] or '-'} in the masked area" for name in self.maps},
            heading=f"Digits whose upper right quarter is not known ({self.options.output} of the class that the network "
            "names)",
            caption=f"Grey: a certainty of 0. Red speaks for the class, blue against it; {SCALES} {COMBINED}: the maps of "
            "Integrated Gradients from black and from white, added.",
        )  # fmt: skip


def masked_area() -> np.ndarray:
    """Which pixels are not known, (28, 28)."""
    left, top, right, bottom = (round(SIDE * part) for part in MASKED)
    area = np.zeros((SIDE, SIDE), bool)
    area[top:bottom, left:right] = True
    return area


def share_in(values: np.ndarray | None, area: np.ndarray) -> float | None:
    """Fraction of the |attribution| (H, W) in an area; None for a map of zeros, or none at all."""
    return float(np.abs(values[area]).sum() / np.abs(values).sum()) if values is not None and values.any() else None


def of_digit(
    name: str, masked: Mapping[tuple[str, str], Explained], known: Mapping[tuple[str, str], Explained], area: np.ndarray
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray | None]]:
    """A row for each method and for the sum, and the maps of one digit with the area masked."""
    methods = [method for image, method in masked if image == name]
    kinds = [{method: found[name, method][1] for method in methods} for found in (masked, known)]
    items = {method: masked[name, method][0] for method in methods}
    if {"zero", "one"} <= set(methods):
        for maps in kinds:
            zero, one = maps["zero"], maps["one"]
            maps[COMBINED] = None if zero is None or one is None else zero + one
    rows = []
    for method, values in kinds[0].items():
        icg = None if method == "icg" else kinds[0].get("icg")
        item = items.get(method)
        rows.append({
            "target": items[methods[0]].target, "method": method, "masked": share_in(values, area),
            "known": share_in(kinds[1][method], area),
            "as_icg": None if values is None or icg is None else correlation(values, icg),
            "score": None if item is None else item.score,
            "error": None if item is None else item.error or known[name, method][0].error,
        })  # fmt: skip
    return rows, kinds[0]


def findings(means: Means) -> list[str]:
    """What the table says in words, each sentence from its values."""
    now, before = known(means, "masked"), known(means, "known")
    shares = {name: (value, before[name]) for name, value in now.items() if before.get(name)}
    said = [
        *told("At most a tenth of its attribution is left to the masked area by",
              [name for name, (left, whole) in shares.items() if left <= 0.1 * whole]),
        *told("More than a tenth is left by", [name for name, (left, whole) in shares.items() if left > 0.1 * whole]),
    ]  # fmt: skip
    alike = known(means, "as_icg")
    if len(alike) > 1:
        best = max(alike, key=lambda name: alike[name])
        said.append(f"Nearest to icg is {best} (r = {alike[best]:.2f}).")
    return said
