"""The scenario `burnt-snacks`: [ICG] section 5.1 and Fig. 4, with scores. No printing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...models.preprocess import Preprocess
from ...models.sources.trained import Trained
from ...training.loop import Held, preset_recipe
from ...training.report import NETWORK
from ..comparison import Measure, percent
from ..network import network
from ..pictures import SCALES, Explained, RunComparison, sheet, written
from ..scenario import Verdict
from . import data
from .data import DARK, LIGHT, Snacks
from .options import BurntSnacksOptions
from .score import NAMED, area, centres, findings, score

_STREAMS = {"train": 0, "held": 1, "reference": 2, "explain": 3}
_HELD, _REFERENCES, _BATCH = 1000, 128, 64


class BurntSnacks(RunComparison[BurntSnacksOptions]):
    """The scenario `burnt-snacks`: a certainty-aware network that looks for dark squares."""

    files = ("scores.csv", "summary.csv", "sheet.png", "training.png")
    networks = (NETWORK,)
    least = (2, "images, one of each class")
    measures = {
        "dark_share": Measure("positive attribution on dark squares", 0), "dark_net": Measure("the same, net per shape", 0),
        "dark_found": Measure("dark squares found", 0), "light_blamed": Measure("light squares blamed", 0),
        "light_share": Measure("class 0: attribution on light squares", 0),
    }  # fmt: skip
    defaults = {
        "icg.steps": "100", "icg-5.steps": "50", "icg-5.samples": "5", "icg-5.sigma": "0.02", "zero.steps": "100",
        "zero.baseline": "black", "mean.steps": "100", "mean.baseline": "mean", "max-distance.steps": "100",
        "max-distance.baseline": "max-distance", "eg.samples": "500", "agn.samples": "500", "sig.baseline": "black",
        "sig.players": "grid:6x6", "sig-walk.baseline": "black", "sig-walk.players": "grid:6x6",
    }  # fmt: skip
    """The settings of Fig. 4 as far as they are given there; `sig` and `sig-walk` take patches of 5×5 pixels."""

    def stream(self, name: str, first: int, count: int) -> Snacks:
        """Pictures of one of the scenario's streams."""
        return data.batch(16 * self.options.seed + _STREAMS[name], first, count)

    def train(self) -> None:
        """The certainty-aware network."""
        o = self.options
        made = Trained("pixel-cnn", data.CLASSES, True, Preprocess(None, data.SIZE, (0.0,), (1.0,)))
        own = {"rate": 4e-3, "decay": 0.05} if o.preset is None else {}
        self.made = network(
            self.name, made, lambda step: tensors(self.stream("train", step * _BATCH, _BATCH)),
            Held(*tensors(self.stream("held", 0, _HELD))), preset_recipe(o.preset, steps=o.steps, seed=o.seed, **own),
            folder=self.folder, device=self.device, sources=(data,), listener=self.listener,
        )  # fmt: skip

    def run_options(self) -> dict[str, Any]:
        """Write the pictures, those of both classes in turn, and references."""
        seed = self.options.seed
        names, self.known = self._chosen(self.options.images)
        here = self.folder / "pictures"
        seen, references = self.stream("reference", 0, _REFERENCES), here / f"references-{seed}"
        written([f"{i:03d}.png" for i in range(_REFERENCES)], seen.pixels(), references)
        images = written(names, self.known.pixels(), here / f"seed-{seed}")
        return {"images": images, "references": references, "model": str(self.made.file), "target": 1}

    def _chosen(self, images: int) -> tuple[list[str], Snacks]:
        """The first pictures of each class of a stream, alternately, and their names."""
        found = self.stream("explain", 0, 8 * images + 32)
        one, other = (np.nonzero(found.labels == label)[0] for label in (1, 0))
        rows = [int((one if i % 2 == 0 else other)[i // 2]) for i in range(images)]
        names = [f"{i:03d}-class{found.labels[row]}.png" for i, row in enumerate(rows)]
        return names, Snacks(found.images[rows], found.labels[rows], found.objects[rows], found.kinds[rows])

    def score(self, explained: Iterator[Explained]) -> None:
        """A row for each picture and method."""
        place, pictures = {path.name: row for row, path in enumerate(self.session.paths)}, self.known
        for item, values in explained:
            row = place[Path(item.image).name]
            found = {} if values is None else score(values, pictures.objects[row], pictures.kinds[row])
            self.scores.append({
                "image": item.image, "class": int(pictures.labels[row]), "method": item.method,
                **{name: found.get(name) for name in self.measures}, "score": item.score, "relative_gap": item.relative_gap,
                "gradient_evaluations": item.gradient_evaluations,
                "forward_evaluations": item.forward_evaluations, "error": item.error,
            })  # fmt: skip
            self.keep(item.method, values, pictures.objects[row].shape)

    def verdict(self) -> Verdict:
        dark, light = (percent(area(self.known, kind)) for kind in (DARK, LIGHT))
        title = "Burnt Snacks: training with damaged inputs"
        return self.compared(
            f'Is there a dark square? {len(self.known.images)} pictures, explained towards "yes" ({self.output})',
            below=[{"method": "(area)", "dark_share": dark, "light_share": light}],
            facts=(
                self.made.told(),
                f"A square is found, or blamed, where at least {NAMED:.0%} of the map's |attribution| lies on it, net.",
            ),
            findings=findings(self.means, self.methods),
            figures={"sheet.png": self._sheet, "training.png": lambda path: self.made.draw_curves(path, title)},
        )

    def _sheet(self, path: Path) -> None:
        pictures = self.known
        first = [i for label in (1, 0) for i in np.nonzero(pictures.labels == label)[0][: 4 if label else 3]]
        cells = {name: self.cells(name) for name in self.maps}
        sheet(
            path, [pictures.pixels()[i] for i in first],
            {name: [found[i] for i in first] for name, found in self.maps.items()},
            headings=[f"class {pictures.labels[i]}" for i in first],
            notes={name: f"{of['dark_share'] or '-'} on dark squares, {of['dark_found'] or '-'} of them found"
                   for name, of in cells.items()},
            dots=[centres(pictures.objects[i], pictures.kinds[i]) for i in first],
            heading=f'Burnt Snacks: is there a dark square? ({self.output} of "yes")',
            caption="Green dots mark dark squares, the only reason for class 1 (they are not in the input). Red speaks for "
            f"a dark square, blue against it; {SCALES}",
        )  # fmt: skip


def tensors(found: Snacks) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (N, 1, H, W) in 0..1 and classes (N,)."""
    return torch.from_numpy(found.images)[:, None], torch.from_numpy(found.labels)
