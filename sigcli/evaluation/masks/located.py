"""Where the objects of a run's images are: everything about its masks is found out before the first map is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from jaxtyping import Bool
from torch import Tensor

from ...errors import AttributionError, SigError, UsageError
from ...inputs.given import Source as Image
from ...inputs.given import is_tensor
from ...models.preprocess import Preprocess
from ...names import images_told, printable
from ...runs.folder import run_names
from .areas import Frame, cut_size, fitted, frame_of, seen
from .boxes import Boxes
from .coco import Coco
from .folder import Folder
from .meaning import some
from .names import match
from .source import Source, unusable
from .wanted import Wanted

_HOW = {
    "upright": "taken as drawn on the pictures as they are shown, which EXIF turns",
    "turned": "turned as EXIF turns their pictures",
    "scaled": "scaled to the size of their pictures",
}


def open_masks(path: Path) -> Source:
    """What --masks names: a folder of masks, a CSV of boxes or a JSON file of COCO.

    Raises:
        UsageError: it is not there, or is something else.
    """
    kinds = {".csv": Boxes, ".json": Coco}
    kind = kinds.get(path.suffix.lower(), Folder) if path.is_file() else Folder
    return kind(path)


class Masks:
    """The masks of a run.

    Args:
        source: where they come from.
        wanted: what the user says of their values.

    `notes` says what is assumed, and which images have no mask or one that cannot be used.
    """

    def __init__(self, source: Source, wanted: Wanted):
        self.source, self.wanted = source, wanted
        self.notes: list[str] = []
        self._of: dict[str, str] = {}
        self._problems: dict[str, SigError] = {}
        self._how: Counter[str] = Counter()

    def fit(self, images: Sequence[Image], preprocess: Preprocess, *, used: bool = True) -> None:
        """Find the mask of every image, what its values mean, and whether the model sees object and ground.

        Args:
            images: of the run.
            preprocess: how they become the network's input.
            used: some metric needs masks; else only the names are looked at.

        Raises:
            UsageError: no image has a mask that can be used, or what they mean is not known.
        """
        names = [name for name, _ in run_names(images)]
        self._of, alone = match(names, self.source.names)
        if not self._of:
            raise UsageError(
                "no image has a mask in what --masks names",
                given=f"{self.source.path}: {some([printable(name) for name in self.source.names])}",
                hint=f"A mask has its image's name: {Path(names[0]).with_suffix('').as_posix()} for {names[0]}.",
            )
        if not used:
            self.notes = ["none of the metrics uses --masks"]
            return
        told, self._problems = self.source.judge([*self._of.values()], self.wanted)
        self.notes = [f"masks: {text}" for text in told]
        failed = dict(self._failures(dict(zip(names, images, strict=True)), preprocess))
        if len(failed) == len(self._of):
            raise unusable(next(iter(failed.values())))
        self.notes += [*self._notes(names, alone, failed), *self.source.notes()]

    def _failures(self, images: dict[str, Image], preprocess: Preprocess) -> Iterator[tuple[str, SigError]]:
        """Image → why its mask cannot be used."""
        for name in self._of:
            try:
                frame = frame_of(images[name])
            except Exception:  # noqa: BLE001  a picture that cannot be read is reported where it is explained
                continue
            try:
                self._seen(name, frame, None if is_tensor(images[name]) else preprocess, count=True)
            except SigError as error:
                yield name, error

    def _notes(self, names: Sequence[str], alone: int, failed: dict[str, SigError]) -> list[str]:
        found = []
        without = [name for name in names if name not in self._of]
        if without:
            found.append(f"no mask for {len(without)} of {images_told(len(names))}: {some(without)}")
        if alone:
            found.append(f"masks found by their file names, whatever their folders: {alone}")
        found += [f"masks {words}: {self._how[how]}" for how, words in _HOW.items() if self._how[how]]
        if failed:
            first = {name: " ".join(str(error).split()).rstrip(".") for name, error in list(failed.items())[:3]}
            reasons = "; ".join(f"{name}: {text}" for name, text in first.items())
            more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
            found.append(f"{len(failed)} of {len(self._of)} masks cannot be used: {reasons}{more}")
        return found

    def of(
        self, image: str, path: Image, preprocess: Preprocess
    ) -> tuple[Bool[Tensor, "h w"], Bool[Tensor, "h w"] | None]:
        """Object and void of one image as the network sees it, (h, w) each.

        Args:
            image: its name in the run.
            path: its file.
            preprocess: how it becomes the network's input.

        Raises:
            AttributionError: it has no mask, or one that does not fit or leaves nothing to locate.
            ImageError: its mask cannot be read.
        """
        if image not in self._of:
            raise AttributionError("the image has no mask", given=image)
        return self._seen(image, frame_of(path), None if is_tensor(path) else preprocess)

    def _seen(
        self, image: str, frame: Frame, preprocess: Preprocess | None, *, count: bool = False
    ) -> tuple[Bool[Tensor, "h w"], Bool[Tensor, "h w"] | None]:
        name = self._of[image]
        if name in self._problems:
            raise self._problems[name]
        told = self.source.told(name)
        cut = None if preprocess is None else cut_size(frame, preprocess)
        areas, how = fitted(self.source.areas(name, frame.size), frame, told, cut)
        if not self.source.sized and frame.orientation != 1:
            how = "upright"
        if not areas.object.any():
            raise AttributionError(f"the {told} has no object")
        inside, void = seen(areas, preprocess)
        if not bool(inside.any()):
            raise AttributionError(f"the {told} has no object in the part that the model sees")
        if bool((inside if void is None else inside | void).all()):
            raise AttributionError(f"the {told} covers all that the model sees, so there is nothing to locate")
        if count and how:
            self._how[how] += 1
        return inside, void
