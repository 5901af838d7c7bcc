"""The scenario `mnist-in-space`: [ICG] A.4.2 and Fig. 11, with scores. No printing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...training.report import NETWORK
from ..comparison import Measure
from ..pictures import SCALES, Explained, RunComparison, written
from ..scenario import Verdict
from .data import SIDE
from .moved import AWAY, WIDTH, findings, placed, score
from .network import tensors
from .options import InSpaceOptions
from .shared import OnDigits, chosen, draw_digits, numbered

_SHOWN, _CHECKED = 4, 200


class InSpace(OnDigits, RunComparison[InSpaceOptions]):
    """The scenario `mnist-in-space`: a translation-invariant network, trained with digits at the left."""

    files = ("scores.csv", "summary.csv", "sheet.png", "training.png")
    networks = (NETWORK,)
    least = (1, "digit")
    measures = {
        "ghost": Measure("at the left, digit far right", 1), "home": Measure("the same area, digit at the left", 1),
        "excess": Measure("ghost: the difference", 1, signed=True), "shifted": Measure("r(moved map)", signed=True),
    }  # fmt: skip
    defaults = {
        "agn.samples": "500", "icg.steps": "100", "eg.samples": "500", "mean.steps": "100", "mean.baseline": "mean",
        "zero.steps": "100", "zero.baseline": "black", "sig.players": "grid:28x84", "sig-walk.players": "grid:7x21",
        "sig-walk.orders": "3",
    }  # fmt: skip

    def train(self) -> None:
        """The network, and what it makes of held-out digits at both places."""
        self.made = self.network("mnist-in-space", arch="small-cnn-ring", width=WIDTH)
        held = self.split.held
        checked = held.rows(np.arange(min(_CHECKED, len(held))))
        with torch.no_grad():
            here, there = (self.made.net(tensors(checked, width=WIDTH, left=left)).cpu() for left in (0, AWAY))
        self.right, self.checked = float((there.argmax(1).numpy() == checked.labels).mean()), len(checked)
        self.apart = float((here - there).abs().max())

    def run_options(self) -> dict[str, Any]:
        """Write references, and each digit at both places."""
        seen = placed(self.seen(), 0)
        written(numbered(len(seen)), seen, self.here / "references")
        self.names, self.shown = chosen(self.split.held, self.options.images)
        self.mean = np.rint(seen.mean(0)).astype(np.uint8)
        images = [
            path
            for where, left in (("left", 0), ("away", AWAY))
            for path in written(self.names, placed(self.shown, left), self.here / where)
        ]
        return {"images": images, "references": self.here / "references", "model": str(self.made.file)}

    def score(self, explained: Iterator[Explained]) -> None:
        """A row for each digit and method, from the maps at both places."""
        found: dict[tuple[str, str, str], Any] = {}
        for item, values in explained:
            path = Path(item.image)
            found[path.parent.name, path.name, item.method] = item, values
        for name, label in zip(self.names, self.shown.labels, strict=True):
            for method in (one.name for one in self.chosen):
                (item, away), (other, home) = (found[where, name, method] for where in ("away", "left"))
                measured = dict.fromkeys(self.measures) if away is None or home is None else score(away, home)
                self.scores.append({
                    "image": name, "class": int(label), "target": item.target, "method": method, **measured,
                    "score": item.score, "score_left": other.score, "error": item.error or other.error,
                })  # fmt: skip
                self.keep(method, away, (SIDE, WIDTH))

    def verdict(self) -> Verdict:
        title = "MNIST in Space: training with damaged inputs"
        return self.compared(
            f"Is there a ghost of the training where no digit is? {len(self.names)} digits ({self.output})",
            facts=(
                self.split.told,
                self.made.told(),
                f"In training all digits stand at the left. In columns {AWAY} to {AWAY + SIDE - 1} the network names "
                f"{self.right:.1%} of {self.checked} right; it is translation-invariant: no logit moves by more than "
                f"{self.apart:.1g}.",
                "So the map must move with the digit, and leave nothing at the left. Fractions are of the |attribution|; r: "
                "with the map of the same digit at the left, moved.",
            ),
            findings=findings(self.means),
            figures={"sheet.png": self._sheet, "training.png": lambda path: self.made.draw_curves(path, title)},
        )

    def _sheet(self, path: Path) -> None:
        draw_digits(
            path, placed(self.shown, AWAY), self.shown.labels, self.maps, most=_SHOWN,
            notes={name: f"ghost {self.cells(name)['excess'] or '-'}" for name in self.maps},
            extra={"training mean": self.mean},
            heading=f"MNIST in Space: a digit where no digit of the training was ({self.output} of the class that the "
            "network names)",
            caption=f"Red speaks for the class, blue against it; {SCALES} Ghost: fraction of |attribution| at the left, "
            "less what lies in the same way to a digit that stands there.",
        )  # fmt: skip
