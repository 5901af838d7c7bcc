"""Pairs of images: one is explained, its partner is held fixed."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...errors import AttributionError, UsageError
from ...inputs.given import Given, Source, listed, state_of
from ...inputs.images import find_images, read_image
from ...inputs.left_out import LeftOut
from ...inputs.picture import Picture
from ...models.model import Model
from ...models.wrappers.twins import Twin
from ...names import escaped, portable
from ...runs.filenames import run_names
from ...scores.distance import DISTANCES, EmbeddingDistance, PairDistance
from ..select import Chosen
from ..targets import parse_target
from ..wanted import Wanted
from .pictures import Pictures
from .seen import PAIR, Seen

if TYPE_CHECKING:
    from ..explanation import Explanation
    from ..options import RunOptions

_KEPT = 32
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class PairSeen(Seen):
    """What the model saw of both images.

    Args:
        picture: (H, W, 3) uint8, of the image that is explained.
        partner: (h, w, 3) uint8, of the one that is held fixed.
    """

    partner: np.ndarray | None = None
    kind = PAIR
    ends = ("pushes apart", "pulls together")

    def what(self, label: str, target: int | str | None) -> str:
        """The partner in words."""
        del target
        return f"with {label}"

    def reading(self, output: str) -> str:
        """How the colours are read, in a sentence."""
        distance = output.removeprefix("minus ")
        return f"Red pulls the pair together, blue pushes it apart: what is explained is minus the {distance}."

    def beside(self, item: Explanation) -> tuple[tuple[str, str], tuple[np.ndarray, tuple[str, str]] | None]:
        """Lines below both pictures."""
        return (item.image, ""), None if self.partner is None else (self.partner, (item.label, "held fixed"))


class Pairs(Pictures):
    """Pairs of images. The targets of the score are numbers of partners."""

    pairs = True
    unseen = PairSeen()

    def __init__(self, named: Sequence[str | Source], options: RunOptions, partner: Any):
        self.partner = partner
        super().__init__(named, options)
        paths, numbers = find_partners(partner, self.sources, self.left_out)
        self._found = paths, numbers
        self._numbers = dict(zip(self.sources, numbers, strict=True))
        self.partners: Partners | None = None

    @property
    def every(self) -> list[Source]:
        """All that goes into the network, partners too."""
        return [*super().every, *self._found[0]]

    def check(self) -> None:
        """Raise UsageError for options of single images."""
        o = self.options
        if o.output not in ("logit", *DISTANCES):
            raise UsageError(
                "a pair of images has no classes, only a distance", given=o.output, allowed=", ".join(DISTANCES)
            )
        if str(o.target) != "top":
            raise UsageError(
                "a pair of images has no target, only a distance", given=o.target, hint="Leave --target out."
            )
        if o.mask_certainty is not None:
            raise UsageError("pairs of images have no certainty to mask", given=f"--mask-certainty {o.mask_certainty}")

    @property
    def notes(self) -> tuple[str, ...]:
        """Which partners were found by less than their whole names, besides what is told of all pictures."""
        paths, numbers = self._found
        if not isinstance(self.partner, (str, Path)) or not Path(self.partner).is_dir():
            return super().notes
        pairs = [(Path(one).name, Path(paths[n]).name) for one, n in zip(self.sources, numbers, strict=True)]
        loose = [f"{escaped(one)} with {escaped(other)}" for one, other in pairs if one != other]
        shown = ", ".join(loose[:_SHOWN]) + (", ..." if len(loose) > _SHOWN else "")
        told = (f"partners found by their names without suffixes: {len(loose)} of {len(pairs)} ({shown})",)
        return (*super().notes, *(told if loose else ()))

    def scorer(self, model: Model) -> EmbeddingDistance | PairDistance:
        """Minus the distance of both images; "logit", which is the default of the output, stands for the distance."""
        self.partners = Partners(*self._found, model, self.read)
        distance = "distance" if self.options.output == "logit" else self.options.output
        if not isinstance(model.module, Twin):
            return EmbeddingDistance(model.module, self.partners, distance, self.options.precision)
        if distance != "distance":
            raise UsageError(
                "the network computes the distance of two images itself", given=distance, allowed="distance"
            )
        return PairDistance(model.module, self.partners, self.options.precision)

    def target(self, model: Model) -> Wanted:
        """Each image has its own partner."""
        return parse_target("top", None, model.classes)

    def spelled(self, model: Model) -> str:
        """There is one target only."""
        del model
        return str(self.options.target)

    def told(self, target: int) -> int | str:
        """The partner's number."""
        return target

    def spec(self) -> dict[str, Any]:
        """Which partners there are."""
        return {} if self.partners is None else {"partners": self.partners.digest()}

    def manifest(self) -> dict[str, Any]:
        """The partner of each image."""
        paths, numbers = self._found
        return {"partners": [portable(os.path.abspath(paths[number])) for number in numbers]}

    def targets(self, scorer: Any, x: Tensor, source: Source, wanted: Wanted) -> list[int]:
        """The number of the image's partner."""
        del wanted
        number = self._numbers[source]
        score = scorer.scores(x[None], torch.tensor([number], device=x.device))
        if not torch.isfinite(score).all():
            raise AttributionError("the model gives NaN or infinity for this pair")
        return [number]

    def label(self, model: Model, target: int) -> str:
        """The partner's name."""
        del model
        return self.known.name(target)

    def seen(self, model: Model, picture: Picture, chosen: Sequence[Chosen], source: Source) -> Seen:
        """What the model sees of both."""
        alone = super().seen(model, picture, chosen, source)
        return PairSeen(alone.picture, self.known.display(self._numbers[source]))

    @property
    def known(self) -> Partners:
        """The partners, once the model is loaded."""
        if self.partners is None:
            raise RuntimeError("the score of the pairs is not made yet")
        return self.partners


@dataclass(frozen=True, eq=False)
class Partners:
    """The second images, numbered; fulfils `sigcli.scores.distance.Partners`.

    Args:
        paths: paths of the second images.
        numbers: for each image that is explained the number of its second one.
        model: the model that they are prepared for.
        read: decodes one.
    """

    paths: Sequence[Source]
    numbers: list[int]
    model: Model
    read: Callable[[Source], Picture] = read_image

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", lru_cache(_KEPT)(self.image))

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, index: int) -> Tensor:
        """(C, H, W) in the model's input space, on its device; the last ones are kept. Raises ImageError."""
        return self.model.preprocess(self.read(self.paths[index]).pixels).to(self.model.device)

    def display(self, index: int) -> np.ndarray:
        """What the model sees of it, uint8 (h, w, 3)."""
        return self.model.preprocess.display(self.read(self.paths[index]).pixels)

    def name(self, index: int) -> str:
        """Its file's name, with its folder where there are several, which have the names of the first images."""
        given = self.paths[index]
        if isinstance(given, Given):
            return given.name
        path = Path(given)
        return escaped(path.name if len(self.paths) == 1 else f"{path.absolute().parent.name}/{path.name}")

    def digest(self) -> str:
        """Of names, sizes and times: other second images are another run."""
        return hashlib.blake2b(os.fsencode(f"{self.numbers}\n{state_of(self.paths)}"), digest_size=8).hexdigest()


def find_partners(
    partner: Any, images: Sequence[Source], left_out: LeftOut | None = None
) -> tuple[Sequence[Source], list[int]]:
    """The second images, and for each image the number of its own.

    Args:
        partner: an image (a file, or a picture in memory), which all are compared with; or a folder that has a file of the
            same name for each (the same name but for its suffix, where that is unmistakable).
        images: those that are explained.
        left_out: learns what the search of a folder passed over.

    Raises:
        UsageError: no such file, a pattern, or a folder without a second image for some of them.
    """
    if not isinstance(partner, (str, Path)):
        found = find_images(listed(partner, "partner"))
        if len(found) not in (1, len(images)):
            given, allowed = (
                f"{len(found)} partners of {len(images)} images",
                "one partner for all, or one for each image",
            )
            raise UsageError("images and partners do not go together", given=given, allowed=allowed)
        return found, [0] * len(images) if len(found) == 1 else list(range(len(images)))
    path = Path(partner)
    if not path.is_dir():
        if not os.path.lexists(path) and any(mark in str(partner) for mark in "*?["):
            raise UsageError(
                "the second image must be one file or a folder",
                given=partner,
                hint="Name the folder of the second images.",
            )
        return find_images([path]), [0] * len(images)
    return _in_folder(path, images, left_out)


def _in_folder(path: Path, images: Sequence[Source], left_out: LeftOut | None) -> tuple[Sequence[Source], list[int]]:
    """The images of a folder, and for each of the others the number of the one of its name; see `find_partners`."""
    found = find_images([path], left_out)
    exact = {escaped(Path(item).relative_to(path).as_posix()): number for number, item in enumerate(found)}
    stems: dict[str, list[int]] = {}
    for name, number in exact.items():
        stems.setdefault(Path(name).with_suffix("").as_posix(), []).append(number)
    numbers, lacking = [], []
    for name, _ in run_names(images):
        alike = stems.get(Path(name).with_suffix("").as_posix(), [])
        if name in exact or len(alike) == 1:
            numbers.append(exact.get(name, alike[0] if alike else -1))
        else:
            lacking.append(name)
    if lacking:
        shown = ", ".join(lacking[:_SHOWN]) + (f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else "")
        raise UsageError(
            f"{path} has no second image for {shown}",
            allowed="a file of the same name for each image, or one image for all",
        )
    uses = Counter(numbers)
    several = [name for (name, _), number in zip(run_names(images), numbers, strict=True) if uses[number] > 1]
    if several:
        raise UsageError(
            "one second image fits several images", given=f"{path}: {', '.join(several[:_SHOWN])}",
            hint="Give the second images the whole names of the first ones, with their suffixes.",
        )  # fmt: skip
    return found, numbers
