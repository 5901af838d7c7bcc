"""Pictures of a detector: boxes that it finds in each are explained."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import AttributionError, UsageError
from ...inputs.given import Source
from ...models.model import Model
from ...names import printable
from ...scores.boxes import Box, BoxScore
from ..wanted import Wanted
from ..wanted_boxes import WantedBoxes, parse_boxes
from .pictures import Pictures
from .seen import Missing, Seen

_SHOWN = 8


@dataclass(frozen=True, eq=False)
class BoxSeen(Seen):
    """What the model saw of a picture, and the box that is explained."""

    def reading(self, output: str) -> str:
        """How the colours are read, in a sentence."""
        del output
        return "Red speaks for the outlined box and its class, blue against them."


class BoxPictures(Pictures):
    """Pictures of a detector. The targets of the score are numbers of boxes."""

    network: Model
    score: BoxScore
    asked: WantedBoxes
    unseen = BoxSeen()

    @classmethod
    def of(cls, samples: Pictures, network: Model) -> BoxPictures:
        """The same samples for a detector.

        Raises:
            UsageError: an option that has no meaning for it, or no such class.
        """
        made = cls.__new__(cls)
        vars(made).update(vars(samples))
        made.network, made.classes = network, network.classes
        made.score = BoxScore(network.module, made.options.precision)  # type: ignore[arg-type]  it is a Detector
        if made.options.mask_certainty is not None:
            raise UsageError("a detector takes no certainty", given="--mask-certainty")
        if made.options.output != "logit":
            what = "a detection has one score, the overlap with its box times its class score"
            raise UsageError(what, given=f"--output {made.options.output}", hint="Leave --output out.")
        default = "target" not in made.options.given
        made.asked = parse_boxes(made.options.target, network.labels, network.classes, default=default)
        return made

    def scorer(self, model: Model) -> BoxScore:
        """How well what is found in an image matches a box."""
        del model
        return self.score

    def target(self, model: Model) -> Wanted:  # noqa: ARG002  it is the network of these samples
        """The classes; which of their boxes is in `asked`."""
        return self.asked.wanted

    def spelled(self, model: Model) -> str:  # noqa: ARG002
        """The classes and the ranks of their boxes."""
        return self.asked.spelled

    def manifest(self) -> dict[str, Any]:
        """Which boxes, so that the run can be measured later."""
        return {"target": self.asked.spelled}

    def targets(self, scorer: Any, x: Tensor, source: Source, wanted: Wanted) -> list[int | Missing]:  # noqa: ARG002
        """The boxes of one picture: those that were named, or those of the highest scores; what is not there comes last.

        Raises:
            AttributionError: the detector finds nothing, or gives NaN.
        """
        boxes = self._found(x)
        if isinstance(wanted, tuple) and isinstance(wanted[0], str):
            if not boxes:
                raise AttributionError("the detector finds nothing in this image")
            return [self.score.add(box) for box in boxes[: wanted[1]]]
        known = {(box.label, box.rank): box for box in boxes}
        found: list[int | Missing] = [self.score.add(known[one]) for one in self.asked.boxes if one in known]
        lost = [one for one in self.asked.boxes if one not in known]
        return found + ([self._missing(boxes, lost)] if lost else [])

    def number(self, scorer: Any, x: Tensor, source: Source, target: int | str) -> int:  # noqa: ARG002
        """The box at that place among all that are found in one picture.

        Raises:
            AttributionError: the detector finds fewer, or gives NaN.
        """
        boxes = self._found(x)
        if not 0 <= int(target) < len(boxes):
            raise AttributionError(f"the detector finds no box {target} in this image", given=f"it finds {len(boxes)}")
        return self.score.add(boxes[int(target)])

    def _found(self, x: Tensor) -> list[Box]:
        """All that is found in a picture, by score."""
        found = self.score.found(x)
        if not all(bool(torch.isfinite(part).all()) for part in (found.boxes, found.scores)):
            raise AttributionError("the model gives NaN or infinity for this image")
        boxes, ranks = list[Box](), Counter[int]()
        for place, (box, label, score) in enumerate(
            zip(found.boxes.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True)
        ):
            ranks[label] += 1
            boxes.append(Box(label, tuple(box), place, ranks[label], score))
        return boxes

    def _missing(self, boxes: list[Box], lost: list[tuple[int, int]]) -> Missing:
        """What is told of boxes that were named and are not there."""
        names = [f"{self.network.label(box.label)} {box.score:.2f}" for box in boxes[:_SHOWN]]
        given = "it finds " + (", ".join(names) + (", …" if len(boxes) > _SHOWN else "") if names else "nothing")
        ranks = Counter(box.label for box in boxes)

        def why(label: int, rank: int) -> str:
            name = self.network.label(label)
            return (
                f"{ranks[label]} of '{name}' in this image, not {rank}"
                if ranks[label]
                else f"no '{name}' in this image"
            )

        what = " and ".join(why(*one) for one in lost)
        label = ", ".join(f"{printable(self.network.label(one))} {rank}" for one, rank in lost)
        return Missing(AttributionError(f"the detector finds {what}", given=given), None, label)

    def told(self, target: int) -> int:
        """The box's place among all that is found in its image, by score, from 0."""
        return self.score.boxes[target].place

    def label(self, model: Model, target: int) -> str:
        """The class, and which of its boxes."""
        box = self.score.boxes[target]
        return f"{printable(model.label(box.label))} {box.rank}"

    def told_region(self, target: int) -> str:
        """The box and the detector's score of it."""
        box = self.score.boxes[target]
        return f"box {','.join(f'{edge:.1f}' for edge in box.box)} of {box.score:.3g}"

    def region(self, target: int, size: tuple[int, int]) -> np.ndarray:
        """The pixels of a box; of one without an area, one pixel."""
        high, wide = size
        region = np.zeros(size, bool)
        left, top, right, bottom = (round(edge) for edge in self.score.boxes[target].box)
        top, left = min(max(top, 0), high - 1), min(max(left, 0), wide - 1)
        region[top : max(bottom, top + 1), left : max(right, left + 1)] = True
        return region

    def of_target(self, seen: Seen, target: int) -> Seen:
        """With the box, which pictures outline."""
        if seen.picture is None:
            return seen
        return BoxSeen(seen.picture, region=self.region(target, (seen.picture.shape[0], seen.picture.shape[1])))
