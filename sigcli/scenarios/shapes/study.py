"""The scenario `shapes`: drawn objects whose exact place is known; where do the maps of each method lie? No printing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...attribution.explanation import Explanation
from ...attribution.options import ExplainOptions
from ...attribution.samples import Pictures
from ...attribution.select import Chosen
from ...errors import UsageError
from ...evaluation.evaluate import Evaluation
from ...evaluation.measured import FILES
from ...evaluation.methods_suited import left_out, usable
from ...evaluation.value import MetricValue
from ...metrics import certainty as checks
from ...metrics.statistics import paired
from ...models.model import Model
from ...models.wrappers.certainty import looked_into
from ...training.report import checks_told
from ..folders import own_folder
from ..pictures import EvaluatedComparison, written
from ..scenario import Verdict
from .data import CLASSES, ShapesPicture, draw
from .options import ShapesOptions

MEASURES = {
    "pointing-game": "pointing game", "roc-auc": "ROC AUC", "relevance-mass": "mass", "relevance-rank": "rank",
    "top-intersection": "top 5%",
}  # fmt: skip
_STREAM = 20_000  # first of this scenario's pictures; those of the training and its tests are far below


class Shapes(EvaluatedComparison[ShapesOptions]):
    """The scenario `shapes`: a network of drawn objects, on objects that it has not seen."""

    files = ()
    metrics = tuple(MEASURES)
    least = (1, "of its images")
    defaults = {
        "black.baseline": "black", "mean.baseline": "mean", "blur.baseline": "blur", "rise.samples": "1000",
        "lime.samples": "500", "kernelshap.budget": "500", "shapley-sampling.orders": "8",
        "kernelshap-tokens.budget": "500", "kernelshap-tokens.baseline": "tokens",
    }  # fmt: skip
    """As far as the methods' own defaults leave a choice, or would take longer than all others together."""

    def opened(self) -> Path:
        """The folder; its tables and figures are those of an evaluation."""
        return own_folder(f"sig-{self.name}", FILES, (), out=self.options.out, overwrite=self.options.overwrite)

    def run_options(self) -> dict[str, Any]:
        """Draw the pictures and their masks."""
        o = self.options
        self.drawn = [draw(_STREAM + o.seed, index) for index in range(o.images)]
        names = [f"{index:03d}-{CLASSES[picture.label]}.png" for index, picture in enumerate(self.drawn)]
        here = self.folder / "drawn" / f"seed-{o.seed}"
        masks = [np.where(picture.mask, np.uint8(255), np.uint8(0)) for picture in self.drawn]
        written(names, masks, here / "masks")
        images = written(names, [picture.image for picture in self.drawn], here)
        return {
            "images": list(map(str, images)), "model": o.model, "weights": o.weights, "masks": here / "masks",
            "view": o.view, "pictures": o.pictures,
        }  # fmt: skip

    def suited(self, samples: Pictures, model: Model, methods: list[Chosen]) -> list[Chosen]:
        """All methods where they were named, else those that the network allows."""
        if model.labels is None or tuple(model.labels) != CLASSES:
            raise UsageError(
                "the scenario shapes needs a network of its classes", given=f"--model {model.name}",
                allowed=f"shapes, shapes-vit, or another one of {', '.join(CLASSES)}, in this order",
            )  # fmt: skip
        self.obstacles: list[str] = []
        if "method" in self.options.given:
            return methods
        found, obstacles = usable(ExplainOptions(seed=self.options.seed), samples, model, methods)
        self.obstacles = left_out(obstacles)
        return found

    def judge(self, found: Evaluation, items: Sequence[Explanation]) -> None:
        del items
        self.found = found
        self.scores = [
            {"image": f.image, "method": f.method, "metric": f.metric, "value": f.value, "error": f.error}
            for f in found.values
        ]

    def verdict(self) -> Verdict:
        area = float(np.mean([picture.mask.mean() for picture in self.drawn]))
        chance = {name: f"{0.5 if name == 'roc-auc' else area:.2f}" for name in MEASURES}
        best_first = sorted(self.methods, key=lambda name: -_number(self.found, name, "roc-auc"))
        rows = [{"method": name, **_means(self.found, name)} for name in best_first]
        return Verdict(
            f"Do the maps lie on the drawn object? {len(self.drawn)} pictures, {self.output} of the predicted class",
            {"method": "method", **MEASURES},
            [*rows, {"method": "(chance)", **chance}],
            self.folder,
            facts=(
                _checked(self.session.model, self.drawn),
                f"Means over the pictures with 95 % intervals, higher is better. {self._looked_at()} "
                f"The object covers {area:.0%} of a picture.",
            ),
            findings=(*_findings(self.found, self.methods), *self.obstacles),
            records=self.scores,
            failed=sorted({f"{f.image} {f.method}: {f.error}" for f in self.found.values if f.error}),
        )

    def _looked_at(self) -> str:
        """How the maps were looked at, in a sentence."""
        shape = self.drawn[0].mask.shape
        fine, plain = (self.view.of(unsmoothed=plain).describe(shape) for plain in (False, True))
        if fine == plain:
            return f"Maps are {fine}."
        rough = ", ".join(one.name for one in self.session.methods if one.entry.unsmoothed)
        return f"Maps are {fine}" + (f"; coarse ones and edges as they are: {rough}." if rough else ".")


def _checked(model: Model, drawn: Sequence[ShapesPicture]) -> str:
    """Accuracy on the pictures, and whether a network that takes certainty has understood it, in a sentence or two."""
    x = torch.stack([model.preprocess(picture.image) for picture in drawn]).to(model.device)
    network = looked_into(model)
    with torch.no_grad():
        right = network(x).argmax(1).cpu() == torch.tensor([picture.label for picture in drawn])
    said = f"The network {model.name} is right in {int(right.sum())} of them."
    if not model.certainty:
        return said
    shares = torch.full((len(CLASSES),), 1 / len(CLASSES), device=model.device)
    figures = {
        "information_absence": checks.information_absence(network, x),
        "neutrality": checks.neutrality(network, x, shares),
    }
    return f"{said} {checks_told(figures)}"


def _number(found: Evaluation, method: str, metric: str) -> float:
    summary = next((s for (name, kind, _), s in found.summary.items() if (name, kind) == (method, metric)), None)
    return float("-inf") if summary is None or summary.mean is None else summary.mean


def _means(found: Evaluation, method: str) -> dict[str, str | None]:
    row: dict[str, str | None] = {}
    for (name, metric, _), one in found.summary.items():
        if name == method and one.mean is not None:
            span = "" if one.low is None or one.high is None else f" ({one.low:.2f}–{one.high:.2f})"
            row[metric] = f"{one.mean:.2f}{span}"
    return row


def _findings(found: Evaluation, methods: Sequence[str]) -> list[str]:
    """For each measure the methods that no other one beats by a paired interval that leaves out zero."""
    told = []
    for metric, heading in MEASURES.items():
        values = {name: _by_image(found.values, name, metric) for name in methods}
        best = [
            name for name in methods
            if values[name] and not any(_beats(values[other], values[name]) for other in methods if other != name)
        ]  # fmt: skip
        told.append(f"{heading}: best, or not to be told from the best by a paired interval: {', '.join(best)}.")
    return told


def _beats(one: dict[str, float], other: dict[str, float]) -> bool:
    gain = paired(one, other, seed=0)
    return gain.low is not None and gain.low > 0


def _by_image(figures: Sequence[MetricValue], method: str, metric: str) -> dict[str, float]:
    return {f.image: f.value for f in figures if (f.method, f.metric) == (method, metric) and f.value is not None}
