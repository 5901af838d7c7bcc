"""The second images of pairs: one for all, or a folder with one for each by its name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from torch import Tensor

from ...errors import UsageError
from ...inputs.images import find_images, read_image
from ...models.model import Model
from ...names import escaped
from ..decoding import run_names

_KEPT = 32
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Partners:
    """The second images, numbered; fulfils `sigcli.scores.distance.Partners`.

    Args:
        paths: of the second images.
        numbers: for each image that is explained the number of its second one.
        model: that they are prepared for.
    """

    paths: list[Path]
    numbers: list[int]
    model: Model

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", lru_cache(_KEPT)(self.image))

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, index: int) -> Tensor:
        """(C, H, W) in the model's input space, on its device; the last ones are kept. Raises ImageError."""
        return self.model.preprocess(read_image(self.paths[index]).pixels).to(self.model.device)

    def display(self, index: int) -> np.ndarray:
        """What the model sees of it, uint8 (h, w, 3)."""
        return self.model.preprocess.display(read_image(self.paths[index]).pixels)

    def name(self, index: int) -> str:
        """Its file's name, with its folder where there are several, which have the names of the first images."""
        path = self.paths[index]
        return escaped(path.name if len(self.paths) == 1 else f"{path.absolute().parent.name}/{path.name}")

    def digest(self) -> str:
        """Of names, sizes and times: other second images are another run."""
        listing = "\n".join(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in self.paths)
        return hashlib.blake2b(os.fsencode(f"{self.numbers}\n{listing}"), digest_size=8).hexdigest()


def find_partners(partner: str | Path, images: Sequence[Path]) -> tuple[list[Path], list[int]]:
    """The second images, and for each image the number of its own.

    Args:
        partner: an image, which all are compared with; or a folder that has a file of the same name for each (the same
            name but for its suffix, where that is unmistakable).
        images: those that are explained.

    Raises:
        UsageError: no such file, a pattern, or a folder without a second image for some of them.
    """
    path = Path(partner)
    if not path.is_dir():
        if not os.path.lexists(path) and any(mark in str(partner) for mark in "*?["):
            raise UsageError(
                "the second image must be one file or a folder",
                given=partner,
                hint="Name the folder of the second images.",
            )
        return find_images([path]), [0] * len(images)
    found = find_images([path])
    exact = {escaped(item.relative_to(path).as_posix()): number for number, item in enumerate(found)}
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
    return found, numbers
