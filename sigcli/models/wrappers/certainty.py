"""Networks that take a certainty per pixel: how they say so, and how the rest of the package feeds them.

Such a network's `forward(x, certainty=None)` has an argument of that name: (N, 1, H, W) in 0..1, and 1 everywhere where
it is left out. Everything above calls a network with images alone; so it is wrapped to take the certainty as one more
channel.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from sigcli.errors import UsageError
from sigcli.inputs.images import decode
from sigcli.inputs.levels import between, shaded
from sigcli.inputs.picture import upright
from sigcli.wrapping import Wrapper

from ..model import Model

_FORM = (
    "LEFT,TOP,RIGHT,BOTTOM as fractions of the image, such as 0.5,0,1,1, or an image that is white where it is masked"
)
_BLACK_WHITE = "white where it is masked, black elsewhere"
_NOISE = 8
"""Difference of channels up to which an image is grey, as compression leaves it."""


class Masked(Wrapper):
    """A network that takes a certainty, given the same one for every image; no branch, so its code can be traced.

    Args:
        inner: (N, C, H, W), certainty (N, 1, H, W) → (N, classes).
        known: (H, W) certainty, of the images' size.
    """

    known: Tensor

    def __init__(self, inner: nn.Module, known: Float[Tensor, "h w"]):
        super().__init__(inner)
        self.register_buffer("known", known[None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → (N, classes)."""
        return self.inner(images, torch.zeros_like(images[:, :1]) + self.known)


class Aware(Wrapper):
    """A network that takes a certainty, for callers that know images only.

    Args:
        inner: (N, C, H, W), certainty (N, 1, H, W) → (N, classes).
        channels: C.
        known: (H, W) certainty of every image, where some area is masked; None for 1 everywhere. Of any size.
    """

    known: Tensor | None

    def __init__(self, inner: nn.Module, channels: int, known: Float[Tensor, "h w"] | None = None):
        super().__init__(inner)
        self.channels = channels
        self.register_buffer("known", known, persistent=False)
        self.masked = None if known is None else Masked(inner, known)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W), or (N, C+1, H, W) with the certainty as the last channel, → (N, classes)."""
        certainty = images[:, self.channels :] if images.shape[1] > self.channels else None
        if self.known is not None:
            area = self.known.to(images)[None, None]
            known = nn.functional.interpolate(area, tuple(images.shape[-2:]), mode="nearest")
            certainty = known.expand(len(images), -1, -1, -1) if certainty is None else certainty * known
        return self.inner(images[:, : self.channels], *(() if certainty is None else (certainty,)))

    @property
    def looked_into(self) -> nn.Module:
        """The network under its own layer names, for methods that hook or trace it; where an area is masked, as it is."""
        return self.inner if self.masked is None else self.masked


def takes_certainty(module: nn.Module) -> bool:
    """Whether a network's forward has an argument called `certainty`; one that was built without, although its class
    has it says so by an attribute `takes_certainty` that is False.

    >>> takes_certainty(nn.Linear(1, 1))
    False
    """
    if isinstance(module, torch.jit.ScriptModule):
        return any(argument.name == "certainty" for argument in module.forward.schema.arguments)  # type: ignore[attr-defined]
    return (
        getattr(module, "takes_certainty", True) is not False
        and "certainty" in inspect.signature(module.forward).parameters
    )


def masked(model: Model, spec: str | Path) -> Model:
    """The model with an area of every image set to a certainty of 0: what lies there is not known to it ([ICG] Fig. 7).

    Args:
        model: a certainty-aware model.
        spec: LEFT,TOP,RIGHT,BOTTOM as fractions of the image, or the path of an image that is white where it is masked.

    Raises:
        UsageError: the model takes no certainty, or the area is invalid.
    """
    if not isinstance(model.module, Aware):
        raise takes_none("--mask-certainty", model.name)
    area, notes = _area(spec, model.preprocess.size or (256, 256))
    known = 1 - area
    if bool(known.all()) or not bool(known.any()):
        raise UsageError("--mask-certainty must mask some of the image and not all of it", given=spec)
    module = Aware(model.module.inner, model.module.channels, known).to(model.device)
    return replace(model, module=module, mask=known == 0, notes=(*model.notes, *notes))


def looked_into(model: Model) -> nn.Module:
    """The network whose layers methods use, under its own names: unwrapped unless an area is masked."""
    return model.module.looked_into if isinstance(model.module, Aware) else model.module


def takes_none(what: str, name: str) -> UsageError:
    """The error for something that needs a certainty where the network takes none."""
    return UsageError(
        f"{what} needs a certainty-aware model, and this one is not", given=f"--model {name}",
        hint="Train one: sig train FOLDER --arch resnet18 --certainty; or try --model shapes, which is certainty-aware.",
    )  # fmt: skip


def shown(model: Model, pixels: np.ndarray) -> np.ndarray:
    """What the network sees, as a picture uint8 (h, w, 3): masked areas in grey."""
    picture = model.preprocess.display(pixels)
    if model.mask is None:
        return picture
    size = int(picture.shape[1]), int(picture.shape[0])
    area = np.array(Image.fromarray(model.mask.cpu().numpy()).resize(size, Image.Resampling.NEAREST))
    return np.where(area[..., None], np.uint8(127), picture)


def _area(spec: str | Path, size: tuple[int, int]) -> tuple[Float[Tensor, "h w"], tuple[str, ...]]:
    """1 where masked, 0 elsewhere, of the network's input size; and what was assumed."""
    text = str(spec)
    if Path(text).is_file():
        image, frames = decode(Path(text), lambda one: (upright(one).copy(), getattr(one, "n_frames", 1)))
        if frames > 1:
            raise UsageError("the image of --mask-certainty has several frames", given=text, allowed=_BLACK_WHITE)
        masked, notes = white(image, text, "--mask-certainty", "masked")
        high, wide = masked.shape
        if (high, wide) != size:
            to = f"{size[1]}x{size[0]}"
            notes = (*notes, f"the mask of {wide}x{high} pixels is scaled to all of the network's input, {to}")
        scaled = Image.fromarray(masked).resize((size[1], size[0]), Image.Resampling.NEAREST)
        return torch.from_numpy(np.array(scaled)).float(), notes
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError("--mask-certainty does not name an area", given=text, allowed=_FORM) from None
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise UsageError("--mask-certainty does not name an area within the image", given=text, allowed=_FORM)
    area = torch.zeros(size)
    rows, columns = (slice(round(a * n), round(b * n)) for a, b, n in ((top, bottom, size[0]), (left, right, size[1])))
    area[rows, columns] = 1.0
    return area, ()


def white(image: Image.Image, text: str, option: str, which: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Where an image is white, or has its only value besides 0, bool (H, W); and what was assumed.

    Args:
        image: upright.
        text: its name.
        option: which names it.
        which: what is white is called.

    Raises:
        UsageError: it has several classes, colours, levels of grey or transparency, so it can be read in two ways.
    """
    allowed = f"white where it is {which}, black elsewhere"
    palette = image.mode in ("P", "PA")
    wide = np.asarray(image.convert("RGB")).astype(int)
    coloured = int((wide.max(-1) - wide.min(-1)).max()) > _NOISE
    clear = image.has_transparency_data and bool((np.asarray(image.convert("RGBA"))[..., 3] < 255).any())
    values = np.asarray(image.getchannel(0)).astype(int) if coloured and palette else wide.sum(-1) // 3
    found = np.unique(values)
    if clear or (coloured and not palette):
        what = "transparent parts" if clear else "colours"
        raise UsageError(f"the image of {option} has {what}", given=text, allowed=allowed)
    if len(found) == 2 and not found[0]:
        told = f"{option}: {found[1]} is {which}, the only value besides 0"
        return values > 0, () if found[1] == 255 else (told,)
    if len(found) > 2 and (palette or not (shaded(found) and between(values))):
        shown = ", ".join(map(str, found[:8])) + (", ..." if len(found) > 8 else "")
        what = f"the image of {option} is not black and white, so nothing says which of its values are {which}"
        raise UsageError(what, given=f"{text}: {shown}", allowed=allowed)
    return values > 127, ()
