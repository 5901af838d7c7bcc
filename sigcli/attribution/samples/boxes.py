"""Pictures of a detector: one box that it finds in each is explained."""

from __future__ import annotations

import re
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
from ..targets import Target, class_names, parse_target, spelled
from .pictures import Pictures, Seen

_PREFIXES = ("top", "index", "name")
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
    rank: int

    @classmethod
    def of(cls, samples: Pictures, network: Model) -> BoxPictures:
        """The same samples for a detector.

        Raises:
            UsageError: an option that has no meaning for it.
        """
        made = cls.__new__(cls)
        vars(made).update(vars(samples))
        made.network, made.rank = network, 1
        made.score = BoxScore(network.module, made.options.precision)  # type: ignore[arg-type]  it is a Detector
        if made.options.mask_certainty is not None:
            raise UsageError("a detector takes no certainty", given="--mask-certainty")
        if made.options.output != "logit":
            what = "a detection has one score, the overlap with its box times its class score"
            raise UsageError(what, given=f"--output {made.options.output}", hint="Leave --output out.")
        return made

    def scorer(self, model: Model) -> BoxScore:
        """How well what is found in an image matches a box."""
        del model
        return self.score

    def target(self, model: Model) -> Target:
        """The class; which of its boxes is kept as `rank`."""
        text, self.rank = _split(self.options.target, model)
        return parse_target(text, model.labels, model.classes, default="target" not in self.options.given)

    def spelled(self, model: Model) -> str:
        """The class and the rank of its box."""
        text, rank = _split(self.options.target, model)
        told = spelled(text, model.labels, model.classes)
        return told if told.startswith("top") else f"{told}:{rank}"

    def targets(self, scorer: Any, x: Tensor, source: Source, wanted: Target) -> list[int]:  # noqa: ARG002
        """The boxes of one picture: of the class that was named the one of that rank, or those of the highest scores.

        Raises:
            AttributionError: the detector finds no such box, or gives NaN.
        """
        found = self.score.found(x)
        if not all(bool(torch.isfinite(part).all()) for part in (found.boxes, found.scores)):
            raise AttributionError("the model gives NaN or infinity for this image")
        boxes, ranks = list[Box](), Counter[int]()
        for place, (box, label, score) in enumerate(
            zip(found.boxes.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True)
        ):
            ranks[label] += 1
            boxes.append(Box(label, tuple(box), place, ranks[label], score))
        if isinstance(wanted, tuple):
            chosen = boxes[: wanted[1]]
        else:
            chosen = [box for box in boxes if (box.label, box.rank) == (wanted, self.rank)]
        if not chosen:
            raise self._absent(boxes, wanted, ranks)
        return [self.score.add(box) for box in chosen]

    def _absent(self, boxes: list[Box], wanted: Target, ranks: Counter[int]) -> AttributionError:
        names = [f"{self.network.label(box.label)} {box.score:.2f}" for box in boxes[:_SHOWN]]
        given = "it finds " + (", ".join(names) + (", …" if len(boxes) > _SHOWN else "") if names else "nothing")
        if isinstance(wanted, tuple):
            return AttributionError("the detector finds nothing in this image")
        label = self.network.label(wanted)
        what = f"the detector finds no '{label}' in this image"
        if ranks[wanted]:
            what = f"the detector finds {ranks[wanted]} of '{label}' in this image, not {self.rank}"
        return AttributionError(what, given=given)

    def told(self, target: int) -> int:
        """The box's place among all that is found in its image, by score, from 0."""
        return self.score.boxes[target].place

    def label(self, model: Model, target: int) -> str:
        """The class, and which of its boxes."""
        box = self.score.boxes[target]
        return f"{printable(model.label(box.label))} {box.rank}"

    def of_target(self, seen: Seen, target: int) -> Seen:
        """With the box, which pictures outline."""
        if seen.picture is None:
            return seen
        high, wide = seen.picture.shape[0], seen.picture.shape[1]
        region = np.zeros((high, wide), bool)
        left, top, right, bottom = (round(edge) for edge in self.score.boxes[target].box)
        rows = slice(min(max(top, 0), high - 1), max(bottom, top + 1))
        region[rows, min(max(left, 0), wide - 1) : max(right, left + 1)] = True
        return BoxSeen(seen.picture, region=region)


def _split(target: str | int, model: Model) -> tuple[str | int, int]:
    """The class, and the rank that stands after a colon; 1 where none does.

    Raises:
        UsageError: a rank of 0.
    """
    text = str(target).strip()
    found = re.fullmatch(r"(.+):(\d{1,6})", text)
    if found is None or found[1].strip() in _PREFIXES or (model.labels and class_names(model.labels).find(text)):
        return target, 1
    if int(found[2]) < 1:
        raise UsageError("boxes of a class are counted from 1", given=text, allowed=f"{found[1]}:1, {found[1]}:2, …")
    return found[1].strip(), int(found[2])
