"""The scenario `mnist`: [ICG] A.3.3 and A.4.2, Figs 8 and 10, with scores. No printing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...attribution.explanation import Explanation
from ...engine.failures import attempted
from ...errors import SigError
from ...training.report import NETWORK, checks_told
from ..comparison import Measure, correlation, mean_rows, percent
from ..pictures import SCALES, Explained, RunComparison, written
from ..scenario import Verdict
from .network import tensors
from .options import MnistOptions
from .scores import findings, ground_share, reached, removal
from .shared import OnDigits, chosen, draw_digits, numbered

UNDAMAGED = "undamaged.safetensors"
WITHIN = 0.01
_SHOWN, _REACHED = 8, 0.9


class Mnist(OnDigits, RunComparison[MnistOptions]):
    """The scenario `mnist`: a network trained with damaged digits and one without, and maps of the former."""

    files = ("scores.csv", "summary.csv", "training.csv", "sheet.png", "training.png")
    networks = (NETWORK, UNDAMAGED)
    least = (1, "digit")
    measures = {
        "ground": Measure("on the ground", 0), "deletion": Measure("deletion ↓"), "insertion": Measure("insertion ↑"),
        "as_agn": Measure("r(agn)", signed=True), "as_eg": Measure("r(eg)", signed=True),
    }  # fmt: skip
    defaults = {
        "zero.steps": "100", "zero.baseline": "black", "middle.steps": "100", "middle.baseline": "constant:0.5",
        "agn.samples": "500", "icg.steps": "100", "mean.steps": "100", "mean.baseline": "mean", "eg.samples": "500",
    }  # fmt: skip

    def train(self) -> None:
        """The same network on the same batches of digits, damaged and undamaged."""
        self.aware = self.network("mnist", stage="training with damage")
        plain = self.recipe_with(damage=False)
        self.plain = self.network("mnist", recipe=plain, file=UNDAMAGED, stage="training without damage")

    def run_options(self) -> dict[str, Any]:
        """Write the digits that are explained, and references."""
        names, self.shown = chosen(self.split.held, self.options.images)
        self.known, references = self.seen(), self.here / "references"
        written(numbered(len(self.known)), self.known.images, references)
        digits = written(names, self.shown.images, self.here / "digits")
        return {"images": digits, "references": references, "model": str(self.aware.file)}

    def score(self, explained: Iterator[Explained]) -> None:
        """A row for each digit and method."""
        place = {path.name: row for row, path in enumerate(self.session.paths)}
        for item, values in explained:
            row = place[Path(item.image).name]
            image = self.shown.images[row]
            removed, error = self._removed(item, values, row)
            self.scores.append({
                "image": item.image, "class": int(self.shown.labels[row]), "target": item.target, "method": item.method,
                **dict.fromkeys(self.measures), "ground": None if values is None else ground_share(values, image),
                **removed, "score": item.score, "relative_gap": item.relative_gap,
                "gradient_evaluations": item.gradient_evaluations,
                "forward_evaluations": item.forward_evaluations, "error": error,
            })  # fmt: skip
            self.keep(item.method, values, image.shape)
        for measure, other in (("as_agn", "agn"), ("as_eg", "eg")):
            for name in [name for name in self.maps if other in self.maps and name != other]:
                rows = [row for row in self.scores if row["method"] == name]
                for row, one, two in zip(rows, self.maps[name], self.maps[other], strict=True):
                    row[measure] = correlation(one, two)

    def _removed(self, item: Explanation, values: np.ndarray | None, row: int) -> tuple[dict[str, float], str]:
        """`removal` of a map, nothing where it failed, and what failed: the network may raise for a damaged digit alone."""
        if values is None or item.target is None:
            return {}, item.error
        target, session = int(item.target), self.session  # a digit, never a comparison
        x = tensors(self.shown.rows(np.array([row])))[0].to(session.model.device)
        found = attempted(lambda: removal(session.classifier, values, x, target))
        return ({}, str(found)) if isinstance(found, SigError) else (found, item.error)

    def verdict(self) -> Verdict:
        area = float((self.shown.images == 0).mean())
        nets = {"with damage": self.aware, "without damage": self.plain}
        points = [{"trained": how, **vars(point)} for how, net in nets.items() for point in net.points]
        return self.compared(
            f"Which pixels make a digit what it is? {len(self.shown)} held-out digits ({self.output})",
            below=[{"method": "(area)", "ground": percent(area)}],
            facts=self._facts(),
            findings=[*self._trainings(), *findings(self.means, area)],
            tables={self.files[0]: self.scores, self.files[1]: mean_rows(self.means), self.files[2]: points},
            figures={"sheet.png": self._sheet, "training.png": self._curves},
        )

    def _facts(self) -> Sequence[str]:
        aware, plain = self.aware.figures, self.plain.figures
        return (
            self.split.told,
            f"Undamaged held-out digits named right after {aware['steps']:.0f} batches: with damage in training "
            f"{aware['accuracy']:.1%}, without {plain['accuracy']:.1%}. "
            f"Damaged ones, with damage in training: {aware['damaged']:.1%}.",
            checks_told(aware),
            "On the ground: fraction of the |attribution| on black pixels. Deletion and insertion: mean probability of the "
            "class while pixels become unknown, or known, in the map's order (by their certainty). r: correlation with "
            "that map.",
        )

    def _trainings(self) -> list[str]:
        apart = self.aware.figures["accuracy"] - self.plain.figures["accuracy"]
        both = [reached(net.points, _REACHED) for net in (self.aware, self.plain)]
        ends = f"end {abs(apart) * 100:.1f} points of accuracy apart"
        within = "within" if abs(apart) <= WITHIN + 1e-9 else "not within"
        said = [f"With damage and without, the trainings {ends}: {within} one point."]
        if both[0] and both[1]:
            said.append(f"{_REACHED:.0%} or more it stays from batch {both[0]} on with damage, {both[1]} without.")
        return said

    def _sheet(self, path: Path) -> None:
        draw_digits(
            path, self.shown.images, self.shown.labels, self.maps, most=_SHOWN,
            notes={name: f"{self.cells(name)['ground'] or '-'} on the ground" for name in self.maps},
            extra={"mean digit": np.rint(self.known.images.mean(0)).astype(np.uint8)},
            heading=f"Digits: what speaks for the class that the network names ({self.output})",
            caption=f"Red speaks for the class, blue against it; {SCALES} The mean digit is that of the training digits "
            "that mean and eg start from.",
        )  # fmt: skip

    def _curves(self, path: Path) -> None:
        from ...training.curves import draw_curves

        runs = {"with damage": self.aware.points, "without damage": self.plain.points}
        draw_curves(runs, path, title="Digits: the same network trained with and without damaged inputs")
