"""Pictures of a segmentation network: a class is explained over a region of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...comparisons import pair_of, target_of, told
from ...errors import AttributionError, UsageError
from ...files import file_digest
from ...heads import Head
from ...inputs.given import Source, is_tensor
from ...models.model import Model
from ...names import printable
from ...scores.regions import Regions, RegionScore
from ..wanted import Wanted
from ..wanted_regions import Place, WantedRegions, parse_regions
from .pictures import Pictures
from .seen import Missing, Seen

_BACKGROUND = ("__background__", "background")


@dataclass(frozen=True, eq=False)
class RegionSeen(Seen):
    """What the model saw of a picture, and the region over which a class is explained."""

    def reading(self, output: str) -> str:
        """How the colours are read, in a sentence."""
        del output
        return "Red speaks for the target in the outlined region, blue against it."


class RegionPictures(Pictures):
    """Pictures of a network that scores every class at every pixel. The targets of the score are numbers of regions."""

    network: Model
    known: Regions
    asked: WantedRegions
    unseen = RegionSeen()

    @classmethod
    def of(cls, samples: Pictures, network: Model) -> RegionPictures:
        """The same samples for such a network.

        Raises:
            UsageError: an option that has no meaning for it, or no such class or region.
        """
        made = cls.__new__(cls)
        vars(made).update(vars(samples))
        made.network, made.known, made.classes = network, Regions(), network.classes
        if made.options.mask_certainty is not None:
            raise UsageError("a segmentation network takes no certainty", given="--mask-certainty")
        default = "target" not in made.options.given
        made.asked = parse_regions(made.options.target, network.labels, network.classes, default=default)
        return made

    def scorer(self, model: Model) -> RegionScore:
        """The mean score of a class over a region."""
        output = model.head.in_force(self.options.output)
        return RegionScore(model.module, output, self.options.precision, model.head, regions=self.known)

    def target(self, model: Model) -> Wanted:  # noqa: ARG002  it is the network of these samples
        """The classes; where each is explained is in `asked`."""
        return self.asked.wanted

    def spelled(self, model: Model) -> str:  # noqa: ARG002
        """The classes and their regions."""
        return self.asked.spelled

    def spec(self) -> dict[str, Any]:
        """Which regions files hold."""
        masks = [file_digest(place.text) for place in self.asked.places if place.mask is not None]
        return {**super().spec(), **({"region": masks[0] if len(masks) == 1 else masks} if masks else {})}

    def manifest(self) -> dict[str, Any]:
        """Which regions, so that the run can be measured later from any folder."""
        return {"target": self.asked.lasting}

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed of masks, besides what is told of all pictures."""
        return (*super().notes, *self.asked.notes)

    def targets(self, scorer: Any, x: Tensor, source: Source, wanted: Wanted) -> list[int | Missing]:
        """The regions of one picture: of the classes that were named, or of those that the network sees most of.

        Raises:
            AttributionError: the network sees nothing at all, a region that is not in the picture, or it gives NaN.
        """
        there = self._there(scorer, x)
        if isinstance(wanted, tuple) and isinstance(wanted[0], str):
            fixed = self._fixed(self.asked.places[0], source, there.shape[1:])
            return [
                self.known.add(k, there[k] if fixed is None else fixed) for k in self._most(there, fixed, wanted[1])
            ]
        named = [one for one in (wanted if isinstance(wanted, tuple) else (wanted,)) if isinstance(one, int)]
        return [self._found(there, source, one) for one in named]

    def number(self, scorer: Any, x: Tensor, source: Source, target: int | str) -> int:
        """The region of a class in one picture, where this run's target places it.

        Raises:
            AttributionError: the network sees nothing of the class or of the region, or it gives NaN.
        """
        return self._region(self._there(scorer, x), source, target_of(target, self.network.classes))

    def _there(self, scorer: Any, x: Tensor) -> np.ndarray:
        """Where the network sees each class, bool (K, H, W)."""
        outputs = scorer.outputs(x[None])
        if not torch.isfinite(outputs).all():
            raise AttributionError("the model gives NaN or infinity for this image")
        return seen_classes(outputs, scorer.head)[0].cpu().numpy()

    def _found(self, there: np.ndarray, source: Source, target: int) -> int | Missing:
        try:
            return self._region(there, source, target)
        except AttributionError as error:
            return Missing(error, told(target, self.network.classes), self._label(target))

    def _region(self, there: np.ndarray, source: Source, target: int) -> int:
        """The number of the region of a class, or of the first of two that are compared."""
        fixed = self._fixed(self.asked.place_of(target), source, there.shape[1:])
        first = (pair_of(target, self.network.classes) or (target,))[0]
        if fixed is None and not there[first].any():
            known = self.network
            others = [known.label(int(k)) for k in np.argsort(-there.sum((1, 2)), kind="stable") if there[k].any()]
            raise AttributionError(
                f"the network sees no '{known.label(first)}' in this image",
                given=f"it sees {', '.join(others) or 'nothing'}",
                hint="Name a pixel or a mask: --target CLASS@X,Y or CLASS@FILE.",
            )
        return self.known.add(target, there[first] if fixed is None else fixed)

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

    def _fixed(self, place: Place, source: Source, size: tuple[int, ...]) -> np.ndarray | None:
        """The region that was named, (H, W) of what the network sees; None where it is the network's own."""
        if place.pixel is None and place.mask is None:
            return None
        preprocess, picture = self.network.preprocess, self.read(source)
        high, wide = size if is_tensor(source) else picture.size
        if place.mask is not None:
            mask = place.mask
            if mask.shape != (high, wide):
                given = f"{mask.shape[1]}x{mask.shape[0]} for a picture of {wide}x{high}"
                raise AttributionError("the region's image does not have the size of the picture", given=given)
            found = mask if is_tensor(source) else preprocess.area(mask)
        else:
            x, y = place.pixel or (0, 0)
            if x >= wide or y >= high:
                raise AttributionError("the pixel lies outside of the picture", given=place.text,
                                       allowed=f"0,0 to {wide - 1},{high - 1}")  # fmt: skip
            spot = (x, y) if is_tensor(source) else preprocess.landing(x, y, (high, wide))
            found = np.zeros(size, bool)
            if spot is not None:
                found[spot[1], spot[0]] = True
        if not found.any():
            raise AttributionError("the region is cropped away: the network does not see it", given=place.text)
        return found

    def told(self, target: int) -> int | str:
        """The class of a region, or the two that are compared over it."""
        return told(self.known.target(target), self.network.classes)

    def label(self, model: Model, target: int) -> str:  # noqa: ARG002
        """The class, and where it was asked for."""
        return self._label(self.known.target(target))

    def _label(self, target: int) -> str:
        pair = pair_of(target, self.network.classes) or (target,)
        names = " − ".join(printable(self.network.label(one)) for one in pair)
        return f"{names}{printable(str(self.asked.place_of(target)))}"

    def told_region(self, target: int) -> str:
        """A region in a few words."""
        place, count = self.asked.place_of(self.known.target(target)), int(self.known.mask(target).sum())
        if place.pixel is not None:
            return f"pixel {place.text}"
        return f"{count} pixels, " + (printable(str(place)).strip() or "where the network sees it")

    def region(self, target: int, size: tuple[int, int]) -> np.ndarray | None:  # noqa: ARG002
        """The region itself."""
        return self.known.mask(target)

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
