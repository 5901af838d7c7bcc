"""The scenario `imagenette`: [ICG] A.4.1 and Fig. 9 on any folder of photographs by class, with scores. No printing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...attribution.explanation import Explanation
from ...attribution.select import Chosen, choose_methods, split_settings
from ...errors import UsageError
from ...evaluation.evaluate import Evaluation
from ...training.folders import find_classes
from ...training.report import NETWORK
from ..comparison import Measure, percent
from ..pictures import EvaluatedComparison, map_of
from ..scenario import Verdict
from .network import copy, named_right, references, trained_network
from .options import ImagenetteOptions
from .scores import FRAME, findings, frame, frame_share


class Imagenette(EvaluatedComparison[ImagenetteOptions]):
    """The scenario `imagenette`: a classifier trained with certainty, and the maps of held-out photographs."""

    files = ("scores.csv", "training.csv", "sheet.png", "training.png")
    networks = (NETWORK,)
    least = (1, "image")
    metrics = ("deletion", "insertion", "sparseness")
    measures = {
        "deletion": Measure("deletion ↓"), "insertion": Measure("insertion ↑"), "sparseness": Measure("sparseness ↑"),
        "frame": Measure("on the frame", 0),
    }  # fmt: skip
    defaults = {
        "icg.samples": "5", "icg.steps": "50", "eg.samples": "200", "zero.steps": "100", "zero.baseline": "black",
        "agn.samples": "200",
    }  # fmt: skip
    """As the paper, `icg` averages 5 paths of the image under low noise."""

    def check(self) -> None:
        """Find the photographs."""
        if self.options.data is None:
            raise UsageError(
                "the scenario imagenette needs a folder of images, and downloads none", given="no --data",
                allowed="--data FOLDER with a subfolder of images for each class, or with train/ and val/ that have them",
                hint="Imagenette (fast.ai, 1.5 GB) or any photographs of yours, two classes or more.",
            )  # fmt: skip
        super().check()
        self.photographs = find_classes(self.options.data, seed=self.options.seed)

    def choose(self) -> list[Chosen]:
        """The methods, whose settings stand beside those of the metrics."""
        return choose_methods(self.options.method, split_settings(self.settings, self.metrics)[0])

    def train(self) -> None:
        """The classifier."""
        o = self.options
        self.made = trained_network(
            self.folder, Path(str(o.data)), self.photographs, arch=o.arch, size=o.image_size, epochs=o.epochs, seed=o.seed,
            device=self.device, listener=self.listener,
        )  # fmt: skip

    def run_options(self) -> dict[str, Any]:
        """Choose the images among those that the network classifies correctly."""
        o, file = self.options, self.made.file
        images = named_right(file, self.photographs, o.images, seed=o.seed, device=self.device)
        return {"images": images, "references": references(self.photographs, o.seed), "model": str(file)}

    def judge(self, found: Evaluation, items: Sequence[Explanation]) -> None:
        """A row for each image and method: its metrics, and what lies on the frame."""
        self.items, size = items, self.session.model.preprocess.size or (1, 1)
        measured = {(one.image, one.method, one.metric): one for one in found.values}
        for item in items:
            self.keep(item.method, map_of(self.session, item), size)
            of = [measured[item.image, item.method, name] for name in self.metrics]
            self.scores.append({
                "image": item.image, "method": item.method, "label": item.label, **{one.metric: one.value for one in of},
                "frame": frame_share(self.maps[item.method][-1]), "score": item.score,
                "error": item.error or "; ".join(one.error for one in of if one.error),
            })  # fmt: skip

    def verdict(self) -> Verdict:
        from .figure import draw_photographs

        copy(self.made.kept, self.folder, self.files[1])
        area = 1 - float(frame(next(iter(self.maps.values()))[0].shape).mean())
        cells, count = {name: self.cells(name) for name in self.maps}, len({item.image for item in self.items})
        return self.compared(
            f"What does a classifier look at? {count} held-out images that it names right ({self.output})",
            below=[{"method": "(area)", "frame": percent(area)}],
            facts=(
                self.made.told(),
                "Deletion and insertion: mean probability of the class while pixels go into a blur, or come out of it, in "
                f"the map's order. Sparseness: Gini index. Frame: fraction of |attribution| within 1/{FRAME} of the side.",
            ),
            findings=[*self.made.doubts(), *findings(self.means, area)],
            tables={self.files[0]: self.scores},
            figures={
                "sheet.png": lambda path: draw_photographs(path, self.items, self.maps, cells, self.output),
                "training.png": lambda path: copy(self.made.kept, path.parent, path.name),
            },
        )
