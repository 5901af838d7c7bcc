"""Object and void of a picture, and how they follow the picture to the network's input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from ...errors import AttributionError
from ...inputs.given import Given, Source
from ...inputs.images import checked_file
from ...inputs.picture import TURNS, orientation
from ...inputs.refused import Fetched
from ...models.preprocess import Preprocess
from ...places.remote import Remote

_SIDEWAYS = range(5, 9)
"""EXIF orientations that swap height and width."""


@dataclass(frozen=True, eq=False)
class Areas:
    """Which pixels are the object, and which are void: neither object nor ground.

    Args:
        object: (H, W).
        void: (H, W), or None where nothing is. No pixel is both.
    """

    object: Bool[np.ndarray, "h w"]
    void: Bool[np.ndarray, "h w"] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        high, wide = self.object.shape
        return high, wide

    def changed(self, change: Callable[[np.ndarray], np.ndarray]) -> Areas:
        """Both after the same change of shape."""
        return Areas(change(self.object), None if self.void is None else change(self.void))


@dataclass(frozen=True)
class Frame:
    """The frame of a picture: what its mask has to fit.

    Args:
        size: (H, W) of the picture as it is shown.
        orientation: EXIF orientation of its file, 1 where that turns nothing.
    """

    size: tuple[int, int]
    orientation: int = 1


def frame_of(source: Source) -> Frame:
    """The frame of a picture, of which only the header is read.

    Raises:
        ImageError: it is no ordinary file.
        OSError: it cannot be read. Broken files raise other exceptions, too.
    """
    if isinstance(source, Given):
        return Frame(source.picture.size)
    file = checked_file(source if isinstance(source, Remote) else Path(source))
    with Image.open(file.content if isinstance(file, Fetched) else file) as image:
        turn = orientation(image)
        size = image.size if turn in _SIDEWAYS else image.size[::-1]
    return Frame((size[0], size[1]), turn)


def fitted(areas: Areas, frame: Frame, told: str, cut: tuple[int, int] | None = None) -> tuple[Areas, str]:
    """Areas of the picture's size, and in a word how they came to it.

    A mask of another size is scaled where it has the picture's proportions, and turned where it was drawn on the pixels as
    the file holds them before its EXIF orientation.

    Args:
        areas: as the mask holds them.
        frame: of the picture.
        told: the mask in a message.
        cut: (H, W) of the network's input, where something of this picture is cut off from it.

    Raises:
        AttributionError: a mask that does not fit.
    """
    (high, wide), (h, w) = areas.size, frame.size
    if (high, wide) == (h, w):
        sure = frame.orientation == 1 or (frame.orientation in _SIDEWAYS and h != w)
        return areas, "" if sure else "upright"
    if frame.orientation in _SIDEWAYS and (high, wide) == (w, h):
        turn = TURNS[frame.orientation]
        return areas.changed(lambda area: np.asarray(Image.fromarray(area).transpose(turn))), "turned"
    sizes = f"the {told} has {wide}x{high} pixels, its image {w}x{h}"
    if (high, wide) == cut:
        raise AttributionError(f"{sizes}: it may show all of the image, or only the part that the model sees")
    if abs(high - h * wide / w) > 1 and abs(wide - w * high / h) > 1:
        raise AttributionError(sizes)
    return areas.changed(
        lambda area: np.asarray(Image.fromarray(area).resize((w, h), Image.Resampling.NEAREST))
    ), "scaled"


def cut_size(frame: Frame, preprocess: Preprocess) -> tuple[int, int] | None:
    """(H, W) of the network's input, where something of the picture is cut off from it; else None."""
    whole = preprocess.resized(frame.size)
    return preprocess.size if preprocess.size is not None and preprocess.size != whole else None


def seen(areas: Areas, preprocess: Preprocess | None) -> tuple[Bool[Tensor, "h w"], Bool[Tensor, "h w"] | None]:
    """Object and void of the network's input, (h, w) each, after the picture's own resizing and crop.

    A pixel is void where half of it is or more, else of the object where as much of it is object as ground.

    Args:
        areas: of the picture.
        preprocess: how the picture becomes the network's input; None where it is the input already.
    """
    if preprocess is None:
        void = None if areas.void is None else torch.from_numpy(areas.void.copy())
        return torch.from_numpy(areas.object.copy()), void

    def share(area: np.ndarray) -> np.ndarray:
        white = np.repeat((area * np.uint8(255))[..., None], 3, 2)
        return preprocess.display(white).max(-1).astype(int)

    inside = share(areas.object)
    if areas.void is None or not areas.void.any():
        return torch.from_numpy(inside > 127), None
    left = share(areas.void)
    void = left > 127
    return torch.from_numpy(~void & (inside > 255 - inside - left)), torch.from_numpy(void)
