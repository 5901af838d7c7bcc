"""Pictures of a segmentation network: a class is explained over a region of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import AttributionError, UsageError
from ...files import file_digest
from ...heads import Head
from ...inputs.given import Source, is_tensor
from ...inputs.images import decode
from ...inputs.picture import upright
from ...models.model import Model
from ...models.wrappers.certainty import white
from ...names import printable
from ...scores.regions import Regions, RegionScore
from ..targets import Target, class_names, parse_target, spelled
from .pictures import Pictures, Seen

_BACKGROUND = ("__background__", "background")
_FORM = "CLASS, CLASS@X,Y (a pixel of the picture) or CLASS@FILE (an image that is white where the region is)"


@dataclass(frozen=True)
class Place:
    """Where the score is taken, as `--target` names it after an @.

    Args:
        text: as it was typed; empty for where the network itself sees the class.
        pixel: (x, y) of the picture, from its upper left corner.
        mask: (H, W) bool, read from a file.
    """

    text: str = ""
    pixel: tuple[int, int] | None = None
    mask: np.ndarray | None = None

    def __str__(self) -> str:
        if not self.text:
            return ""
        return f" at {self.text}" if self.pixel else f" in {Path(self.text).name}"


@dataclass(frozen=True, eq=False)
class RegionSeen(Seen):
    """What the model saw of a picture, and the region over which a class is explained."""

    def reading(self, output: str) -> str:
        """How the colours are read, in a sentence."""
        del output
        return "Red speaks for the class in the outlined region, blue against it."


class RegionPictures(Pictures):
    """Pictures of a network that scores every class at every pixel. The targets of the score are numbers of regions."""

    network: Model
    known: Regions
    place: Place
    told_of_mask: tuple[str, ...]

    @classmethod
    def of(cls, samples: Pictures, network: Model) -> RegionPictures:
        """The same samples for such a network.

        Raises:
            UsageError: an option that has no meaning for it, or no such region.
        """
        made = cls.__new__(cls)
        vars(made).update(vars(samples))
        made.network, made.known, made.place, made.told_of_mask = network, Regions(), Place(), ()
        if made.options.mask_certainty is not None:
            raise UsageError("a segmentation network takes no certainty", given="--mask-certainty")
        return made

    def scorer(self, model: Model) -> RegionScore:
        """The mean score of a class over a region."""
        output = model.head.in_force(self.options.output)
        return RegionScore(model.module, output, self.options.precision, model.head, regions=self.known)

    def target(self, model: Model) -> Target:
        """The class before the @; what stands after it is kept as `place`."""
        text, where = _split(self.options.target, model)
        self.place, self.told_of_mask = _place(where)
        default = "target" not in self.options.given
        return parse_target(text, model.labels, model.classes, default=default)

    def spelled(self, model: Model) -> str:
        """The class and its region."""
        text, where = _split(self.options.target, model)
        return spelled(text, model.labels, model.classes) + (f"@{where}" if where else "")

    def spec(self) -> dict[str, Any]:
        """Which region a file holds."""
        mask = {} if self.place.mask is None else {"region": file_digest(self.place.text)}
        return {**super().spec(), **mask}

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed of a mask, besides what is told of all pictures."""
        return (*super().notes, *self.told_of_mask)

    def targets(self, scorer: Any, x: Tensor, source: Source, wanted: Target) -> list[int]:
        """The regions of one picture: of the class that was named, or of those that the network sees most of.

        Raises:
            AttributionError: the network sees nothing of the class or of the region, or it gives NaN.
        """
        outputs = scorer.outputs(x[None])
        if not torch.isfinite(outputs).all():
            raise AttributionError("the model gives NaN or infinity for this image")
        there = seen_classes(outputs, scorer.head)[0].cpu().numpy()  # (K, H, W)
        fixed = self._fixed(source, there.shape[1:])
        classes = [wanted] if isinstance(wanted, int) else self._most(there, fixed, wanted[1])
        if fixed is None and isinstance(wanted, int) and not there[wanted].any():
            known = self.network
            others = [known.label(int(k)) for k in np.argsort(-there.sum((1, 2)), kind="stable") if there[k].any()]
            raise AttributionError(
                f"the network sees no '{known.label(wanted)}' in this image",
                given=f"it sees {', '.join(others) or 'nothing'}",
                hint="Name a pixel or a mask: --target CLASS@X,Y or CLASS@FILE.",
            )
        return [self.known.add(k, there[k] if fixed is None else fixed) for k in classes]

    def _most(self, there: np.ndarray, fixed: np.ndarray | None, count: int) -> list[int]:
        """The classes that cover most of the region, or of the image besides its background."""
        areas = (there if fixed is None else there & fixed).sum((1, 2)).astype(np.int64)
        labels = self.network.labels or ()
        if fixed is None and len(labels) > 1 and labels[0].casefold() in _BACKGROUND and areas[1:].any():
            areas[0] = 0
        if not areas.any():
            raise AttributionError("the network sees no class in this image", hint="Name one: --target CLASS@X,Y.")
        order = [int(k) for k in np.argsort(-areas, kind="stable") if areas[k]]
        return order[:count]

    def _fixed(self, source: Source, size: tuple[int, ...]) -> np.ndarray | None:
        """The region that was named, (H, W) of what the network sees; None where it is the network's own."""
        if self.place.pixel is None and self.place.mask is None:
            return None
        preprocess, picture = self.network.preprocess, self.read(source)
        high, wide = size if is_tensor(source) else picture.size
        if self.place.mask is not None:
            mask = self.place.mask
            if mask.shape != (high, wide):
                given = f"{mask.shape[1]}x{mask.shape[0]} for a picture of {wide}x{high}"
                raise AttributionError("the region's image does not have the size of the picture", given=given)
            found = mask if is_tensor(source) else preprocess.area(mask)
        else:
            x, y = self.place.pixel or (0, 0)
            if x >= wide or y >= high:
                raise AttributionError("the pixel lies outside of the picture", given=self.place.text,
                                       allowed=f"0,0 to {wide - 1},{high - 1}")  # fmt: skip
            spot = (x, y) if is_tensor(source) else preprocess.landing(x, y, (high, wide))
            found = np.zeros(size, bool)
            if spot is not None:
                found[spot[1], spot[0]] = True
        if not found.any():
            raise AttributionError("the region is cropped away: the network does not see it", given=self.place.text)
        return found

    def told(self, target: int) -> int:
        """The class of a region."""
        return self.known.target(target)

    def label(self, model: Model, target: int) -> str:
        """The class, and where it was asked for."""
        at = self.known.target(target)
        return f"{printable(model.label(at))}{printable(str(self.place))}"

    def of_target(self, seen: Seen, target: int) -> Seen:
        """With the region, which pictures outline."""
        return RegionSeen(seen.picture, region=self.known.mask(target))


def seen_classes(outputs: Tensor, head: Head) -> Tensor:
    """Where a network sees each class: (N, K, H, W) outputs → the same shape, True where it does.

    Of one class at a pixel that is the class of the largest score; of labels, and of a single output, those that are more
    likely than not.
    """
    if head.single or head.several:
        rows = head.probability(outputs.permute(0, 2, 3, 1).flatten(0, 2)) > 0.5
        return rows.reshape(len(outputs), *outputs.shape[2:], -1).permute(0, 3, 1, 2)
    best = outputs.argmax(1, keepdim=True)
    return torch.zeros_like(outputs, dtype=torch.bool).scatter_(1, best, value=True)


def _split(target: str | int, model: Model) -> tuple[str | int, str]:
    """The class, and what stands after the @ that is not of its name."""
    text = str(target).strip()
    if not isinstance(target, str) or "@" not in text or (model.labels and class_names(model.labels).find(text)):
        return target, ""
    cuts = [found.start() for found in re.finditer("@", text)]
    cut = next((at for at in cuts if model.labels and class_names(model.labels).find(text[:at])), cuts[0])
    return text[:cut].strip() or "top", text[cut + 1 :].strip()


def _place(text: str) -> tuple[Place, tuple[str, ...]]:
    """What stands after the @; raises UsageError where it is no place."""
    if not text:
        return Place(), ()
    numbers = re.fullmatch(r"(\d{1,6})\s*,\s*(\d{1,6})", text)
    if numbers:
        return Place(f"{numbers[1]},{numbers[2]}", (int(numbers[1]), int(numbers[2]))), ()
    if not Path(text).is_file():
        raise UsageError(
            "--target names no region: there is no such file, and it is no pixel X,Y", given=text, allowed=_FORM
        )
    image, frames = decode(Path(text), lambda one: (upright(one).copy(), getattr(one, "n_frames", 1)))
    if frames > 1:
        raise UsageError("the region's image has several frames", given=text, allowed=_FORM)
    mask, notes = white(image, text, "--target", "the region")
    if not mask.any():
        raise UsageError("the region's image has no white pixel", given=text, allowed=_FORM)
    return Place(text, mask=mask), notes
