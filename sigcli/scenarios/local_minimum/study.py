"""The scenario `local-minimum`: [ICG] section 5.2 and table 2, with scores. No printing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...models.device import choose_device
from ...models.loading import load_model
from ...scores.classifier import ClassScore
from ...training.report import NETWORK
from ..comparison import Comparison, Measure, mean_rows
from ..scenario import Verdict
from . import data
from .data import EXAMPLE, component_score
from .explaining import Vectors, baseline_shap, boundary, values_of
from .network import trained_network
from .options import LocalMinimumOptions
from .scores import SMALL, findings, finite, largest_error, measures, scaled

_REFERENCES = 256


class LocalMinimum(Comparison[LocalMinimumOptions]):
    """The scenario `local-minimum`: a certainty-aware network of six components."""

    files = ("values.csv", "scores.csv", "summary.csv", "example.png", "training.png")
    networks = (NETWORK,)
    least = (2, "inputs")
    measures = {
        "score_correlation": Measure("r(scores)", signed=True), "bshap_correlation": Measure("r(bshap)", signed=True),
        "wrong_sign": Measure("wrong sign", 0), "blind": Measure("blind", 0),
    }  # fmt: skip
    paths_only = True
    defaults = {
        "icg.steps": "100", "zero.steps": "100", "zero.baseline": "black", "mean.steps": "100", "mean.baseline": "mean",
        "eg.samples": "500", "agn.samples": "500", "agn.sigma": "0.1", "sig.players": "pixels",
        "sig.baseline": "constant:0.5", "sig.samples": "2016", "sig-walk.players": "pixels",
        "sig-walk.baseline": "constant:0.5",
    }  # fmt: skip

    def measure(self) -> None:
        """Train, explain every input by each method, and score the values."""
        o = self.options
        place = choose_device("cpu" if o.device == "auto" else o.device)
        self.made = trained_network(self.folder, seed=o.seed, steps=o.steps, device=place, listener=self.listener)
        model = load_model(str(self.made.file), device=place)
        inputs = data.batch(4 * o.seed + 3, 0, o.images)[0]
        x = np.concatenate([np.array(EXAMPLE, np.float32).reshape(1, 1, 1, -1), inputs])
        self.x, scorer = x.reshape(len(x), -1), ClassScore(model.module, o.output)
        self.base = boundary(scorer, model.device)
        bshap = [baseline_shap(scorer, one, self.base) for one in torch.from_numpy(x).to(model.device)]
        self.values: dict[str, np.ndarray] = {"bshap": np.stack(bshap)}
        self.errors: dict[str, np.ndarray] = {}
        self.failed: list[str] = []
        peers = Vectors(torch.from_numpy(data.batch(4 * o.seed + 2, 0, _REFERENCES)[0]).to(model.device))
        for number, one in enumerate(self.chosen):
            self.values[one.name], error, told = values_of(model, scorer, x, one, o.seed, peers)
            self.failed += told
            if error is not None:
                self.errors[one.name] = error
            self.listener.stage("explaining", number + 1, len(self.chosen))
        self.scores = [
            {"input": i, "method": name, **measures(values[i], self.x[i], self.values["bshap"][i])}
            for name, values in self.values.items()
            for i in range(1, len(x))
        ]

    def _rows(self, example: Mapping[str, np.ndarray], shown: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
        """Rows of the example's table: each component by each method, as it is and over the largest."""
        return [
            {
                "method": name, "component": i, "x": float(self.x[0, i]), "value": finite(v),
                "scaled": finite(shown[name][i]), "stderr": float(self.errors[name][i]) if name in self.errors else None,
            }
            for name, values in example.items()
            for i, v in enumerate(values)
        ]  # fmt: skip

    def verdict(self) -> Verdict:
        from .figure import draw_components

        example = {"scores": component_score(self.x[0]), **{name: values[0] for name, values in self.values.items()}}
        shown = {name: scaled(values) for name, values in example.items()}
        rows = self._rows(example, shown)
        places = {f"x{i + 1}": f"{value:g}" for i, value in enumerate(EXAMPLE)}
        title = "Local Minimum: training with damaged inputs"
        return Verdict(
            f"What does each of six components contribute to class 1 ({self.options.output})?",
            {"method": "method", **places, "error": "±", **{m: one.heading for m, one in self.measures.items()}},
            [
                {
                    "method": name, **dict(zip(places, map(finite, shown[name]), strict=True)),
                    "error": largest_error(values, self.errors.get(name)), **({} if name == "scores" else self.cells(name)),
                }
                for name, values in example.items()
            ],
            self.folder,
            facts=(
                self.made.told(),
                "The first columns are table 2's input, values over the largest (±: the largest standard error of those "
                f"drawn at random); the last ones means over {len(self.x) - 1} inputs: correlation with the scores and with "
                f"bshap. bshap is exact, from the network's boundary at {self.base:.3f}.",
                f"Blind: below {SMALL:.0%} of the largest value. Wrong sign: not that of the component's score.",
            ),
            findings=findings(self.means),
            records=self.scores,
            failed=self.failed,
            tables=dict(zip(self.files, (rows, self.scores, mean_rows(self.means)), strict=False)),
            figures={
                "example.png": lambda path: draw_components(self.x[0], shown, path),
                "training.png": lambda path: self.made.draw_curves(path, title),
            },
        )  # fmt: skip
