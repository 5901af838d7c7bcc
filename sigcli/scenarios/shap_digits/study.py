"""The scenario `shap-digits`: Fig. 5 of Lundberg, Lee 2017, pixels masked to turn an 8 into a 3. No printing."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...metrics.statistics import Summary, summarise
from ...runs.folder import write_aside
from ...training.report import NETWORK
from ..comparison import percent
from ..mnist.shared import OnDigits
from ..pictures import written
from ..scenario import Verdict
from .masking import FROM, MASKED, RANDOM, TO, Judge, Maps, changed, findings, ink_players, named_right
from .options import ShapDigitsOptions

PIXELS = "players.npy"


class ShapDigits(OnDigits):
    """The scenario `shap-digits`: the network of `mnist`, eights explained for 8 and for 3."""

    options: ShapDigitsOptions
    files = ("changes.csv", "summary.csv", "change.png", "sheet.png", PIXELS)
    networks = (NETWORK,)
    least = (2, "digits")
    defaults = {
        "deeplift.baseline": "black", "shap.baseline": "black", "shap.budget": "4096", "lime.baseline": "black",
        "lime.samples": "4096", "ig.baseline": "black", "ig.steps": "100", "icg.steps": "100", "sig.baseline": "black",
        "sig.players": "grid:28x28", "sig-walk.baseline": "black", "sig-walk.players": "grid:14x14", "sig-walk.orders": "2",
    }  # fmt: skip

    def measure(self) -> None:
        """Explain the digits for both classes, and mask them."""
        self.made = self.network("mnist")
        self.names, self.shown = named_right(self.made, self.split.held, self.options.images)
        paths = written(self.names, self.shown.images, self.here)
        self.settings = {**self._of_pixels(), **self.settings}
        found: dict[tuple[str, str, int], Any] = {}
        for label in (FROM, TO):
            run = {"model": str(self.made.file), "target": label, "out": self.folder / f"for-{label}"}
            for item, values in self.explained(paths, **run):
                found[Path(item.image).name, item.method, label] = item, values
        self.found: Maps = found
        judge, methods = Judge(self.made), [one.name for one in self.chosen]
        self.scores, self.masked = changed(judge, self.names, self.shown, methods, found, seed=self.options.seed)

    def _of_pixels(self) -> dict[str, str]:
        """Single pixels as the players of methods for which neither the scenario nor the user named others."""
        file = self.folder / PIXELS
        write_aside(file, lambda aside: _save(aside, ink_players(self.shown.images)))
        takes = [one for one in self.chosen if "players" in one.entry.options() and "players" not in one.options]
        return {f"{one.name}.players": str(file) for one in takes}

    @cached_property
    def changes(self) -> dict[str, dict[str, float]]:
        """Method → image → by how much the log odds fall."""
        return {
            name: {row["image"]: row["change"] for row in self.of(name) if row["change"] is not None}
            for name in self.methods
        }

    def of(self, method: str) -> list[dict[str, Any]]:
        """Scores of a method."""
        return [row for row in self.scores if row["method"] == method]

    def fall(self, method: str) -> Summary:
        """Mean fall of the log odds."""
        return summarise(list(self.changes[method].values()), seed=self.options.seed)

    def verdict(self) -> Verdict:
        from .figure import draw_boxes, draw_masked

        changes = {name: list(found.values()) for name, found in self.changes.items()}
        title, unit = f"Masking what speaks for {FROM} and not for {TO}", f"fall of the log odds of {FROM} against {TO}"
        digits = f"{len(self.names)} held-out digits that the network names {FROM}"
        return self.compared(
            f"Which pixels make it an {FROM} and not a {TO}? {digits}",
            columns={
                "method": "method", "mean": f"log odds of {FROM} against {TO} fall by", "interval": "95 % interval",
                "median": "median", "quartiles": "quartiles", "turned": f"named {TO} then", "masked": "pixels masked",
            },
            facts=(
                self.split.told,
                self.made.told(),
                f"Masked (made black) are the pixels that speak more for {FROM} than for {TO}, the largest difference "
                f"first, {MASKED} at most, a fifth of the picture. {RANDOM}: as many of the digit's pixels as the first "
                "method masks.",
            ),
            findings=findings(self.changes, self.options.seed),
            tables={self.files[0]: self.scores, self.files[1]: [self._summary(name) for name in self.methods]},
            figures={
                "change.png": lambda path: draw_boxes(changes, path, unit=unit, title=f"{title}: {len(self.shown)} digits"),
                "sheet.png": lambda path: draw_masked(path, self.names, self.shown, self.found, self.masked, changes),
            },
        )  # fmt: skip

    def _summary(self, method: str) -> dict[str, Any]:
        one, cells = self.fall(method), self.cells(method)
        means = {"method": method, "mean": one.mean, "ci_low": one.low, "ci_high": one.high, "n": one.n}
        return {**means, **{key: cells[key] for key in ("q1", "median", "q3")}}

    def cells(self, method: str) -> dict[str, Any]:
        """Mean and quartiles of a method's changes, as they are shown."""
        rows, mean = [row for row in self.of(method) if row["change"] is not None], self.fall(method)
        if not rows:
            return dict.fromkeys(("mean", "interval", "median", "quartiles", "q1", "q3", "turned", "masked"))
        low, middle, high = (float(q) for q in np.percentile([row["change"] for row in rows], [25, 50, 75]))
        return {
            "mean": mean.mean, "median": middle, "q1": low, "q3": high, "quartiles": f"{low:.2f} to {high:.2f}",
            "interval": None if mean.low is None or mean.high is None else f"{mean.low:.2f} to {mean.high:.2f}",
            "turned": percent(float(np.mean([row["named"] == TO for row in rows]))),
            "masked": f"{np.mean([row['masked'] for row in rows]):.0f}",
        }  # fmt: skip


def _save(path: Path, labels: np.ndarray) -> None:
    with path.open("wb") as stream:
        np.save(stream, labels)
